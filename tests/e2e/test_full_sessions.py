"""A node with all sessions taken: a refused client is told so, and an operator can look at the node and stop it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.processes import Failed, Node

SESSIONS = 3


@pytest.fixture
def full() -> Iterator[Node]:
    """A node with a `tail` on each of its sessions, whenever it is started."""
    node = Node("full", "--sessions", str(SESSIONS))
    try:
        yield node
        node.finish()
    finally:
        node.remove()


def occupy(node: Node, stack: ExitStack) -> None:
    for _ in range(SESSIONS):
        tail = stack.enter_context(node.client("tail", "--since", "1h", "--events"))
        stack.callback(tail.terminate)
        assert tail.stdout is not None
        assert tail.stdout.readline()


def test_a_refused_client_is_told_so_every_time_and_operators_are_answered(full: Node) -> None:
    full.start()
    with ExitStack() as stack:
        occupy(full, stack)
        for _ in range(10):
            with pytest.raises(Failed) as failed:
                full.ctl("send", "0", "x" * 1000)
            assert (failed.value.status, failed.value.error["kind"]) == (5, "rate_limited")
        assert full.ctl("status")["sessions"] == SESSIONS + 1
        health = full.ctl("health")
        assert (health["healthy"], len(health["warnings"])) == (True, 1)
    assert full.ctl("list")["peers"] == []


def test_exit_says_stopped_when_it_has_stopped(full: Node) -> None:
    for verb in ("exit", "shutdown", "exit"):
        full.start()
        with ExitStack() as stack:
            occupy(full, stack)
            assert full.output(verb) == "stopped\n"
            assert full.wait() == 0
