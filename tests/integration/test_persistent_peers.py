"""Wishes over restarts: what is redialed, by whom, and what a `terminate` leaves behind."""

import pytest
import trio

from chatd.journal.batch import Batch
from chatd.journal.store import DiskFull
from chatd.peers.identity import Identity
from tests.harness.client import Hung, Refused
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.network import LiveNode, Network, ThreeNodes, TwoNodes
from tests.harness.places import address_of, listen
from tests.harness.proxy import proxying


def refuse(batch: Batch) -> None:
    """No byte more is taken."""
    raise DiskFull("no room")


async def end(node: LiveNode, how: str) -> None:
    """Stop it in order, or not."""
    await (node.kill if how == "kill" else node.stop)()


def persistent_rows(node: LiveNode) -> list[tuple[str, str]]:
    """(kind, address) of what is on disk, while the node runs."""
    query = node.node.journal.store.query
    return [(kind, address) for kind, address in query("SELECT kind, address FROM wishes ORDER BY address")]


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("who", ["the one that dialed", "the other", "both"])
async def test_a_connect_holds_over_restarts_of_either_side(two_nodes: TwoNodes, who: str, how: str) -> None:
    a, b = await two_nodes()
    inbox = await b.feed("start", types=["message"])
    for number in range(3):
        ended = {"the one that dialed": [a], "the other": [b], "both": [a, b]}[who]
        for node in ended:
            await end(node, how)
        for node in ended:
            await node.start()
        sent = await a.send("bob", str(number))
        if b in ended:
            inbox = await b.feed("start", types=["message"])
        assert (await inbox.until("message", text=str(number)))["global_id"] == f"{a.id}/{sent}"
    bob, alice = await a.peer("bob"), await b.peer("alice")
    assert (bob["slot"], bob["desired"], alice["slot"], alice["desired"]) == (0, True, 0, False)
    assert await b.texts() == ["0", "1", "2"]


async def talk(node: LiveNode, peer: str, said: list[str], enough: trio.Event, stop: trio.Event) -> None:
    """Send messages until it is told to stop, or the node ends; those that were accepted are in `said`."""
    first = len(said)
    try:
        while not stop.is_set():
            text = f"{node.name} {len(said)} {first}"
            await node.send(peer, text)
            said.append(text)
            if len(said) == first + 20:
                enough.set()
    except Refused as refused:
        if refused.kind != "shutting_down":
            raise
    except (Hung, trio.ClosedResourceError):
        return


async def test_messages_flow_both_ways_while_both_sides_come_and_go(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    said_a, said_b = list[str](), list[str]()
    for node, how in ((a, "kill"), (b, "stop"), (b, "kill"), (a, "stop"), (a, "kill"), (b, "kill")):
        stop, enough_a, enough_b = trio.Event(), trio.Event(), trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(talk, a, "bob", said_a, enough_a, stop)
            nursery.start_soon(talk, b, "alice", said_b, enough_b, stop)
            await enough_a.wait()
            await enough_b.wait()
            await end(node, how)
            stop.set()
        await node.start()
    for node, said in ((b, said_a), (a, said_b)):
        inbox = await node.feed("start", types=["message"], direction="in")
        await inbox.until("message", text=said[-1])
        texts = [event["text"] for event in inbox.seen]
        assert len(texts) == len(set(texts))
        assert [text for text in texts if text in set(said)] == said


async def test_a_connect_is_kept_from_its_answer_on(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(connected=False)
    await a.connect(b)
    await a.kill()
    await a.start()
    await a.up(b)


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_kept_address_that_never_answered_is_dialed_after_a_restart_until_somebody_is_there(
    two_nodes: TwoNodes, how: str
) -> None:
    a, b = await two_nodes(connected=False)
    await b.stop()
    with pytest.raises(Refused, match="connection refused"):
        await a.connect(b.address, keep=True)
    for _ in range(2):
        await end(a, how)
        await a.start()
        waiting = await a.wait_state(b.address, "dialing")
        assert (waiting["slot"], waiting["node"], waiting["desired"]) == (0, None, True)
    await b.start()
    await a.up(b)
    await a.restart()
    await a.up(b)
    assert [(peer["slot"], peer["name"]) for peer in await a.peers()] == [(0, "bob")]


async def test_a_kept_plain_address_holds_over_a_restart_with_its_slot(network: Network) -> None:
    a = network.node("alice")
    await a.start()
    listener = await listen()
    address = address_of(listener)
    async with listener:
        kept = await a.connect(address, plain=True, keep=True)
        stream = await listener.accept()
        await a.kill()
        await stream.aclose()
        await a.start()
        stream = await listener.accept()
        again = await a.wait_state(address, "up")
        assert (again["slot"], again["kind"], again["desired"]) == (kept["slot"], "plain", True)
        await a.ask("terminate", peer=again["slot"])
        await stream.aclose()
        await a.restart()
        assert persistent_rows(a) == []
        assert await a.peers() == []


async def test_a_plain_connect_without_keep_is_no_wish(network: Network) -> None:
    a = network.node("alice")
    await a.start()
    listener = await listen()
    async with listener:
        await a.connect(address_of(listener), plain=True)
        async with await listener.accept():
            await a.restart()
    assert await a.peers() == []


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_terminated_peer_stays_away_after_a_restart_of_both(two_nodes: TwoNodes, how: str) -> None:
    a, b = await two_nodes()
    await a.ask("terminate", peer="bob")
    for node in (a, b):
        await end(node, how)
    for node in (a, b):
        await node.start()
    bob = await a.peer("bob")
    assert (bob["state"], bob["reason"], bob["desired"]) == ("down", "terminated", False)
    assert persistent_rows(a) == persistent_rows(b) == []
    with pytest.raises(Refused, match="was terminated") as refused:
        await a.send("bob", "hi")
    assert refused.value.kind == "peer_offline"
    await b.connect(a)  # a `connect` from either side forgets it
    await a.send("bob", "hi")
    await a.restart()
    await b.up(a)


async def test_the_wish_of_the_other_side_ends_for_good_too(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.ask("terminate", peer="alice")
    await a.wait_state("bob", "down", reason="terminated by peer")
    await a.kill()
    await a.start()
    assert persistent_rows(a) == []
    assert not (await a.peer("bob"))["desired"]


async def test_a_wish_that_missed_the_terminate_ends_when_it_is_told(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.stop()
    await b.wait_state("alice", "down")
    peer = b.node.registry.find("alice")
    b.node.registry.terminate(peer)  # `chatctl terminate` wants somebody who is connected
    await b.restart()
    await a.start()
    ended = await a.wait_state("bob", "down")
    assert not ended["desired"]
    await a.node.journal.settled()
    assert persistent_rows(a) == []


async def test_a_terminate_of_a_configured_peer_holds_over_restarts_until_a_connect(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await a.start(peers=[b.address])
    await a.up(b)
    assert persistent_rows(a) == []
    await a.ask("terminate", peer="bob")
    for _ in range(2):
        await a.restart()
        bob = await a.peer("bob")
        assert (bob["state"], bob["reason"], bob["desired"]) == ("down", "terminated", False)
    await b.connect(a)
    await a.restart()
    await a.wait_state("bob", "up")
    assert (await a.peer("bob"))["desired"]


async def test_a_configured_peer_that_terminated_us_says_so_again_after_our_restart(network: Network) -> None:
    a, b = network.node("alice"), network.node("bob")
    await b.start()
    await a.start(peers=[b.address])
    await b.up(a)
    await b.ask("terminate", peer="alice")
    await a.restart()
    ended = await a.wait_state("bob", "down")
    assert not ended["desired"]
    assert (await b.peer("alice"))["state"] == "down"


async def test_a_kept_connect_beats_the_terminate_of_a_peer_that_was_away(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await b.ask("terminate", peer="alice")
    await b.stop()
    with pytest.raises(Refused, match="connection refused"):
        await a.connect(b.address, keep=True)
    await b.start()
    await a.up(b)
    await b.send("alice", "hi")


async def test_a_connect_that_is_given_up_once_somebody_known_has_answered_leaves_its_wish_with_that_peer(
    network: Network,
) -> None:
    (a,) = await network.start(1)
    identity = new_identity()
    async with await Handmade.linked(a.address, identity):
        await a.wait_state("handmade", "up")
    listener = await listen()
    address = address_of(listener)
    async with listener, trio.open_nursery() as nursery:
        nursery.start_soon(says_hello_and_no_more, listener, identity)
        with pytest.raises(Refused, match="has not answered"):
            await a.connect(address, keep=True, timeout=0.3)
        nursery.cancel_scope.cancel()
    (peer,) = await a.peers()
    assert (peer["name"], peer["slot"], peer["desired"]) == ("handmade", 0, True)
    assert persistent_rows(a) == [("native", address)]


async def says_hello_and_no_more(listener: trio.SocketListener, identity: Identity) -> None:
    async with await Handmade.over(await listener.accept(), identity, server_side=True) as peer:
        await peer.send(hello(dial="answer"))
        await trio.sleep_forever()


async def test_a_forgotten_peer_leaves_no_wish(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.ask("peer.forget", peer="bob")
    await a.kill()
    await a.start()
    assert persistent_rows(a) == []
    assert await a.peers() == []
    await b.wait_state("alice", "down")


async def test_a_denied_peer_is_not_dialed_after_a_restart(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()
    await a.ask("peer.deny", peer=0)
    await a.restart(peers=[b.address])
    bob = await a.peer("bob")
    assert (bob["state"], bob["desired"], bob["trust"]) == ("down", False, "denied")


async def test_two_kept_addresses_of_one_node_are_both_its_own_also_after_a_restart(
    two_nodes: TwoNodes,
) -> None:
    a, b = await two_nodes(connected=False)
    async with proxying(b.address) as proxy:
        await b.stop()
        for address in (b.address, proxy.address):
            with pytest.raises(Refused):
                await a.connect(address, keep=True)
        await b.start()
        registry = a.node.registry
        while len(registry.records()) > 1 or not registry.up():
            await registry.changed.wait()
        await a.node.journal.settled()
        both = [("native", address) for address in sorted((b.address, proxy.address))]
        assert persistent_rows(a) == both
        await a.restart()
        await a.up(b)
        assert [peer["name"] for peer in await a.peers()] == ["bob"]
        assert persistent_rows(a) == both
        proxied = proxy.address
    await b.stop()
    await b.start()
    await a.up(b)  # also where the one that answered last does not any more
    assert (await a.peer("bob"))["address"] == b.address != proxied


async def test_a_slot_is_given_to_nobody_else_over_restarts(three_nodes: ThreeNodes) -> None:
    a, b, c = await three_nodes(connected=False)
    await a.connect(b)
    await a.connect(c)
    await a.ask("peer.forget", peer="carol")
    await b.stop()
    await a.restart()
    await a.connect(c)
    slots = {peer["name"]: peer["slot"] for peer in await a.peers()}
    assert slots["bob"] == 0
    assert slots["carol"] != 0
    await b.start()
    await a.up(b)
    assert (await a.peer("bob"))["slot"] == 0


async def test_connect_and_terminate_work_on_a_full_disk_and_are_kept_once_there_is_room(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (network.node(name) for name in ("alice", "bob", "carol"))
    a.loses_events = True
    for node in (a, b, c):
        await node.start()
    await a.connect(b)
    with monkeypatch.context() as patch:
        patch.setattr(a.node.journal.store, "write", refuse)
        carol = await a.connect(c)
        assert (carol["state"], carol["desired"]) == ("up", True)
        await a.ask("terminate", peer="bob")
        assert persistent_rows(a) == [("native", b.address)]
    await a.send("carol", "there is room")
    assert persistent_rows(a) == [("native", c.address)]
    await a.kill()
    await a.start()
    await a.up(c)
    bob = await a.peer("bob")
    assert (bob["state"], bob["reason"], bob["slot"]) == ("down", "terminated", 0)


async def test_a_node_that_ends_on_a_full_disk_dials_as_the_disk_says(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = (network.node(name) for name in ("alice", "bob", "carol"))
    a.loses_events = True
    for node in (a, b, c):
        await node.start()
    await a.connect(b)
    with monkeypatch.context() as patch:
        patch.setattr(a.node.journal.store, "write", refuse)
        await a.connect(c)
        await a.kill()
    await a.start()
    await a.up(b)
    assert [peer["name"] for peer in await a.peers() if peer["desired"]] == ["bob"]


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.long)])
async def test_a_node_with_many_wishes_dials_them_one_after_the_other(network: Network, count: int) -> None:
    a = network.node("alice", redial_min=0.5, redial_max=30.0)
    await a.start()
    registry = a.node.registry
    for number in range(count):
        address = f"127.9.{number // 250}.{number % 250 + 1}:9"
        registry.persistent.add(registry.at_address(address), address)
    await a.restart()
    begun, registry = trio.current_time(), a.node.registry
    assert len(await a.peers()) == count
    assert not all(peer.reason for peer in registry)  # clients are served meanwhile
    while not all(peer.reason for peer in registry):
        await registry.changed.wait()
    assert trio.current_time() - begun > count / 1000
    assert {peer.reason for peer in registry} == {"connection refused"}
