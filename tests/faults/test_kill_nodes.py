"""Three nodes that talk to each other while one after the other of them is killed."""

import random
import time

import pytest

from tests.faults import ledger
from tests.faults.conftest import MakeVictim
from tests.faults.load import Load

NAMES = ("alice", "bob", "carol")
MOST_BETWEEN = 300  # answered messages between two kills
START_S = 0.5  # about what a start takes: some are killed in it


class Ring:
    """A triangle: alice and bob both dial each other, bob dials carol, carol dials alice."""

    def __init__(self, make: MakeVictim, seed: int) -> None:
        self.random = random.Random(seed)
        self.nodes = alice, bob, carol = [make(name) for name in NAMES]
        alice.dials(bob)
        bob.dials(alice, carol)
        carol.dials(alice)
        self.load = Load({node: [name for name in NAMES if name != node.name] for node in self.nodes})
        for node in self.nodes:
            node.start()
        self.until_whole()

    def until_whole(self) -> None:
        """Wait until everybody has a link to everybody."""
        for node in self.nodes:
            node.up(*[other for other in self.nodes if other is not node])

    def round(self) -> None:
        """Kill one of them at a random moment; it comes back at once, after a while, or is killed while it starts."""
        node = self.random.choice(self.nodes)
        self.load.more(self.random.randint(1, MOST_BETWEEN))
        node.kill()
        what = self.random.choice(("at once", "at once", "later", "killed again"))
        if what == "later":
            self.load.more(MOST_BETWEEN)
        node.begin()
        if what == "killed again":
            time.sleep(self.random.uniform(0, START_S))
            node.kill()
            node.begin()
        sender = self.load.of(node)
        before = sender.count
        self.load.wait(lambda: sender.count > before, f"{node.name} accepts messages again")


def kill_rounds(make: MakeVictim, rounds: int, seed: int) -> list[ledger.Count]:
    ring = Ring(make, seed)
    with ring.load.running():
        for _ in range(rounds):
            ring.round()
    ring.until_whole()
    ledger.stop(ring.nodes)
    return ledger.settle(ring.load.senders, ring.nodes)


@pytest.mark.long
@pytest.mark.deadline(300)
def test_three_nodes_of_which_a_random_one_is_killed_a_hundred_times_lose_and_double_nothing(
    victim: MakeVictim,
) -> None:
    assert min(count.delivered for count in kill_rounds(victim, 100, seed=1)) > 100


def test_three_nodes_of_which_a_random_one_is_killed_twice_lose_and_double_nothing(victim: MakeVictim) -> None:
    assert min(count.delivered for count in kill_rounds(victim, 2, seed=2)) > 0
