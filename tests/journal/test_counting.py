"""Counting what lies behind many positions: the same as looking at every event for each of them."""

import random

from chatd.api.events import Gap
from chatd.journal import counting
from chatd.journal.batch import Entry
from chatd.journal.counting import CountRequest
from chatd.journal.journal import Journal
from chatd.journal.rawjson import names_room, room_field
from tests.harness.parts import World, said


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
    await fill(journal, 3 * counting.STEP // 2, seed=3)
    draw = random.Random(4)
    asked = [
        CountRequest(
            draw.randrange(journal.committed + 1), draw.choice([None, 1, 2, 9]), draw.choice([None, is_in, is_gap])
        )
        for _ in range(40)
    ]
    assert await counting.count(journal, asked) == [await one_by_one(journal, one) for one in asked]


async def test_what_is_in_rooms_is_counted_in_the_same_pass(journal: Journal, world: World) -> None:
    await fill(journal, 3 * counting.HEAD_STEP // 2, seed=5)
    draw = random.Random(6)
    asked = [
        CountRequest(draw.randrange(journal.committed + 1), draw.choice([None, 1, (1, 2), (3, 9)]), match, heads=True)
        for match in [in_a_room, is_in, None] * 5
    ]
    asked += [CountRequest(draw.randrange(journal.committed), (1, 2), in_lobby_or_second, heads=True) for _ in range(5)]
    assert await counting.count(journal, asked) == [await one_by_one(journal, one) for one in asked]


async def test_what_lies_below_the_floor_is_not_counted(journal: Journal) -> None:
    await fill(journal, 20, seed=1)
    journal.floor = 15
    assert await counting.count(journal, [CountRequest(0, None, None), CountRequest(18, None, None)]) == [5, 2]


async def test_a_thousand_cost_one_pass(journal: Journal, world: World) -> None:
    await fill(journal, 2 * counting.STEP, seed=2)
    world.calls = 0
    found = await counting.count(journal, [CountRequest(number % 3, None, None) for number in range(1000)])
    assert found == [2 * counting.STEP - number % 3 for number in range(1000)]
    assert world.calls <= 5


async def test_nobody_and_nothing_behind_cost_nothing(journal: Journal, world: World) -> None:
    await fill(journal, 20, seed=1)
    world.calls = 0
    assert await counting.count(journal, []) == []
    assert await counting.count(journal, [CountRequest(20, None, None), CountRequest(20, 1, None)]) == [0, 0]
    assert world.calls == 0
