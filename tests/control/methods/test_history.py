"""`history`; sending is tested in test_sending.py and with the session."""

from typing import Any

import pytest
import trio

from chatd.api.events import Gap
from chatd.control.methods.history import PAGE_BYTES
from chatd.journal import store as store_module
from chatd.runtime import stamp
from tests.harness.cases import cases
from tests.harness.control_node import Client, Refused, Stand
from tests.harness.sessions import sessions_left

ONLY = {"types": ["message"]}


def texts(page: dict[str, Any]) -> list[str]:
    return [event["text"] for event in page["events"]]


async def paged(client: Client, **params: Any) -> list[dict[str, Any]]:
    """All pages, read one after the other."""
    pages = [await client.ask("history", **params)]
    while pages[-1]["next"] is not None:
        left = params["n"] - sum(len(page["events"]) for page in pages)
        pages.append(await client.ask("history", **params | {"from_": {"position": pages[-1]["next"]}, "n": left}))
    return pages


async def test_without_a_start_it_is_the_newest_oldest_first(stand: Stand, client: Client) -> None:
    await stand.say("one", "two", "three")
    page = await client.ask("history", n=2)
    assert texts(page) == ["two", "three"]
    assert page["next"] is None


async def test_it_ends_with_what_was_committed(stand: Stand, client: Client) -> None:
    page = await client.ask("history")
    assert [event["type"] for event in page["events"]] == ["peer.up"]
    assert page["next"] is None


@pytest.mark.parametrize("start", ["start", None])
async def test_pages_are_bounded_and_give_everything_once(stand: Stand, client: Client, start: Any) -> None:
    count = 60
    await stand.say(*(f"{number} " + "x" * 16_000 for number in range(count)))
    pages = await paged(client, n=count + 10, filter=ONLY, **({"from_": start} if start else {}))
    assert len(pages) >= count * 16_000 // PAGE_BYTES
    assert [text.split()[0] for page in pages for text in texts(page)] == [str(number) for number in range(count)]


async def test_next_leads_on_from_a_start(stand: Stand, client: Client) -> None:
    await stand.say("one", "two", "three")
    first = await client.ask("history", from_="start", n=2, filter=ONLY)
    assert texts(first) == ["one", "two"]
    second = await client.ask("history", from_={"position": first["next"]}, n=2, filter=ONLY)
    assert (texts(second), second["next"]) == (["three"], None)
    none = await client.ask("history", from_={"position": first["next"]}, n=0)
    assert none == {"events": [], "next": None}


async def test_one_event_over_the_size_of_a_page_is_a_page(stand: Stand, client: Client) -> None:
    await stand.say("x" * PAGE_BYTES, "y")
    pages = await paged(client, from_="start", n=10, filter=ONLY)
    assert [len(page["events"]) for page in pages] == [1, 1]


async def test_from_since_and_until(stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    base = int(stand.runtime.wall()) + 100
    for seconds in range(5):
        monkeypatch.setattr(stand.runtime, "wall", lambda at=base + seconds: float(at))
        await stand.say(str(seconds))
    page = await client.ask("history", from_={"since": stamp(base + 1)}, until=stamp(base + 4))
    assert texts(page) == ["1", "2", "3"]
    assert texts(await client.ask("history", until=stamp(base + 3), n=2)) == ["1", "2"]
    assert texts(await client.ask("history", from_={"last": 2})) == ["3", "4"]


async def test_a_filter_by_peer_and_direction(stand: Stand, client: Client) -> None:
    carol = stand.registry.native("c" * 52, "carol", "x:1")
    await stand.say("from bob")
    await stand.say("from carol", peer=carol)
    await client.ask("send", peer="bob", text="to bob")
    assert texts(await client.ask("history", filter={"peer": "bob", "direction": "in"})) == ["from bob"]
    assert texts(await client.ask("history", filter={"peer": "bob", "direction": "out"})) == ["to bob"]
    assert texts(await client.ask("history", filter={"peer": carol.slot, "types": ["message"]})) == ["from carol"]


async def test_a_gap_is_always_shown(stand: Stand, client: Client) -> None:
    stand.journal.append(Gap(peer=None, after=None, through="x:5"))
    await stand.journal.settled()
    page = await client.ask("history", filter=ONLY)
    assert [event["type"] for event in page["events"]] == ["gap"]


async def test_a_filter_that_matches_little_looks_at_everything(stand: Stand, client: Client) -> None:
    await stand.say("needle", *("hay" for _ in range(3000)))
    await client.ask("send", peer=0, text="pin")
    page = await client.ask("history", from_="start", n=1, filter={"types": ["message"], "direction": "out"})
    assert texts(page) == ["pin"]


@pytest.mark.parametrize("stand", [{"tail_bytes": 65536}], indirect=True)
async def test_it_reads_what_memory_has_let_go(stand: Stand, client: Client) -> None:
    await stand.say(*(f"{number} " + "x" * 200 for number in range(2000)))
    pages = await paged(client, from_="start", n=2000, filter=ONLY)
    assert [text.split()[0] for page in pages for text in texts(page)] == [str(number) for number in range(2000)]


@pytest.mark.parametrize(("look", "start"), [("page", "start"), ("page_back", {"last": 5})])
@pytest.mark.parametrize("stand", [{"tail_bytes": 65536}], indirect=True)
async def test_of_many_events_only_those_that_are_asked_for_are_read_from_disk(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch, look: str, start: Any
) -> None:
    await stand.say(*map(str, range(1000)))
    rows, read = list[int](), getattr(stand.store, look)

    def counted(*args: Any, **kwargs: Any) -> Any:
        found = read(*args, **kwargs)
        rows.append(len(found[0]))
        return found

    monkeypatch.setattr(stand.store, look, counted)
    page = await client.ask("history", from_=start, n=5, filter={"types": ["peer.up"]})
    assert [event["type"] for event in page["events"]] == ["peer.up"]
    assert 1 <= sum(rows) < 10


async def test_what_makes_no_sense_is_refused(stand: Stand, client: Client) -> None:
    for params in cases([{"n": -1}, {"until": "soon"}, {"from_": "then"}, {"n": 1.5}, {"n": "2"}, {"filter": []}]):
        with pytest.raises(Refused) as caught:
            await client.ask("history", **params)
        assert caught.value.kind == "invalid_params"


async def test_it_shows_the_states_that_messages_have_now(stand: Stand, client: Client) -> None:
    ids = [(await client.ask("send", peer="bob", text=text))["id"] for text in ("1", "2", "3", "4")]
    await client.ask("cancel", id=ids[3])
    first, second = (stand.journal.resolve(message_id) for message_id in ids[:2])
    stand.bob.delivery.mark_written(second)
    assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, first)
    await stand.say("from bob")
    events = (await client.ask("history", filter=ONLY))["events"]
    states = [event.get("state") for event in events]
    assert states == ["delivered", "sent", "queued", "cancelled", None]
    assert [(await client.ask("msg", id=event["id"]))["message"] for event in events[:4]] == events[:4]


@pytest.mark.parametrize("params", [{}, {"from_": "start"}, {"until": "2001-01-01T00:00:00Z", "from_": "start"}])
@pytest.mark.parametrize("stand", [{"tail_bytes": 65536}], indirect=True)
async def test_a_search_that_finds_nothing_ends_with_its_client(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, params: dict[str, Any]
) -> None:
    await stand.say(*map(str, range(1000)))
    monkeypatch.setattr(store_module, "EXAMINED_ROWS", 1)
    looks, first = 0, trio.Event()
    last_to_examine, token = stand.store._last_to_examine, trio.lowlevel.current_trio_token()

    def counted(*args: Any, **kwargs: Any) -> int:
        nonlocal looks
        looks += 1
        token.run_sync_soon(first.set)
        return last_to_examine(*args, **kwargs)

    monkeypatch.setattr(stand.store, "_last_to_examine", counted)
    client = await stand.connect()
    async with client.stream:
        await client.post("history", n=10, filter={"direction": "out"}, **params)
        await first.wait()
    await sessions_left(stand)
    await stand.journal.responds()
    assert looks < 900
    before = looks
    await stand.journal.responds()
    assert looks == before
