from chatd.api.events import Message
from chatd.journal.batch import Entry
from chatd.journal.journal import Journal
from chatd.journal.rawjson import names_room
from chatd.journal.search import HEAD_ROWS, seek_last, seek_time
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
