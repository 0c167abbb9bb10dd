"""Consumers over real sockets: their events, their positions and their readers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.journal.store import DiskFull
from tests.harness.cases import cases
from tests.harness.control_node import Client, FakeLink, Refused, Stand, request, standing
from tests.harness.sessions import sessions_left

MESSAGES = {"types": ["message"], "direction": "in"}


@asynccontextmanager
async def joined(stand: Stand) -> AsyncIterator[Client]:
    client = await stand.connect()
    async with client.stream:
        yield client


async def follow(client: Client, name: str = "bot", **params: Any) -> int:
    """Subscribe as a consumer of inbound messages; returns the number of the subscription."""
    given = {"from_": "start", "filter": MESSAGES} | params
    return int((await client.ask("subscribe", as_=name, **given))["subscription"])


async def got(client: Client, count: int) -> list[str]:
    """The texts of the next events."""
    return [(await client.event())["event"]["text"] for _ in range(count)]


async def ack(client: Client, position: str, name: str = "bot") -> str:
    """Acknowledge; returns the consumer's position."""
    return str((await client.ask("ack", consumer=name, position=position))["position"])


async def quiet(stand: Stand, client: Client) -> bool:
    """No further event arrives."""
    await trio.testing.wait_all_tasks_blocked(0.01)
    await client.ask("whoami")
    return not client.events


def numbers(start: int, end: int) -> list[str]:
    return [str(number) for number in range(start, end)]


async def refused(client: Client, method: str, **params: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await client.ask(method, **params)
    return caught.value


async def test_a_consumer_goes_on_where_it_stopped(stand: Stand) -> None:
    positions = await stand.say("one", "two", "three")
    async with joined(stand) as client:
        await follow(client)
        assert await got(client, 3) == ["one", "two", "three"]
        assert await ack(client, positions[1]) == positions[1]
    await stand.say("four")
    async with joined(stand) as client:
        answer = await client.ask("subscribe", as_="bot", from_="now")
        assert answer["after"] == positions[1]
        assert await got(client, 2) == ["three", "four"]


async def test_what_was_written_to_a_client_is_not_acknowledged(stand: Stand) -> None:
    await stand.say("one")
    for _ in range(2):
        async with joined(stand) as client:
            await follow(client)
            assert await got(client, 1) == ["one"]


async def test_a_consumer_and_its_acknowledgements_survive_a_restart(short_path: Path) -> None:
    async with standing(short_path) as stand:
        positions = await stand.say("one", "two", "three")
        async with joined(stand) as client:
            await follow(client)
            assert await got(client, 3) == ["one", "two", "three"]
            await ack(client, positions[1])
    async with standing(short_path) as stand, joined(stand) as client:
        await stand.say("four")
        await client.ask("subscribe", as_="bot")
        assert await got(client, 2) == ["three", "four"]


async def test_it_is_on_disk_before_anybody_is_told_of_it(stand: Stand, client: Client) -> None:
    with stand.holding_commits() as disk:
        await client.post("subscribe", as_="bot")
        async with joined(stand) as other:
            await other.post("subscribe", as_="bot")
            await trio.testing.wait_all_tasks_blocked(0.01)
            with trio.move_on_after(0.01) as early:
                await client.line()
            assert early.cancelled_caught
            disk.release()
            lines = [await client.line(), await other.line()]
    kinds = sorted(["error" if line is not None and "error" in line else "result" for line in lines])
    assert kinds == ["error", "result"]
    assert [consumer.name for consumer in stand.consumers] == ["bot"]


async def test_on_a_full_disk_none_is_made_and_none_moves(stand: Stand, client: Client) -> None:
    (position,) = await stand.say("one")
    await follow(client, "old")
    await got(client, 1)
    with stand.holding_commits() as disk:
        disk.failure = DiskFull("full")
        disk.release()
        assert (await refused(client, "subscribe", as_="new")).kind == "storage_full"
        assert (await refused(client, "ack", consumer="old", position=position)).kind == "storage_full"
        assert (await refused(client, "ack", consumer="new", position=position)).kind == "invalid_params"
        assert (await refused(client, "consumer.remove", consumer="old")).data["reason"] == "consumer_busy"
    (record,) = (await client.ask("consumers"))["consumers"]
    assert (record["name"], record["lag"]) == ("old", 1)


# -- the window


async def test_it_is_sent_as_much_as_its_window_beyond_the_last_acknowledgement(stand: Stand, client: Client) -> None:
    positions = await stand.say(*numbers(0, 20))
    await follow(client, window=5)
    assert await got(client, 5) == numbers(0, 5)
    assert await quiet(stand, client)
    await ack(client, positions[2])
    assert await got(client, 3) == numbers(5, 8)
    assert await quiet(stand, client)
    await ack(client, positions[7])
    assert await got(client, 5) == numbers(8, 13)


@pytest.mark.parametrize(
    ("window", "step", "tail"), [(1, 1, "memory"), (7, 3, "disk"), (256, 256, "memory"), (4096, 1000, "disk")]
)
async def test_whatever_the_window_all_comes_once_and_in_order(
    short_path: Path, window: int, step: int, tail: str
) -> None:
    count = 300
    async with standing(short_path, **({"tail_bytes": 65536} if tail == "disk" else {})) as stand:
        positions: list[str] = []
        for number in range(0, count, 3):
            positions += await stand.say(*numbers(number, number + 3))
            await stand.chat.send(stand.bob, "not for it")[1].wait()
        async with joined(stand) as client:
            await follow(client, window=window)
            texts: list[str] = []
            while len(texts) < count:
                texts += await got(client, min(step, window, count - len(texts)))
                await ack(client, positions[len(texts) - 1])
            assert texts == numbers(0, count)
            assert await quiet(stand, client)


async def test_other_subscriptions_of_the_session_do_not_wait_for_it(stand: Stand, client: Client) -> None:
    await stand.say(*numbers(0, 4))
    await follow(client, window=1)
    assert await got(client, 1) == ["0"]
    await client.ask("subscribe", from_="start", filter=MESSAGES)
    assert await got(client, 4) == numbers(0, 4)


async def test_waiting_for_an_acknowledgement_is_not_a_stall(
    mock_clock: MockClock, stand: Stand, client: Client
) -> None:
    await stand.say(*numbers(0, 4))
    await follow(client, window=1)
    await got(client, 1)
    await trio.testing.wait_all_tasks_blocked(0.01)
    mock_clock.jump(2 * stand.config.session_stall)
    assert (await client.ask("whoami"))["name"] == "alice"


async def test_a_window_has_bounds(stand: Stand, client: Client) -> None:
    for window in cases([0, -1, 65537]):
        error = await refused(client, "subscribe", as_="bot", window=window)
        assert error.kind == "invalid_params"
        assert "window" in str(error)
        assert list(stand.consumers) == []


# -- acknowledgements


async def test_any_session_may_acknowledge(stand: Stand, client: Client) -> None:
    positions = await stand.say(*numbers(0, 4))
    await follow(client, window=2)
    assert await got(client, 2) == ["0", "1"]
    async with joined(stand) as other:
        assert await ack(other, positions[1]) == positions[1]
        assert await ack(other, positions[0]) == positions[1]
    assert await got(client, 2) == ["2", "3"]


async def test_what_is_acknowledged_before_it_was_sent_is_not_sent(stand: Stand, client: Client) -> None:
    positions = await stand.say(*numbers(0, 6))
    await follow(client, window=2)
    assert await got(client, 2) == ["0", "1"]
    await ack(client, positions[4])
    assert await got(client, 1) == ["5"]


async def test_only_positions_of_this_journal_can_be_acknowledged(stand: Stand, client: Client) -> None:
    await follow(client)
    epoch, newest = stand.journal.epoch, stand.journal.committed
    for position in ("aaaaaaaa:1", f"{epoch}:{newest + 1}", f"{epoch}:-1", "x", ""):
        assert (await refused(client, "ack", consumer="bot", position=position)).kind == "cursor_gone"
    assert (await refused(client, "ack", consumer="nobody", position=f"{epoch}:1")).kind == "invalid_params"


async def test_pipelined_acknowledgements_are_answered_in_order(stand: Stand, client: Client) -> None:
    positions = await stand.say(*numbers(0, 200))
    await follow(client)
    await got(client, 200)
    await client.write(
        b"".join(request("ack", n, consumer="bot", position=position) for n, position in enumerate(positions))
    )
    lines = await client.lines(200)
    assert [line["id"] for line in lines] == list(range(200))
    assert [line["result"]["position"] for line in lines] == positions


async def test_the_cursor_moves_over_what_is_not_for_the_consumer(stand: Stand, client: Client) -> None:
    await follow(client)
    carol = stand.registry.native("c" * 52, "carol", "x:1")
    for _ in range(5):
        stand.registry.link_up(carol, FakeLink())
        await stand.journal.settled()
    assert await quiet(stand, client)
    (record,) = (await client.ask("consumers"))["consumers"]
    assert record["position"] == stand.journal.position(stand.journal.committed)


async def test_one_that_never_acknowledges_keeps_its_place_and_slows_nobody(stand: Stand, client: Client) -> None:
    await follow(client, "lazy", window=1)
    async with joined(stand) as other:
        await follow(other, "quick", window=64)
        for number in range(50):
            (position,) = await stand.say(str(number))
            assert await got(other, 1) == [str(number)]
            await ack(other, position, "quick")
        lags = {one["name"]: one["lag"] for one in (await other.ask("consumers"))["consumers"]}
    assert lags == {"lazy": 50, "quick": 0}
    assert await got(client, 1) == ["0"]


# -- below the floor


async def lose(stand: Stand, position: str) -> None:
    """Delete everything up to that seq, as retention does."""
    seq = stand.journal.resolve(position)
    await stand.journal.ask(lambda store: store.query("DELETE FROM events WHERE seq <= ?", seq))
    stand.journal.floor = seq


async def test_a_gap_is_an_event_of_the_window_and_can_be_acknowledged(stand: Stand, client: Client) -> None:
    positions = await stand.say(*numbers(0, 6))
    number = await follow(client, window=2)
    assert await got(client, 2) == ["0", "1"]
    await lose(stand, positions[3])
    assert await quiet(stand, client)
    await ack(client, positions[0])
    gap = (await client.event())["event"]
    assert (gap["type"], gap["after"], gap["through"]) == ("gap", positions[1], positions[3])
    assert await quiet(stand, client)
    assert [one["lag"] for one in (await client.ask("consumers"))["consumers"]] == [2]
    await client.ask("unsubscribe", subscription=number)
    await client.ask("subscribe", as_="bot", window=2)
    gap = (await client.event())["event"]
    assert (gap["type"], gap["after"], gap["position"]) == ("gap", positions[0], positions[3])
    assert await got(client, 1) == ["4"]
    assert await ack(client, gap["position"]) == positions[3]
    assert await got(client, 1) == ["5"]


# -- who holds it


async def test_one_session_holds_it_until_it_ends(stand: Stand) -> None:
    await stand.say("one")
    async with joined(stand) as other:
        async with joined(stand) as client:
            await follow(client)
            error = await refused(other, "subscribe", as_="bot")
            assert (error.kind, error.data["reason"]) == ("conflict", "consumer_busy")
            assert "--takeover" in error.data["hint"]
        await sessions_left(stand, 1)
        await follow(other)
        assert await got(other, 1) == ["one"]


async def test_unsubscribing_lets_it_go(stand: Stand, client: Client) -> None:
    await stand.say("one")
    number = await follow(client)
    assert await got(client, 1) == ["one"]
    await client.ask("unsubscribe", subscription=number)
    await follow(client)
    assert await got(client, 1) == ["one"]


async def test_a_takeover_ends_the_other_in_order(stand: Stand, client: Client) -> None:
    positions = await stand.say(*numbers(0, 10))
    number = await follow(client, window=4)
    assert await got(client, 4) == numbers(0, 4)
    await ack(client, positions[1])
    async with joined(stand) as other:
        await follow(other, takeover=True)
        assert await got(other, 8) == numbers(2, 10)
        assert await got(client, 2) == ["4", "5"]
        line = await client.line()
        assert line is not None
        assert line["method"] == "ended"
        assert line["params"]["subscription"] == number
        error = line["params"]["error"]
        assert (error["code"], error["data"]["kind"], error["data"]["reason"]) == (501, "conflict", "taken_over")
        assert await quiet(stand, client)
        assert (await refused(client, "unsubscribe", subscription=number)).kind == "invalid_params"


async def test_two_sessions_that_fight_for_it_lose_nothing(stand: Stand) -> None:
    count = 60
    seen: list[str] = []
    over = trio.Event()

    async def fight() -> None:
        async with joined(stand) as client:
            while not over.is_set():
                await follow(client, window=4, takeover=True)
                await read_until_ended(client)

    async def read_until_ended(client: Client) -> None:
        while True:
            line = client.events.pop(0) if client.events else await taken(client)
            if line is None:
                client.ended.clear()
                return
            seen.append(line["event"]["text"])
            await ack(client, line["event"]["position"])
            if line["event"]["text"] == str(count - 1):
                over.set()
                return

    async def taken(client: Client) -> dict[str, Any] | None:
        """The next event; None if the consumer was taken over."""
        if client.ended:
            return None
        line = await client.line()
        assert line is not None
        return line["params"] if line["method"] == "event" else None

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(fight)
        for number in range(count):
            await stand.say(str(number))
        await over.wait()
        nursery.cancel_scope.cancel()
    assert set(seen) == set(numbers(0, count))
    assert sorted(set(seen), key=seen.index) == numbers(0, count)


async def test_a_session_may_take_over_from_itself(stand: Stand, client: Client) -> None:
    await stand.say("one")
    first = await follow(client)
    await got(client, 1)
    second = await follow(client, takeover=True)
    assert [note["subscription"] for note in client.ended] == [first]
    note = await client.event()
    assert (note["subscription"], note["event"]["text"]) == (second, "one")


async def test_it_cannot_be_removed_while_it_is_held(stand: Stand, client: Client) -> None:
    (position,) = await stand.say("one")
    number = await follow(client)
    await got(client, 1)
    assert (await refused(client, "consumer.remove", consumer="bot")).data["reason"] == "consumer_busy"
    await ack(client, position)
    await client.ask("unsubscribe", subscription=number)
    assert await client.ask("consumer.remove", consumer="bot") == {"consumer": "bot", "position": position}
    assert (await refused(client, "consumer.remove", consumer="bot")).kind == "invalid_params"
    assert (await client.ask("consumers")) == {"consumers": []}
    await follow(client)
    assert await got(client, 1) == ["one"]


# -- making one


@pytest.mark.parametrize("start", ["start", "now", {"last": 1}, {"position": 1}, {"since": 0}], ids=str)
async def test_a_new_one_begins_at_from(stand: Stand, client: Client, start: Any) -> None:
    began = "2000-01-01T00:00:00Z"
    positions = await stand.say(*numbers(0, 3))
    if isinstance(start, dict):
        start = {name: {"position": positions[1], "since": began, "last": 1}[name] for name in start}
    await follow(client, from_=start)
    await stand.say("3")
    expected = {"start": 0, "now": 3, "last": 2, "position": 2, "since": 0}[
        start if isinstance(start, str) else next(iter(start))
    ]
    assert await got(client, 4 - expected) == numbers(expected, 4)


async def test_a_name_follows_the_rule_for_names(stand: Stand, client: Client) -> None:
    for name in cases(["", "7", "A", "a b", "a/b", "x" * 64, "é", "\u0000"]):
        for method, params in (
            ("subscribe", {"as_": name}),
            ("ack", {"consumer": name, "position": "x"}),
            ("consumer.remove", {"consumer": name}),
        ):
            error = await refused(client, method, **params)
            assert error.kind == "invalid_params"
            assert "a-z" in error.data["hint"]


@pytest.mark.parametrize("stand", [{"consumers": 2}], indirect=True)
async def test_there_are_so_many_consumers_and_no_more(stand: Stand, client: Client) -> None:
    for name in ("a", "b"):
        await follow(client, name)
    error = await refused(client, "subscribe", as_="c")
    assert error.kind == "rate_limited"
    assert "consumer remove" in error.data["hint"]


@pytest.mark.parametrize("stand", [{"requests_per_session": 1}], indirect=True)
async def test_a_session_that_may_not_read_more_takes_nothing_over(stand: Stand, client: Client) -> None:
    async with joined(stand) as other:
        await follow(other, "bot")
        await client.ask("subscribe")
        assert (await refused(client, "subscribe", as_="bot", takeover=True)).kind == "rate_limited"
        await stand.say("one")
        assert await got(other, 1) == ["one"]


async def test_hundreds_of_them(stand: Stand) -> None:
    await stand.say(*numbers(0, 5))
    names = [f"bot-{number}" for number in range(200)]
    async with joined(stand) as client:
        for start in range(0, 200, 50):
            some = names[start : start + 50]
            await client.write(
                b"".join(
                    request("subscribe", name, as_=name, from_="start", filter=MESSAGES, window=1) for name in some
                )
            )
            answers = [line for line in await client.lines(100) if "result" in line]
            assert sorted(answer["id"] for answer in answers) == sorted(some)
            for answer in answers:
                await client.ask("unsubscribe", subscription=answer["result"]["subscription"])
        position = stand.journal.position(stand.journal.committed)
        await client.write(b"".join(request("ack", name, consumer=name, position=position) for name in names[:100]))
        answers = [await client.answer(name) for name in names[:100]]
        assert all(answer["result"]["position"] == position for answer in answers)
        records = (await client.ask("consumers"))["consumers"]
    assert [record["name"] for record in records] == sorted(names)
    assert {record["lag"] for record in records if names.index(record["name"]) < 100} == {0}
    assert {record["lag"] for record in records if names.index(record["name"]) >= 100} == {5}
    assert not any(record["held"] for record in records)


# -- its filter


async def test_the_filter_belongs_to_the_consumer(stand: Stand, client: Client) -> None:
    carol = stand.registry.native("c" * 52, "carol", "x:1")
    wanted = {"types": ["message", "gap"], "direction": "in", "peer": "carol"}
    number = await follow(client, filter=wanted)
    await client.ask("unsubscribe", subscription=number)
    stand.registry.rename(carol, "caro")
    for same in (None, wanted, {"direction": "in", "types": ["gap", "message", "gap"], "peer": "caro"}):
        number = await follow(client, filter=same)
        await client.ask("unsubscribe", subscription=number)
    await stand.say("from bob")
    await stand.say("from carol", peer=carol)
    await client.ask("subscribe", as_="bot")
    assert await got(client, 1) == ["from carol"]
    (record,) = (await client.ask("consumers"))["consumers"]
    assert (record["filter"], record["lag"], record["held"]) == (wanted, 1, True)


async def test_another_filter_is_a_conflict(stand: Stand, client: Client) -> None:
    number = await follow(client)
    await client.ask("unsubscribe", subscription=number)
    for other in cases(
        [
            {},
            {"types": ["message"]},
            {"types": [], "direction": "in"},
            {**MESSAGES, "peer": "bob"},
            {**MESSAGES, "room": "r"},
        ]
    ):
        error = await refused(client, "subscribe", as_="bot", filter=other)
        assert (error.kind, error.data["reason"]) == ("conflict", "filter")
        assert "consumer remove bot" in error.data["hint"]


async def test_a_filter_that_is_none_makes_no_consumer(stand: Stand, client: Client) -> None:
    for wanted in ({"peer": "nobody"}, {"types": ["x"]}, {"direction": "up"}):
        await refused(client, "subscribe", as_="bot", filter=wanted)
    assert list(stand.consumers) == []
