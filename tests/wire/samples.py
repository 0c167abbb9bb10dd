"""Native frames for tests of the codec: strategies for valid ones, and frames of arbitrary elements."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from chatd.formats import TEXT_OVERHEAD
from chatd.wire.frames import (
    BYE_REASONS,
    FRAME_BYTES,
    AckFrame,
    Bye,
    Cloned,
    Count,
    Counted,
    Explore,
    Explored,
    FoundFrame,
    Frame,
    Gone,
    Happened,
    Hello,
    Inquire,
    Missing,
    PingFrame,
    PongFrame,
    Refused,
    Resume,
    Rooms,
    Roster,
    Said,
    Say,
    Text,
    TracedFrame,
)
from chatd.wire.query_frames import HOPS_MOST, NAME_MOST, WITHIN_MOST_MS

EPOCH = "7kq2m4xa"
NODE = "k3v7" * 13
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"

epochs = st.text(BASE32, min_size=8, max_size=8)
nodes = st.text(BASE32, min_size=52, max_size=52)
seqs = st.integers(0, 2**63 - 1)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=63).filter(lambda s: not s.isdigit())
texts = st.text(st.characters(codec="utf-8"), max_size=300)
notes = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=200)
nicks = st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=32) | st.sampled_from(
    ["[fe80::1%eth0]:65535", "203.0.113.7:1"]
)
ids = st.builds("{}:{}".format, epochs, seqs)
kinds = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=32)
shown = st.text([chr(code) for code in range(0x20, 0x7F)], max_size=NAME_MOST)
walls = st.floats(0, 1e11)

hellos = st.builds(
    Hello,
    version=st.integers(1, 2**31 - 1),
    name=names,
    epoch=epochs,
    mark_epoch=epochs,
    mark_seq=seqs,
    dial=st.sampled_from(["connect", "redial", "answer"]),
    text_bytes=st.integers(1, FRAME_BYTES - TEXT_OVERHEAD),
    text_chars=seqs,
    frame_bytes=st.integers(FRAME_BYTES, 2**63 - 1),
)
users = st.lists(st.tuples(nicks, st.none() | nodes, st.booleans()), max_size=4)
room_frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Rooms, seqs, st.lists(st.tuples(names, nicks, st.booleans()), max_size=4, unique_by=lambda entry: entry[0])
    ),
    st.builds(Roster, names, nicks, notes, seqs, users, st.booleans()),
    st.builds(Gone, names, kinds, notes),
    st.builds(Say, epochs, seqs, names, texts),
    st.builds(Say, epochs, seqs, names, texts, nicks, st.none() | nodes),
    st.builds(Said, epochs, seqs, names, nicks, texts, st.none() | ids, st.none() | nicks),
    st.builds(Happened, epochs, seqs, names, st.sampled_from(["join", "leave"]), nicks, st.none() | nodes, notes),
    st.builds(Happened, epochs, seqs, names, st.sampled_from(["topic", "closed"]), st.just(""), st.none(), notes),
    st.builds(Refused, epochs, seqs, names, ids, notes),
    st.builds(Missing, epochs, seqs, ids, st.lists(st.tuples(names, ids), max_size=4)),
)
neighbours = st.tuples(
    nodes,
    shown.filter(bool),
    st.sampled_from(["up", "dialing", "pending", "down"]),
    st.none() | st.floats(0, 1e9),
)
steps = st.lists(st.tuples(kinds, walls, shown), max_size=4)
query_frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Explore, seqs, st.integers(0, HOPS_MOST), st.integers(0, WITHIN_MOST_MS), st.booleans()),
    st.builds(FoundFrame, seqs, nodes, names, st.booleans(), seqs, st.lists(neighbours, max_size=4), st.booleans()),
    st.builds(Explored, seqs),
    st.builds(Inquire, seqs, nodes, epochs, seqs),
    st.builds(TracedFrame, seqs, st.just(True), steps),
    st.builds(TracedFrame, seqs, st.just(False), st.just([])),
    st.builds(Count, seqs, epochs, seqs, seqs),
    st.builds(lambda token, counts: Counted(token, max(counts), min(counts)), seqs, st.tuples(seqs, seqs)),
)
frames: st.SearchStrategy[Frame] = st.one_of(
    hellos,
    st.builds(Resume, epochs, seqs),
    st.builds(Text, epochs, seqs, texts, st.none() | ids),
    st.builds(AckFrame, epochs, seqs),
    st.builds(PingFrame, seqs),
    st.builds(PongFrame, seqs, walls),
    st.builds(Bye, st.sampled_from(BYE_REASONS)),
    st.builds(Cloned, epochs),
    room_frames,
    query_frames,
)
values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def packed(*elements: object) -> bytes:
    """One frame of arbitrary elements."""
    return framed(msgspec.msgpack.encode(elements))
