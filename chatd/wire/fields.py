"""Syntax of the strings in native frames: epochs, ids, names, nicks, and notes (reasons and topics).

Every version of Python must give the same answer: a string that one node accepts must not end the link of another. So
no check depends on which characters the Unicode database of an interpreter knows. Called by `wire/frames.py`,
`wire/room_frames.py` and `wire/query_frames.py`; `rooms/nicks.py` decides what a new nick may be.
"""

import re
from typing import Annotated, Final

import msgspec

from chatd.formats import ID_CHARACTER, NODE_ID

NICK_CHARACTERS: Final = 64  # a new nick has at most 32; `IP:PORT`, the nick of an address client, can be longer
NICK_BYTES: Final = 128
NOTE_BYTES: Final = 1024  # length of a reason or a topic

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # the range of SQLite's INTEGER

_EPOCH: Final = re.compile(rf"{ID_CHARACTER}{{8}}")
_ID: Final = re.compile(rf"{_EPOCH.pattern}:(0|[1-9][0-9]{{0,18}})")  # no leading zeros: one spelling per id
_NAME: Final = re.compile(r"(?![0-9]+\Z)[a-z0-9._-]{1,63}")
_KIND: Final = re.compile(r"[a-z_]{1,32}")
# No control characters and no lone surrogates, as in texts (messages/text.py). Format characters are allowed: people
# write with them, and programs that print a note sanitize it. A nick has no blanks, format or private-use characters.
_NOTE: Final = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]*")
_NICK: Final = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ud800-\uf8ff\ufeff\ufff0-\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U0010ffff]+"
)


def valid_epoch(epoch: str) -> bool:
    """Whether `epoch` is 8 characters of lower-case base32."""
    return _EPOCH.fullmatch(epoch) is not None


def valid_id(message_id: str) -> bool:
    """Whether `message_id` has the form `EPOCH:SEQ`."""
    return _ID.fullmatch(message_id) is not None


def valid_name(name: str) -> bool:
    """Whether `name` can name a node or a room: 1 to 63 of `a-z 0-9 . _ -`, not digits only."""
    return _NAME.fullmatch(name) is not None


def valid_node(node: str) -> bool:
    return NODE_ID.fullmatch(node) is not None


def valid_kind(kind: str) -> bool:
    """Whether `kind` can be a reason of a Bye or an error kind: 1 to 32 of `a-z _`."""
    return _KIND.fullmatch(kind) is not None


def valid_nick(nick: str) -> bool:
    """Whether `nick` can name a member of a room: printable, without blanks. `IP:PORT` is valid."""
    if len(nick) > NICK_CHARACTERS or _NICK.fullmatch(nick) is None:
        return False
    return nick.isascii() or len(nick.encode()) <= NICK_BYTES


def valid_note(text: str) -> bool:
    """Whether `text` can be a reason or a topic: short, no control characters except line breaks and tabs."""
    if len(text) > NOTE_BYTES or _NOTE.fullmatch(text) is None:
        return False
    return len(text) * 4 <= NOTE_BYTES or len(text.encode()) <= NOTE_BYTES
