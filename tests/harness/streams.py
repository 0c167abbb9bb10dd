"""Messages that flow while a test breaks links, and what is promised of them: each arrives once, and in order."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from tests.harness.network import LiveNode

AT_ONCE = 5  # messages in one write
EVERY_S = 0.02


@asynccontextmanager
async def streaming(*ways: tuple[LiveNode, LiveNode], size: int = 0) -> AsyncIterator[dict[LiveNode, list[str]]]:
    """During the block the first of each pair sends to the second; gives what was said, by who said it.

    After the block everything is to be delivered. Texts have `size` characters at least.
    """
    stop, said = trio.Event(), {one: list[str]() for one, _ in ways}

    async def talk(one: LiveNode, other: LiveNode) -> None:
        client, texts = await one.new_client(), said[one]
        while not stop.is_set():
            new = [f"{one.name} {len(texts) + number}".ljust(size, ".") for number in range(AT_ONCE)]
            texts += new
            await client.send_many(other.name, new)
            with trio.move_on_after(EVERY_S):
                await stop.wait()

    async with trio.open_nursery() as nursery:
        for one, other in ways:
            nursery.start_soon(talk, one, other)
        yield said
        stop.set()
    for one, other in ways:
        await one.drained(other.name)
        assert await heard(other, one) == said[one]


async def heard(node: LiveNode, whom: LiveNode) -> list[str]:
    """What its journal has of somebody, in order; whatever is missing is there as what it is, a gap."""
    events = await node.history(types=["message"], direction="in", peer=whom.name)
    return [event.get("text", event["type"]) for event in events]
