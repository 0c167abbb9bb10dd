"""A ring of five nodes falls into two parts while all neighbours talk, and is put together again: nothing was lost."""

import signal
import time

import pytest

from tests.faults import ledger, load
from tests.faults.conftest import MakeVictim
from tests.faults.load import Load
from tests.harness.session import Json
from tests.harness.until import POLL_S
from tests.harness.victims import Victim

NAMES = ("alice", "bob", "carol", "dave", "erin")
PARTED_S = 20.0
BACK_S = 35.0  # the longest wait before a redial, and some
STOP_S = 5.0  # from a signal to the end
SOON_S = 0.05  # between two bursts: what nobody takes for 20 s is to fit into an outbox


class Ring:
    """Each dials the next one; alice and bob are one part of it."""

    def __init__(self, make: MakeVictim, *flags: str) -> None:
        self.nodes = [make(name) for name in NAMES]
        for node in self.nodes:
            node.flags = ("--allow-faults", *flags)  # the usual back-off
        for node, following in self.around:
            node.dials(following)
        self.load = Load({node: [other.name for other in self.neighbours(node)] for node in self.nodes})
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.up(*self.neighbours(node))

    @property
    def around(self) -> list[tuple[Victim, Victim]]:
        return list(zip(self.nodes, [*self.nodes[1:], self.nodes[0]], strict=True))

    @property
    def inside(self) -> list[tuple[Victim, Victim]]:
        """The links that stay whole."""
        return [pair for pair in self.around if {*pair} not in [{*bridge} for bridge in self.bridges]]

    @property
    def bridges(self) -> list[tuple[Victim, Victim]]:
        """The two links between the parts: who makes them suffer, and with whom."""
        alice, bob, carol, _, erin = self.nodes
        return [(bob, carol), (alice, erin)]

    def neighbours(self, node: Victim) -> list[Victim]:
        place = self.nodes.index(node)
        return [self.nodes[place - 1], self.nodes[(place + 1) % len(self.nodes)]]

    def change(self, **changes: object) -> None:
        """What the links between the parts suffer."""
        for node, other in self.bridges:
            node.ask("link", peer=other.name, **changes)

    def states(self) -> set[str]:
        """Those of the links between the parts, at both ends."""
        return {peer(node, other)["state"] for pair in self.bridges for node, other in (pair, pair[::-1])}

    def received(self, pairs: list[tuple[Victim, Victim]]) -> list[int]:
        """How many messages have come so far, in both directions."""
        return [peer(node, other)["received"] for pair in pairs for node, other in (pair, pair[::-1])]


def peer(node: Victim, other: Victim) -> Json:
    """How that one is, as this one sees it."""
    found: Json
    (found,) = [record for record in node.ask("list", all=True)["peers"] if record["name"] == other.name]
    return found


@pytest.mark.long
@pytest.mark.deadline(300)
@pytest.mark.parametrize(
    ("flags", "state"),
    [
        pytest.param((), {"up"}, id="too short to be noticed"),
        pytest.param(("--ping-after", "1s", "--dead-after", "4s"), {"dialing", "down"}, id="noticed"),
    ],
)
def test_a_ring_of_five_that_is_parted_for_twenty_seconds_loses_and_doubles_nothing(
    victim: MakeVictim, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], state: set[str]
) -> None:
    monkeypatch.setattr(load, "PAUSE_S", SOON_S)
    ring = Ring(victim, *flags)
    with ring.load.running():
        ring.load.more_each(100)
        ring.change(cut=True)
        began, before = time.monotonic(), ring.received(ring.inside)
        while time.monotonic() < began + PARTED_S:
            time.sleep(1)
            before, then = ring.received(ring.inside), before
            assert all(now > once for now, once in zip(before, then, strict=True)), "the parts do not talk any more"
        assert ring.states() <= state
        held = ring.received(ring.bridges)
        ring.change(heal=True)
        healed = time.monotonic()
        while not all(now > then for now, then in zip(ring.received(ring.bridges), held, strict=True)):
            assert time.monotonic() < healed + BACK_S, f"not back: {ring.states()}"
            time.sleep(POLL_S)
        print(f"back after {time.monotonic() - healed:.1f} s")
        ring.load.more_each(100)
    ledger.stop(ring.nodes)
    counts = ledger.settle(ring.load.senders, ring.nodes)
    assert len(counts) == 10
    assert min(count.delivered for count in counts) > 100


@pytest.mark.parametrize(
    "fault", [{"cut": True}, pytest.param({"delay": 60}, marks=pytest.mark.long)], ids=["cut", "slow"]
)
def test_a_signal_ends_a_daemon_in_time_whatever_its_links_suffer(victim: MakeVictim, fault: dict[str, object]) -> None:
    alice, bob = victim("alice", "--allow-faults"), victim("bob", "--allow-faults")
    alice.dials(bob)
    for node in (alice, bob):
        node.begin()
    alice.up(bob)
    bob.up(alice)
    for node, other in ((alice, bob), (bob, alice)):
        node.ask("link", peer=other.name, **fault)
        node.ask("send", peer=other.name, text="x" * 10_000)
    began = time.monotonic()
    for node in (alice, bob):
        node.signal(signal.SIGTERM)
    for node in (alice, bob):
        node.ends()
    assert time.monotonic() - began < STOP_S
    for node in (alice, bob):
        node.start()
    for node in (alice, bob):
        node.drained()
