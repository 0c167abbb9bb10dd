"""Upkeep: the one periodic task. Ends what is past its ttl, deletes what is too old or too much, and has written down
what waits for a commit that may not come.

The write-ahead log needs nothing here: the commit that makes it long enough brings it back into the file.
"""

import trio

from chatd.core.retention import Retention
from chatd.node import Node

TICK_S = 1.0
HURRY_S = 0.1  # where more than a little had to be deleted, and for a ttl that ends soon


async def run(node: Node) -> None:
    """For ever."""
    outcomes, journal, config = node.chat.outcomes, node.journal, node.config
    retention = Retention(journal, node.runtime, age=config.retain_age, size=config.retain_bytes)
    while True:
        began = trio.current_time()
        outcomes.expire()
        journal.flush()
        hurry = await _delete(retention, began + TICK_S)
        due = min(began + TICK_S, max(outcomes.next_expiry, began + HURRY_S))
        await trio.sleep_until(began + HURRY_S if hurry else due)


async def _delete(retention: Retention, until: float) -> bool:
    """Step by step, as long as there is something and the next round is not due; whether it was more than a step."""
    steps = 0
    while await retention.step() and trio.current_time() < until:
        steps += 1
    return steps > 1
