"""Nicks: which are valid, which are the same, and which are assigned instead."""

import unicodedata
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.api.errors import ControlError
from chatd.paths import NAME_CHARACTERS, valid_name
from chatd.rooms import nicks
from tests.harness.characters import characters

GOOD = (
    *("jane", "Jane", "r2d2", "7", "x", "a.b_c-d", "...", "José", "Søren", "straße", "Ольга", "Ольга2", "Γιώργος"),
    *(
        "田中さくら",
        "らーめん",
        "佐々木",
        "陳ㄅ",
        "김철수",
        "金철수",
        "田中ken",
        "محمد",
        "אבא",
        "मोहन",
        "मो१",
        "สมชาย",
        "தமிழ்",
    ),
    *("ខ្មែរ", "မြန်မာ", "བོད", "x" * 32, "é" * 32),
)
# Points that are not shown by themselves: Default_Ignorable_Code_Point of the Unicode character database.
IGNORED = frozenset(
    (
        *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
        *(*range(0x180B, 0x1810), *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
        *(*range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0x1BCA0, 0x1BCA4), *range(0x1D173, 0x1D17B)),
        *range(0xE0000, 0xE1000),
    )
)

letters = st.sampled_from("".join(GOOD) + "2٣१\u0301\u0300\u093e \t\n@:<>\u200d\u202e\ud800аѕ'́ſﬁＡ\U0001f44b")
nickish = st.text(letters, max_size=40) | st.text(max_size=40) | st.sampled_from(GOOD)


def fault(nick: str) -> str:
    """Return why it is rejected."""
    with pytest.raises(ControlError) as caught:
        nicks.check(nick)
    assert caught.value.kind == "bad_text"
    assert caught.value.hint == "a nick is 1 to 32 letters and digits of one script, and . _ -"
    return caught.value.message


class Counted:
    """A set of folds that counts its lookups."""

    def __init__(self, folds: set[str]) -> None:
        self.folds = folds
        self.asked = 0

    def __contains__(self, fold: object) -> bool:
        self.asked += 1
        return fold in self.folds


@pytest.mark.parametrize("nick", GOOD)
def test_letters_and_digits_of_one_script_are_a_nick(nick: str) -> None:
    nicks.check(nick)


@pytest.mark.parametrize(
    ("nick", "why"),
    [
        ("", "it is empty"),
        ("x" * 33, "it has more than 32 characters"),
        ("x" * 1_000_000, "it has more than 32 characters"),
        ("system", "system is reserved"),
        ("SyStEm", "system is reserved"),
        ("jane doe", "it has a blank in it"),
        ("jane\n", "it has a blank in it"),
        ("jane\u00a0doe", "it has a blank in it"),
        ("10.0.0.2:1234", "U+003A may not stand there"),
        ("@jane", "U+0040 may not stand there"),
        ("<jane>", "U+003C may not stand there"),
        ("o'neil", "U+0027 may not stand there"),
        ("\x1b[2J", "U+001B may not stand there"),
        ("ja\u200bne", "U+200B may not stand there"),
        ("ja\u202ene", "U+202E may not stand there"),
        ("\ud800", "U+D800 may not stand there"),
        ("\U0001f44b", "U+1F44B may not stand there"),
        ("\ufffd", "U+FFFD may not stand there"),
        ("ᎠᎡ", "U+13A0 may not stand there"),
        ("ＡＢ", "U+FF21 may not stand there"),
        ("\u3164", "it has characters that only look like others (it is not in NFKC)"),
        ("ﬁsh", "it has characters that only look like others (it is not in NFKC)"),
        ("раypal", "it mixes scripts"),
        ("Οdysseus", "it mixes scripts"),
        ("김さ", "it mixes scripts"),
        ("मो१2", "it mixes digits of two systems"),
        ("١۲", "it mixes digits of two systems"),
        ("x1٣", "it mixes scripts"),
        ("محـمد", "U+0640 may not stand there"),
    ],
)
def test_what_is_no_nick_is_refused_with_the_reason(nick: str, why: str) -> None:
    assert fault(nick) == f"no nick: {why}"


def test_letters_that_are_not_composed_are_refused() -> None:
    assert unicodedata.normalize("NFD", "José") != "José"
    assert "U+0301 may not stand there" in fault(unicodedata.normalize("NFD", "José"))


def test_a_mark_stands_on_a_letter_of_its_script_and_at_most_three_do() -> None:
    nicks.check("क\u093c\u093e\u0902")
    for nick in ("\u093e", "7\u093e", "x\u093e", "क\u093e\u093e", "क\u093c\u093e\u0902\u0901", "क.\u093e"):
        assert "may not stand there" in fault(nick)


def test_nothing_that_is_not_shown_is_in_a_nick() -> None:
    allowed = []
    for text in (before + chr(point) for point in IGNORED for before in ("", "x", "한", "ក", "क")):
        with suppress(ControlError):
            nicks.check(text)
            allowed.append(text)
    assert allowed == []


def test_of_single_characters_only_letters_digits_and_three_signs_are_a_nick() -> None:
    allowed = set()
    for each in characters():
        with suppress(ControlError):
            nicks.check(each)
            allowed.add(each)
    signs = {sign for sign in allowed if unicodedata.category(sign)[0] != "L" and not sign.isdecimal()}
    assert signs == {".", "_", "-"}
    assert len(allowed) > 3000


@given(nickish)
def test_any_text_is_a_nick_or_refused_in_one_line(text: str) -> None:
    refusals: list[ControlError] = []
    try:
        nicks.check(text)
    except ControlError as error:
        refusals.append(error)
    for refusal in refusals:
        assert refusal.kind == "bad_text"
        assert refusal.message.isprintable()
    if not refusals:
        assert 1 <= len(text) <= 32
        assert text.isprintable()
        assert text == unicodedata.normalize("NFKC", text)
        assert not set(" :@<>") & set(text)
        text.encode()


@given(nickish)
def test_a_fold_is_its_own_fold_and_that_of_every_way_to_write_it(text: str) -> None:
    fold = nicks.fold(text)
    for form in ("NFC", "NFKC"):
        assert nicks.fold(unicodedata.normalize(form, text)) == fold
    assert nicks.fold(fold) == fold


def test_nicks_are_the_same_whatever_their_case_and_width() -> None:
    assert nicks.fold("JANE") == nicks.fold("jane") == nicks.fold("ｊａｎｅ") == "jane"
    assert nicks.fold("STRASSE") == nicks.fold("straße")
    assert nicks.fold("ΣΊΣΥΦΟΣ") == nicks.fold("σίσυφος")
    assert nicks.fold("jane") != nicks.fold("jane2")


@given(st.none() | nickish, st.sets(nickish | st.sampled_from(["guest1", "guest2", "jane2"]), max_size=8))
def test_what_is_suggested_is_a_free_nick_and_said_why(wanted: str | None, members: set[str]) -> None:
    taken = {nicks.fold(member) for member in members}
    nick, why = nicks.suggest(wanted, taken)
    nicks.check(nick)
    assert nicks.fold(nick) not in taken
    assert (why is None) == (wanted is None or nick == wanted)
    assert why is None or why.isprintable()


def test_a_taken_nick_gets_a_number() -> None:
    assert nicks.suggest("jane", set()) == ("jane", None)
    assert nicks.suggest("jane", {"jane"}) == ("jane2", "jane is taken")
    assert nicks.suggest("JANE", {"jane"}) == ("JANE2", "JANE is taken")
    assert nicks.suggest("jane", {"jane", "jane2"}) == ("jane3", "jane is taken")
    assert nicks.suggest("x" * 32, {"x" * 32}) == ("x" * 31 + "2", f"{'x' * 32} is taken")


def test_a_taken_nick_with_digits_of_another_system_becomes_a_guest() -> None:
    assert nicks.suggest("मो१", {nicks.fold("मो१")}) == ("guest1", "मो१ is taken")


def test_who_has_no_acceptable_name_is_a_guest() -> None:
    assert nicks.suggest(None, set()) == ("guest1", None)
    assert nicks.suggest("jane doe", {"guest1"}) == ("guest2", "that is no name: it has a blank in it")
    assert nicks.suggest("system", set()) == ("guest1", "that is no name: system is reserved")


@pytest.mark.parametrize(
    ("wanted", "like"), [(None, "guest{}"), ("jane", "jane{}"), ("y" * 32, "y{}")], ids=["none", "taken", "long"]
)
def test_thousands_of_one_name_are_all_told_apart_and_found_quickly(wanted: str | None, like: str) -> None:
    taken: set[str] = set()
    most = 0
    for _ in range(4000):
        counted = Counted(taken)
        nick, _ = nicks.suggest(wanted, counted)
        most = max(most, counted.asked)
        taken.add(nicks.fold(nick))
    assert len(taken) == 4000
    assert most < 40
    assert wanted is not None or taken == {like.format(number) for number in range(1, 4001)}


def test_a_number_that_got_free_is_given_again() -> None:
    taken = {"jane", *(f"jane{number}" for number in range(2, 100))}
    assert nicks.suggest("jane", taken - {"jane2"})[0] == "jane2"
    assert nicks.suggest("jane", taken)[0] == "jane100"


@given(st.text(st.sampled_from(sorted(NAME_CHARACTERS)), min_size=1, max_size=63).filter(valid_name))
def test_every_node_has_a_nick_to_go_by(name: str) -> None:
    nick = nicks.for_node(name)
    nicks.check(nick)
    assert name.startswith(nick) or name == "system"


def test_a_node_that_is_called_system_goes_by_another_nick() -> None:
    nicks.check(nicks.for_node("system"))
