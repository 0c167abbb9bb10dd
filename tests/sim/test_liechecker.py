"""The lie checker itself: each kind of mistake that a machine may make about a liar is found."""

from typing import Any

import pytest

from tests.sim.liechecker import check_lies
from tests.sim.truth import Journal, Row

ALICE, BOB, LIAR = "a" * 52, "b" * 52, "m" * 52
LABELS = frozenset({"lobby@alice"})


def row(seq: int, kind: str, node: str, direction: str | None = None, **body: Any) -> Row:
    """An event of alice's about a peer."""
    return Row(seq, kind, direction, {"position": f"aaaaaaaa:{seq}", "peer": {"node": node}} | body)


def lie(seq: int = 9, node: str = LIAR, **body: Any) -> Row:
    return row(
        seq, "message", node, "in", **{"text": "lie:mallory:1", "global_id": f"{node}/mallory2:1", "room": None} | body
    )


SENT = row(1, "message", BOB, "out", text="to bob", global_id=f"{ALICE}/aaaaaaaa:1", room=None)
IN_ROOM = row(2, "message", LIAR, "out", text="bait", global_id=f"{ALICE}/aaaaaaaa:2", room="trap@mallory")
GOOD = (
    lie(),
    lie(node=BOB, room="lobby@alice", nick="mallory"),
    lie(re="bbbbbbbb:7"),
    row(9, "receipt", BOB, id="aaaaaaaa:1", room=None),
    row(9, "receipt", LIAR, id="aaaaaaaa:2", room="trap@mallory"),
    row(9, "receipt", LIAR, id=None),
    row(9, "room.refused", LIAR, global_id=f"{LIAR}/aaaaaaaa:1"),
    row(9, "peer.down", LIAR, reason="protocol"),
    row(9, "peer.down", BOB, reason="reset"),
    row(9, "peer.cloned", LIAR, epochs=["aaaaaaaa", "bbbbbbbb"]),
)
BAD = {
    "a lie of an honest machine": lie(node=BOB),
    "a lie as another member": lie(node=BOB, room="lobby@alice", nick="bob"),
    "a lie that goes out": row(9, "message", LIAR, "out", text="lie:mallory:1", global_id=f"{ALICE}/aaaaaaaa:9"),
    "a lie with the global id of another node": lie(global_id=f"{BOB}/mallory2:1"),
    "an honest text of a liar": lie(text="alice>bob:1"),
    "an answer to what was sent to another": lie(re="aaaaaaaa:1"),
    "a receipt of what was sent to another": row(9, "receipt", LIAR, id="aaaaaaaa:1", room=None),
    "a receipt in another room": row(9, "receipt", LIAR, id="aaaaaaaa:2", room="den@mallory"),
    "a refusal of what another has said": row(9, "room.refused", LIAR, global_id=f"{BOB}/aaaaaaaa:1"),
    "an honest machine that runs twice": row(9, "peer.cloned", BOB, epochs=["aaaaaaaa", "bbbbbbbb"]),
    "an honest link that broke the protocol": row(9, "peer.down", BOB, reason="protocol"),
}


def problems(event: Row) -> list[str]:
    alice = Journal("alice", ALICE, [(1, "aaaaaaaa")], [SENT, IN_ROOM, event])
    bob = Journal("bob", BOB, [(1, "bbbbbbbb")], [])
    return list(check_lies({"alice": alice, "bob": bob}, {"mallory": LIAR}, LABELS))


@pytest.mark.parametrize("event", GOOD)
def test_what_is_a_liars_is_no_problem(event: Row) -> None:
    assert problems(event) == []


@pytest.mark.parametrize("mistake", BAD)
def test_what_is_taken_for_anothers_is_found(mistake: str) -> None:
    assert len(problems(BAD[mistake])) == 1
