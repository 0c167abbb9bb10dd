"""Maintenance: the one periodic task of a node.

Expires messages past their ttl, applies retention, flushes notes that wait for the next commit, and checks that the
node's files still exist. The write-ahead log needs no work here: commits checkpoint it. Started by `daemon`.
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
HURRY_S = 0.1  # shortest round: while retention is behind, or a ttl ends soon
LOOK_S = 30.0  # between two checks of the files; every round once a journal file was missing
STAY_S = 3.0  # a node without its journal files keeps running, so that clients and monitors see why it stops
LEAVE_S = 60.0  # and at most so long while its outbox is not empty
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
        hurry = await _delete(retention, began + TICK_S)
        await files.check()
        due = min(began + TICK_S, max(states.next_expiry, began + HURRY_S))
        await trio.sleep_until(began + HURRY_S if hurry else due)


async def _delete(retention: Retention, until: float) -> bool:
    """Apply retention in steps until it is done or the next round is due; whether it took more than one step."""
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
        self._look_at = trio.current_time() + LOOK_S
        self._lost_at: float | None = None

    async def check(self) -> None:
        """Check what is due; called every round."""
        journal, due = self._node.journal, trio.current_time() >= self._look_at
        if due or journal.store.files.is_in_doubt:
            await journal.check_files()
        self._stop_if_lost()
        if due:
            self._look_at = trio.current_time() + LOOK_S
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
            log.warning("nothing new is accepted; this node delivers its outbox (%d messages) and stops", undelivered)
        if now >= self._lost_at + (LEAVE_S if undelivered else STAY_S):
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

    def _report(self, where: str, what: str) -> None:
        if self._node.set_problem(where, what) and what:
            log.warning("%s", what)
