"""Three nodes that talk in one room, while one after the other of them is killed, the host too."""

import json
import sqlite3
import time
from contextlib import closing

import pytest

from tests.faults.conftest import MakeVictim
from tests.faults.load import Load, Sender, Speaker
from tests.faults.test_kill_nodes import Ring
from tests.harness.until import PATIENCE_S, POLL_S
from tests.harness.victims import Victim

ROOM = "lobby@alice"
Said = tuple[str, str]  # id, text


class RoomRing(Ring):
    """The same triangle; alice hosts, and is in the room like the others."""

    def talk(self) -> None:
        """From now on what is said is said in the room."""
        alice, *others = self.nodes
        alice.ask("room.host", room="lobby")
        for node in others:
            node.ask("room.join", room=ROOM)
        self.load = Load({node: [ROOM] for node in self.nodes}, kind=Speaker)

    def until_heard(self) -> None:
        """Everybody says one thing more, and everybody hears it from everybody."""
        for node in self.nodes:
            node.ask("room.say", room=ROOM, text=f"the end, says {node.name}", wait="delivered", timeout=PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S
        for node in self.nodes:
            while len(self._ends(node)) < len(self.nodes):
                assert time.monotonic() < deadline, f"{node.name} has not heard everybody\n{node.log}"
                time.sleep(POLL_S)

    def _ends(self, node: Victim) -> list[str]:
        last = node.ask("history", n=20, **{"from": {"last": 20}, "filter": {"room": ROOM, "types": ["message"]}})
        return [event["text"] for event in last["events"] if event["text"].startswith("the end")]


def in_order(node: Victim) -> list[Said]:
    """What is in the room by the journal of a node that has stopped; by the order of the host's journal.

    Each message with its position in the sender's journal: at the host that is its author's.
    """
    messages: dict[str, Said] = {}
    placed: list[tuple[int, str]] = []
    with closing(sqlite3.connect(node.journal)) as db:
        events = [json.loads(body) for (body,) in db.execute("SELECT body FROM events ORDER BY seq")]
    for event in events:
        assert event["type"] not in ("gap", "peer.diverged", "room.gone", "room.refused"), event
        if event.get("room") != ROOM or event["type"] not in ("message", "receipt"):
            continue
        if event["type"] == "message":
            messages[event["id"]] = (event["global_id"].partition("/")[2], event["text"])
        if event.get("room_position"):
            placed.append((int(event["room_position"].partition(":")[2]), event["id"]))
    assert placed == sorted(set(placed)), f"{node.name} has something twice, or in another order"
    return [messages[id_] for _, id_ in placed]


def is_there(sender: Sender, there: list[Said]) -> None:
    """Everything that was accepted from a sender, once, under its id and in its order; nothing that was refused."""
    by_text = {text: id_ for id_, text in there}
    assert len(by_text) == len(there)
    lost = [text for text, id_ in sender.accepted.items() if by_text.get(text) != id_]
    assert not lost, f"{len(lost)} of {sender.node.name} are lost, like {lost[:3]}"
    assert not by_text.keys() & sender.refused.keys()
    order = {text: number for number, text in enumerate(sender.offered[ROOM])}
    mine = [order[text] for _, text in there if text in order]
    assert mine == sorted(mine)


def kill_rounds(make: MakeVictim, rounds: int, seed: int) -> int:
    """How many messages are in the room in the end."""
    ring = RoomRing(make, seed)
    ring.talk()
    with ring.load.running():
        for _ in range(rounds):
            ring.round()
    ring.until_whole()
    for node in ring.nodes:
        node.drained()
    ring.until_heard()
    for node in ring.nodes:
        node.stop()
    there, *others = [in_order(node) for node in ring.nodes]
    assert all([text for _, text in other] == [text for _, text in there] for other in others)
    for sender in ring.load.senders:
        is_there(sender, there)
    print(f"{len(there)} messages in the room, {sum(sender.count for sender in ring.load.senders)} accepted")
    return len(there)


@pytest.mark.long
@pytest.mark.deadline(300)
def test_a_room_of_which_a_random_node_is_killed_fifty_times_is_the_same_for_everybody(victim: MakeVictim) -> None:
    assert kill_rounds(victim, 50, seed=1) > 1000
