"""Nicks: which ones are valid, when two are the same, and which one to assign instead.

A nick has 1 to 32 letters and decimal digits of one script, and `._-`. This is the "highly restrictive" level of
Unicode UTS 39 (a script, or a group of scripts that are written together, of those that UAX 31 recommends for names;
one system of digits) on the basis of RFC 8265 (letters, their marks and digits; NFKC and case folding). The standard
library has no script property: the first word of a character's Unicode name is used as its script. Does not know which
nicks are in use; see `room.py`.
"""

import unicodedata
from collections.abc import Container
from typing import Final

from chatd.api.errors import ControlError

MOST: Final = 32  # characters
RULE: Final = f"1 to {MOST} letters and digits of one script, and . _ -"
SYSTEM: Final = "system"  # reserved: it would look like the room itself
DEFAULT_STEM: Final = "guest"

_PUNCTUATION: Final = frozenset("._-")
_ASCII: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")

# The scripts that UAX 31 recommends: the first word of the Unicode names of their letters, marks and digits.
_SCRIPTS: Final = frozenset(
    (
        *("ARABIC", "ARMENIAN", "BENGALI", "BOPOMOFO", "CJK", "CYRILLIC", "DEVANAGARI", "ETHIOPIC", "GEORGIAN"),
        *("GREEK", "GUJARATI", "GURMUKHI", "HANGUL", "HEBREW", "HIRAGANA", "KANNADA", "KATAKANA", "KHMER", "LAO"),
        *("LATIN", "MALAYALAM", "MYANMAR", "ORIYA", "SINHALA", "TAMIL", "TELUGU", "THAANA", "THAI", "TIBETAN"),
    )
)
_OTHER_WORDS: Final = {"IDEOGRAPHIC": "CJK", "EXTENDED": "ARABIC"}  # the iteration mark; Eastern Arabic digits
# Scripts that are written together, and with Latin: Japanese, Chinese with its phonetic letters, Korean.
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
# Invisible letters and marks, and those that only stretch a word: with them, different nicks would look the same.
_INVISIBLE: Final = frozenset(
    (0x0640, 0x17B4, 0x17B5, 0x302E, 0x302F, *range(0x1100, 0x1200), *range(0xA960, 0xA980), *range(0xD7B0, 0xD800))
)
_MARKS: Final = 3  # on one letter; more would cover other lines


def check(nick: str) -> None:
    """Raise ControlError bad_text for an invalid nick."""
    problem = _problem(nick)
    if problem is not None:
        raise ControlError("bad_text", f"no nick: {problem}", f"a nick is {RULE}")


def fold(nick: str) -> str:
    """Key for comparison: two nicks with the same fold are the same nick. Accepts any text."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", nick).casefold())


def suggest(wanted: str | None, taken: Container[str]) -> tuple[str, str | None]:
    """Return a free nick for a client that asks for `wanted`, and a reason if that is another nick.

    `taken` holds the folds of the nicks in use. Fast even if thousands of similar nicks are taken.
    """
    if wanted is None:
        return _free_nick(DEFAULT_STEM, 1, taken), None
    problem = _problem(wanted)
    if problem is not None:
        return _free_nick(DEFAULT_STEM, 1, taken), f"that is no name: {problem}"
    if fold(wanted) not in taken:
        return wanted, None
    # After digits of its own script, an ASCII number would be a second system of digits.
    stem, first = (wanted, 2) if _problem(_numbered(wanted, 2)) is None else (DEFAULT_STEM, 1)
    return _free_nick(stem, first, taken), f"{wanted} is taken"


def for_node(name: str) -> str:
    """Default nick of a node: its name, shortened."""
    return name[:MOST] if name != SYSTEM else f"{SYSTEM}-node"


def _free_nick(stem: str, first: int, taken: Container[str]) -> str:
    """Append a number to the stem so that it is free. Found by doubling and halving, not one by one."""

    def is_taken(number: int) -> bool:
        return fold(_numbered(stem, number)) in taken

    if not is_taken(first):
        return _numbered(stem, first)
    low, high = first, first * 2
    while is_taken(high):
        low, high = high, high * 2
    while high - low > 1:  # low is taken and high is free
        middle = (low + high) // 2
        low, high = (middle, high) if is_taken(middle) else (low, middle)
    return _numbered(stem, high)


def _numbered(stem: str, number: int) -> str:
    digits = str(number)
    return stem[: MOST - len(digits)] + digits


def _problem(nick: str) -> str | None:
    """The reason that a nick is invalid, as a clause; None: it is valid."""
    if not nick:
        return "it is empty"
    if len(nick) > MOST:
        return f"it has more than {MOST} characters"
    if not _ASCII.issuperset(nick):
        problem = _non_ascii_problem(nick)
        if problem is not None:
            return problem
    return f"{SYSTEM} is reserved" if fold(nick) == SYSTEM else None


def _non_ascii_problem(nick: str) -> str | None:
    """Like `_problem`, for the checks that only a nick with other characters than ASCII can fail."""
    for number, character in enumerate(nick):
        if not _is_allowed(character, nick[max(0, number - _MARKS) : number]):
            return "it has a blank in it" if character.isspace() else f"U+{ord(character):04X} may not stand there"
    if unicodedata.normalize("NFKC", nick) != nick:
        return "it has characters that only look like others (it is not in NFKC)"
    scripts = {script for script in map(_script, nick) if script is not None}
    if len(scripts) > 1 and not any(group >= scripts for group in _TOGETHER):
        return "it mixes scripts"
    zeros = {ord(character) - unicodedata.decimal(character) for character in nick if character.isdecimal()}
    return "it mixes digits of two systems" if len(zeros) > 1 else None


def _is_allowed(character: str, before: str) -> bool:
    """Whether it is a letter or digit of a known script, one of `._-`, or a mark on a letter of its script.

    `before`: the last few characters before it.
    """
    if character in _PUNCTUATION:
        return True
    category = unicodedata.category(character)
    if category == "Nd" and character.isascii():
        return True
    script = _script(character)
    if script is None or ord(character) in _INVISIBLE:
        return False
    if category[0] != "M":
        return category[0] == "L" or category == "Nd"
    base = before[-1:]  # not twice the same mark: the second would be invisible
    is_marked = base != "" and base != character and unicodedata.category(base)[0] in "LM" and _script(base) == script
    return is_marked and any(map(str.isalpha, before))


def _script(character: str) -> str | None:
    """The script of a character; None: it has none, or one that is not recommended for names."""
    word = unicodedata.name(character, "").split(" ", 1)[0].split("-", 1)[0]
    word = _OTHER_WORDS.get(word, word)
    return word if word in _SCRIPTS else None
