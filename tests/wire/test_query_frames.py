"""Query frames: which are malformed, and that the longest answers fit into a frame."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given

from chatd.wire.codec import Decoder, encode
from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.frames import FRAME_BYTES, Count, Counted, Explore, FoundFrame, Frame, Inquire, QueryFrame, TracedFrame
from chatd.wire.query_frames import (
    HOPS_MOST,
    NAME_MOST,
    NEIGHBOURS_MOST,
    QUERY_CHECKS,
    STEPS_MOST,
    WITHIN_MOST_MS,
    Explored,
)
from tests.wire.samples import EPOCH, NODE, packed, query_frames

MOST = 2**63 - 1
ID = f"{EPOCH}:7"
NAN, INFINITE = float("nan"), float("inf")
NEIGHBOUR = (NODE, "bob", "up", 0.4)
LONG_NAME = "x" * NAME_MOST


def found(*links: object, node: object = NODE, name: object = "alice", plain: object = 0) -> tuple[object, ...]:
    return (17, 1, node, name, False, plain, links, False)


def traced(*steps: object) -> tuple[object, ...]:
    return (20, 1, True, steps)


@pytest.mark.parametrize(
    "elements",
    [
        (16, -1, 1, 1),
        (16, 2**63, 1, 1),
        (16, 1, HOPS_MOST + 1, 1),
        (16, 1, -1, 1),
        (16, 1, 1, WITHIN_MOST_MS + 1),
        (16, 1, 1, -1),
        (16, 1, 1, 0.5),
        (16, 1, 1),
        found(node=NODE[1:]),
        found(node=NODE.upper()),
        found(node=None),
        found(name="Alice"),
        found(name=""),
        found(name="42"),
        found(name="\x1b[2J"),
        found(plain=-1),
        found(plain=None),
        found(*[NEIGHBOUR] * (NEIGHBOURS_MOST + 1)),
        found((NODE, "bob", "up")),
        found((NODE[1:], "bob", "up", None)),
        found((NODE, "", "up", None)),
        found((NODE, LONG_NAME + "x", "up", None)),
        found((NODE, "b\x07b", "up", None)),
        found((NODE, "b\nb", "up", None)),
        found((NODE, "b\x7fb", "up", None)),
        found((NODE, "böb", "up", None)),
        found((NODE, "bob", "asleep", None)),
        found((NODE, "bob", "up", -0.1)),
        found((NODE, "bob", "up", NAN)),
        found((NODE, "bob", "up", INFINITE)),
        found((NODE, "bob", "up", 1e10)),
        found((NODE, "bob", "up", "0.4")),
        (17, 1, NODE, "alice", None, 0, [], False),
        (17, 1, NODE, "alice", False, 0, [], 0),
        (17, 1, NODE, "alice", False, 0, []),
        (18, -1),
        (18,),
        (19, 1, "7"),
        (19, 1, EPOCH),
        (19, 1, f"{EPOCH}:-1"),
        (19, 1, None),
        traced(*[("sent", 1.0, "")] * (STEPS_MOST + 1)),
        traced(("Sent", 1.0, "")),
        traced(("", 1.0, "")),
        traced(("x" * 33, 1.0, "")),
        traced(("sent", -1.0, "")),
        traced(("sent", NAN, "")),
        traced(("sent", INFINITE, "")),
        traced(("sent", 1e12, "")),
        traced(("sent", None, "")),
        traced(("taken", 1.0, LONG_NAME + "x")),
        traced(("taken", 1.0, "b\u202eb")),
        traced(("taken", 1.0, None)),
        traced(("taken", 1.0)),
        (20, 1, False, [("sent", 1.0, "")]),
        (20, 1, 1, []),
        (21, 1, "nope", 1, 2),
        (21, 1, EPOCH, -1, 2),
        (21, 1, EPOCH, 1, 2**63),
        (21, 1, EPOCH, 1),
        (22, 1, 3, 4),
        (22, 1, -1, -1),
        (22, 1, 3),
    ],
)
def test_what_is_no_question_and_no_answer_is_refused(elements: tuple[object, ...]) -> None:
    with pytest.raises(RemoteError):
        Decoder().receive(packed(*elements))


@pytest.mark.parametrize(
    "frame",
    [
        Explore(MOST, HOPS_MOST, WITHIN_MOST_MS),
        Explore(0, 0, 0, own=True),
        FoundFrame(0, NODE, "a", True, 0, [], False),
        FoundFrame(1, NODE, "alice", False, MOST, [(NODE, "[fe80::1%eth0]:65535", "dialing", None)], False),
        FoundFrame(1, NODE, "alice", False, 1, [(NODE, "bob~k3v9abcd", "down", 0.0)], True),
        TracedFrame(MOST, False, []),
        TracedFrame(1, True, [("accepted", 1e11, ""), ("of_a_later_version", 0.0, LONG_NAME)]),
        Inquire(0, NODE, EPOCH, MOST),
        Count(0, EPOCH, MOST, 0),
        Counted(0, MOST, MOST),
        Counted(0, 0, 0),
    ],
)
def test_what_lies_on_the_edge_passes(frame: Frame) -> None:
    assert Decoder().receive(encode(frame)) == [frame]


@pytest.mark.parametrize(
    "frame",
    [
        FoundFrame(MOST, NODE, "x" * 63, False, MOST, [(NODE, LONG_NAME, "dialing", 1e9 / 3)] * NEIGHBOURS_MOST, True),
        TracedFrame(MOST, True, [("x" * 32, 1e11 / 3, LONG_NAME)] * STEPS_MOST),
    ],
)
def test_the_longest_answer_fits_into_a_frame_that_everybody_takes(frame: Frame) -> None:
    assert Decoder().receive(encode(frame, FRAME_BYTES)) == [frame]


@pytest.mark.parametrize(
    "frame",
    [
        FoundFrame(1, NODE, "alice", False, 0, [(NODE, "bob", "up", 0.4)] * (NEIGHBOURS_MOST + 1), False),
        FoundFrame(1, NODE, "alice", False, 0, [(NODE, "", "up", 0.4)], False),
        FoundFrame(1, NODE, "alice", False, 0, [(NODE, LONG_NAME + "x", "up", 0.4)], False),
        TracedFrame(1, True, [("sent", 1.0, "")] * (STEPS_MOST + 1)),
        TracedFrame(1, False, [("sent", 1.0, "")]),
        TracedFrame(1, True, [("taken", 1.0, LONG_NAME + "x")]),
        Inquire(1, "bob", EPOCH, 7),
        Inquire(1, NODE, "7", 7),
        Count(1, "nope", 1, 2),
        Counted(1, 1, 2),
    ],
)
def test_what_the_receiver_would_refuse_is_not_encoded(frame: Frame) -> None:
    with pytest.raises(LocalError):
        encode(frame)


def test_every_frame_has_a_tag_that_is_known_and_a_question_of_what_is_wrong_with_it() -> None:
    kinds: tuple[Any, ...] = get_args(Frame)
    tags = [kind.__struct_config__.tag for kind in kinds]
    assert sorted(tags) == list(range(1, len(kinds) + 1))
    for tag in range(len(kinds) + 10):
        if tag in tags:
            with pytest.raises(RemoteError):
                Decoder().receive(packed(tag))  # it lacks its fields
        else:
            assert Decoder().receive(packed(tag)) == []
    assert set(QUERY_CHECKS) == set(get_args(QueryFrame))


@given(query_frames)
def test_whole_numbers_are_taken_for_times_as_other_programs_write_them(frame: Frame) -> None:
    """msgpack distinguishes 5 and 5.0, and many encoders write the shorter one."""

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(item) for item in value]
        return int(value) if isinstance(value, float) else value

    elements = whole(msgspec.msgpack.decode(encode(frame)[4:]))
    (received,) = Decoder().receive(packed(*elements))
    assert type(received) is type(frame)


def test_a_question_that_does_not_say_whose_it_is_is_passed_on() -> None:
    assert Decoder().receive(packed(16, 7, 3, 100)) == [Explore(7, 3, 100, own=False)]


def test_explored_is_the_shortest_of_them() -> None:
    assert encode(Explored(5)).hex() == "00000003921205"
