"""Events to a client: each once, in order, from the requested start."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from chatd.api.events import Gap, PeerUp
from chatd.control.selection import Selection
from chatd.control.subscription import CHUNK_BYTES, Subscription
from chatd.journal.batch import StreamIds
from chatd.journal.conditions import ANYTHING, Condition
from chatd.journal.journal import PAGE_ROWS, Page
from chatd.runtime import parse_stamp, stamp
from tests.harness.cases import cases
from tests.harness.control_node import Client, FakeLink, Refused, Stand, request, result_of, standing


async def texts(client: Client, count: int) -> list[str]:
    return [(await client.event())["event"]["text"] for _ in range(count)]


async def quiet(client: Client) -> bool:
    """No unread event has arrived: the next line is a response."""
    await client.ask("whoami")
    return not client.events


async def test_now_is_after_everything_committed(stand: Stand, client: Client) -> None:
    await stand.say("old")
    subscribed = await client.ask("subscribe")
    assert subscribed["position"] == stand.journal.position(stand.journal.committed)
    assert subscribed["snapshot"] == await client.ask("list")
    await stand.say("new")
    note = await client.event()
    assert note["subscription"] == subscribed["subscription"]
    assert note["replay"] is False
    assert note["event"]["text"] == "new"
    assert note["event"]["peer"]["name"] == "bob"


async def test_start_replays_and_then_follows(stand: Stand, client: Client) -> None:
    await stand.say("one", "two")
    await client.ask("subscribe", from_="start")
    await stand.say("three")
    notes = [await client.event() for _ in range(4)]
    assert [note["event"]["type"] for note in notes] == ["peer.up", "message", "message", "message"]
    assert [note["replay"] for note in notes] == [True, True, True, False]


async def test_a_position_is_resumed_behind_it(stand: Stand, client: Client) -> None:
    positions = await stand.say("one", "two", "three")
    await client.ask("subscribe", from_={"position": positions[0]})
    assert await texts(client, 2) == ["two", "three"]


async def test_the_position_of_a_subscription_can_be_resumed(stand: Stand, client: Client) -> None:
    await stand.say("one")
    subscribed = await client.ask("subscribe")
    await stand.say("two")
    await client.ask("subscribe", from_={"position": subscribed["position"]})
    assert await texts(client, 2) == ["two", "two"]


async def test_since_is_a_point_in_time(stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = stand.runtime.wall()
    for seconds, text in ((now + 10, "early"), (now + 20, "exact"), (now + 30, "late")):
        monkeypatch.setattr(stand.runtime, "wall", lambda at=seconds: at)
        await stand.say(text)
    since = stamp(int(parse_stamp(stamp(now + 20)) * 1000) / 1000)
    await client.ask("subscribe", from_={"since": since})
    assert await texts(client, 2) == ["exact", "late"]


async def test_last_counts_what_matches(stand: Stand, client: Client) -> None:
    await stand.say("one", "two", "three")
    stand.registry.link_up(stand.registry.native("c" * 52, "carol", "x:1"), FakeLink())
    await stand.journal.settled()
    await client.ask("subscribe", from_={"last": 2}, filter={"types": ["message"]})
    assert await texts(client, 2) == ["two", "three"]
    await client.ask("subscribe", from_={"last": 0})
    await client.ask("subscribe", from_={"last": 99}, filter={"types": ["message"]})
    assert await texts(client, 3) == ["one", "two", "three"]
    assert await quiet(client)


async def test_a_start_that_is_none_is_refused(stand: Stand, client: Client) -> None:
    for start in cases(
        [
            "then",
            {},
            {"last": -1},
            {"last": 1, "since": "2026-01-01T00:00:00Z"},
            {"since": "yesterday"},
            {"other": 1},
            5,
        ]
    ):
        with pytest.raises(Refused) as caught:
            await client.ask("subscribe", from_=start)
        assert caught.value.code == -32602


async def test_a_position_of_nowhere_is_gone(stand: Stand, client: Client) -> None:
    for position in cases(["", "x", "x:1", "EPOCH:00", "EPOCH:99", "EPOCH:-1", "EPOCH:1x", "EPOCH:" + "9" * 5000]):
        with pytest.raises(Refused) as caught:
            await client.ask("subscribe", from_={"position": position.replace("EPOCH", stand.journal.epoch)})
        assert caught.value.kind == "cursor_gone"


async def test_filters_are_all_to_be_met_and_a_gap_always_is(stand: Stand, client: Client) -> None:
    carol = stand.registry.native("c" * 52, "carol", "x:1")
    stand.registry.link_up(carol, FakeLink())
    await client.ask("subscribe", filter={"types": ["message"], "direction": "in", "peer": "carol"})
    await stand.say("from bob")
    await client.ask("send", peer="carol", text="to carol")
    stand.journal.append(PeerUp(peer=carol.ref, address="x:1", direction="in"), carol.stream_id)
    stand.journal.append(Gap(peer=carol.ref, after=None, through="x:5"), carol.stream_id)
    await stand.say("from carol", peer=carol)
    assert (await client.event())["event"]["type"] == "gap"
    assert await texts(client, 1) == ["from carol"]


async def test_a_filter_that_is_none_is_refused(stand: Stand, client: Client) -> None:
    for wanted, kind in cases(
        [
            ({"types": ["messages"]}, "invalid_params"),
            ({"direction": "up"}, "invalid_params"),
            ({"peer": "nobody"}, "unknown_peer"),
            ({"colour": "red"}, "invalid_params"),
        ]
    ):
        with pytest.raises(Refused) as caught:
            await client.ask("subscribe", filter=wanted)
        assert caught.value.kind == kind
        if "types" in wanted:
            assert caught.value.data["hint"] == "did you mean message?"


async def test_the_answer_comes_before_the_first_event(stand: Stand, client: Client) -> None:
    await stand.say(*(str(number) for number in range(2000)))
    await client.write(request("send", 1, peer=0, text="x") + request("subscribe", 2, from_="start"))
    lines = await client.lines(5)
    assert [line.get("id") for line in lines[:2]] == [1, 2]
    assert all(line["method"] == "event" for line in lines[2:])


async def test_a_subscription_starts_before_the_next_request(stand: Stand, client: Client) -> None:
    await client.write(request("subscribe", 1) + request("send", 2, peer=0, text="mine"))
    lines = await client.lines(3)
    assert [line.get("id") for line in lines].count(None) == 1
    assert next(line for line in lines if "method" in line)["params"]["event"]["text"] == "mine"


@pytest.mark.parametrize(
    ("start", "tail"),
    [("start", "disk"), ({"last": 5}, "memory"), ({"position": 0}, "disk"), ({"since": 0}, "memory")],
    ids=str,
)
async def test_no_event_is_missed_or_doubled_under_concurrent_commits(short_path: Path, start: Any, tail: str) -> None:
    settings = {"tail_bytes": 65536} if tail == "disk" else {}
    async with standing(short_path, **settings) as stand:
        began = stamp(stand.runtime.wall() - 1)
        first = (await stand.say(*(f"old {number}" for number in range(300))))[0]
        client = await stand.connect()
        if isinstance(start, dict):
            start = {name: {"position": first, "since": began, "last": 5}[name] for name in start}
        async with client.stream, trio.open_nursery() as nursery:

            async def keep_saying() -> None:
                for round_ in range(60):
                    await stand.say(*(f"new {round_}.{number}" for number in range(20)))
                await stand.say("end")

            nursery.start_soon(keep_saying)
            subscribed = await client.ask("subscribe", from_=start, filter={"types": ["message"]})
            notes: list[dict[str, Any]] = []
            while not notes or notes[-1]["event"]["text"] != "end":
                notes.append(await client.event())
        seqs = [int(note["event"]["position"].partition(":")[2]) for note in notes]
        assert seqs == list(range(seqs[0], stand.journal.committed + 1))
        boundary = int(subscribed["position"].partition(":")[2])
        assert [note["replay"] for note in notes] == [seq <= boundary for seq in seqs]
        if start == {"last": 5}:
            assert sum(note["replay"] for note in notes) == 5


async def test_a_slow_reader_gets_everything_in_chunks(stand: Stand, client: Client) -> None:
    count = 200
    await stand.say(*("x" * 16_000 + str(number) for number in range(count)))
    assert count * 16_000 > 4 * CHUNK_BYTES
    await client.ask("subscribe", from_="start", filter={"types": ["message"]})
    received = await texts(client, count)
    assert [text[16_000:] for text in received] == [str(number) for number in range(count)]


async def test_an_event_over_the_size_of_a_chunk_is_a_chunk(stand: Stand, client: Client) -> None:
    await stand.say("x" * (CHUNK_BYTES + 1), "y" * (CHUNK_BYTES + 1), "z")
    await client.ask("subscribe", from_="start", filter={"types": ["message"]})
    assert [text[0] for text in await texts(client, 3)] == ["x", "y", "z"]


async def test_subscriptions_take_turns(stand: Stand, client: Client) -> None:
    """Both have more than a chunk to read; neither waits until the other is done."""
    await stand.say(*("x" * 10_000 for _ in range(200)))
    await client.write(request("subscribe", 1, from_="start") + request("subscribe", 2, from_="start"))
    order = []
    for _ in range(2 + 402):
        line = await client.line()
        assert line is not None
        if "method" in line:
            order.append(line["params"]["subscription"])
    assert sorted(order) == [1] * 201 + [2] * 201
    assert order.index(2) < 200


async def test_after_unsubscribe_no_event_follows(stand: Stand, client: Client) -> None:
    await stand.say(*("x" * 1000 for _ in range(3000)))
    number = (await client.ask("subscribe", from_="start"))["subscription"]
    other = (await client.ask("subscribe"))["subscription"]
    assert await client.ask("unsubscribe", subscription=number) == {}
    client.events.clear()
    await stand.say("for the other")
    note = await client.event()
    assert (note["subscription"], note["event"]["text"]) == (other, "for the other")
    await client.ask("unsubscribe", subscription=other)
    assert not stand.journal._watchers
    with pytest.raises(Refused):
        await client.ask("unsubscribe", subscription=number)


@pytest.mark.parametrize("stand", [{"requests_per_session": 3}], indirect=True)
async def test_a_session_has_so_many_subscriptions_and_no_more(stand: Stand, client: Client) -> None:
    for _ in range(3):
        await client.ask("subscribe")
    with pytest.raises(Refused) as caught:
        await client.ask("subscribe")
    assert caught.value.kind == "rate_limited"


async def test_a_subscription_without_an_id_works_too(stand: Stand, client: Client) -> None:
    await client.write(request("subscribe", from_="start"))
    assert (await client.event())["event"]["type"] == "peer.up"


async def test_an_idle_topic_is_followed_across_what_memory_has_let_go(short_path: Path) -> None:
    async with standing(short_path, tail_bytes=65536) as stand:
        carol = stand.registry.native("c" * 52, "carol", "x:1")
        client = await stand.connect()
        async with client.stream:
            await client.ask("subscribe", filter={"peer": "carol"})
            await stand.say(*("x" * 1000 for _ in range(500)))
            await stand.say("from carol", peer=carol)
            assert await texts(client, 1) == ["from carol"]


async def test_results_of_the_snapshot_name_the_peers(stand: Stand, client: Client) -> None:
    answer = await client.answer(await client.post("subscribe"))
    assert [peer["name"] for peer in result_of(answer)["snapshot"]["peers"]] == ["bob"]


# -- below the floor


async def lose(stand: Stand, position: str) -> None:
    """Delete everything up to that seq, as retention does."""
    seq = stand.journal.resolve(position)
    await stand.journal.ask(lambda store: store.query("DELETE FROM events WHERE seq <= ?", seq))
    stand.journal.raise_floor(seq)


def is_gap(event: dict[str, Any], after: str, through: str) -> bool:
    told = {name: event[name] for name in ("type", "position", "peer", "after", "through")}
    return told == {"type": "gap", "position": through, "peer": None, "after": after, "through": through}


@pytest.mark.parametrize("tail", ["memory", "disk"])
async def test_a_position_below_the_floor_is_a_gap_and_goes_on_behind_it(short_path: Path, tail: str) -> None:
    async with standing(short_path, **({"tail_bytes": 65536} if tail == "disk" else {})) as stand:
        positions = await stand.say(*(str(number) + "x" * 1000 for number in range(300)))
        await lose(stand, positions[100])
        client = await stand.connect()
        async with client.stream:
            filtered = {"types": ["message"], "direction": "in", "peer": "bob"}
            await client.ask("subscribe", from_={"position": positions[40]}, filter=filtered)
            note = await client.event()
            assert note["replay"] is True
            assert is_gap(note["event"], positions[40], positions[100])
            assert abs(parse_stamp(note["event"]["at"]) - stand.runtime.wall()) < 60
            assert (await texts(client, 1))[0].startswith("101x")
            await client.ask("subscribe", from_={"position": positions[100]})
            while (note := await client.event())["subscription"] == 1:
                continue
            assert note["event"]["text"].startswith("101x")


@pytest.mark.parametrize("start", ["start", {"last": 99}, {"since": "2000-01-01T00:00:00Z"}], ids=str)
async def test_who_asks_for_all_there_is_gets_that_and_no_gap(stand: Stand, client: Client, start: Any) -> None:
    positions = await stand.say("one", "two", "three")
    await lose(stand, positions[0])
    subscribed = await client.ask("subscribe", from_=start)
    assert subscribed["after"] == positions[0]
    assert await texts(client, 2) == ["two", "three"]


async def test_a_reader_of_a_peer_that_is_silent_for_long_has_no_gap(stand: Stand) -> None:
    """The floor follows the newest event, and each of its steps moves the reader."""
    carol = stand.registry.native("c" * 52, "carol", "10.0.0.3:7420")
    client = await stand.connect()
    async with client.stream:
        floor = (await stand.say("0"))[0]
        await client.ask("subscribe", filter={"peer": "carol"})
        for _ in range(3):
            newest = (await stand.say("one", "two"))[-1]
            await lose(stand, floor)
            await trio.testing.wait_all_tasks_blocked(0.01)
            floor = newest
        await lose(stand, floor)
        await stand.say("from carol", peer=carol)
        note = await client.event()
        assert (note["event"]["type"], note["event"].get("text")) == ("message", "from carol")


async def test_a_reader_that_is_overtaken_by_the_floor_is_told(stand: Stand, client: Client) -> None:
    """Also if the floor rises while a page is read."""
    positions = await stand.say("one", "two", "three")
    read = stand.journal.read

    async def slow_read(
        after: int, stream_id: StreamIds = None, limit: int = PAGE_ROWS, where: Condition = ANYTHING
    ) -> Page:
        page = await read(after, stream_id, limit, where)
        stand.journal.read = read  # type: ignore[method-assign]
        await lose(stand, positions[1])
        return page

    stand.journal.read = slow_read  # type: ignore[method-assign]
    subscribed = await client.ask("subscribe", from_="start", filter={"types": ["message"]})
    assert is_gap((await client.event())["event"], subscribed["after"], positions[1])
    assert await texts(client, 1) == ["three"]


async def test_a_gap_across_the_boundary_is_one(stand: Stand) -> None:
    """All replay, and more, is deleted before it is read."""
    positions = await stand.say("one", "two")
    selection, boundary = Selection.new(stand.node, None), stand.journal.committed
    reader = Subscription(stand.journal, stand.runtime, 1, selection, 0, boundary, None)
    positions += await stand.say("three", "four")
    await lose(stand, positions[2])
    gap, four = [json.loads(line)["params"] for _ in range(2) for line in (await reader.pull()).splitlines()]
    assert is_gap(gap["event"], stand.journal.position(0), positions[2])
    assert (four["event"]["text"], gap["replay"], four["replay"]) == ("four", True, False)


async def test_the_position_before_the_first_event_is_one_too(stand: Stand, client: Client) -> None:
    """It is the value of `after` in a new journal."""
    subscribed = await client.ask("subscribe", from_="start")
    assert subscribed["after"] == stand.journal.epoch + ":0"
    await client.ask("subscribe", from_={"position": subscribed["after"]})
    assert [(await client.event())["event"]["type"] for _ in range(2)] == ["peer.up"] * 2


async def test_history_tells_of_a_gap_and_counts_it(stand: Stand, client: Client) -> None:
    positions = await stand.say("one", "two", "three", "four")
    await lose(stand, positions[1])
    page = await client.ask("history", from_={"position": positions[0]}, n=2, until="2000-01-01T00:00:00Z")
    assert [event["type"] for event in page["events"]] == ["gap"]
    page = await client.ask("history", from_={"position": positions[0]}, n=2, filter={"types": ["peer.up"]})
    assert is_gap(page["events"][0], positions[0], positions[1])
    page = await client.ask("history", from_={"position": positions[0]}, n=2)
    assert is_gap(page["events"][0], positions[0], positions[1])
    assert page["events"][1]["text"] == "three"
    assert page["next"] == positions[2]
    page = await client.ask("history", n=100, filter={"types": ["message"]})
    assert [event["text"] for event in page["events"]] == ["three", "four"]


async def test_history_is_read_up_to_a_floor_that_is_beyond_it(stand: Stand, client: Client) -> None:
    positions = await stand.say("one", "two")
    await lose(stand, positions[1])
    page = await client.ask("history", from_={"position": positions[0]})
    assert is_gap(page["events"][0], positions[0], positions[1])
    assert page["next"] is None
