"""Frames about rooms: which are malformed."""

import pytest

from chatd.wire.codec import Decoder, encode
from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.frames import FRAME_BYTES, Frame, Rooms, Roster
from tests.wire.samples import EPOCH, NODE, packed

ID = f"{EPOCH}:7"
JOIN = (13, EPOCH, 1, "lobby", "join")
LONG = "x" * 1025
ROOMS = [(f"r{number}", "jane", False) for number in range(257)]
USERS = [("jane", None, True)] * 257


@pytest.mark.parametrize(
    "elements",
    [
        (8, [("Lobby", "jane", False)]),
        (8, [("lobby@alice", "jane", False)]),
        (8, [("lobby", "", False)]),
        (8, [("lobby", "jane", 1)]),
        (8, [("lobby", "jane")]),
        (8, [("lobby", "jane", False), ("lobby", "bob", True)]),
        (8, ROOMS),
        (9, "42", "jane", "", 1, [], False),
        (9, "lobby", "ja ne", "", 1, [], False),
        (9, "lobby", "jane", LONG, 1, [], False),
        (9, "lobby", "jane", "two\rlines", 1, [], False),
        (9, "lobby", "jane", "", 1, [("bob", "no node", True)], False),
        (9, "lobby", "jane", "", 1, [("\x1b[2J", None, True)], False),
        (9, "lobby", "jane", "", 1, USERS, False),
        (9, "lobby", "jane", "", 1, [], None),
        (9, "lobby", "jane", "", -1, [], False),
        (10, "", "forbidden", "banned"),
        (10, "lobby", "Forbidden", "banned"),
        (10, "lobby", "forbidden", "\x85"),
        (11, "nope", 1, "lobby", "x"),
        (11, EPOCH, -1, "lobby", "x"),
        (11, EPOCH, 1, "lobby@alice", "x"),
        (11, EPOCH, 1, "lobby", "x", "@bob\n"),
        (11, EPOCH, 1, "lobby", "x", "bob", "bob"),
        (11, EPOCH, 1, "lobby", "x", None, NODE),
        (12, EPOCH, 1, "lobby", "", "x", ID),
        (12, EPOCH, 1, "lobby", "jane", "x", "7"),
        (12, EPOCH, 1, "lobby", "jane", "x", ID, ""),
        (12, EPOCH, 1, "lobby", "jane", None, ID),
        JOIN,
        (13, EPOCH, 1, "lobby", "dance", "jane"),
        (*JOIN, "ja\u202ene"),
        (*JOIN, "jane", NODE[1:]),
        (13, EPOCH, 1, "lobby", "leave", "", None, "left"),
        (13, EPOCH, 1, "lobby", "topic", "", None, LONG),
        (14, EPOCH, 1, "lobby", "7kq2m4xa", "why"),
        (14, EPOCH, 1, "lobby", ID, "why\x07"),
        (15, EPOCH, 1, [("lobby", EPOCH)]),
        (15, EPOCH, 1, [("", ID)]),
        (15, "", 1, []),
    ],
)
def test_what_is_no_room_frame_is_refused(elements: tuple[object, ...]) -> None:
    with pytest.raises(RemoteError):
        Decoder().receive(packed(*elements))


@pytest.mark.parametrize(
    "frame",
    [
        Rooms(2**63 - 1, [(f"{number:x<63}", "𞤀" * 32, True) for number in range(100, 356)]),
        Roster("x" * 63, "𞤀" * 32, "😀" * 256, 2**63 - 1, [("𞤀" * 32, NODE, True)] * 256, True),
    ],
)
def test_the_longest_list_of_rooms_or_page_of_users_fits_into_a_frame_that_everybody_takes(frame: Frame) -> None:
    assert Decoder().receive(encode(frame, FRAME_BYTES)) == [frame]


def test_a_list_that_the_receiver_would_refuse_is_not_encoded() -> None:
    for frame in (Rooms(1, ROOMS), Rooms(1, [*ROOMS[:3], ROOMS[1]]), Roster("lobby", "jane", "", 1, [*USERS], False)):
        with pytest.raises(LocalError):
            encode(frame)
