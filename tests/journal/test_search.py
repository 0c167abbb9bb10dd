import random

from chatd.api.events import Gap, Message
from chatd.journal import search
from chatd.journal.batch import Entry
from chatd.journal.journal import Journal
from chatd.journal.rawjson import names_room, room_field
from chatd.journal.search import HEAD_ROWS, CountRequest, seek_last, seek_time
from tests.harness.parts import ELSEWHERE, World, said


async def test_a_point_in_time_is_found(journal: Journal, world: World) -> None:
    start = world.now
    assert await seek_time(journal, start) == 0
    for number in range(40):
        world.now = start + number // 2
        journal.append(said(str(number)))
        await journal.settled()
    assert await seek_time(journal, start - 5) == 0
    assert await seek_time(journal, start) == 0
    assert await seek_time(journal, start + 0.001) == 2
    assert await seek_time(journal, start + 7) == 14
    assert await seek_time(journal, start + 19) == 38
    assert await seek_time(journal, start + 20) == 40


async def test_nothing_is_found_below_the_floor(journal: Journal, world: World) -> None:
    start = world.now
    for number in range(40):
        world.now = start + number
        journal.append(said(str(number)), 1, "out")
    await journal.execute("UPDATE floor SET seq = 30").wait()
    await journal.execute("DELETE FROM events WHERE seq <= 30 AND seq > 5").wait()
    journal.floor = 30
    assert await seek_time(journal, start) == 30
    assert await seek_time(journal, start + 35) == 35
    assert await seek_last(journal, 5, lambda _: True) == 35
    assert await seek_last(journal, 20, lambda _: True, stream_id=1) == 30
    assert await seek_last(journal, 1, lambda _: False) == 40
    assert [await journal.entry(seq) is not None for seq in (4, 20, 40)] == [True, False, True]


async def test_the_last_matching_entries_are_found(journal: Journal) -> None:
    for number in range(1200):
        journal.append(said(str(number)), 1 + number % 2, "in" if number % 3 else "out")
    await journal.settled()
    assert await seek_last(journal, 0, lambda _: True) == 1200
    assert await seek_last(journal, 5, lambda _: True) == 1195
    assert await seek_last(journal, 1200, lambda _: True) == 0
    assert await seek_last(journal, 5000, lambda _: True) == 0
    out = await seek_last(journal, 300, lambda entry: entry.direction == "out")
    assert [entry.direction for entry in journal.recent(out) or []].count("out") == 300
    assert (journal.recent(out) or [])[0].direction == "out"
    of_topic = await seek_last(journal, 10, lambda _: True, stream_id=2)
    assert [entry.stream_id for entry in journal.recent(of_topic, 2) or []] == [2] * 10
    assert await seek_last(journal, 1, lambda _: False) == 1200


async def test_who_looks_at_heads_finds_what_is_in_a_room(journal: Journal) -> None:
    for number in range(HEAD_ROWS + 90):
        room = "lobby@bob" if number % 3 == 0 else None
        message = Message(direction="out", peer=ELSEWHERE, room=room, text='"room":"x"' + "y" * 2000)
        journal.append(message, number % 2 + 1, "out")
    await journal.settled()
    newest = journal.committed
    last = newest - (newest - 1) % 3

    def in_room(entry: Entry) -> bool:
        return names_room(entry.raw)

    assert await seek_last(journal, 1, in_room, heads=True) == last - 1
    assert await seek_last(journal, 190, in_room, heads=True) == last - 3 * 189 - 1
    assert await seek_last(journal, 2, in_room, (1, 2), heads=True) == last - 4
    assert await seek_last(journal, 1000, in_room, (1, 2, 9), heads=True) == 0
    assert await seek_last(journal, 1, in_room) == newest


def is_in(entry: Entry) -> bool:
    return entry.direction == "in"


def in_a_room(entry: Entry) -> bool:
    return names_room(entry.raw)


def in_lobby_or_second(entry: Entry) -> bool:
    return entry.stream_id == 2 or room_field("lobby@bob") in entry.raw


def is_gap(entry: Entry) -> bool:
    return entry.type == "gap"


async def fill(journal: Journal, count: int, seed: int) -> None:
    draw = random.Random(seed)
    for number in range(count):
        stream_id, direction = draw.choice([None, 1, 2, 3]), draw.choice(["in", "out"])
        if draw.random() < 0.1:
            journal.append(Gap(after=None, through="x:1"), stream_id)
        else:
            message = said(f'{number} "room":"lobby@bob"' + "x" * draw.choice([0, 2000]), direction)
            message.room = draw.choice([None, "lobby@bob", "lobby@b", "hall@bob"])
            journal.append(message, stream_id, direction)
    await journal.settled()


async def one_by_one(journal: Journal, asked: CountRequest) -> int:
    count, cursor = 0, max(asked.seq, journal.floor)
    while cursor < journal.committed:
        entries, cursor = await journal.page(cursor, asked.stream_id)
        count += sum(asked.match is None or asked.match(entry) for entry in entries)
    return count


async def test_every_one_is_counted_as_if_it_were_alone(journal: Journal, world: World) -> None:
    await fill(journal, 3 * search.STEP // 2, seed=3)
    draw = random.Random(4)
    asked = [
        CountRequest(
            draw.randrange(journal.committed + 1), draw.choice([None, 1, 2, 9]), draw.choice([None, is_in, is_gap])
        )
        for _ in range(40)
    ]
    assert await search.count(journal, asked) == [await one_by_one(journal, one) for one in asked]


async def test_what_is_in_rooms_is_counted_in_the_same_pass(journal: Journal, world: World) -> None:
    await fill(journal, 3 * search.HEAD_STEP // 2, seed=5)
    draw = random.Random(6)
    asked = [
        CountRequest(draw.randrange(journal.committed + 1), draw.choice([None, 1, (1, 2), (3, 9)]), match, heads=True)
        for match in [in_a_room, is_in, None] * 5
    ]
    asked += [CountRequest(draw.randrange(journal.committed), (1, 2), in_lobby_or_second, heads=True) for _ in range(5)]
    assert await search.count(journal, asked) == [await one_by_one(journal, one) for one in asked]


async def test_what_lies_below_the_floor_is_not_counted(journal: Journal) -> None:
    await fill(journal, 20, seed=1)
    journal.floor = 15
    assert await search.count(journal, [CountRequest(0, None, None), CountRequest(18, None, None)]) == [5, 2]


async def test_a_thousand_cost_one_pass(journal: Journal, world: World) -> None:
    await fill(journal, 2 * search.STEP, seed=2)
    world.calls = 0
    found = await search.count(journal, [CountRequest(number % 3, None, None) for number in range(1000)])
    assert found == [2 * search.STEP - number % 3 for number in range(1000)]
    assert world.calls <= 5


async def test_nobody_and_nothing_behind_cost_nothing(journal: Journal, world: World) -> None:
    await fill(journal, 20, seed=1)
    world.calls = 0
    assert await search.count(journal, []) == []
    assert await search.count(journal, [CountRequest(20, None, None), CountRequest(20, 1, None)]) == [0, 0]
    assert world.calls == 0
