"""Nicks: what somebody in a room may be called, when two nicks are the same, and what to be called instead.

1 to 32 letters and decimal digits of one script, and `._-`. This is the "highly restrictive" level of Unicode UTS 39
(a script or a group of scripts that are written together, of those that UAX 31 recommends for names; one system of
digits) on the ground of RFC 8265 (letters, their marks and digits; NFKC and case folding), done with what the standard
library knows: the script of a character is told by the first words of its Unicode name. Who has which nick is known by
rooms/hosted.py alone.
"""

import unicodedata
from collections.abc import Container
from typing import Final

from chatd.api.errors import ControlError

MOST: Final = 32  # characters
RULE: Final = f"1 to {MOST} letters and digits of one script, and . _ -"
SYSTEM: Final = "system"  # who seems to speak where the room itself does
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
_OTHER_WORDS: Final = {"IDEOGRAPHIC": "CJK", "EXTENDED": "ARABIC"}  # the repetition mark; digits east of Arabia
# Scripts that are written together, and with Latin: Japanese, Chinese with its phonetic letters, Korean.
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
# Letters and marks of those that nobody sees, or that only stretch a word: two nicks would look the same.
_INVISIBLE: Final = frozenset(
    (0x0640, 0x17B4, 0x17B5, 0x302E, 0x302F, *range(0x1100, 0x1200), *range(0xA960, 0xA980), *range(0xD7B0, 0xD800))
)
_MARKS: Final = 3  # on one letter; more would be piled over other lines


def check(nick: str) -> None:
    """Raises ControlError for what cannot be a nick."""
    problem = _problem(nick)
    if problem is not None:
        raise ControlError("bad_text", f"no nick: {problem}", f"a nick is {RULE}")


def fold(nick: str) -> str:
    """What is unique in a room: two nicks with the same fold are the same nick. Of any text."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", nick).casefold())


def suggest(wanted: str | None, taken: Container[str]) -> tuple[str, str | None]:
    """The nick for somebody who asks for `wanted`, where `taken` has the folds of those that are.

    And where it is another one, a short clause that says why. Quick also among thousands of its like.
    """
    if wanted is None:
        return _free_nick(DEFAULT_STEM, 1, taken), None
    problem = _problem(wanted)
    if problem is not None:
        return _free_nick(DEFAULT_STEM, 1, taken), f"that is no name: {problem}"
    if fold(wanted) not in taken:
        return wanted, None
    # Behind digits of its own script ours would be a second system of digits.
    stem, first = (wanted, 2) if _problem(_numbered(wanted, 2)) is None else (DEFAULT_STEM, 1)
    return _free_nick(stem, first, taken), f"{wanted} is taken"


def for_node(name: str) -> str:
    """The nick that a node of that name goes by where it asks for none: its name, cut."""
    return name[:MOST] if name != SYSTEM else f"{SYSTEM}-node"


def _free_nick(stem: str, first: int, taken: Container[str]) -> str:
    """The stem with a number behind it that is free: found by doubling and halving, not one by one."""

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
    """Why it cannot be a nick, as a clause; None where it can."""
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
    """What is wrong with a nick that is not all ASCII."""
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
    """Whether it is a letter or digit of a script we know, one of `._-`, or a mark on a letter of its script.

    `before` are the last few characters before it.
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
    base = before[-1:]  # the same mark twice would lie upon itself
    is_marked = base != "" and base != character and unicodedata.category(base)[0] in "LM" and _script(base) == script
    return is_marked and any(map(str.isalpha, before))


def _script(character: str) -> str | None:
    """None for what has none, or one that is not for names."""
    word = unicodedata.name(character, "").split(" ", 1)[0].split("-", 1)[0]
    word = _OTHER_WORDS.get(word, word)
    return word if word in _SCRIPTS else None
