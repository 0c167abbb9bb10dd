import json
from typing import Any, get_args

import msgspec
import pytest

from chatd.api import events
from chatd.api.events import AnyEvent
from chatd.api.results import PeerRef

NODE, OURS = "k3v7abcd" + "b" * 44, "a" * 52
PEER = PeerRef(0, "bob", "native", "k3v7abcd")
SHOWN = {"slot": 0, "name": "bob", "kind": "native", "node": "k3v7abcd"}
WHERE: dict[str, Any] = {"position": "7kq2m4xa:42", "at": "2026-11-21T03:00:00.000Z"}
EXAMPLES: list[tuple[AnyEvent, dict[str, Any]]] = [
    (
        events.Message(
            direction="in", peer=PEER, id="7kq2m4xa:42", global_id=f"{NODE}/aaaaaaaa:7", re="7kq2m4xa:40",
            re_global_id=f"{OURS}/7kq2m4xa:40", text="hi", **WHERE,
        ),
        {"type": "message", "direction": "in", "peer": SHOWN, "room": None, "nick": None, "id": "7kq2m4xa:42",
         "global_id": f"{NODE}/aaaaaaaa:7", "re": "7kq2m4xa:40", "re_global_id": f"{OURS}/7kq2m4xa:40", "text": "hi"},
    ),
    (
        events.Message(direction="out", peer=PEER, id="7kq2m4xa:42", text="hi", state="queued", **WHERE),
        {"type": "message", "direction": "out", "peer": SHOWN, "room": None, "nick": None, "id": "7kq2m4xa:42",
         "global_id": None, "re": None, "text": "hi", "state": "queued"},
    ),
    (
        events.PeerUp(peer=PEER, address="10.0.0.2:7420", direction="out", **WHERE),
        {"type": "peer.up", "peer": SHOWN, "address": "10.0.0.2:7420", "direction": "out"},
    ),
    (
        events.PeerDown(peer=PEER, address="10.0.0.2:7420", reason="reset", unsent=2, **WHERE),
        {"type": "peer.down", "peer": SHOWN, "address": "10.0.0.2:7420", "reason": "reset", "unsent": 2},
    ),
    (
        events.PeerPending(peer=PEER, address="10.0.0.2:7420", **WHERE),
        {"type": "peer.pending", "peer": SHOWN, "address": "10.0.0.2:7420"},
    ),
    (
        events.PeerDiverged(peer=PEER, theirs="aaaaaaaa:9", ours="aaaaaaaa:7", **WHERE),
        {"type": "peer.diverged", "peer": SHOWN, "theirs": "aaaaaaaa:9", "ours": "aaaaaaaa:7"},
    ),
    (
        events.PeerCloned(peer=PEER, epochs=["aaaaaaaa", "bbbbbbbb"], **WHERE),
        {"type": "peer.cloned", "peer": SHOWN, "epochs": ["aaaaaaaa", "bbbbbbbb"]},
    ),
    (
        events.Message(
            direction="out", peer=PEER, id="7kq2m4xa:42", text="hi", expires="2026-11-21T04:00:00.000Z", state="queued",
            **WHERE,
        ),
        {"type": "message", "direction": "out", "peer": SHOWN, "room": None, "nick": None, "id": "7kq2m4xa:42",
         "global_id": None, "re": None, "text": "hi", "expires": "2026-11-21T04:00:00.000Z", "state": "queued"},
    ),
    (
        events.Receipt(peer=PEER, state="delivered", through="7kq2m4xa:42", **WHERE),
        {"type": "receipt", "peer": SHOWN, "state": "delivered", "through": "7kq2m4xa:42", "id": None,
         "room": None, "room_position": None, "reason": None},
    ),
    (
        events.Gap(after=None, through="aaaaaaaa:7", **WHERE),
        {"type": "gap", "peer": None, "room": None, "after": None, "through": "aaaaaaaa:7"},
    ),
    (
        events.Message(
            direction="in", peer=PEER, room="lobby@bob", nick="jane", to="alice", room_position="aaaaaaaa:7",
            id="7kq2m4xa:42", global_id=f"{NODE}/aaaaaaaa:7", text="hi", **WHERE,
        ),
        {"type": "message", "direction": "in", "peer": SHOWN, "room": "lobby@bob", "nick": "jane", "to": "alice",
         "room_position": "aaaaaaaa:7", "id": "7kq2m4xa:42", "global_id": f"{NODE}/aaaaaaaa:7", "re": None,
         "text": "hi"},
    ),
    (
        events.Message(
            direction="out", peer=PEER, room="lobby@bob", nick="alice", to="10.0.0.9:5000", to_node=None,
            id="7kq2m4xa:42", text="hi", state="queued", **WHERE,
        ),
        {"type": "message", "direction": "out", "peer": SHOWN, "room": "lobby@bob", "nick": "alice",
         "to": "10.0.0.9:5000", "to_node": None, "id": "7kq2m4xa:42", "global_id": None, "re": None, "text": "hi",
         "state": "queued"},
    ),
    (
        events.Receipt(
            peer=PEER, state="delivered", id="7kq2m4xa:42", room="lobby@bob", room_position="aaaaaaaa:8", **WHERE
        ),
        {"type": "receipt", "peer": SHOWN, "state": "delivered", "through": None, "id": "7kq2m4xa:42",
         "room": "lobby@bob", "room_position": "aaaaaaaa:8", "reason": None},
    ),
    (
        events.RoomJoin(
            room="lobby@alice", nick="jane", node=None, address="10.0.0.9:5000", room_position="7kq2m4xa:42", **WHERE
        ),
        {"type": "room.join", "room": "lobby@alice", "nick": "jane", "node": None, "address": "10.0.0.9:5000",
         "room_position": "7kq2m4xa:42"},
    ),
    (
        events.RoomLeave(
            room="lobby@alice", nick="jane", node=None, reason="kicked", room_position="7kq2m4xa:42", **WHERE
        ),
        {"type": "room.leave", "room": "lobby@alice", "nick": "jane", "node": None, "reason": "kicked",
         "room_position": "7kq2m4xa:42"},
    ),
    (
        events.RoomTopic(room="lobby@alice", text="tea", room_position="7kq2m4xa:42", **WHERE),
        {"type": "room.topic", "room": "lobby@alice", "text": "tea", "room_position": "7kq2m4xa:42"},
    ),
    (
        events.RoomGone(room="lobby@bob", reason="closed", **WHERE),
        {"type": "room.gone", "room": "lobby@bob", "reason": "closed"},
    ),
    (
        events.RoomRefused(peer=PEER, room="lobby@alice", global_id=f"{NODE}/aaaaaaaa:7", reason="banned", **WHERE),
        {"type": "room.refused", "peer": SHOWN, "room": "lobby@alice", "global_id": f"{NODE}/aaaaaaaa:7",
         "reason": "banned"},
    ),
    (events.DaemonStart(version="1.0", **WHERE), {"type": "daemon.start", "version": "1.0"}),
    (events.DaemonStop(reason="signal", **WHERE), {"type": "daemon.stop", "reason": "signal"}),
]  # fmt: skip


@pytest.mark.parametrize(("event", "shown"), EXAMPLES, ids=lambda value: value["type"] if type(value) is dict else "")
def test_an_event_is_shown_as_the_contract_says_and_read_back(event: AnyEvent, shown: dict[str, Any]) -> None:
    raw = msgspec.json.encode(event)
    assert json.loads(raw) == shown | WHERE
    assert msgspec.json.decode(raw, type=AnyEvent) == event


def test_every_event_has_an_example_and_a_type() -> None:
    assert {type(event) for event, _ in EXAMPLES} == set(get_args(AnyEvent))
    assert {shown["type"] for _, shown in EXAMPLES} == set(events.EVENT_TYPES)
    assert len(events.EVENT_TYPES) == len(get_args(AnyEvent))


def test_fields_of_a_later_version_are_ignored() -> None:
    raw = b'{"type":"daemon.stop","position":"aaaaaaaa:1","at":"","reason":"signal","later":[1]}'
    assert msgspec.json.decode(raw, type=AnyEvent) == events.DaemonStop(position="aaaaaaaa:1", reason="signal")
