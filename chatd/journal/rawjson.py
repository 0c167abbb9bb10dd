"""The JSON of an event as bytes: the only module that searches and changes it without decoding it.

The journal stores an event as msgspec encodes its struct (api/events.py): one line, no blanks, fields in the order of
the struct, optional fields only where they are set. A message is

    {"type":"message","position":…,"at":…,"direction":…,"peer":{…},"room":null|"lobby@alice","nick":…,
     ["to":…,]["to_node":…,]["room_position":…,]"id":…,"global_id":null|"NODEID/EPOCH:SEQ","re":…,
     ["re_global_id":…,]"text":…[,"expires":…][,"state":"queued"|"delivered"]}

Two properties make it safe to search these bytes. Quotes inside a string are escaped, so no text or name can imitate a
key with its quotes. And everything that is searched, except the state at the very end, comes before the first string
that a person can make long (`text`, `reason`), so it is within the first HEAD_BYTES.

The names in capitals are SQL expressions or bytes; subscribers get the bytes of an event spliced into a notification.
"""

import re
from typing import Final

from chatd.formats import NODE_ID_LENGTH

HEAD_BYTES: Final = 1024
HEAD: Final = f"substr(body, 1, {HEAD_BYTES})"  # SQL: the start of an event, up to its text or reason
EPOCH_LENGTH: Final = 8
POSITION_LENGTH_MOST: Final = EPOCH_LENGTH + 1 + 19

ROOM_KEY: Final = b'"room":"'  # contained in an event that names a room
_ROOM_LITERAL: Final = f"x'{ROOM_KEY.hex()}'"
_GLOBAL_ID_KEY: Final = b'"global_id":"'
_RECEIPT_ID_KEY: Final = b'"id":"'  # in a receipt for one message
_ROOM_NAME: Final = re.compile(ROOM_KEY + rb'([^"@]+)@')
_GLOBAL_ID: Final = re.compile(_GLOBAL_ID_KEY + rb'([^"]+)"')
_RECEIPT_SEQ: Final = re.compile(_RECEIPT_ID_KEY + rb'[^":]+:([0-9]+)"')
_QUEUED: Final = b'"state":"queued"}'
_DELIVERED: Final = b'"state":"delivered"}'

# SQL for a subselect with the column `head` (HEAD). ROOM_AT: offset of the room in it, 0 without a room. ROOM_FIELD
# needs that as the column `room_at`: the bytes of `room_field`, empty without a room.
ROOM_AT: Final = f"instr(head, {_ROOM_LITERAL})"
ROOM_FIELD: Final = f"""CASE room_at WHEN 0 THEN x'' ELSE
    substr(head, room_at, {len(ROOM_KEY)} + instr(substr(head, room_at + {len(ROOM_KEY)}), x'22')) END"""
# SQL: whether an event is a receipt for one message; whether a message answers another one.
IS_RECEIPT_FOR_ONE: Final = f"(type = 'receipt' AND instr({HEAD}, x'{_RECEIPT_ID_KEY.hex()}'))"
IS_ANSWER: Final = """instr(body, '"re":"')"""
# SQL: the bytes after `NODEID/` in the global id of a message, as `parse_position` accepts them.
POSITION_AND_MORE: Final = (
    f"substr(body, instr(body, x'{_GLOBAL_ID_KEY.hex()}') + {len(_GLOBAL_ID_KEY) + NODE_ID_LENGTH + 1}, "
    f"{POSITION_LENGTH_MOST + 1})"
)


def names_room(raw: bytes) -> bool:
    return ROOM_KEY in raw


def room_field(label: str) -> bytes:
    """The bytes that every event with this room label (`lobby@alice`) contains, and no other."""
    return ROOM_KEY + label.encode() + b'"'


def room_name(raw: bytes) -> str | None:
    """The `lobby` of an event that names the room `lobby@alice`; None without a room."""
    found = _ROOM_NAME.search(raw)
    return None if found is None else found[1].decode()


def global_id_field(global_id: str) -> bytes:
    """The bytes that a message with this global id contains."""
    return _GLOBAL_ID_KEY + global_id.encode() + b'"'


def global_id_of(raw: bytes) -> str | None:
    """The global id of a message; None for one from a plain peer."""
    found = _GLOBAL_ID.search(raw)
    return None if found is None else found[1].decode()


def parse_position(start: bytes) -> tuple[bytes, int]:
    """Epoch and seq of a position that is followed by a quote, e.g. `7kq2m4xa:42","re"`."""
    return start[:EPOCH_LENGTH], int(start[EPOCH_LENGTH + 1 : start.index(b'"')])


def receipt_seq(raw: bytes) -> int:
    """The seq of the message that a receipt is for; 0 if the receipt is for several."""
    found = _RECEIPT_SEQ.search(raw)
    return 0 if found is None else int(found[1])


def is_queued(raw: bytes) -> bool:
    """Whether this is an outgoing message that was stored as queued: `with_state` can show its current state."""
    return raw.endswith(_QUEUED)


def is_settled(raw: bytes) -> bool:
    """Whether an outgoing message was delivered at once, because this node posted it to a room that it hosts."""
    return raw.endswith(_DELIVERED)


def with_state(raw: bytes, state: str, room_position: str | None = None) -> bytes:
    """A queued message in another state, and with the `room_position` that its host gave it; others unchanged."""
    if not raw.endswith(_QUEUED):
        return raw
    position = "" if room_position is None else f'"room_position":"{room_position}",'
    return raw.removesuffix(_QUEUED) + f'{position}"state":"{state}"}}'.encode()
