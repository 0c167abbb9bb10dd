"""A node whose journal files were removed: some methods still work, all others are rejected."""

from typing import Any

import pytest
import trio

from chatd.api.params import Nothing
from chatd.control.methods.table import METHODS
from tests.harness.cases import cases
from tests.harness.control_node import Client, Refused, Stand, request

# One request of each method that promises something, and of each that does so with these parameters only.
WRITES: dict[str, dict[str, Any]] = {
    "send": {"peer": 0, "text": "x"},
    "reply": {"id": "x:1", "text": "x"},
    "ask": {"peer": 0, "text": "x"},
    "cancel": {"id": "x:1"},
    "connect": {"host": "127.0.0.1", "port": 1},
    "terminate": {"peer": 0},
    "peer.accept": {"peer": 0},
    "peer.deny": {"peer": 0},
    "peer.forget": {"peer": 0},
    "peer.rename": {"peer": 0, "name": "x"},
    "room.host": {"room": "lobby"},
    "room.join": {"room": "lobby@bob"},
    "room.leave": {"room": "lobby"},
    "room.say": {"room": "lobby", "text": "x"},
    "room.topic": {"room": "lobby", "text": "x"},
    "room.kick": {"room": "lobby", "nick": "x"},
    "room.ban": {"room": "lobby", "nick": "x"},
    "room.unban": {"room": "lobby", "nick": "x"},
    "room.close": {"room": "lobby"},
    "subscribe": {"as": "bot", "from": "now"},
    "ack": {"consumer": "bot", "position": "x:1"},
    "consumer.remove": {"consumer": "bot"},
}
READS = frozenset(
    [
        *("msg", "trace", "tally", "history", "list", "room.users", "room.list", "unsubscribe", "consumers", "wait"),
        *("ping", "topo", "link", "status", "whoami", "myip", "myport", "health", "shutdown", "rpc.discover"),
    ]
)


def test_every_method_is_known_to_write_or_not() -> None:
    assert set(METHODS) == WRITES.keys() | READS
    assert {name for name in READS if METHODS[name].writes(Nothing())} == set()


async def test_what_would_be_gone_with_the_next_start_is_refused(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    await stand.journal.settled()
    before = stand.journal.appended
    stand.journal.store.files.lost = True
    for name in cases(WRITES):
        with pytest.raises(Refused) as caught:
            await client.ask(name, **WRITES[name])
        assert (caught.value.kind, caught.value.data["retryable"]) == ("storage_lost", False)
        assert stand.journal.appended == before
        assert [consumer.name for consumer in stand.consumers] == []


async def test_pipelined_neighbours_are_refused_one_by_one(stand: Stand, client: Client) -> None:
    await stand.journal.settled()
    before = stand.journal.appended
    stand.journal.store.files.lost = True
    await client.write(b"".join(request("send", id_, peer=0, text="x") for id_ in range(1, 10)))
    kinds = [line["error"]["data"]["kind"] for line in await client.lines(9)]
    assert kinds == ["storage_lost"] * 9
    assert stand.journal.appended == before


async def test_everything_can_still_be_read(stand: Stand, client: Client) -> None:
    (position,) = await stand.say("kept")
    await client.ask("room.host", room="lobby")
    stand.journal.store.files.lost = True
    page = await client.ask("history", from_="start", filter={"types": ["message"]})
    assert [event["text"] for event in page["events"]] == ["kept"]
    assert (await client.ask("msg", id=position))["message"]["text"] == "kept"
    assert (await client.ask("room.topic", room="lobby"))["room"]["topic"] == ""
    subscribed = await client.ask("subscribe", from_="start", filter={"types": ["message"]})
    assert subscribed["subscription"] == 1
    assert (await client.event())["event"]["text"] == "kept"


async def test_a_node_without_its_files_is_not_healthy_and_is_again_when_they_are_back(
    stand: Stand, client: Client
) -> None:
    stand.journal.store.files.lost = True
    answer = await client.ask("health")
    assert answer["healthy"] is False
    assert "removed or replaced" in answer["problems"][0]
    stand.journal.store.files.lost = False
    assert (await client.ask("health"))["healthy"] is True
    await client.ask("send", peer=0, text="x")


async def test_what_upkeep_complains_of_is_a_problem(stand: Stand, client: Client) -> None:
    stand.node.problems["identity"] = "key.pem is gone"
    found = await client.ask("health")
    assert (found["healthy"], found["problems"]) == (False, ["key.pem is gone"])


async def test_what_was_appended_before_is_still_committed_and_answered(stand: Stand, client: Client) -> None:
    with stand.holding_commits() as disk:
        await client.write(request("send", 1, peer=0, text="before"))
        with trio.fail_after(10):
            while stand.journal.appended == stand.journal.committed:
                await trio.lowlevel.checkpoint()
        stand.journal.store.files.lost = True
        disk.release()
        assert (await client.answer(1))["result"]["id"]
