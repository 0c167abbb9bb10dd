"""Lies about names: a liar calls itself what means another node. Every verb still goes where it went before.

Alice knows bob. What she calls him, his slot, his id and its beginning mean him; the liar is shown with its own id.
"""

import shutil
from collections.abc import Callable
from functools import partial

import pytest
import trio

from chatd.peers.identity import load_or_create, prepare_state_dir
from chatd.wire.frames import Text
from tests.adversary.honest import messages, of_node, record, unharmed, until_heard
from tests.adversary.liar import Liar
from tests.harness.client import Refused
from tests.harness.network import LiveNode, Network, TwoNodes

NAMES: dict[str, Callable[[LiveNode, LiveNode], str]] = {
    "the name of bob": lambda a, b: "bob",
    "the name of alice herself": lambda a, b: "alice",
    "the id of bob": lambda a, b: b.id,
    "the beginning of the id of bob": lambda a, b: b.id[:8],
    "four letters of the id of bob": lambda a, b: b.id[:4],
    "the id of alice herself": lambda a, b: a.id,
    "the beginning of the id of alice": lambda a, b: a.id[:8],
    "an address": lambda a, b: "127.0.0.1",
}


def draw_key(node: LiveNode) -> None:
    """An identity with an id that does not begin with four digits: no node may announce a number as its name."""
    prepare_state_dir(node.state)
    while load_or_create(node.state).node[:4].isdigit():
        shutil.rmtree(node.state)
        prepare_state_dir(node.state)


async def means_bob(a: LiveNode, b: LiveNode, text: str) -> None:
    """Every way to say bob goes to bob alone."""
    slot = (await record(a, b.id))["slot"]
    specs = ["bob", b.id, b.id[:8], slot, str(slot)]
    for spec in specs:
        assert (await a.ask("send", peer=spec, text=f"{text} {spec}"))["peer"]["node"] == b.id
    await a.drained(b.id)
    assert [one["text"] for one in await of_node(b, a.id)][-len(specs) :] == [f"{text} {spec}" for spec in specs]


@pytest.mark.parametrize("lie", NAMES)
async def test_a_name_that_means_another_node_is_shown_with_the_id_of_the_liar(
    network: Network, liar: Liar, lie: str
) -> None:
    a, b = network.node("alice"), network.node("bob")
    for node in (a, b):
        draw_key(node)
        await node.start()
    await a.connect(b)
    await b.up(a)
    liar.name = NAMES[lie](a, b)
    line = await liar.dial(a)
    await line.say(Text(liar.epoch, liar.next(), "hi"))
    assert (await record(a, liar.id))["name"] == f"{liar.name}~{liar.id[:8]}"
    assert (await record(a, b.id))["name"] == "bob"
    await means_bob(a, b, "before")
    (heard,) = await of_node(a, liar.id)
    assert (await a.ask("reply", id=heard["id"], text="to the liar"))["peer"]["node"] == liar.id
    await line.close()
    await a.restart()
    await a.up(b)
    await liar.dial(a)
    assert (await record(a, liar.id))["name"] == f"{liar.name}~{liar.id[:8]}"
    await means_bob(a, b, "after a restart")
    await a.send(f"{liar.name}~{liar.id[:8]}", "to the liar too", wait="delivered")
    assert len(await of_node(a, liar.id, "out")) == 2
    await unharmed(a, b, restarted=True)


async def test_an_id_that_a_liar_has_made_like_a_name_ends_no_wait_for_it_and_gets_no_message(
    network: Network, liar: Liar
) -> None:
    """A liar makes keys until its id begins with the name of a node. Here the node is named after the id instead."""
    name = next(liar.id[:length] for length in range(4, 12) if not liar.id[:length].isdigit())
    a, b = network.node("alice"), network.node(name)
    await a.start()
    await b.start()
    line = await liar.dial(a)
    await line.say(Text(liar.epoch, liar.next(), "hi"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(a.ask, "wait", for_="peer", peer=name))
        await b.connect(a)
        shown = f"{name}~{b.id[:8]}"
        await a.wait_state(shown, "up")
        with pytest.raises(Refused) as refused:
            await a.ask("send", peer=name, text="to whom?")
        assert refused.value.kind == "unknown_peer"
        await a.ask("peer.rename", peer=shown, name=name)
    assert (await a.ask("send", peer=name, text="to the node"))["peer"]["node"] == b.id
    await unharmed(a, b)


async def test_a_liar_that_changes_its_name_takes_no_name_of_another_node(two_nodes: TwoNodes, liar: Liar) -> None:
    a, b = await two_nodes()
    for name in ("mallory", "bob", b.id, "alice", b.id[:8] + "-", "mallory"):
        liar.name = name
        line = await liar.dial(a)
        await line.say(Text(liar.epoch, liar.next(), f"as {name}"))
        await means_bob(a, b, f"while the liar is {name}")
        assert len({peer["name"] for peer in await a.peers()}) == len(await a.peers()) == 2
        await line.close()
    await unharmed(a, b)


async def test_a_liar_that_comes_first_keeps_no_id_from_its_node(network: Network, liar: Liar) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await a.start()
    liar.name = b.id
    await liar.dial(a)
    for spec in (b.id, b.id[:16]):
        with pytest.raises(Refused) as refused:
            await a.send(spec, "too early")
        assert refused.value.kind == "unknown_peer"
    await a.connect(b)
    await b.up(a)
    await means_bob(a, b, "now")
    await unharmed(a, b)
    assert [one["text"] for one in await messages(b) if one["text"] == "too early"] == []


@pytest.mark.parametrize("name", ["bob", "alice", "the id of bob"])
async def test_a_room_of_a_liar_has_another_label_than_the_room_of_the_node_that_it_names(
    two_nodes: TwoNodes, liar: Liar, name: str
) -> None:
    a, b = await two_nodes()
    for node in (a, b):
        await node.ask("room.host", room="lobby", nick=node.name)
    await a.ask("room.join", room="lobby@bob", nick="ann")
    liar.name, liar.hosts = b.id if name == "the id of bob" else name, {"lobby"}
    line = await liar.dial(a)
    label = (await a.ask("room.join", room=f"lobby@{liar.id}", nick="ann"))["room"]["room"]
    assert label == f"lobby@{liar.name}~{liar.id[:8]}"
    for spec, text in {"lobby@bob": "to bob", f"lobby@{b.id}": "to his id", "lobby@alice": "to alice"}.items():
        await a.ask("room.say", room=spec, text=text, wait="delivered")
    await until_heard(b, "to his id", "lobby@bob")
    assert [one["text"] for one in await messages(b, room="lobby@bob")] == ["to bob", "to his id"]
    assert [one["text"] for one in await messages(a, room="lobby@alice")] == ["to alice"]
    assert [one["text"] for one in await messages(a, room=label)] == []
    assert not line.ended
    await unharmed(a, b)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_decision_about_an_id_is_not_one_about_the_node_that_is_called_so(
    two_nodes: TwoNodes, liar: Liar, *, restarted: bool
) -> None:
    a, b = await two_nodes()
    liar.name = b.id
    line = await liar.dial(a)
    await a.ask("peer.deny", peer=liar.id)
    await line.over()
    await a.ask("peer.accept", peer=b.id)
    if restarted:
        await a.restart()
        await a.up(b)
    trust = {peer["node"]: peer["trust"] for peer in await a.peers()}
    assert (trust[b.id], trust[liar.id]) == ("accepted", "denied")
    for spec in ("bob", b.id[:8]):
        with pytest.raises(Refused) as refused:
            await a.ask("peer.deny", peer=spec)
        assert refused.value.kind == "conflict"
    await unharmed(a, b, restarted=restarted)


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_liar_at_the_address_of_a_node_that_is_away_takes_neither_its_name_nor_its_id(
    two_nodes: TwoNodes, network: Network, liar: Liar, *, restarted: bool
) -> None:
    a, b = await two_nodes()
    robert = network.node("robert")
    await robert.start()
    await a.connect(robert)
    await robert.stop()
    liar.name = "robert"
    async with liar.listening(robert.port) as (address, _):
        shown = f"robert~{liar.id[:8]}"
        await a.wait_state(shown, "up", address=address)
        if restarted:
            await a.restart()
            await a.wait_state(shown, "up", address=address)
            await a.up(b)
        for spec in ("robert", robert.id, robert.id[:8]):
            assert (await a.ask("send", peer=spec, text=f"for {spec}"))["peer"]["node"] == robert.id
        with pytest.raises(Refused) as refused:
            await a.send(liar.id[:8], "to a stranger")
        assert refused.value.data["reason"] == "short_prefix"
    await robert.start()
    await a.up(robert)
    await a.drained(robert.id)
    assert [one["text"] for one in await of_node(robert, a.id)] == [
        f"for {spec}" for spec in ("robert", robert.id, robert.id[:8])
    ]
    assert await of_node(a, liar.id, "out") == []
    await unharmed(a, b, restarted=restarted)
