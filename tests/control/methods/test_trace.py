"""`trace` and `tally` without an answer of the other end: steps, reasons and errors."""

from typing import Any

import pytest

from tests.harness.cases import cases
from tests.harness.control_node import Client, FakeLink, Refused, Stand


async def steps(client: Client, message_id: str) -> list[tuple[str, bool]]:
    """The steps, each with whether it is done."""
    return [(step["step"], step["done"]) for step in (await client.ask("trace", id=message_id))["steps"]]


async def test_what_goes_to_a_peer_that_cannot_be_asked_is_told_as_it_is_known_here(
    stand: Stand, client: Client
) -> None:
    stand.registry.link_down(stand.bob, stand.bob.links[0])
    sent = await client.ask("send", peer="bob", text="hi")
    traced = await client.ask("trace", id=sent["id"])
    assert [(step["step"], step["done"], step["at"] is not None) for step in traced["steps"]] == [
        ("accepted", True, True),
        ("committed", True, True),
        ("sent", False, False),
    ]
    assert {(step["node"], step["here"], step["at_here"] == step["at"]) for step in traced["steps"]} == {
        ("alice", True, True)
    }
    assert traced["steps"][0]["after_ms"] == 0
    assert traced["steps"][1]["after_ms"] >= 0
    assert (traced["id"], traced["direction"], traced["peer"]) == (sent["id"], "out", sent["peer"])
    assert traced["silent"] == "bob has not got it"
    assert traced["clock_ms"] is traced["clock_error_ms"] is traced["room"] is traced["room_position"] is None


async def test_what_may_have_been_sent_is_said_to_be_with_a_peer_that_is_gone(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    stand.bob.delivery.mark_written(stand.journal.committed)
    assert await steps(client, sent["id"]) == [
        ("accepted", True),
        ("committed", True),
        ("sent", True),
        ("acknowledged", False),
    ]
    assert (await client.ask("trace", id=sent["id"]))["silent"] == "bob is not connected"


async def test_a_plain_peer_has_no_other_end_to_ask(stand: Stand, client: Client) -> None:
    peer = stand.registry.plain("10.0.0.9:5000")
    stand.registry.link_up(peer, FakeLink(address="10.0.0.9:5000"))
    sent = await client.ask("send", peer=peer.slot, text="hi")
    stand.chat.record_written(peer, stand.journal.committed)
    assert await steps(client, sent["id"]) == [("accepted", True), ("committed", True), ("sent", True)]
    silent = (await client.ask("trace", id=sent["id"]))["silent"]
    assert silent == "10.0.0.9:5000 is a plain peer: it tells nothing of messages"
    (position,) = await stand.say("hi", peer=peer)
    traced = await client.ask("trace", id=position)
    assert (traced["id"], traced["direction"], traced["silent"]) == (position, "in", silent)


async def test_in_a_room_of_this_node_there_is_no_other_end(stand: Stand, client: Client) -> None:
    await client.ask("room.host", room="lobby")
    said = await client.ask("room.say", room="lobby", text="hi")
    room = stand.hosted_rooms.get("lobby")
    assert room is not None
    jane, _ = stand.hosted_rooms.enter_plain(room, "jane", "10.0.0.9:5000", list[str]().append)
    (heard,), batch = stand.posting.post(room, jane, ["hi"])
    await batch.wait()
    traced = await client.ask("trace", id=said["id"])
    assert [step["step"] for step in traced["steps"]] == ["accepted", "committed"]
    assert traced["silent"] == "lobby@alice is hosted here: who is in it gets it from this node"
    assert (traced["room"], traced["room_position"]) == ("lobby@alice", said["id"])
    assert (await client.ask("trace", id=heard.position))[
        "silent"
    ] == "jane is a plain peer: it tells nothing of messages"


async def test_a_message_that_there_is_not_is_unknown(stand: Stand, client: Client) -> None:
    for message_id in cases(["", "x", "aaaaaaaa:1", "aaaaaaaa:" + "9" * 30]):
        with pytest.raises(Refused) as refused:
            await client.ask("trace", id=message_id)
        assert refused.value.kind == "unknown_message"


async def test_a_time_in_the_past_is_refused(stand: Stand, client: Client) -> None:
    (position,) = await stand.say("hi")
    with pytest.raises(Refused, match="negative"):
        await client.ask("trace", id=position, timeout=-1)


async def test_a_tally_is_refused_where_nobody_can_count(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    plain = stand.registry.plain("10.0.0.9:5000")
    span: dict[str, Any] = {"first": sent["id"], "last": sent["id"]}
    far = f"{stand.journal.epoch}:{stand.journal.committed + 1}"
    for params, kind in (
        ({"peer": "bob", **span}, "peer_offline"),
        ({"peer": plain.slot, **span}, "conflict"),
        ({"peer": "nobody", **span}, "unknown_peer"),
        ({"peer": "bob", **span, "first": "zzzzzzzz:1"}, "invalid_params"),
        ({"peer": "bob", **span, "last": far}, "invalid_params"),
        ({"peer": "bob", **span, "last": f"{stand.journal.epoch}:1"}, "invalid_params"),
        ({"peer": "bob", **span, "timeout": -1}, "invalid_params"),
    ):
        with pytest.raises(Refused) as refused:
            await client.ask("tally", **params)
        assert refused.value.kind == kind, params
