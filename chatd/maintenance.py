"""Maintenance: the one periodic task of a node.

Expires messages past their ttl, applies retention, flushes notes that wait for the next commit, and checks that the
node's files still exist. Does not touch the write-ahead log: commits checkpoint it. Started by `daemon.py`.
"""

import logging
from collections.abc import Awaitable, Callable

import trio

from chatd.failures import StartupFailure
from chatd.journal.retention import Retention
from chatd.node import Node
from chatd.paths import PathError
from chatd.peers.identity import missing_files

TICK_S = 1.0
SHORTEST_S = 0.1  # shortest round: while retention has more to delete, or if a ttl ends soon
CHECK_S = 30.0  # between two checks of the files; every round while a journal file is missing
STOP_AFTER_S = 3.0  # without its journal files a node runs this long, so that clients and monitors see the reason
DELIVER_S = 60.0  # and at most this long while its outbox is not empty
log = logging.getLogger("chatd")


async def run(node: Node, bind_again: Callable[[], Awaitable[None]]) -> None:
    """Run rounds until cancelled. `bind_again` recreates a removed control socket."""
    states, journal, config = node.chat.states, node.journal, node.config
    retention = Retention(journal, node.runtime, age=config.retain_age, size=config.retain_bytes)
    files = Files(node, bind_again)
    while True:
        began = trio.current_time()
        states.expire()
        journal.flush()
        node.message_log.end_window()
        more_to_delete = await _delete(retention, began + TICK_S)
        await files.check()
        due = min(began + TICK_S, max(states.next_expiry, began + SHORTEST_S))
        await trio.sleep_until(began + SHORTEST_S if more_to_delete else due)


async def _delete(retention: Retention, until: float) -> bool:
    """Apply retention in steps until it is done or the next round is due; return whether it took several steps."""
    steps = 0
    while await retention.step() and trio.current_time() < until:
        steps += 1
    return steps > 1


class Files:
    """Checks the files that a running node needs.

    Without the journal files the node stops, once its outbox is empty or after LEAVE_S. Other missing files are
    reported by `health` and logged once; a missing control socket is recreated.
    """

    def __init__(self, node: Node, bind_again: Callable[[], Awaitable[None]]) -> None:
        self._node = node
        self._bind_again = bind_again
        self._next_check = trio.current_time() + CHECK_S
        self._lost_at: float | None = None

    async def check(self) -> None:
        """Run the checks that are due; called every round."""
        journal, due = self._node.journal, trio.current_time() >= self._next_check
        if due or journal.store.files.is_in_doubt:
            await journal.check_files()
        self._stop_if_lost()
        if due:
            self._next_check = trio.current_time() + CHECK_S
            self._report("identity", await self._check_identity())
            self._report("socket", await self._check_socket())

    def _stop_if_lost(self) -> None:
        node, now = self._node, trio.current_time()
        if not node.journal.lost:
            self._lost_at = None
            return
        undelivered = node.registry.outbox_totals.messages
        if self._lost_at is None:
            self._lost_at = now
            log.warning(
                "journal lost: new messages are rejected, the node stops after it has delivered its outbox"
                " (%(messages)d messages)",
                {"messages": undelivered},
            )
        if now >= self._lost_at + (DELIVER_S if undelivered else STOP_AFTER_S):
            node.request_stop("storage_lost")

    async def _check_identity(self) -> str:
        missing = await self._node.runtime.in_thread(missing_files, self._node.config.state)
        if not missing:
            return ""
        remedy = "restore from a copy before the next start, or no peer recognises this node then"
        return f"removed while this node runs: {' and '.join(missing)} ({remedy})"

    async def _check_socket(self) -> str:
        try:
            await self._bind_again()
        except (StartupFailure, PathError) as error:
            return str(error)
        return ""

    def _report(self, subject: str, problem: str) -> None:
        if self._node.set_problem(subject, problem) and problem:
            log.warning("problem found: %(problem)s", {"problem": problem, "subject": subject})
