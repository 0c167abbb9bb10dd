"""Two nodes, of which one loses its power again and again, with everything that was not synced."""

import random
from contextlib import ExitStack

import pytest

from tests.faults import ledger, power
from tests.faults.conftest import MakeVictim
from tests.faults.load import Load

ROUNDS = 20
MOST_BETWEEN = 400  # answered messages between two cuts


@pytest.mark.long
def test_nodes_that_lose_their_power_lose_and_double_nothing_of_what_they_answered(victim: MakeVictim) -> None:
    draw = random.Random(3)
    alice, bob = victim("alice"), victim("bob")
    alice.dials(bob)
    load = Load({alice: ["bob"], bob: ["alice"]})
    with ExitStack() as stack:
        disks = [(node, stack.enter_context(power.disk_of(node))) for node in (alice, bob)]
        for node, _ in disks:
            node.start()
        bob.up(alice)
        with load.running():
            for _ in range(ROUNDS):
                load.more_each(draw.randint(1, MOST_BETWEEN))
                node, disk = draw.choice(disks)
                disk.cut(node)
                node.begin()
                load.more_each(1)
        bob.up(alice)
        ledger.stop([alice, bob])
        counts = ledger.settle(load.senders, [alice, bob])
    assert min(count.delivered for count in counts) > ROUNDS
