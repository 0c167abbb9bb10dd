"""A node with all sessions taken: a refused client is told so, and an operator can look at the node and stop it."""

from contextlib import ExitStack

import pytest

from tests.e2e.conftest import MakeNode
from tests.harness.processes import Failed, Node
from tests.harness.until import until

SESSIONS = 3


@pytest.fixture
def full(node: MakeNode) -> Node:
    """A node with few sessions, which tests take all."""
    return node("full", "--sessions", str(SESSIONS))


def occupy(node: Node, stack: ExitStack) -> None:
    """A client on each of its sessions, which has made a request."""
    for _ in range(SESSIONS):
        stack.enter_context(node.session()).subscribed("start", 1)


def test_a_refused_client_is_told_so_every_time_and_operators_are_answered(full: Node) -> None:
    full.start()
    with ExitStack() as stack:
        occupy(full, stack)
        for _ in range(3):
            with pytest.raises(Failed) as failed:
                full.ctl("send", "0", "x" * 1000)
            assert (failed.value.status, failed.value.error["kind"]) == (5, "rate_limited")
        assert full.ask("status")["sessions"] == SESSIONS + 1
        health = full.ask("health")
        assert (health["healthy"], len(health["warnings"])) == (True, 1)
    until(lambda: full.ask("status")["sessions"] == 1)  # the daemon has seen that the others are gone
    assert full.ask("list")["peers"] == []


def test_exit_says_stopped_when_it_has_stopped(full: Node) -> None:
    for verb in ("exit", "shutdown", "exit"):
        full.start()
        with ExitStack() as stack:
            occupy(full, stack)
            assert full.output(verb) == "stopped\n"
            full.ends()
