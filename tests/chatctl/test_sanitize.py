"""Text of peers is harmless before a person sees it."""

import json

import pytest

from chatctl import sanitize


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


def test_nothing_unprintable_is_left_of_any_control_character() -> None:
    every = "".join(chr(code) for code in [*range(0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)])
    assert sanitize.inline(every).isprintable()
