"""Disks that are full for a while, under the one that sends and under the one that receives."""

import signal
from contextlib import ExitStack

import pytest

from tests.faults import ledger
from tests.faults.conftest import MakeVictim
from tests.faults.load import Load, Sender
from tests.harness import disk
from tests.harness.victims import Victim

SIZE = "24m"
TEXT_BYTES = 2000
ROUNDS = 3
MORE = 100
FULL = frozenset({"storage_full"})


def on_small_disk(stack: ExitStack, node: Victim) -> Victim:
    """Its state is on a disk of its own."""
    node.state = stack.enter_context(disk.small_disk(node.folder / "disk", SIZE)) / "state"
    return node


def is_refused(load: Load, sender: Sender) -> None:
    """Wait until the node says that its disk is full."""
    before = sender.kinds["storage_full"]
    load.wait(lambda: sender.kinds["storage_full"] > before, f"{sender.node.name} says that its disk is full")


@pytest.mark.long
def test_nodes_whose_disks_are_full_for_a_while_lose_and_double_nothing(victim: MakeVictim) -> None:
    alice, bob = victim("alice"), victim("bob")
    alice.dials(bob)
    load = Load({alice: ["bob"], bob: ["alice"]}, refusals=FULL)
    for sender in load.senders:
        sender.size = TEXT_BYTES
    with ExitStack() as stack:
        for node in (bob, alice):
            on_small_disk(stack, node).start()
        bob.up(alice)
        with load.running():
            for _ in range(ROUNDS):
                for node in (alice, bob):
                    load.more_each(1)
                    ballast = disk.fill(node.state.parent)
                    is_refused(load, load.of(node))
                    assert node.ask("status")["journal"]["full"]
                    ballast.unlink()
        bob.up(alice)
        ledger.stop([alice, bob])
        ledger.settle(load.senders, [alice, bob])


@pytest.mark.long
@pytest.mark.parametrize("absence", [signal.SIGSTOP, signal.SIGTERM])
def test_a_node_whose_disk_is_full_still_shows_what_it_has_and_delivers_what_it_accepted(
    victim: MakeVictim, absence: signal.Signals
) -> None:
    alice, bob = victim("alice"), victim("bob")
    alice.dials(bob)
    load = Load({alice: ["bob"]}, refusals=FULL)
    (sender,) = load.senders
    sender.size = TEXT_BYTES
    with ExitStack() as stack:
        bob.start()
        on_small_disk(stack, alice).start()
        bob.up(alice)
        bob.signal(absence)
        with load.running():
            load.more(MORE)
            ballast = disk.fill(alice.state.parent)
            is_refused(load, sender)
            shown = alice.ask("history", n=10, filter={"types": ["message"]})["events"]
            assert [event["direction"] for event in shown] == ["out"] * 10
            read = alice.subscribed({"position": shown[0]["position"]}, 9, types=["message"])
            assert [event["id"] for event in read] == [event["id"] for event in shown[1:]]
            comes_back(bob, absence)
            alice.drained()
            assert alice.ask("status")["journal"]["full"]
            ballast.unlink()
            load.more(MORE)
        ledger.stop([alice, bob])
        ledger.settle(load.senders, [alice, bob])


def comes_back(node: Victim, absence: signal.Signals) -> None:
    """The end of an absence."""
    if absence == signal.SIGSTOP:
        node.signal(signal.SIGCONT)
    else:
        node.ends()
        node.begin()
