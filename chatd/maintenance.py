"""Upkeep: the one periodic task. Ends what is past its ttl, deletes what is too old or too much, has written down what
waits for a commit that may not come, and looks whether the node's files are still there.

The write-ahead log needs nothing here: the commit that makes it long enough brings it back into the file.
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
HURRY_S = 0.1  # where more than a little had to be deleted, and for a ttl that ends soon
LOOK_S = 30.0  # between two looks for files at rest; each round where one of the journal's was missing
STAY_S = 3.0  # that a node without its journal's files goes on, so that clients and monitors see why it stops
LEAVE_S = 60.0  # and at most, if its outbox does not get empty
log = logging.getLogger("chatd")


async def run(node: Node, bind_again: Callable[[], Awaitable[None]]) -> None:
    """For ever. `bind_again` makes the control socket anew where it was removed."""
    outcomes, journal, config = node.chat.states, node.journal, node.config
    retention = Retention(journal, node.runtime, age=config.retain_age, size=config.retain_bytes)
    files = Files(node, bind_again)
    while True:
        began = trio.current_time()
        outcomes.expire()
        journal.flush()
        hurry = await _delete(retention, began + TICK_S)
        await files.look()
        due = min(began + TICK_S, max(outcomes.next_expiry, began + HURRY_S))
        await trio.sleep_until(began + HURRY_S if hurry else due)


async def _delete(retention: Retention, until: float) -> bool:
    """Step by step, as long as there is something and the next round is not due; whether it was more than a step."""
    steps = 0
    while await retention.step() and trio.current_time() < until:
        steps += 1
    return steps > 1


class Files:
    """Whether what a running node needs on disk is still there.

    Without the journal's files the node stops, once its outbox is empty or LEAVE_S have passed. What else is missing is
    told by `health`, and logged once; a control socket is made again.
    """

    def __init__(self, node: Node, bind_again: Callable[[], Awaitable[None]]) -> None:
        self._node = node
        self._bind_again = bind_again
        self._look_at = trio.current_time() + LOOK_S
        self._lost_at: float | None = None

    async def look(self) -> None:
        """Called once a round."""
        journal, due = self._node.journal, trio.current_time() >= self._look_at
        if due or journal.store.files.is_in_doubt:
            await journal.check_files()
        self._heed_loss()
        if due:
            self._look_at = trio.current_time() + LOOK_S
            self._complain("identity", await self._identity())
            self._complain("socket", await self._socket())

    def _heed_loss(self) -> None:
        node, now = self._node, trio.current_time()
        if not node.journal.lost:
            self._lost_at = None
            return
        owed = node.registry.outbox_totals.messages
        if self._lost_at is None:
            self._lost_at = now
            log.warning("nothing new is accepted; this node delivers its outbox (%d messages) and stops", owed)
        if now >= self._lost_at + (LEAVE_S if owed else STAY_S):
            node.request_stop("storage_lost")

    async def _identity(self) -> str:
        missing = await self._node.runtime.in_thread(missing_files, self._node.config.state)
        if not missing:
            return ""
        remedy = "restore from a copy before the next start, or no peer recognises this node then"
        return f"removed while this node runs: {' and '.join(missing)} ({remedy})"

    async def _socket(self) -> str:
        try:
            await self._bind_again()
        except (StartupFailure, PathError) as error:
            return str(error)
        return ""

    def _complain(self, where: str, what: str) -> None:
        before = self._node.complaints.pop(where, "")
        if what:
            self._node.complaints[where] = what
        if what and what != before:
            log.warning("%s", what)
