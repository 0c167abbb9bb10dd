"""Rooms between nodes: one order for everybody, over absences and restarts; who may be in; who gets what."""

from itertools import pairwise
from typing import Any

import pytest
import trio

from tests.harness.client import Refused
from tests.harness.network import LiveNode, Network, ThreeNodes, TwoNodes
from tests.harness.proxy import proxying
from tests.harness.states import copy, restore, wipe

ROOM = "lobby@bob"
HOW = pytest.mark.parametrize("how", ["stop", "kill"])
MIB = 1 << 20


async def end(node: LiveNode, how: str) -> None:
    """Stop it in order, or not."""
    await (node.kill if how == "kill" else node.stop)()


async def join(node: LiveNode, nick: str, room: str = ROOM) -> dict[str, Any]:
    record: dict[str, Any] = (await node.ask("room.join", room=room, nick=nick))["room"]
    return record


async def say(node: LiveNode, text: str, room: str = ROOM, **options: Any) -> str:
    """Say something; its id."""
    return str((await node.ask("room.say", room=room, text=text, **options))["id"])


async def say_many(node: LiveNode, texts: list[str], room: str = ROOM) -> list[str]:
    """The same, pipelined."""
    calls = await node.client.post(("room.say", {"room": room, "text": text}) for text in texts)
    return [str((await node.client.answer(call))["id"]) for call in calls]


async def refused(node: LiveNode, method: str, **params: Any) -> Refused:
    """It has to be."""
    with pytest.raises(Refused) as caught:
        await node.ask(method, **params)
    return caught.value


async def messages(node: LiveNode, **filter_: object) -> list[dict[str, Any]]:
    """Those of its journal that match."""
    events = await node.history(types=["message"], **filter_)
    return [event for event in events if event["type"] == "message"]  # a gap is always shown


async def heard(node: LiveNode, room: str = ROOM) -> list[str]:
    """The texts that are in their place in the room, in its order, as `history` shows them."""
    placed = [event for event in await messages(node, room=room) if event.get("room_position")]
    seqs = [int(event["room_position"].partition(":")[2]) for event in placed]
    assert all(before < after for before, after in pairwise(seqs))
    return [event["text"] for event in placed]


async def until_heard(node: LiveNode, text: str, room: str = ROOM) -> None:
    """Wait until that is in its place."""

    async def is_heard() -> bool:
        return text in await heard(node, room)

    await node.committed_until(is_heard)


async def users(node: LiveNode, room: str = ROOM) -> list[str]:
    return [user["nick"] for user in (await node.ask("room.users", room=room))["users"]]


async def in_lobby(*members: LiveNode, host: LiveNode) -> None:
    """A room of the host, which is in it, and so are they, each under its own name."""
    await host.ask("room.host", room="lobby")
    for member in members:
        await join(member, member.name, f"lobby@{host.name}")


def numbers(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


# -- who is in


async def test_members_join_under_a_nick_and_everybody_hears_everybody_in_one_order(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await b.ask("room.host", room="lobby", nick="boss")
    assert (await join(a, "ann"))["nick"] == "ann"
    await join(c, "cat")
    async with trio.open_nursery() as nursery:
        for node in (a, b, c):
            nursery.start_soon(say_many, node, numbers(node.name, 50))
    for node in (a, b, c):
        await say(node, f"last of {node.name}", wait="delivered")
        for other in (a, b, c):
            await until_heard(other, f"last of {node.name}")
    assert len(await heard(b)) == 153
    assert await heard(a) == await heard(b) == await heard(c)
    assert await users(a) == await users(b) == await users(c) == ["boss", "ann", "cat"]


async def test_a_nick_that_is_taken_or_no_nick_is_refused_with_the_reason(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await b.ask("room.host", room="lobby", join=False)
    await join(a, "Straße")
    taken = await refused(c, "room.join", room=ROOM, nick="STRASSE")
    assert taken.kind == "conflict"
    assert "Straße is taken" in str(taken)
    for nick in ("", "system", "two words", "pаypal", "x" * 33, "a\u202eb"):
        assert (await refused(c, "room.join", room=ROOM, nick=nick)).kind == "bad_text"
    assert (await refused(c, "room.join", room="den@bob", nick="cat")).kind == "unknown_room"
    assert (await c.ask("room.list"))["rooms"] == []
    await join(c, "cat")
    assert await users(b, "lobby") == ["Straße", "cat"]


async def test_a_node_is_in_many_rooms_of_many_hosts(three_nodes: ThreeNodes) -> None:
    nodes = await three_nodes()
    await nodes[0].connect(nodes[2])
    await nodes[2].up(nodes[0])
    rooms = [(f"{name}@{host.name}", host) for host in nodes for name in ("den", "lobby")]
    for room, host in rooms:
        await host.ask("room.host", room=room.partition("@")[0])
        for member in nodes:
            if member is not host:
                await join(member, member.name, room)
    for room, _ in rooms:
        for member in nodes:
            await say(member, f"{member.name} in {room}", room, wait="delivered")
    for room, _ in rooms:
        for member in nodes:
            await until_heard(member, f"carol in {room}", room)
            assert await heard(member, room) == [f"{node.name} in {room}" for node in nodes]
    assert [one["room"] for one in (await nodes[0].ask("room.list"))["rooms"]] == sorted(room for room, _ in rooms)


# -- what is said


async def test_what_i_say_i_see_once_as_my_own(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await in_lobby(a, host=b)
    feed = await a.feed(room=ROOM)
    id_ = await say(a, "hello", wait="delivered")
    await say(b, "end", "lobby")
    await feed.until("message", text="end")
    mine = [event for event in feed.seen if event["type"] == "message" and event["text"] == "hello"]
    assert [(event["direction"], event["id"], event["nick"]) for event in mine] == [("out", id_, "alice")]
    (receipt,) = [event for event in feed.seen if event["type"] == "receipt"]
    (there,) = [event for event in await messages(b, room="lobby") if event["text"] == "hello"]
    assert (receipt["id"], receipt["state"]) == (id_, "delivered")
    assert receipt["room_position"] == there["room_position"] == there["position"]
    assert (there["global_id"], there["nick"], there["peer"]["node"]) == (f"{a.id}/{id_}", "alice", a.id)


async def test_a_private_message_goes_to_one_member_and_its_author_alone(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    await users(a)
    await say(a, "psst", to="carol", wait="delivered")
    await say(b, "@alice hush", "lobby")
    await say(a, "@@all of you", wait="delivered")
    for node in (a, b, c):
        await until_heard(node, "@all of you")
    assert await heard(a) == await heard(b) == ["psst", "hush", "@all of you"]
    assert await heard(c) == ["psst", "@all of you"]
    (whisper,) = [event for event in await messages(c, room=ROOM) if event["text"] == "psst"]
    assert (whisper["nick"], whisper["to"]) == ("alice", "carol")


async def test_what_is_for_somebody_who_is_not_there_is_refused_and_said_to_nobody(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    for node in (a, b):
        assert (await refused(node, "room.say", room=ROOM, text="@dave psst")).kind == "unknown_peer"
    await users(a)
    await c.ask("room.leave", room=ROOM)
    await a.ask("wait", for_="users", room=ROOM, count=2)
    await say(a, "end", wait="delivered")
    assert await heard(b) == await heard(a) == ["end"]


async def test_a_nick_that_has_another_owner_by_then_does_not_get_what_was_said_to_the_first(
    three_nodes: ThreeNodes,
) -> None:
    a, b, c = await three_nodes()
    await b.ask("room.host", room="lobby", join=False)
    await join(a, "ann")
    await join(c, "guest")
    await users(a)
    await b.stop()
    id_ = await say(a, "only for you", to="guest")
    await a.stop()
    await b.start()
    await c.up(b)
    await c.ask("room.leave", room=ROOM)
    while "guest" in [user["nick"] for user in (await b.ask("room.users", room="lobby"))["users"]]:
        continue
    await b.ask("room.join", room="lobby", nick="guest")
    await a.start()
    with pytest.raises(Refused, match="somebody else"):
        await a.ask("wait", for_="delivered", id=id_)
    assert await a.states(id_) == ["rejected"]
    assert await heard(b) == []


# -- absences


@HOW
async def test_a_member_that_was_away_goes_on_where_it_stopped(three_nodes: ThreeNodes, how: str) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    said: list[str] = []
    for step in range(3):
        await end(c, how)
        await say_many(b, numbers(f"b{step}.", 300), "lobby")
        await say_many(a, numbers(f"a{step}.", 300))
        await c.start()
        await say(a, f"end {step}", wait="delivered")
        await until_heard(c, f"end {step}")
        said.append(f"end {step}")
    assert len(await heard(c)) == 1803
    assert await heard(c) == await heard(b) == await heard(a)
    assert await users(c) == ["bob", "alice", "carol"]


@HOW
async def test_what_is_said_while_the_host_is_away_is_queued_and_arrives(three_nodes: ThreeNodes, how: str) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    await end(b, how)
    ids = await say_many(a, numbers("a", 100))
    assert set(await a.states(*ids)) <= {"queued", "sent"}
    await a.restart()
    await say_many(c, numbers("c", 100))
    await b.start()
    for node in (a, c):
        await say(node, f"end of {node.name}", wait="delivered")
    for node in (a, b, c):
        for other in (a, c):
            await until_heard(node, f"end of {other.name}")
    assert set(await a.states(*ids)) == {"delivered"}
    there = await heard(b)
    assert there == await heard(a) == await heard(c)
    assert [text for text in there if text[0] == "a"] == numbers("a", 100)
    assert [text for text in there if text[0] == "c"] == numbers("c", 100)


async def test_a_link_that_breaks_again_and_again_loses_and_doubles_nothing(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await a.connect(proxy.address)
        await in_lobby(a, host=b)
        for step in range(6):
            await say_many(a, numbers(f"a{step}.", 100))
            await say_many(b, numbers(f"b{step}.", 100), "lobby")
            proxy.cut()
        await a.up(b)
        await say(a, "end", wait="delivered")
        there = await heard(b)
        assert there == await heard(a)
        assert len(there) == 1201
        assert [text for text in there if text[0] == "b"] == [f"b{n}.{m}" for n in range(6) for m in range(100)]


async def test_rooms_and_memberships_survive_restarts(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    await b.ask("room.topic", room="lobby", text="tea")
    await say(a, "before", wait="delivered")
    for node in (b, a, c):
        await node.kill()
    for node in (c, b, a):
        await node.start()
    await say(c, "after", wait="delivered")
    for node in (a, b, c):
        await until_heard(node, "after")
        assert await heard(node) == ["before", "after"]
        (record,) = (await node.ask("room.list"))["rooms"]
        assert (record["room"], record["topic"], record["nick"]) == (ROOM, "tea", node.name)
    assert sorted(await users(a)) == ["alice", "bob", "carol"]


async def test_a_member_gets_what_lies_between_its_coming_and_its_going_and_nothing_else(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.ask("room.host", room="lobby")
    await say(b, "before", "lobby")
    await join(a, "ann")
    await say(b, "during", "lobby")
    await until_heard(a, "during")
    await a.ask("room.leave", room=ROOM)
    await (await b.feed("start", room="lobby")).until("room.leave", nick="ann")
    await say(b, "between", "lobby")
    await join(a, "ann")
    await say(b, "again", "lobby")
    await until_heard(a, "again")
    everything = [event["text"] for event in await messages(a, direction="in")]
    assert everything == ["during", "again"]


async def test_what_retention_took_from_a_member_that_was_away_is_told_as_a_gap(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob", retain_bytes=3 * MIB, tail_bytes=64 * 1024)
    b.loses_events = True
    await a.start()
    await b.start()
    await a.connect(b)
    await in_lobby(a, host=b)
    await say(b, "first", "lobby")
    await until_heard(a, "first")
    await a.stop()
    journal = b.node.journal
    last = journal.committed
    while journal.floor <= last + 1000:
        await say_many(b, ["x" * 300 for _ in range(1000)], "lobby")
        await trio.sleep(1.0)  # virtual: deleting goes on meanwhile
    await say(b, "newest", "lobby")
    await a.start()
    await until_heard(a, "newest")
    gaps = [event for event in await a.history(types=["gap"]) if event["room"] == ROOM]
    assert gaps
    assert {gap["peer"]["node"] for gap in gaps} == {b.id}
    places = {event["room_position"] for event in await messages(a, direction="in")}
    for gap in gaps:
        after, through = (int(gap[name].partition(":")[2]) for name in ("after", "through"))
        assert not [place for place in places if after < int(place.partition(":")[2]) <= through]
    assert {event["position"] for event in await messages(b, room="lobby")} <= places


# -- what the host decides


async def test_who_was_kicked_while_away_gets_what_was_before_and_what_it_says_is_refused(
    three_nodes: ThreeNodes,
) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    await c.stop()
    await say(b, "before", "lobby")
    await b.ask("room.kick", room="lobby", nick="carol")
    await say(b, "behind", "lobby")
    await c.start()
    gone = await (await c.feed("start")).until("room.gone")
    assert (gone["room"], gone["reason"]) == (ROOM, "kicked")
    texts = [event["text"] for event in await messages(c)]
    assert texts == ["before"]
    assert (await refused(c, "room.say", room=ROOM, text="hello?")).kind == "unknown_room"
    assert await users(a) == ["bob", "alice"]
    await join(c, "carol")
    await say(c, "back", wait="delivered")
    await until_heard(a, "back")
    assert await heard(a) == ["before", "behind", "back"]


async def test_who_was_banned_while_away_gets_what_was_before(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await in_lobby(a, host=b)
    await a.stop()
    await say(b, "before", "lobby")
    await b.ask("room.ban", room="lobby", nick="alice")
    await a.start()
    gone = await (await a.feed("start")).until("room.gone")
    assert (gone["reason"], await a.texts()) == ("banned", ["before"])


async def test_what_was_said_before_the_kick_was_known_is_rejected(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    await b.stop()
    ids = await say_many(c, ["one", "two"])
    await c.stop()
    await b.start()
    await b.ask("room.kick", room="lobby", nick="carol")
    await c.start()
    for id_ in ids:
        with pytest.raises(Refused, match="not in the room"):
            await c.ask("wait", for_="delivered", id=id_)
    assert await c.states(*ids) == ["rejected", "rejected"]
    receipts = [event for event in await c.history(types=["receipt"]) if event["state"] == "rejected"]
    assert [(event["id"], event["reason"]) for event in receipts] == [(id_, "not in the room") for id_ in ids]
    assert await heard(b) == []


async def test_who_is_banned_cannot_come_back_until_the_ban_is_lifted(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    await b.ask("room.ban", room="lobby", nick="carol")
    await (await c.feed("start")).until("room.gone", reason="banned")
    for nick in ("carol", "other"):
        assert (await refused(c, "room.join", room=ROOM, nick=nick)).kind == "forbidden"
    await b.restart()
    await c.up(b)
    assert (await refused(c, "room.join", room=ROOM, nick="carol")).kind == "forbidden"
    assert (await refused(a, "room.unban", room=ROOM, nick="carol")).kind == "forbidden"
    await b.ask("room.unban", room="lobby", nick="carol")
    await join(c, "carol")
    await say(c, "back", wait="delivered")
    assert await heard(b) == ["back"]


async def test_a_room_that_is_closed_ends_for_everybody_behind_what_was_said(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes()
    await in_lobby(a, c, host=b)
    await c.stop()
    await say(b, "the end", "lobby")
    await b.ask("room.close", room="lobby")
    await b.restart()
    await c.start()
    for node in (a, c):
        await (await node.feed("start")).until("room.gone", reason="closed")
        assert [event["text"] for event in await messages(node)] == ["the end"]
        assert (await node.ask("room.list"))["rooms"] == []
    await b.ask("room.host", room="lobby")
    await a.up(b)  # a join is refused while its link to the restarted host is down
    await join(a, "ann")
    await say(a, "a new room", wait="delivered")
    assert await heard(a) == await heard(b) == ["a new room"]


async def test_only_the_host_changes_a_room_and_the_others_are_told(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await in_lobby(a, host=b)
    for method, params in (
        ("room.topic", {"text": "mine"}),
        ("room.kick", {"nick": "bob"}),
        ("room.ban", {"nick": "bob"}),
        ("room.close", {}),
    ):
        assert (await refused(a, method, room=ROOM, **params)).kind == "forbidden"
    await b.ask("room.topic", room="lobby", text="tea")
    told = await (await a.feed("start")).until("room.topic")
    assert (told["room"], told["text"]) == (ROOM, "tea")
    assert (await a.ask("room.topic", room=ROOM))["room"]["topic"] == "tea"


# -- journals that were lost


async def test_a_member_whose_journal_is_gone_is_out_and_can_come_back(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await in_lobby(a, host=b)
    await say(b, "old", "lobby")
    await until_heard(a, "old")
    await a.stop()
    wipe(a)
    await a.start()
    await a.connect(b)
    assert (await a.ask("room.list"))["rooms"] == []
    await join(a, "ann")
    await say(a, "new", wait="delivered")
    assert await heard(a) == ["new"]
    assert await users(b, "lobby") == ["bob", "ann"]


async def test_a_host_whose_journal_is_gone_tells_its_members_so(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await in_lobby(a, host=b)
    await b.stop()
    wipe(b)
    await b.start()
    gone = await (await a.feed("start")).until("room.gone")
    assert gone["room"] == ROOM
    await in_lobby(a, host=b)
    await say(a, "new", wait="delivered")
    assert await heard(a) == await heard(b) == ["new"]


async def test_a_host_that_was_restored_goes_on_with_the_members_that_it_knows(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await in_lobby(a, host=b)
    await say(a, "one", wait="delivered")
    made = await copy(b)
    await say(a, "two", wait="delivered")
    await b.stop()
    restore(b, made)
    await b.start()
    await a.up(b)
    await say(a, "three", wait="delivered")
    await say(b, "four", "lobby")
    await until_heard(a, "four")
    assert await heard(b) == ["one", "three", "four"]
    texts = [event["text"] for event in await messages(a)]
    assert texts == ["one", "two", "three", "four"]
