"""The periodic task, on a clock of its own: what it does, and when."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
import trio
from trio.testing import MockClock

from chatd import upkeep
from chatd.core.journal import Journal
from chatd.node import Node
from tests.core.parts import World, open_journal, running, said

T = TypeVar("T")


class InlineWorld(World):
    """Work for the journal's thread is done in line, so that the clock does not jump meanwhile."""

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


class Outcomes:
    """Counts how often it is asked to expire."""

    def __init__(self) -> None:
        self.next_expiry = float("inf")
        self.rounds: list[float] = []

    def expire(self) -> None:
        self.rounds.append(trio.current_time())


class Kept:
    """A journal with its upkeep, and nothing else of a node."""

    def __init__(self, journal: Journal, world: World) -> None:
        self.journal = journal
        self.world = world
        self.outcomes = Outcomes()
        self.config = SimpleNamespace(retain_age=3600.0, retain_bytes=1 << 30)

    @property
    def node(self) -> Node:
        chat = SimpleNamespace(outcomes=self.outcomes)
        parts: Any = SimpleNamespace(chat=chat, journal=self.journal, runtime=self.world, config=self.config)
        return cast(Node, parts)


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    world = InlineWorld()
    async with running(open_journal(tmp_path, world)) as journal:
        yield Kept(journal, world)


async def run_for(kept: Kept, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await upkeep.run(kept.node)


async def test_there_is_a_round_a_second(kept: Kept, autojump_clock: MockClock) -> None:
    start = trio.current_time()
    await run_for(kept, 3.5)
    assert [at - start for at in kept.outcomes.rounds] == pytest.approx([0, 1, 2, 3])


async def test_a_ttl_that_ends_sooner_is_not_waited_for_longer(kept: Kept, autojump_clock: MockClock) -> None:
    start = trio.current_time()
    kept.outcomes.next_expiry = start + 0.25
    await run_for(kept, 0.5)
    assert [at - start for at in kept.outcomes.rounds][:2] == pytest.approx([0, 0.25])


async def test_a_ttl_that_cannot_be_ended_makes_no_busy_loop(kept: Kept, autojump_clock: MockClock) -> None:
    kept.outcomes.next_expiry = trio.current_time() - 100
    await run_for(kept, 0.95)
    assert len(kept.outcomes.rounds) == 10


async def test_what_waits_for_a_commit_gets_one(kept: Kept, autojump_clock: MockClock) -> None:
    kept.journal.note_ack("bob", 7)
    await run_for(kept, 0.5)
    assert kept.journal.store.query("SELECT node, seq FROM acks") == [("bob", 7)]


async def test_everything_that_is_too_old_goes_in_one_round(kept: Kept, autojump_clock: MockClock) -> None:
    for _ in range(5000):
        kept.journal.append(said("x"), 1, "in")
    await kept.journal.settled()
    kept.world.now += 7200
    await run_for(kept, 0.05)
    assert (kept.journal.floor, kept.outcomes.rounds) == (5000, kept.outcomes.rounds[:1])


async def test_after_a_round_with_much_to_delete_the_next_comes_soon(kept: Kept, autojump_clock: MockClock) -> None:
    start = trio.current_time()
    for _ in range(5000):
        kept.journal.append(said("x"), 1, "in")
    await kept.journal.settled()
    kept.world.now += 7200
    await run_for(kept, 1.2)
    assert [at - start for at in kept.outcomes.rounds] == pytest.approx([0, 0.1, 1.1])
