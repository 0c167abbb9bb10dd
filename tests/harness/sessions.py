"""How many sessions a control server has, as a client of it is told."""

import trio

from tests.harness.control_node import Stand


async def sessions_left(stand: Stand, count: int = 0) -> None:
    """Wait until only that many are left."""
    async with (observer := await stand.connect()).stream:
        while (await observer.ask("status"))["sessions"] > count + 1:  # and this one
            await trio.lowlevel.checkpoint()
