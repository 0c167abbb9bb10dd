"""Lies about rooms: by nodes that host them not, as another member, and about what became of what was said to others.

Bob hosts the lobby, and alice is in it. What both show of it afterwards is what they said there, in one order.
"""

from collections.abc import Callable

import pytest

from chatd.wire.frames import Bye, Frame, Gone, Happened, Missing, Refused, Rooms, Roster, Said, Say
from tests.adversary.honest import epoch_of, heard, messages, newest, of_node, unharmed, until_heard, users
from tests.adversary.liar import Liar
from tests.harness.client import Refused as Denied
from tests.harness.network import LiveNode, TwoNodes

ROOM = "lobby@bob"
WHEN = pytest.mark.parametrize("restarted", [False, True])


async def in_lobby(two_nodes: TwoNodes) -> tuple[LiveNode, LiveNode]:
    """Bob and alice in bob's lobby, in which each has said something."""
    a, b = await two_nodes()
    await b.ask("room.host", room="lobby", nick="boss", topic="the truth")
    await a.ask("room.join", room=ROOM, nick="ann")
    await say(a, "ann was here")
    await b.ask("room.say", room="lobby", text="boss was here")
    await until_heard(a, "boss was here", ROOM)
    return a, b


async def say(node: LiveNode, text: str, room: str = ROOM, **options: object) -> str:
    """Say something in a room and wait until it is there; its id."""
    return str((await node.ask("room.say", room=room, text=text, wait="delivered", **options))["id"])


async def lobby_is_well(a: LiveNode, b: LiveNode, *, restarted: bool = False) -> None:
    """The lobby goes on for both, in one order, and so does everything else between them."""
    await a.up(b)
    await say(a, "ann after all")
    await b.ask("room.say", room="lobby", text="boss after all")
    await until_heard(a, "boss after all", ROOM)
    assert await heard(a, ROOM) == await heard(b, ROOM)
    texts = [text for _, text in await heard(b, ROOM)]
    assert len(set(texts)) == len(texts)
    assert [text for text in texts if text.endswith(("was here", "after all"))] == [
        *("ann was here", "boss was here", "ann after all", "boss after all")
    ]
    assert await users(a, ROOM) == await users(b, "lobby")
    assert {"boss", "ann"} <= set(await users(b, "lobby"))
    assert ROOM in [one["room"] for one in (await a.ask("room.list"))["rooms"]]
    own = [one["id"] for one in await messages(a, room=ROOM, direction="out")]
    assert set(await a.states(*own)) == {"delivered"}
    receipts = [one["id"] for one in await a.history(types=["receipt"], room=ROOM) if one["type"] == "receipt"]
    assert sorted(receipts) == sorted(own)
    await unharmed(a, b, restarted=restarted)


# -- rooms of other nodes

OTHERS: dict[str, Callable[[Liar, LiveNode, LiveNode], list[Frame]]] = {
    "a Roster": lambda liar, a, b: [Roster("lobby", "eve", "a lie", 1, [("eve", a.id, True)], False)],
    "a Gone": lambda liar, a, b: [Gone("lobby", "forbidden", "a lie")],
    "a message of bob": lambda liar, a, b: [Said(liar.epoch, liar.next(), "lobby", "boss", "a lie")],
    "a message of alice": lambda liar, a, b: [Said(liar.epoch, liar.next(), "lobby", "ann", "a lie")],
    "a private message": lambda liar, a, b: [Said(liar.epoch, liar.next(), "lobby", "boss", "a lie", None, "ann")],
    "the end of the room": lambda liar, a, b: [Happened(liar.epoch, liar.next(), "lobby", "closed")],
    "that alice was kicked": lambda liar, a, b: [
        Happened(liar.epoch, liar.next(), "lobby", "leave", "ann", a.id, "kicked"),
    ],
    "that bob left": lambda liar, a, b: [Happened(liar.epoch, liar.next(), "lobby", "leave", "boss", b.id, "left")],
    "a topic": lambda liar, a, b: [Happened(liar.epoch, liar.next(), "lobby", "topic", text="a lie")],
    "a member": lambda liar, a, b: [Happened(liar.epoch, liar.next(), "lobby", "join", "mallory", liar.id)],
    "that messages are missing": lambda liar, a, b: [
        Missing(liar.epoch, liar.next(), "aaaaaaaa:9", [("lobby", "aaaaaaaa:1")])
    ],
    "a list of rooms": lambda liar, a, b: [Rooms(2**62, [("lobby", "ann", False)])],
}


@pytest.mark.parametrize("member", [False, True], ids=["a stranger", "a member"])
async def test_a_liar_does_not_speak_for_the_host_of_a_room(two_nodes: TwoNodes, liar: Liar, *, member: bool) -> None:
    a, b = await in_lobby(two_nodes)
    if member:
        await (await liar.dial(b)).join("lobby", "mallory")
        await say(a, "the liar hears this")
        await until_heard(a, "the liar hears this", ROOM)
    before = [await heard(a, ROOM), await users(a, ROOM), await a.ask("room.list")]
    line = await liar.dial(a)
    for lie, make in OTHERS.items():
        await line.say(*make(liar, a, b))
        assert not line.ended, lie
        assert [await heard(a, ROOM), await users(a, ROOM), await a.ask("room.list")] == before, lie
    assert [one for one in await messages(a, direction="in") if one["peer"]["node"] == liar.id] == []
    await lobby_is_well(a, b)


async def test_what_a_liar_says_in_a_room_of_its_own_stays_in_that_room(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await in_lobby(two_nodes)
    liar.hosts.add("lobby")
    line = await liar.dial(a)
    before = [await heard(a, ROOM), await users(a, ROOM)]
    for lie, make in OTHERS.items():
        await a.ask("room.join", room="lobby@mallory")
        await line.say(*make(liar, a, b))
        assert not line.ended, lie
        assert [await heard(a, ROOM), await users(a, ROOM)] == before, lie
    await lobby_is_well(a, b)
    for message in await messages(a, direction="in"):
        if message["room"] == "lobby@mallory":
            assert message["peer"]["node"] == liar.id
            assert message["global_id"].startswith(liar.id)


# -- as another member


@WHEN
@pytest.mark.parametrize("first", ["the lie", "the truth"])
async def test_a_member_that_speaks_at_the_positions_of_another_member_is_itself(
    two_nodes: TwoNodes, liar: Liar, first: str, *, restarted: bool
) -> None:
    """The host passes the lie on to alice with alice's epoch in it: she must not take it for her own message."""
    a, b = await in_lobby(two_nodes)
    line = await liar.dial(b)
    await line.join("lobby", "mallory")
    epoch, seq = await epoch_of(a), newest(a)
    truth = ""
    if first == "the truth":
        truth = await say(a, "the truth")
    await line.say(*(Say(epoch, seq + number, "lobby", f"lie {number}") for number in range(-5, 30)))
    await until_heard(a, "lie 29", ROOM)
    if restarted:
        await b.restart()
        await a.up(b)
    if first == "the lie":
        truth = await say(a, "the truth")
    lies = [one for one in await messages(a, room=ROOM, direction="in") if one["nick"] == "mallory"]
    assert [one["text"] for one in lies] == [f"lie {number}" for number in range(-5, 30)]
    assert await heard(a, ROOM) == await heard(b, ROOM)
    said = {one["text"]: one for one in await messages(b, room=ROOM, direction="in")}
    assert said["the truth"]["global_id"] == f"{a.id}/{truth}"
    assert {one["global_id"].partition("/")[0] for text, one in said.items() if text.startswith("lie")} == {liar.id}
    for name in (said["the truth"]["id"], f"{a.id}/{truth}"):
        assert (await b.ask("msg", id=name))["message"]["text"] == "the truth"
    await lobby_is_well(a, b, restarted=restarted)


async def test_what_a_member_says_while_its_host_is_offline_is_not_said_by_a_liar(
    two_nodes: TwoNodes, liar: Liar
) -> None:
    a, b = await in_lobby(two_nodes)
    line = await liar.dial(b)
    await line.join("lobby", "mallory")
    await b.stop()
    waiting = [(await a.ask("room.say", room=ROOM, text=f"waits {number}"))["id"] for number in range(5)]
    await b.start()
    line = await liar.dial(b)
    await line.say(*(Say(*_place(one), "lobby", f"a lie at {one}") for one in waiting))
    await until_heard(a, "waits 4", ROOM)
    assert await a.states(*waiting) == ["delivered"] * 5
    assert [text for _, text in await heard(b, ROOM) if text.startswith("waits")] == [
        f"waits {number}" for number in range(5)
    ]
    await lobby_is_well(a, b, restarted=True)


async def test_a_liar_gets_no_nick_and_no_private_message_of_another_member(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await in_lobby(two_nodes)
    line = await liar.dial(b)
    for nick in ("ann", "ANN", "boss"):
        await line.say(Rooms(liar.next(), [("lobby", nick, True)]))
        assert (await line.until(Gone)).kind == "conflict"
    await line.say(Rooms(liar.next(), [("lobby", "ann", False)]))
    await line.say(Say(liar.epoch, liar.next(), "lobby", "a lie"))
    await line.join("lobby", "mallory")
    await say(a, "for bob only", to="boss")
    await b.ask("room.say", room="lobby", text="for ann only", to="ann")
    await line.say(
        Say(liar.epoch, liar.next(), "lobby", "not to ann", "ann", b.id),
        Say(liar.epoch, liar.next(), "lobby", "not to boss", "boss", None),
    )
    await say(a, "for all")
    told = await line.until(Said, text="for all")
    assert told.id is None
    texts = [text for _, text in await heard(b, ROOM)]
    assert not {"a lie", "not to ann", "not to boss"} & set(texts)
    assert await users(b, "lobby") == ["boss", "ann", "mallory"]
    await lobby_is_well(a, b)


async def test_a_liar_that_was_banned_stays_out_whatever_it_claims(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await in_lobby(two_nodes)
    line = await liar.dial(b)
    await line.join("lobby", "mallory")
    await b.ask("room.ban", room="lobby", nick="mallory")
    for new in (False, True, False):
        await line.say(Rooms(liar.next(), [("lobby", "mallory", new)]))
        await line.say(Say(await epoch_of(a), newest(a) + 1, "lobby", "a lie"))
        await line.say(Say(liar.epoch, liar.next(), "lobby", "a lie"))
    await line.close()
    line = await liar.dial(b)
    await line.say(Rooms(liar.next(), [("lobby", "ann", False)]), Say(liar.epoch, liar.next(), "lobby", "a lie"))
    assert "a lie" not in [text for _, text in await heard(b, ROOM)]
    assert await users(b, "lobby") == ["boss", "ann"]
    await lobby_is_well(a, b, restarted=True)


# -- receipts


def _place(position: str) -> tuple[str, int]:
    epoch, _, seq = position.partition(":")
    return epoch, int(seq)


@WHEN
@pytest.mark.parametrize("kind", ["Said", "Refused"])
async def test_a_host_tells_nothing_of_messages_that_went_to_another_host(
    two_nodes: TwoNodes, liar: Liar, kind: str, *, restarted: bool
) -> None:
    """Alice is in the trap, a room of the liar, too. What she said to bob still waits."""
    a, b = await in_lobby(two_nodes)
    liar.hosts |= {"trap", "lobby"}
    line = await liar.dial(a)
    for room in ("trap", "lobby"):
        await a.ask("room.join", room=f"{room}@mallory", nick="ann")
    await b.stop()
    await a.wait_state("bob", "dialing")
    direct = await a.send("bob", "waits for bob")
    in_room = (await a.ask("room.say", room=ROOM, text="waits for the lobby"))["id"]
    if restarted:
        await a.restart()
        line = await liar.dial(a)
    direct_to_liar = await a.send("mallory", "direct", wait="delivered")
    history = [one["position"] for one in await a.history()]
    for claimed in {direct, in_room, direct_to_liar, *history[:3], f"{await epoch_of(a)}:{newest(a) + 7}"}:
        for room in ("trap", "lobby", "den"):
            if kind == "Said":
                await line.say(Said(liar.epoch, liar.next(), room, "ann", "a lie", claimed))
            else:
                await line.say(Refused(liar.epoch, liar.next(), room, claimed, "a lie"))
    assert not line.ended
    assert await a.states(direct, in_room, direct_to_liar) == ["queued", "queued", "delivered"]
    own = [one for one in await a.history(types=["receipt"]) if one["type"] == "receipt"]
    assert not {direct, in_room, direct_to_liar} & {one["id"] for one in own}
    await b.start()
    await until_heard(b, "waits for the lobby", ROOM)
    await until_heard(a, "waits for the lobby", ROOM)
    assert [one["text"] for one in await of_node(b, a.id)] == ["waits for bob"]
    await lobby_is_well(a, b, restarted=True)


@WHEN
@pytest.mark.parametrize("kind", ["Said", "Refused"])
async def test_a_host_tells_what_became_of_a_message_only_in_the_room_where_it_was_said(
    two_nodes: TwoNodes, liar: Liar, kind: str, *, restarted: bool
) -> None:
    a, b = await in_lobby(two_nodes)
    liar.hosts |= {"trap", "den"}
    line = await liar.dial(a)
    for room in ("trap", "den"):
        await a.ask("room.join", room=f"{room}@mallory", nick="ann")
    sent = (await a.ask("room.say", room="trap@mallory", text="in the trap"))["id"]
    await line.until(Say, text="in the trap")
    if restarted:
        await a.drained("mallory")
        await a.restart()
        line = await liar.dial(a)
        await line.say()
    if kind == "Said":
        lie: Frame = Said(liar.epoch, liar.next(), "den", "ann", "in the trap", sent)
    else:
        lie = Refused(liar.epoch, liar.next(), "den", sent, "a lie")
    await line.say(lie)
    assert await a.states(sent) == ["sent"]
    assert [one for one in await a.history(types=["receipt"]) if one.get("room") == "den@mallory"] == []
    await line.say(Said(liar.epoch, liar.next(), "trap", "ann", "in the trap", sent))
    assert await a.states(sent) == ["delivered"]
    await lobby_is_well(a, b, restarted=restarted)


async def test_the_present_epoch_of_a_member_in_what_a_host_says_ends_that_line_only(
    two_nodes: TwoNodes, liar: Liar
) -> None:
    a, b = await in_lobby(two_nodes)
    liar.hosts.add("trap")
    line = await liar.dial(a)
    await a.ask("room.join", room="trap@mallory", nick="ann")
    await line.say(Said(await epoch_of(a), newest(a) + 1, "trap", "mallory", "a lie"))
    assert (await line.until(Bye)).reason == "protocol"
    assert await messages(a, room="trap@mallory") == []
    await lobby_is_well(a, b)


async def test_a_liar_that_was_banned_under_the_nick_of_another_member_is_not_let_in_with_it(
    two_nodes: TwoNodes, liar: Liar
) -> None:
    a, b = await two_nodes()
    await b.ask("room.host", room="lobby", nick="boss")
    await a.ask("room.join", room=ROOM, nick="friend")
    await b.ask("room.ban", room="lobby", nick="friend")
    line = await liar.dial(b)
    await line.join("lobby", "friend")
    await b.ask("room.ban", room="lobby", nick="friend")
    with pytest.raises(Denied) as refused:
        await b.ask("room.unban", room="lobby", nick="friend")
    assert (refused.value.kind, refused.value.data["candidates"]) == ("ambiguous_peer", [a.id, liar.id])
    await b.ask("room.unban", room="lobby", nick=a.id)
    await line.say(Rooms(liar.next(), [("lobby", "friend", True)]))
    assert (await line.until(Gone)).kind == "forbidden"
    await a.ask("room.join", room=ROOM, nick="friend")
    assert set(await users(b, "lobby")) == {"boss", "friend"}
    await unharmed(a, b)
