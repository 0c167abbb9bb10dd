"""Claims: what a peer's frames say of messages of ours: answered, put into its place in a room, or refused.

A peer may name any position of our journal. It is believed only about messages that went to that very peer, so each
claim is looked up before the frames are taken: in memory, or on disk for older messages.
"""

from collections.abc import Iterable, Mapping

from chatd.core.batch import Entry
from chatd.core.globalid import parts
from chatd.core.journal import Journal
from chatd.core.peer import Peer

Claims = Mapping[str, Entry]  # by the position that a frame names: our message to the peer
NONE: Claims = {}
CHUNK = 64  # messages that are read from disk at a time: 1 MiB, if they are long


async def look_up(journal: Journal, peer: Peer, positions: Iterable[str]) -> Claims:
    """The claims that are about messages of ours to that peer. What is not in the result is not to be believed."""
    named = {position: parts(position) for position in positions}
    wanted = {position: seq for position, (epoch, seq) in named.items() if journal.holds(epoch, seq)}
    entries = {seq: entry for seq in wanted.values() if (entry := journal.in_memory(seq)) is not None}
    missing = sorted(set(wanted.values()) - entries.keys())
    for start in range(0, len(missing), CHUNK):
        entries |= await journal.entries(missing[start : start + CHUNK])
    found = {position: entries[seq] for position, seq in wanted.items() if seq in entries}
    return {position: entry for position, entry in found.items() if _is_to(entry, peer)}


def _is_to(entry: Entry, peer: Peer) -> bool:
    return entry.type == "message" and entry.direction == "out" and entry.topic == peer.key
