"""`rpc.discover`: the whole table, with consistent schemas."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from chatd.api.errors import TABLE
from chatd.api.events import EVENT_TYPES
from chatd.control.methods.table import METHODS
from tests.harness.control_node import Client, Stand

PREFIX = "#/components/schemas/"
VERBS = {
    *("send", "reply", "ask", "msg", "cancel", "history", "subscribe", "unsubscribe", "ack", "consumers"),
    *("trace", "tally"),
    *("consumer.remove", "connect", "terminate", "list", "peer.accept", "peer.deny", "peer.forget", "peer.rename"),
    *("room.host", "room.join", "room.leave", "room.say", "room.users", "room.topic", "room.kick", "room.ban"),
    *("room.unban", "room.list", "room.close"),
    *("topo", "link", "wait", "ping", "status", "whoami", "myip", "myport", "health", "shutdown", "rpc.discover"),
}


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


async def test_every_method_is_listed_with_its_schemas(stand: Stand, client: Client) -> None:
    document = await client.ask("rpc.discover")
    schemas = document["components"]["schemas"]
    assert {method["name"] for method in document["methods"]} == set(METHODS) == VERBS
    for method in document["methods"]:
        struct = METHODS[method["name"]].params
        fields = {field.encode_name: field.required for field in msgspec.structs.fields(struct)}
        assert {param["name"]: param["required"] for param in method["params"]} == fields
        assert method["result"]["schema"]["$ref"].removeprefix(PREFIX) in schemas
        assert method["summary"]
    found = set(references(document))
    assert found
    assert all(reference.removeprefix(PREFIX) in schemas for reference in found)


async def test_events_and_errors_are_described_too(stand: Stand, client: Client) -> None:
    document = await client.ask("rpc.discover")
    told = {note["name"]: [param["name"] for param in note["params"]] for note in document["x-notifications"]}
    assert told == {"event": ["subscription", "replay", "event"], "ended": ["subscription", "error"]}
    types = {
        schema["properties"]["type"]["enum"][0]
        for schema in document["components"]["schemas"].values()
        if "type" in schema.get("properties", {}) and "enum" in schema["properties"]["type"]
    }
    assert types == set(EVENT_TYPES)
    assert document["x-errors"] == {kind: row[0] for kind, row in TABLE.items()}


async def test_results_are_what_the_table_says(stand: Stand, client: Client) -> None:
    (position,) = await stand.say("one")
    ours = (await client.ask("send", peer=0, text="x"))["id"]
    await client.ask("unsubscribe", subscription=(await client.ask("subscribe", as_="bot"))["subscription"])
    await client.ask("subscribe")
    stand.dialer.let_go.set()
    hall, _ = stand.hosted_rooms.host("hall")
    stand.hosted_rooms.enter_own(hall, "alice")
    stand.hosted_rooms.enter_plain(hall, None, "10.0.0.9:5000", list[str]().append)
    hall.bans["10.0.0.8"] = "jane"
    asked: dict[str, dict[str, Any]] = {
        "send": {"peer": 0, "text": "x"},
        "reply": {"id": position, "text": "x"},
        "msg": {"id": position},
        "trace": {"id": ours},
        "cancel": {"id": ours},
        "ack": {"consumer": "bot", "position": position},
        "consumer.remove": {"consumer": "bot"},
        "connect": {"host": "h"},
        "terminate": {"peer": 0},
        "peer.accept": {"peer": 0},
        "peer.rename": {"peer": 0, "name": "rob"},
        "peer.deny": {"peer": 0},
        "wait": {"for_": "ready"},
        "room.host": {"room": "lobby"},
        "room.unban": {"room": "hall", "nick": "jane"},
        "room.join": {"room": "lobby"},
        "room.leave": {"room": "lobby"},
        "room.say": {"room": "hall", "text": "x"},
        "room.users": {"room": "lobby"},
        "room.topic": {"room": "lobby"},
        "room.kick": {"room": "hall", "nick": "alice"},
        "room.ban": {"room": "hall", "nick": "10.0.0.9:5000"},
        "room.close": {"room": "lobby"},
        "unsubscribe": {"subscription": 2},
    }
    last = {"peer.forget": {"peer": 0}}
    for name in [*(name for name in METHODS if name not in last), *last]:
        if name in ("ask", "ping", "tally"):  # they need somebody who answers
            continue
        result = await client.ask(name, **asked.get(name, last.get(name, {})))
        msgspec.json.decode(json.dumps(result), type=METHODS[name].result)
