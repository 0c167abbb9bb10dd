"""The checks at the end of every integration test can fail, each for its own reason."""

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
import trio
import trio.testing

from chatd.sync import Broadcast
from tests.harness import checks
from tests.harness.network import LiveNode, Network, networking

Spoil = Callable[[LiveNode], None]


async def spoiled(spoil: Spoil) -> None:
    """A test with one node that is fine, to which something was done after its end."""

    class Spoiled(Network):
        def check(self) -> None:
            spoil(self.nodes[0])
            super().check()

    async with networking(Spoiled) as network:
        await network.start(1)


def _leave_a_socket(node: LiveNode) -> None:
    open(node.socket, "w").close()


def _damage(node: LiveNode) -> None:
    with closing(sqlite3.connect(node.database)) as database:
        page = database.execute("PRAGMA page_size").fetchone()[0]
        root = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events_by_topic'").fetchone()[0]
    with open(node.database, "r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xff" * 64)


def _forget_its_end(node: LiveNode) -> None:
    with closing(sqlite3.connect(node.database)) as database:
        database.execute("DELETE FROM events WHERE type = 'daemon.stop'")
        database.commit()


def _add_events(*types: str) -> Spoil:
    def add(node: LiveNode) -> None:
        with closing(sqlite3.connect(node.database)) as database:
            for type_ in types:
                database.execute("INSERT INTO events (at, type, topic, body) VALUES (0, ?, 1, '')", (type_,))
            database.commit()

    return add


def _leave_a_peer(node: LiveNode) -> None:
    registry = node.node.registry
    registry.set_state(registry.plain("192.0.2.1:5"), "up")


def _log_an_exception(node: LiveNode) -> None:
    try:
        raise RuntimeError("boom")
    except RuntimeError:
        logging.getLogger("chatd.links").info("a link failed", exc_info=True)


def _log_an_error(node: LiveNode) -> None:
    logging.getLogger("chatd").error("this is a bug")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_leave_a_socket, "is still there"),
        (_damage, "events_by_topic|malformed|not a database"),
        (_forget_its_end, "the last event is 'daemon.start'"),
        (_add_events("peer.up", "daemon.stop"), "no peer.down of topics"),
        (_add_events("peer.down", "daemon.stop"), "peer.down without peer.up"),
        (_add_events("peer.up", "peer.up", "daemon.stop"), "peer.up twice"),
        (_leave_a_peer, "still up: .*192.0.2.1:5"),
        (_log_an_exception, "logged: .*a link failed"),
        (_log_an_error, "logged: .*this is a bug"),
    ],
)
async def test_what_a_node_must_not_leave_fails_the_test(spoil: Spoil, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        await spoiled(spoil)


async def test_a_state_directory_that_is_still_locked_fails_the_test() -> None:
    held: list[int] = []

    def lock(node: LiveNode) -> None:
        held.append(os.open(os.path.join(node.state, "chatd.lock"), os.O_RDWR))
        fcntl.flock(held[0], fcntl.LOCK_EX)

    try:
        with pytest.raises(AssertionError, match="is still locked"):
            await spoiled(lock)
    finally:
        os.close(held[0])


async def test_a_task_that_outlives_its_node_fails_the_test() -> None:
    broadcast = Broadcast()
    trio.lowlevel.spawn_system_task(broadcast.wait, name="chatd.sync.Broadcast.wait")
    with pytest.raises(AssertionError, match=r"tasks are left: .*Broadcast\.wait"):
        await spoiled(lambda node: None)
    broadcast.notify()
    await trio.testing.wait_all_tasks_blocked()


async def test_a_node_that_does_not_stop_in_time_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "EXIT_S", 0.0)
    with pytest.raises(BaseExceptionGroup) as caught:
        await spoiled(lambda node: None)
    assert caught.group_contains(AssertionError, match="alice did not stop within")


async def test_a_node_that_ends_with_an_exception_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatd.daemon._announce", lambda node: 1 / 0)
    with pytest.raises(BaseExceptionGroup) as caught:
        await spoiled(lambda node: None)
    assert caught.group_contains(AssertionError, match="alice ended with .*ZeroDivisionError")
