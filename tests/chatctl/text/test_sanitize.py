"""Text from peers is escaped before it is shown."""

import json
import unicodedata

import pytest

from chatctl.text import sanitize
from tests.harness.characters import characters


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünïcödé 👩‍👩‍👧 فارسی", "plain, ünïcödé 👩‍👩‍👧 فارسی"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("a\tb\rc\x7f", "a\\tb\\rc\\x7f"),
        ("abc\u202exe.gpj\u2066", "abc\\u202exe.gpj\\u2066"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
        ("\ud800\ufeff\u200f", "\\ud800\\ufeff\\u200f"),
        ("two\nlines", "two\\nlines"),
    ],
)
def test_what_could_do_harm_is_shown_and_not_done(text: str, shown: str) -> None:
    assert sanitize.inline(text) == shown


def test_continued_lines_are_indented() -> None:
    assert sanitize.block("a\nb\r\n\x1bc") == "a\n    b\n    \\x1bc"


def test_json_keeps_its_meaning_when_it_is_made_harmless() -> None:
    document = json.dumps("\u202e\x9b\ufeffß👩‍👧", ensure_ascii=False)
    harmless = sanitize.encoded(document)
    assert json.loads(harmless) == json.loads(document)
    assert harmless.isprintable() or "\u200d" in harmless
    assert "\u202e" not in harmless


HARMFUL = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@pytest.mark.parametrize("kind", HARMFUL)
def test_every_character_that_could_do_harm_is_shown_by_its_number(kind: str) -> None:
    harmful = "".join(each for each in characters(kind) if each not in sanitize.JOINERS + sanitize.NUMBER_SIGNS)
    assert harmful
    shown, document = sanitize.inline(harmful), sanitize.encoded(harmful)
    assert shown.isascii()
    assert shown.isprintable()
    assert shown.encode().decode("unicode_escape") == harmful
    assert document.isascii()
    assert json.loads(f'"{document}"').encode("utf-16", "surrogatepass") == harmful.encode("utf-16", "surrogatepass")


def test_of_harmful_kinds_only_joiners_and_signs_over_numbers_are_text() -> None:
    kept = [each for each in characters(*HARMFUL) if sanitize.inline(each) == each]
    assert sorted(kept) == sorted(sanitize.JOINERS + sanitize.NUMBER_SIGNS)


def test_every_other_character_stays_as_it_is() -> None:
    others = "".join(each for each in characters() if unicodedata.category(each) not in HARMFUL)
    assert sanitize.inline(others) == sanitize.encoded(others) == others


@pytest.mark.parametrize("character", ["\ufff9", "\ufffa", "\ufffb", "\u00ad", "\u200b", "\u2060", "\U000e0041"])
def test_what_hides_or_annotates_a_part_of_a_line_is_shown(character: str) -> None:
    assert character not in sanitize.block(f"a{character}b\n{character}")
