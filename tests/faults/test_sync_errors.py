"""Disks that answer a sync with an error: what was written before it may be there or not, and the node says so."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults import ledger
from tests.faults.conftest import MakeVictim
from tests.faults.load import UNKNOWN, Load
from tests.harness.victims import Victim

SYNCS = (1, 3, 10)  # the first sync that fails, of each of its threads
MORE = 100  # answered messages before each fault
EXIT_STORAGE = 4


@contextmanager
def failing_syncs(victim: Victim, first: int) -> Iterator[None]:
    """From its `first` sync on every one is an I/O error. The node must have ended at the end of the block."""
    words = ["strace", "-f", "-p", str(victim.pid), "-e", "trace=fdatasync,fsync"]
    words += ["-e", f"inject=fdatasync,fsync:error=EIO:when={first}+"]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        try:
            line = tracer.stderr.readline()
            assert "attached" in line, line
            yield
        finally:
            tracer.terminate()


@pytest.mark.long
def test_a_node_whose_sync_fails_says_so_and_stops_and_has_lost_and_doubled_nothing(victim: MakeVictim) -> None:
    alice, bob = victim("alice"), victim("bob")
    alice.dials(bob)
    load = Load({alice: ["bob"], bob: ["alice"]}, refusals=frozenset({UNKNOWN}))
    bob.start()
    alice.start()
    bob.up(alice)
    with load.running():
        for first in SYNCS:
            for node in (alice, bob):
                load.more_each(MORE)
                with failing_syncs(node, first):
                    node.ends(EXIT_STORAGE)
                node.begin()
        load.more_each(MORE)
    bob.up(alice)
    ledger.stop([alice, bob])
    ledger.settle(load.senders, [alice, bob])
    assert all(sender.kinds[UNKNOWN] for sender in load.senders)
    assert all("disk I/O error" in node.log for node in (alice, bob))
