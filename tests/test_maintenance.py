"""The periodic task, on a clock of its own: what it does, and when."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import pytest
import trio
from trio.testing import MockClock

from chatd import maintenance
from chatd.failures import StartupFailure
from chatd.journal.files import JournalFiles
from chatd.journal.journal import Journal
from chatd.messages.message_log import MessageLog
from chatd.node import Node
from chatd.peers.identity import CERTIFICATE_FILE, KEY_FILE
from chatd.peers.outbox import OutboxTotals
from tests.harness.parts import World, open_journal, running, said

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
        self.state = Path(journal.store.path).parent
        for name in (KEY_FILE, CERTIFICATE_FILE):
            (self.state / name).touch()
        self.config = SimpleNamespace(retain_age=3600.0, retain_bytes=1 << 30, state=str(self.state))
        self.owed = OutboxTotals()
        self.stops: list[str] = []
        self.bound: list[float] = []
        self.socket_failure: Exception | None = None
        self.problems: dict[str, str] = {}

    @property
    def node(self) -> Node:
        parts: Any = SimpleNamespace(
            chat=SimpleNamespace(states=self.outcomes),
            journal=self.journal,
            runtime=self.world,
            config=self.config,
            registry=SimpleNamespace(outbox_totals=self.owed),
            request_stop=self.stops.append,
            problems=self.problems,
            message_log=MessageLog(),
            set_problem=partial(Node.set_problem, cast(Node, self)),
        )
        return cast(Node, parts)

    async def bind_again(self) -> None:
        await trio.lowlevel.checkpoint()
        self.bound.append(trio.current_time())
        if self.socket_failure is not None:
            raise self.socket_failure


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    world = InlineWorld()
    async with running(open_journal(tmp_path, world)) as journal:
        journal.store.files = JournalFiles(
            journal.store.path, clock=trio.current_time
        )  # all of it is in one thread here
        yield Kept(journal, world)


async def run_for(kept: Kept, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await maintenance.run(kept.node, kept.bind_again)


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


def move_away(kept: Kept) -> Path:
    """Take the journal from its path; where it is then."""
    path = Path(kept.journal.store.path)
    return path.rename(path.with_suffix(".away"))


@asynccontextmanager
async def kept_up(kept: Kept) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(maintenance.run, kept.node, kept.bind_again)
        yield
        nursery.cancel_scope.cancel()


async def test_a_journal_at_rest_that_is_gone_is_noticed_and_the_node_stops_when_nothing_is_owed(
    kept: Kept, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with kept_up(kept):
        await trio.sleep(20.5)
        move_away(kept)
        await trio.sleep(11)  # looked at after 30 s of rest, and again a second later
        assert not kept.journal.lost
        await trio.sleep(1)
        assert kept.journal.lost
        await trio.sleep(maintenance.STOP_AFTER_S - 1)
        assert not kept.stops
        await trio.sleep(2)
        assert kept.stops[0] == "storage_lost"
    assert "journal file removed or replaced while this node runs: " in caplog.text
    assert "journal lost: new messages are rejected" in caplog.text


async def test_what_is_owed_gets_a_minute_to_be_delivered(kept: Kept, autojump_clock: MockClock) -> None:
    move_away(kept)
    kept.owed.messages = 1
    async with kept_up(kept):
        await trio.sleep(32.5)
        assert kept.journal.lost
        await trio.sleep(maintenance.DELIVER_S - 1)
        assert not kept.stops
        await trio.sleep(2)
        assert kept.stops


async def test_the_node_stops_as_soon_as_the_last_message_is_delivered(kept: Kept, autojump_clock: MockClock) -> None:
    move_away(kept)
    kept.owed.messages = 1
    async with kept_up(kept):
        await trio.sleep(45)
        assert not kept.stops
        kept.owed.messages = 0
        await trio.sleep(1.5)
        assert kept.stops


async def test_a_journal_that_comes_back_in_time_is_as_if_never_gone(kept: Kept, autojump_clock: MockClock) -> None:
    away = move_away(kept)
    kept.owed.messages = 1
    async with kept_up(kept):
        await trio.sleep(60)
        assert kept.journal.lost
        away.rename(kept.journal.store.path)
        await trio.sleep(5)
        assert not kept.journal.lost
        move_away(kept)
        await trio.sleep(75)  # the minute begins anew
        assert kept.journal.lost
        assert not kept.stops


async def test_a_lost_identity_is_told_once_and_no_longer_when_it_is_back(
    kept: Kept, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    key = kept.state / KEY_FILE
    key.unlink()
    async with kept_up(kept):
        await trio.sleep(100)
        assert str(key) in kept.problems["identity"]
        key.touch()
        await trio.sleep(32)
        assert kept.problems == {}
    assert len([record for record in caplog.records if str(key) in record.getMessage()]) == 1


async def test_the_control_socket_is_looked_at_twice_a_minute_and_told_of_where_it_cannot_be_made(
    kept: Kept, autojump_clock: MockClock
) -> None:
    start = trio.current_time()
    kept.socket_failure = StartupFailure("something else is there")
    await run_for(kept, 61.5)
    assert [at - start for at in kept.bound] == pytest.approx([30, 60], abs=1)
    assert kept.problems == {"socket": "something else is there"}
