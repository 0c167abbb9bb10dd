"""References: messages of this node that a peer's frames name, because they answer, place or refuse them.

A peer may name any position of this journal. Only references to messages that were sent to that peer are valid, so each
position is looked up before the frames are received: in memory, or on disk for older messages. Only the head of a
message is read and kept, because one read of a link may name thousands of long messages.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from chatd.journal.batch import Entry
from chatd.journal.epochs import split_position
from chatd.journal.journal import Journal
from chatd.journal.rawjson import global_id_of, room_name
from chatd.peers.peer import Peer

CHUNK = 64  # messages that are looked up on disk at a time: 64 KiB


class Reference(NamedTuple):
    """A message of this node to the peer."""

    seq: int
    global_id: str
    room: str | None  # without @HOST


References = Mapping[str, Reference]  # position that a frame names -> message to the peer
NO_REFERENCES: References = {}


async def look_up(journal: Journal, peer: Peer, positions: Iterable[str]) -> References:
    """Look up which of these positions are messages of this node to the peer. The others are invalid references."""
    split = {position: split_position(position) for position in positions}
    wanted = {seq: position for position, (epoch, seq) in split.items() if journal.holds(epoch, seq)}
    entries = {seq: entry for seq in wanted if (entry := journal.in_memory(seq)) is not None}
    found = {wanted[seq]: _reference_to(entry) for seq, entry in entries.items() if _is_to(entry, peer)}
    missing = sorted(wanted.keys() - entries.keys())
    for start in range(0, len(missing), CHUNK):
        heads = await journal.heads(missing[start : start + CHUNK])
        found |= {wanted[entry.seq]: _reference_to(entry) for entry in heads if _is_to(entry, peer)}
    return found


def _is_to(entry: Entry, peer: Peer) -> bool:
    return entry.type == "message" and entry.direction == "out" and entry.stream_id == peer.stream_id


def _reference_to(entry: Entry) -> Reference:
    global_id = global_id_of(entry.raw)
    assert global_id is not None  # every message to a native peer has one
    return Reference(entry.seq, global_id, room_name(entry.raw))
