"""A node that is killed before and after every kind of statement that its commits are made of.

Which there are is not written here: a first node writes them down. Each step has a new node, killed there in a
random one of its first commits while messages go both ways; it is started normally and must have lost and doubled
nothing.
"""

import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.faults import ledger
from tests.faults.conftest import MakeVictim
from tests.faults.load import Load, Sender
from tests.harness.processes import KILLED
from tests.harness.victims import Victim

MANY = 12  # of the commits that have a step, one up to this one is drawn
DRAWS = 2
SIDES = ("before", "after")
ENOUGH = 400  # accepted messages, until which the node has come to every step
ESSENTIAL = {"BEGIN", "INSERT INTO events", "INSERT INTO marks", "INSERT INTO acks", "COMMIT", "CREATE TABLE"}
Step = tuple[str, str, int]
NEVER: Step = ("never", "-", 0)


class Scene:
    """bob, who is there all the time, and the nodes that come to him to be killed."""

    def __init__(self, make: MakeVictim, folder: Path) -> None:
        self.make = make
        self.folder = folder
        self.bob: Victim = make("bob")
        self.nodes = [self.bob]
        self.senders: list[Sender] = []
        self.missed: list[Step] = []
        self.bob.start()

    def act(self, step: Step) -> None:
        """One node: killed at that step, started again, stopped with nothing owed."""
        node = self.make(f"v{len(self.nodes)}")
        self.nodes.append(node)
        node.dials(self.bob)
        node.hook = (str(self.folder / node.name), *map(str, step))
        load = Load({node: ["bob"], self.bob: [node.name]})
        self.senders += load.senders
        node.begin()
        with load.running():
            load.wait(
                lambda: not node.running or min(one.count for one in load.senders) >= ENOUGH, f"{node.name}: {step}"
            )
            if node.running:
                self.missed.append(step)
                node.signal(signal.SIGKILL)
            node.ends(KILLED)
            ledger.is_kept(load.of(node), ledger.Journal.of_killed(node.state))
            node.hook = ()
            node.begin()
            load.more_each(1)
        ledger.stop([node], stays=[self.bob])

    def kinds(self) -> Counter[str]:
        """What the first node has written down."""
        return Counter((self.folder / "v1").read_text(encoding="utf-8").splitlines())


@pytest.mark.long
@pytest.mark.deadline(300)
def test_a_node_that_is_killed_before_or_after_any_statement_of_a_commit_loses_and_doubles_nothing(
    victim: MakeVictim, tmp_path: Path
) -> None:
    scene, draw = Scene(victim, tmp_path), random.Random(5)
    scene.act(NEVER)
    scene.missed.clear()
    kinds = scene.kinds()
    assert set(kinds) >= ESSENTIAL
    steps = sorted(
        {(when, kind, draw.randint(1, min(count, MANY))) for kind, count in kinds.items() for when in SIDES * DRAWS}
    )
    for step in steps:
        scene.act(step)
    ledger.stop([scene.bob])
    counts = ledger.settle(scene.senders, scene.nodes)
    print(f"{len(steps)} steps: {dict(kinds)}; not met: {scene.missed}")
    assert not [step for step in scene.missed if step[1] in ESSENTIAL]
    assert sum(count.delivered for count in counts) > len(steps)
