"""Retention deletes what is too old or too much, and keeps undelivered messages."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.journal import epochs as epochs_module
from chatd.journal.journal import Journal
from chatd.journal.retention import ROWS, Retention
from chatd.journal.store import DiskFull, Store
from tests.harness.parts import World, open_journal, running, said, texts_of
from tests.harness.sqlite_work import counting_work

HOUR, DAY = 3600.0, 86400.0
AGE = 30 * DAY
PLENTY = 1 << 40
BOX = "INSERT OR REPLACE INTO outboxes (topic, first, messages, bytes, written) VALUES (?, ?, ?, ?, 0)"
MANY = """WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ?)
    INSERT INTO events SELECT seq, ?, 'message', 'out', 1 + seq % 2, x'{}' FROM n""".format("78" * 40)


def by_age(journal: Journal, world: World, age: float = AGE) -> Retention:
    return Retention(journal, world, age=age, size=PLENTY)


def by_size(journal: Journal, world: World, size: int) -> Retention:
    return Retention(journal, world, age=AGE, size=size)


async def finish(retention: Retention) -> int:
    """Run steps until nothing is left to delete; returns their number."""
    steps = 1
    while await retention.step():
        steps += 1
    return steps


async def write(journal: Journal, *texts: str, stream_id: int = 1, direction: str = "out") -> None:
    for text in texts:
        journal.append(said(text, direction), stream_id, direction)
    await journal.settled()


async def write_hourly(journal: Journal, world: World, hours: int) -> None:
    """Append a message at each of those hours; the clock ends an hour after the last."""
    for _ in range(hours):
        journal.append(said(f"at {world.now:.0f}"), 1, "out")
        world.now += HOUR
    await journal.settled()


async def owe(journal: Journal, stream_id: int, first: int, messages: int, size: int = 0) -> None:
    await journal.execute(BOX, stream_id, first, messages, size).wait()


def seqs(journal: Journal) -> list[int]:
    """The seqs of the events on disk."""
    return [seq for (seq,) in journal.store.query("SELECT seq FROM events ORDER BY seq")]


def on_disk(journal: Journal) -> int:
    return int(journal.store.query("SELECT seq FROM floor")[0][0])


# -- age


async def test_what_is_young_stays(journal: Journal, world: World) -> None:
    retention = by_age(journal, world)
    await write_hourly(journal, world, 29 * 24)
    assert await finish(retention) == 1
    assert (journal.floor, len(seqs(journal))) == (0, 29 * 24)


async def test_what_is_too_old_goes_and_the_floor_is_the_last_of_it(journal: Journal, world: World) -> None:
    retention = by_age(journal, world, 10 * HOUR)
    await write_hourly(journal, world, 24)
    await finish(retention)
    assert (journal.floor, on_disk(journal)) == (14, 14)
    assert seqs(journal) == list(range(15, 25))
    world.now += HOUR
    await finish(retention)
    assert seqs(journal) == list(range(16, 25))


async def test_an_idle_journal_grows_old_too(journal: Journal, world: World) -> None:
    retention = by_age(journal, world, 10 * HOUR)
    await write_hourly(journal, world, 5)
    for _ in range(12):
        world.now += HOUR
        await finish(retention)
    assert seqs(journal) == []
    assert journal.floor == 5


async def test_a_seq_is_never_given_twice_though_the_newest_event_is_gone(tmp_path: Path, world: World) -> None:
    async with running(open_journal(tmp_path, world)) as journal:
        await write(journal, "a", "b", "c")
        old = journal.position(2)
        world.now += 20 * HOUR
        await finish(by_age(journal, world, HOUR))
        assert seqs(journal) == []
    async with running(open_journal(tmp_path, world)) as journal:
        assert (journal.floor, journal.committed) == (3, 3)
        assert journal.resolve(old) == 2
        await write(journal, "d")
        assert texts_of((await journal.page(journal.floor)).entries) == ["d"]
        assert journal.position(4).startswith(journal.epoch)


async def test_a_clock_that_jumps_into_the_future_deletes_nothing(journal: Journal, world: World) -> None:
    retention = by_age(journal, world)
    await write_hourly(journal, world, 48)
    now, world.now = world.now, world.now + 12 * 365 * DAY
    await finish(retention)
    await write_hourly(journal, world, 24)
    await finish(retention)
    assert len(seqs(journal)) == 72
    world.now = now
    await write_hourly(journal, world, 24)
    await finish(retention)
    assert len(seqs(journal)) == 96


async def test_stamps_of_the_future_go_with_what_is_behind_them(journal: Journal, world: World) -> None:
    retention = by_age(journal, world)
    await write_hourly(journal, world, 10)
    now, world.now = world.now, world.now + 12 * 365 * DAY
    await write_hourly(journal, world, 10)
    world.now = now
    for _ in range(40):
        await write_hourly(journal, world, 24)
        await finish(retention)
    assert seqs(journal)[0] > 20
    assert len(seqs(journal)) == 30 * 24


async def test_stamps_of_1970_stay_until_what_is_behind_them_is_old(journal: Journal, world: World) -> None:
    retention, now = by_age(journal, world), world.now
    world.now = 60.0
    await write_hourly(journal, world, 10)
    await finish(retention)
    world.now = now
    for _ in range(29):
        await write_hourly(journal, world, 24)
        await finish(retention)
        assert seqs(journal)[0] == 1
    for _ in range(4):
        await write_hourly(journal, world, 24)
        await finish(retention)
    assert seqs(journal)[0] > 10


async def test_history_from_before_a_long_pause_goes_when_what_is_behind_the_pause_is_old(
    tmp_path: Path, world: World
) -> None:
    async with running(open_journal(tmp_path, world)) as journal:
        await write_hourly(journal, world, 10)
    world.now += 100 * DAY
    async with running(open_journal(tmp_path, world)) as journal:
        retention = by_age(journal, world)
        for _ in range(29):
            await write_hourly(journal, world, 24)
            await finish(retention)
        assert seqs(journal)[0] == 1
        await write_hourly(journal, world, 48)
        await finish(retention)
        assert seqs(journal)[0] > 10


async def test_what_a_run_has_seen_for_so_long_goes_by_any_clock(
    journal: Journal, world: World, mock_clock: trio.testing.MockClock
) -> None:
    world.now = 60.0
    await write(journal, "a", "b", "c")
    retention = by_age(journal, world)
    mock_clock.jump(AGE - 1)
    await write(journal, "d")
    await finish(retention)
    assert len(seqs(journal)) == 4
    mock_clock.jump(2)
    await finish(retention)
    assert seqs(journal) == [4]
    mock_clock.jump(AGE)
    await finish(retention)
    assert seqs(journal) == []


# -- size


async def test_the_oldest_go_until_the_size_is_as_it_should(journal: Journal, world: World) -> None:
    limit = 2 << 20
    retention = by_size(journal, world, limit)
    await write(journal, *("x" * 300 for _ in range(6000)))
    await finish(retention)
    kept = seqs(journal)
    assert kept == list(range(journal.floor + 1, 6001))
    used = journal.store.query("SELECT sum(length(body)) FROM events")[0][0]
    assert limit * 0.75 < used < limit


async def test_a_journal_that_is_written_all_the_time_stays_bounded(tmp_path: Path, world: World) -> None:
    limit = 2 << 20
    async with running(open_journal(tmp_path, world, tail_bytes=65536)) as journal:
        retention = by_size(journal, world, limit)
        sizes: list[int] = []
        for _ in range(30):
            await write(journal, *("x" * 300 for _ in range(1000)))
            await finish(retention)
            sizes.append(journal.store.query("PRAGMA page_count")[0][0] * 8192)
        assert max(sizes) < 2 * limit
        assert sizes[-1] < sizes[10] * 1.05
        assert journal.floor > 20_000


async def test_large_bodies_make_small_steps(journal: Journal, world: World) -> None:
    retention = by_size(journal, world, 1 << 20)
    await write(journal, *("x" * 300_000 for _ in range(20)))
    floors = [journal.floor]
    while await retention.step():
        floors.append(journal.floor)
    steps = [after - before for before, after in pairwise(floors)]
    assert max(steps) <= 4
    assert sum(steps) >= 16


async def test_a_single_body_over_the_size_of_a_step_goes_too(journal: Journal, world: World) -> None:
    await write(journal, "x" * 3_000_000, "y" * 3_000_000)
    world.now += HOUR
    assert await finish(by_age(journal, world, 1.0)) == 3
    assert seqs(journal) == []


async def test_however_much_is_owed_history_keeps_about_half_of_the_size(journal: Journal, world: World) -> None:
    limit = 4 << 20
    retention = by_size(journal, world, limit)
    await write(journal, *("x" * 300 for _ in range(6000)))
    owed = journal.store.query("SELECT sum(length(body)) FROM events")[0][0]
    await owe(journal, 1, 1, 6000, owed)
    await write(journal, *("y" * 300 for _ in range(6000)), stream_id=2, direction="in")
    await finish(retention)
    assert len([seq for seq in seqs(journal) if seq <= 6000]) == 6000
    history = journal.store.query("SELECT sum(length(body)) FROM events WHERE seq > 6000")[0][0]
    assert limit * 0.25 < history < limit * 0.5


# -- what is owed


async def test_single_rows_that_are_owed_stay_below_the_floor_until_they_are_acknowledged(
    journal: Journal, world: World
) -> None:
    for number in range(6):
        await write(journal, f"to bob {number}", stream_id=1)
        await write(journal, f"from bob {number}", stream_id=1, direction="in")
        await write(journal, f"to carol {number}", stream_id=2)
    await owe(journal, 1, 4, 5)
    await owe(journal, 2, 0, 0)
    world.now += 20 * HOUR
    retention = by_age(journal, world, HOUR)
    await finish(retention)
    assert (journal.floor, seqs(journal)) == (18, [4, 7, 10, 13, 16])
    assert texts_of((await journal.page(0, 1)).entries) == [f"to bob {number}" for number in range(1, 6)]
    entry = await journal.entry(7)
    assert entry is not None
    assert texts_of([entry]) == ["to bob 2"]
    assert await journal.entry(6) is None
    await owe(journal, 1, 13, 2)
    await finish(retention)
    assert seqs(journal) == [13, 16]
    await owe(journal, 1, 0, 0)
    await finish(retention)
    assert seqs(journal) == []
    assert on_disk(journal) == 18


async def test_what_was_given_up_goes_also_behind_what_is_owed(journal: Journal, world: World) -> None:
    await write(journal, *"abcdef")
    await owe(journal, 1, 1, 5)
    outcome = "INSERT INTO outcomes (seq, topic, state, final) VALUES (?, 1, 'cancelled', ?)"
    for seq, final in ((2, 1), (3, 0), (5, 0)):
        await journal.execute(outcome, seq, final).wait()
    world.now += 20 * HOUR
    retention = by_age(journal, world, HOUR)
    await finish(retention)
    assert (journal.floor, seqs(journal)) == (6, [1, 3, 4, 5, 6])
    await journal.execute("UPDATE outcomes SET final = 1 WHERE seq = 5").wait()
    await finish(retention)
    assert seqs(journal) == [1, 3, 4, 6]
    assert journal.store.query("SELECT seq FROM outcomes") == [(3,)]


async def test_what_other_tables_say_of_an_event_goes_with_it(journal: Journal, world: World) -> None:
    await write(journal, *"abcd")
    await owe(journal, 1, 3, 2)
    for seq in range(1, 5):
        journal.execute("INSERT INTO expiries (seq, topic, at, bytes) VALUES (?, 1, 0, 0)", seq)
        journal.execute("INSERT INTO keys (key, seq, topic, digest) VALUES (?, ?, 1, x'00')", f"key {seq}", seq)
    await journal.execute("INSERT INTO outcomes (seq, topic, state, final) VALUES (1, 1, 'expired', 1)").wait()
    world.now += 20 * HOUR
    retention = by_age(journal, world, HOUR)
    await finish(retention)
    left = [[seq for (seq,) in journal.store.query(f"SELECT seq FROM {name}")] for name in ("expiries", "keys")]
    assert left == [[3, 4], [3, 4]]
    assert journal.store.query("SELECT seq FROM outcomes") == []
    await owe(journal, 1, 0, 0)
    await finish(retention)
    assert journal.store.query("SELECT seq FROM expiries UNION ALL SELECT seq FROM keys") == []


@pytest.mark.parametrize("stream_ids", [2, 300])
async def test_what_former_runs_kept_goes_too_once_nobody_is_owed_it(
    tmp_path: Path, world: World, stream_ids: int
) -> None:
    async with running(open_journal(tmp_path, world)) as journal:
        for stream_id in range(1, stream_ids + 1):
            journal.append(said(f"to {stream_id}"), stream_id, "out")
            journal.execute(BOX, stream_id, stream_id, 1, 0)
        await journal.settled()
        world.now += 20 * HOUR
        await finish(by_age(journal, world, HOUR))
        assert len(seqs(journal)) == stream_ids
    async with running(open_journal(tmp_path, world)) as journal:
        await journal.execute("DELETE FROM outboxes WHERE topic > 1").wait()  # they are forgotten
        await finish(by_age(journal, world, HOUR))
        assert seqs(journal) == [1]


@pytest.mark.deadline(100)
@pytest.mark.parametrize("count", [60_000, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_rows_that_are_owed_below_the_floor_cost_a_step_nothing(
    journal: Journal, world: World, count: int
) -> None:
    await journal.ask(lambda store: store.query(MANY, count, int(world.now * 1000)))
    journal.committed = journal.appended = count
    await owe(journal, 1, 1, count // 2)
    world.now += 20 * HOUR
    retention = by_age(journal, world, HOUR)
    assert count // ROWS < await finish(retention) < count // ROWS + 10
    assert (journal.floor, journal.store.query("SELECT count(*) FROM events")) == (count, [(count // 2,)])
    idle = await work_of(journal, retention)
    await owe(journal, 1, count - 99, 50)
    moved = await work_of(journal, retention)
    await finish(retention)
    assert journal.store.query("SELECT count(*) FROM events") == [(50,)]
    assert idle < moved / 50


async def work_of(journal: Journal, retention: Retention) -> int:
    """The work of SQLite for one step, in hundreds of its instructions."""
    with counting_work(journal.store) as done:
        await retention.step()
    return len(done)


# -- what goes wrong


async def test_on_a_disk_that_cannot_be_written_nothing_goes_until_it_can(journal: Journal, world: World) -> None:
    await write(journal, *"abc")
    world.now += 20 * HOUR
    retention = by_age(journal, world, HOUR)
    journal.store.query("PRAGMA query_only = 1")
    assert not await retention.step()
    assert (journal.floor, seqs(journal)) == (0, [1, 2, 3])
    journal.store.query("PRAGMA query_only = 0")
    await finish(retention)
    assert (journal.floor, seqs(journal)) == (3, [])


async def test_the_floor_is_known_before_anybody_reads_though_who_asked_is_gone(journal: Journal, world: World) -> None:
    await write(journal, *"abc")
    world.now += 20 * HOUR
    retention = by_age(journal, world, HOUR)
    world.hold()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(retention.step)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    world.let_go()
    assert (await journal.page(0)).entries == []
    assert journal.floor == 3


async def test_a_commit_goes_before_the_next_step(journal: Journal, world: World) -> None:
    await write(journal, *("x" for _ in range(3 * ROWS)))
    world.now += 20 * HOUR
    retention = by_age(journal, world, HOUR)
    await retention.step()
    batch = journal.append(said("new"))
    assert await retention.step()
    assert batch.done
    assert journal.floor == 2 * ROWS


def test_the_floor_of_a_store_counts_as_given(stores: Callable[[Path], Store], path: Path) -> None:
    store = stores(path)
    store.add_epoch("aaaaaaaa", 1)
    store.query("UPDATE floor SET seq = 7")
    assert store.last_seq() == 7


def epochs_of(journal: Journal) -> list[str]:
    return [epoch for (epoch,) in journal.store.query("SELECT epoch FROM epochs ORDER BY ord")]


async def test_epochs_of_which_nothing_is_left_go_with_the_floor(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(epochs_module, "KEPT", 1)
    started = list[str]()
    for number in range(6):
        async with running(open_journal(tmp_path, world)) as journal:
            started.append(journal.epoch)
            await write(journal, f"{number}", stream_id=number)
            if number == 2:
                await owe(journal, 2, 3, 1)
    world.now += 61
    async with running(open_journal(tmp_path, world)) as journal:
        started.append(journal.epoch)
        await write(journal, "young")
        await finish(by_age(journal, world, 60))
        assert (journal.floor, seqs(journal)) == (6, [3, 7])
        assert epochs_of(journal) == started[1:]  # the third has a row that is owed, and one more is kept
        assert journal.position(3) == f"{started[2]}:3"
        with pytest.raises(ControlError, match="not in this journal"):
            journal.resolve(f"{started[0]}:1")
        await journal.execute("UPDATE outboxes SET messages = 0").wait()
        monkeypatch.setattr(journal.store, "transaction", full)
        assert await by_age(journal, world, 60).step() is False
        assert epochs_of(journal) == started[1:]
        assert journal.resolve(f"{started[1]}:2") == 2
        monkeypatch.undo()
        monkeypatch.setattr(epochs_module, "KEPT", 1)
        await finish(by_age(journal, world, 60))
        assert epochs_of(journal) == started[4:]
        assert [journal.position(seq) for seq in (0, 5, 6, 7)] == [
            f"{started[place]}:{seq}" for place, seq in ((4, 0), (4, 5), (5, 6), (6, 7))
        ]
    async with running(open_journal(tmp_path, world)) as journal:
        assert epochs_of(journal) == [*started[4:], journal.epoch]
        assert journal.committed == 7
        assert journal.resolve(f"{started[4]}:0") == 0


def full(*_: object) -> NoReturn:
    raise DiskFull("no room")
