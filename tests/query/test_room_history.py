"""`history` of a joined room: all messages in the order of the host, in pages of any size."""

import random
from typing import Any

import pytest

from chatd.control.methods.history import PAGE_BYTES
from chatd.query import room_history
from tests.harness.control_node import Client, Refused, Stand
from tests.harness.joined_room import EPOCH, Lobby

ONLY = {"room": "lobby@bob", "types": ["message"]}


@pytest.fixture
async def lobby(stand: Stand, client: Client) -> Lobby:
    made = Lobby(stand)
    await made.join(client)
    return made


async def say(client: Client, *texts: str) -> list[str]:
    return [(await client.ask("room.say", room="lobby", text=text))["id"] for text in texts]


async def history(client: Client, **params: Any) -> list[dict[str, Any]]:
    page = await client.ask("history", **{"filter": ONLY, **params})
    events: list[dict[str, Any]] = page["events"]
    return events


async def paged(client: Client, n: int, **params: Any) -> list[dict[str, Any]]:
    """All events, read in pages of `n`."""
    events, start = list[dict[str, Any]](), params.pop("from_", "start")
    while start is not None:
        page = await client.ask("history", from_=start, n=n, filter=ONLY, **params)
        assert len(page["events"]) <= n
        events += page["events"]
        start = {"position": page["next"]} if page["next"] is not None else None
    return events


def texts(events: list[dict[str, Any]]) -> list[str]:
    return [event["text"] for event in events]


async def test_what_we_said_stands_where_the_host_has_put_it(lobby: Lobby, client: Client) -> None:
    first, second = await say(client, "mine 1", "mine 2")
    await lobby.says("hers 1", "hers 2")
    await lobby.echoes(first)
    await lobby.says("hers 3")
    await lobby.echoes(second)
    events = await history(client)
    assert texts(events) == ["hers 1", "hers 2", "mine 1", "hers 3", "mine 2"]
    assert [event["room_position"] for event in events] == [f"{EPOCH}:{number}" for number in range(1, 6)]
    assert [event["id"] for event in events][2::2] == [first, second]
    assert [event.get("state") for event in events] == [None, None, "delivered", None, "delivered"]


async def test_what_has_not_come_back_stands_at_the_end_in_its_order(lobby: Lobby, client: Client) -> None:
    ids = await say(client, "mine 1", "mine 2", "mine 3")
    await lobby.says("hers 1")
    lobby.acknowledges()
    await lobby.echoes(ids[0])
    await lobby.says("hers 2")
    await say(client, "mine 4")
    events = await history(client)
    assert texts(events) == ["hers 1", "mine 1", "hers 2", "mine 2", "mine 3", "mine 4"]
    assert [event.get("state") for event in events][3:] == ["sent", "sent", "queued"]
    assert "room_position" not in events[3]


async def test_what_was_refused_or_taken_back_stands_where_that_was_told(lobby: Lobby, client: Client) -> None:
    ids = await say(client, "refused", "cancelled", "waiting")
    await lobby.says("hers 1")
    await lobby.refuses(ids[0], "there is no jane")
    await lobby.says("hers 2")
    await client.ask("cancel", id=ids[1])
    await lobby.says("hers 3")
    events = await history(client)
    assert texts(events) == ["hers 1", "refused", "hers 2", "cancelled", "hers 3", "waiting"]
    assert [event.get("state") for event in events][1::2] == ["rejected", "cancelled", "queued"]


async def test_direct_messages_with_the_host_are_not_in_the_room(lobby: Lobby, client: Client) -> None:
    await lobby.texts("direct in")
    cancelled = (await client.ask("send", peer="bob", text='"room":"lobby@bob"'))["id"]
    await client.ask("cancel", id=cancelled)
    await say(client, "mine")
    await lobby.says("elsewhere", room="hall")
    assert texts(await history(client)) == ["mine"]
    direct = await client.ask("history", filter={"peer": "bob", "types": ["message"]})
    assert texts(direct["events"]) == ["direct in", '"room":"lobby@bob"']
    newest = await client.ask("history", n=1, filter={"peer": "bob", "types": ["message"]})
    assert texts(newest["events"]) == ['"room":"lobby@bob"']


async def test_receipts_are_shown_to_those_who_ask_for_them(lobby: Lobby, client: Client) -> None:
    (ours,) = await say(client, "mine")
    await lobby.says("hers")
    await lobby.echoes(ours)
    await lobby.happens("topic", text="tea")
    types = ["message", "receipt"]
    events = await history(client, filter={**ONLY, "types": types})
    assert [event["type"] for event in events] == ["message", "message", "receipt"]
    assert [event["type"] for event in await history(client, filter={"room": "lobby@bob"})] == [
        *("message", "message", "room.topic")
    ]
    assert [event["type"] for event in await history(client, filter={**ONLY, "types": ["room.topic"]})] == [
        "room.topic"
    ]


async def test_the_direction_can_be_asked_for(lobby: Lobby, client: Client) -> None:
    (ours, _) = await say(client, "mine 1", "mine 2")
    await lobby.says("hers")
    await lobby.echoes(ours)
    assert texts(await history(client, filter={**ONLY, "direction": "in"})) == ["hers"]
    assert texts(await history(client, filter={**ONLY, "direction": "out"})) == ["mine 1", "mine 2"]
    assert texts(await history(client, filter={**ONLY, "direction": "out"}, n=1)) == ["mine 2"]


async def test_the_last_n_are_the_newest_in_the_order_of_the_room(lobby: Lobby, client: Client) -> None:
    ids = await say(client, "mine 1", "mine 2", "mine 3", "mine 4")
    await client.ask("cancel", id=(await client.ask("send", peer="bob", text="direct"))["id"])
    await lobby.says("hers 1")
    await lobby.echoes(ids[0], ids[1])
    everything = ["hers 1", "mine 1", "mine 2", "mine 3", "mine 4"]
    for n in range(7):
        assert texts(await history(client, n=n)) == everything[max(0, 5 - n) :]
        assert texts(await history(client, n=n, from_={"last": n})) == everything[max(0, 5 - n) :]
    assert await history(client, from_="now") == []


async def test_a_gap_is_told_in_its_place(lobby: Lobby, client: Client) -> None:
    await lobby.says("before")
    await lobby.misses(5)
    await lobby.says("behind")
    events = await history(client)
    assert [event["type"] for event in events] == ["message", "gap", "message"]
    assert (events[1]["room"], events[1]["after"], events[1]["through"]) == ("lobby@bob", f"{EPOCH}:1", f"{EPOCH}:6")


@pytest.mark.parametrize("n", [1, 3, 100])
async def test_pages_give_everything_once_though_it_comes_back_meanwhile(
    lobby: Lobby, client: Client, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two pages, unplaced messages come back, are rejected or cancelled, and both send more."""
    monkeypatch.setattr(room_history, "PAGE_ROWS", 5)
    monkeypatch.setattr(room_history, "MESSAGES_PER_READ", 3)
    draw, waiting, said = random.Random(n), list[str](), list[str]()

    async def something() -> None:
        choice = draw.random()
        if choice < 0.1:
            await client.ask("cancel", id=(await client.ask("send", peer="bob", text="direct"))["id"])
        elif choice < 0.4:
            said.append(f"mine {len(said)}")
            waiting.extend(await say(client, said[-1]))
        elif choice < 0.6 or not waiting:
            said.append(f"hers {len(said)}")
            await lobby.says(said[-1])
        elif choice < 0.9:
            await lobby.echoes(waiting.pop(0))
        elif choice < 0.95:
            await lobby.refuses(waiting.pop(0), "not in the room")
        else:
            await client.ask("cancel", id=waiting.pop(0))

    for _ in range(40):
        await something()
    events, at_least = list[dict[str, Any]](), list[str]()
    start: Any = "start"
    while start is not None:
        at_least = list(said) if len(said) < 80 else at_least
        page = await client.ask("history", from_=start, n=n, filter=ONLY)
        events += page["events"]
        start = {"position": page["next"]} if page["next"] is not None else None
        for _ in range(draw.randrange(4) if len(said) < 80 else 0):
            await something()
    assert len(set(texts(events))) == len(events)
    assert set(at_least) <= set(texts(events))
    everything = await history(client, n=1000)
    assert await paged(client, n) == everything
    for last in (1, 2, 10, 30):
        assert await history(client, n=last) == everything[-last:]


async def test_what_was_shown_at_the_end_is_not_shown_again_when_it_gets_its_place(
    lobby: Lobby, client: Client
) -> None:
    ids = await say(client, "mine 1", "mine 2", "mine 3")
    await client.ask("cancel", id=ids[2])
    start, told = {"position": (await client.ask("subscribe"))["after"]}, list[str]()
    await lobby.says("hers 1")
    for _ in range(2):
        page = await client.ask("history", from_=start, n=1, filter=ONLY)
        told += texts(page["events"])
        start = {"position": page["next"]}
    assert told == ["hers 1", "mine 1"]
    await lobby.says("hers 2")
    await lobby.echoes(*ids[:2])
    assert texts(await paged(client, 1, from_=start)) == ["hers 2", "mine 2"]


@pytest.mark.parametrize("before", [True, False])
async def test_what_comes_back_while_a_page_is_made_is_on_it_once(
    lobby: Lobby, client: Client, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    """Before or after unplaced messages are determined."""
    ids = await say(client, "mine 1", "mine 2")
    find = room_history.RoomHistory.unplaced

    async def unplaced(self: room_history.RoomHistory) -> list[int]:
        if before:
            await lobby.echoes(ids[0])
        found = await find(self)
        if not before:
            await lobby.echoes(ids[0])
        return found

    monkeypatch.setattr(room_history.RoomHistory, "unplaced", unplaced)
    page = await client.ask("history", from_="start", filter=ONLY)
    assert (texts(page["events"]), page["next"]) == (["mine 1", "mine 2"], None)


async def test_many_that_wait_are_given_in_pages_of_bounded_size(lobby: Lobby, client: Client) -> None:
    ids = await say(client, *(f"{number} " + "x" * 16_000 for number in range(40)))
    await lobby.echoes(ids[0])
    page = await client.ask("history", from_="start", n=1000, filter=ONLY)
    assert sum(len(event["text"]) for event in page["events"]) < 2 * PAGE_BYTES
    assert page["next"] is not None
    assert [text.split()[0] for text in texts(await paged(client, 1000))] == [str(number) for number in range(40)]


@pytest.mark.parametrize("stand", [{"tail_bytes": 65536}], indirect=True)
async def test_it_is_the_same_out_of_memory_and_from_disk(lobby: Lobby, client: Client) -> None:
    expected: list[str] = []
    for number in range(40):
        (ours,) = await say(client, f"mine {number} " + "x" * 1200)
        await lobby.says(f"hers {number} " + "x" * 1200)
        await lobby.echoes(ours)
        expected += [f"hers {number}", f"mine {number}"]
    assert [" ".join(text.split()[:2]) for text in texts(await history(client, n=1000))] == expected
    assert [" ".join(text.split()[:2]) for text in texts(await paged(client, 7))] == expected


async def test_what_retention_has_taken_is_not_told(stand: Stand, lobby: Lobby, client: Client) -> None:
    ids = await say(client, "mine 1", "mine 2")
    await lobby.says("hers 1")
    floor = stand.journal.committed
    await lobby.echoes(*ids)
    await stand.journal.execute("DELETE FROM events WHERE seq <= ?", floor).wait()
    stand.journal.raise_floor(floor)
    await lobby.says("hers 2")
    assert texts(await history(client, n=5))[-1:] == ["hers 2"]


async def test_a_next_of_nowhere_is_gone(stand: Stand, lobby: Lobby, client: Client) -> None:
    here = stand.journal.position(stand.journal.committed)
    for position in (f"{here}+", f"{here}+x", f"{here}+{'9' * 20}", f"{here}+1+1", "+1"):
        with pytest.raises(Refused) as caught:
            await history(client, from_={"position": position})
        assert caught.value.kind == "cursor_gone"
