"""The words in native frames: epochs, ids, names, nicks, and short notes for people.

Pure questions of shape, answered alike by every version of Python: a word that one node takes must not end the link
of another. So nothing here asks whether a character is assigned in Unicode, which newer ones know more of. Called by
`wire/frames.py` and `wire/room_frames.py`; what a new nick may be is decided by `rooms/nicks.py`.
"""

import re
from typing import Annotated, Final

import msgspec

NICK_CHARACTERS: Final = 64  # a new one has 32; `IP:PORT`, which is what a plain client may be called, has more
NICK_BYTES: Final = 128
NOTE_BYTES: Final = 1024  # of a reason or a topic

Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]  # SQLite's integer

_EPOCH: Final = re.compile(r"[a-z2-7]{8}")
_ID: Final = re.compile(r"[a-z2-7]{8}:(0|[1-9][0-9]{0,18})")  # one spelling each
_NAME: Final = re.compile(r"(?![0-9]+\Z)[a-z0-9._-]{1,63}")
_NODE: Final = re.compile(r"[a-z2-7]{52}")
_KIND: Final = re.compile(r"[a-z_]{1,32}")
# No controls and no halves of characters, as in texts (messages/text.py): format characters are part of what people
# write, and who shows it makes it harmless. In a nick no blanks either, and no format or private characters.
_NOTE: Final = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]*")
_NICK: Final = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ud800-\uf8ff\ufeff\ufff0-\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    r"\U0001d173-\U0001d17a\U000e0000-\U0010ffff]+"
)


def valid_epoch(epoch: str) -> bool:
    """8 characters of lower-case base32."""
    return _EPOCH.fullmatch(epoch) is not None


def valid_id(message_id: str) -> bool:
    """`EPOCH:SEQ`."""
    return _ID.fullmatch(message_id) is not None


def valid_name(name: str) -> bool:
    """What a node or a room may be called: 1 to 63 of `a-z 0-9 . _ -`, not digits only."""
    return _NAME.fullmatch(name) is not None


def valid_node(node: str) -> bool:
    """A node id."""
    return _NODE.fullmatch(node) is not None


def valid_kind(kind: str) -> bool:
    """A word for programs: why a link ends, or an error kind."""
    return _KIND.fullmatch(kind) is not None


def valid_nick(nick: str) -> bool:
    """What somebody may be called in a room, `IP:PORT` included: printable, without blanks."""
    if len(nick) > NICK_CHARACTERS or _NICK.fullmatch(nick) is None:
        return False
    return nick.isascii() or len(nick.encode()) <= NICK_BYTES


def valid_note(text: str) -> bool:
    """A reason or a topic: short, and without control characters but line breaks and tabs, as in any text."""
    if len(text) > NOTE_BYTES or _NOTE.fullmatch(text) is None:
        return False
    return len(text) * 4 <= NOTE_BYTES or len(text.encode()) <= NOTE_BYTES
