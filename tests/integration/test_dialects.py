"""Nodes as clients of programs that behave like the original room servers (docs/origins.md)."""

import pytest
import trio
import trio.testing

from tests.harness.client import Refused
from tests.harness.network import Network
from tests.harness.places import dial
from tests.harness.room_servers import AddressServer, Member, NameServer, RoomServer, serving

pytestmark = pytest.mark.loopback  # what a real socket gives in one read is the point

FAREWELLS = {"address": b"QUIT", "name": b"*exit\n"}
MANY = 100


@pytest.fixture(params=["address", "name"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def server_of(dialect: str) -> RoomServer:
    return AddressServer() if dialect == "address" else NameServer()


def said(dialect: str, *texts: str) -> list[bytes]:
    """What a server hears of those texts."""
    return [text.encode() + (b"\n" if dialect == "name" else b"") for text in texts]


def shown(member: Member, *texts: str) -> list[str]:
    """What all others are shown of those texts."""
    mark = f"<{member.name}>" if member.name else f"{member.address}:"
    return [f"{mark} {text}" for text in texts]


async def test_two_nodes_in_one_room_hear_each_other_and_leave_in_order(network: Network, dialect: str) -> None:
    a, b = await network.start(2, connected=False, plain_pace=0.005)
    server = server_of(dialect)
    async with serving(server):
        for node in (a, b):
            record = await node.connect(server.address, dialect=dialect)
            assert (record["kind"], record["dialect"], record["state"]) == ("plain", dialect, "up")
            await server.member(0 if node is a else 1)
        alice, bob = server.members
        if dialect == "name":
            assert [await member.wait_chunks(1) for member in server.members] == [[b"alice"], [b"bob"]]
            for node in (a, b):
                assert (await (await node.feed("start", direction="in")).texts(1))[0].startswith("Welcome")
        for node, other, member in ((a, b, alice), (b, a, bob)):
            heard = await other.feed(direction="in")
            await node.client.send_many(0, ["hello", "  and   more  "])
            assert await heard.texts(2) == shown(member, "hello", "  and   more  ")
        await a.ask("terminate", peer=0)
        assert alice.chunks[-1] == FAREWELLS[dialect]
        assert (alice.over, alice.closed_first) == ("left", False)
        await b.stop()
        assert bob.chunks[-1] == FAREWELLS[dialect]
        assert (await bob.wait_over(), bob.closed_first) == ("left", False)


async def test_many_messages_arrive_each_as_one_chunk_and_the_farewell_behind_them(
    network: Network, dialect: str
) -> None:
    (a,) = await network.start(1, plain_pace=0.002)
    server, texts = server_of(dialect), [f"message {number}" for number in range(MANY)]
    async with serving(server):
        await a.connect(server.address, dialect=dialect, **({"nick": "jane"} if dialect == "name" else {}))
        await a.client.send_many(0, texts)
        answer = await a.ask("terminate", peer=0)
        (member,) = server.members
        greeting = [b"jane"] if dialect == "name" else []
        assert member.chunks == [*greeting, *said(dialect, *texts), FAREWELLS[dialect]]
        assert (answer["queued"], answer["peer"]["sent"], answer["peer"]["reason"]) == (0, MANY, "terminated")


async def test_the_node_stops_in_order_and_waits_for_the_server_to_close(network: Network, dialect: str) -> None:
    (a,) = await network.start(1, plain_pace=0.005)
    server = server_of(dialect)
    async with serving(server), trio.open_nursery() as nursery:
        await a.connect(server.address, dialect=dialect)
        await a.send(0, "last words")
        server.closes = trio.Event()
        nursery.start_soon(a.stop)
        member = await server.member()
        while FAREWELLS[dialect] not in member.chunks:
            await server.changed.wait()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert a.running
        server.closes.set()
        assert (await member.wait_over(), member.closed_first) == ("left", False)
    assert member.chunks[-2:] == [*said(dialect, "last words"), FAREWELLS[dialect]]


async def test_a_server_that_never_answers_the_farewell_holds_nobody(network: Network, dialect: str) -> None:
    (a,) = await network.start(1)
    server = server_of(dialect)
    async with serving(server):
        await a.connect(server.address, dialect=dialect)
        await server.member()
        server.closes = trio.Event()
        with trio.fail_after(5):
            await a.stop()


async def test_a_node_that_is_killed_floods_nobody(network: Network, dialect: str) -> None:
    (a,) = await network.start(1)
    server = server_of(dialect)
    async with serving(server):
        async with await dial(f"127.0.0.1:{server.port}") as bystander:
            await bystander.send_all(b"bystander")
            await (await server.member(0)).wait_chunks(1)
            await a.connect(server.address, dialect=dialect)
            member = await server.member(1)
            await a.kill()
            assert await member.wait_over() == ("reset" if dialect == "address" else "gone")
            await bystander.send_all(FAREWELLS[dialect])
            await server.members[0].wait_over()
            seen = b"".join([chunk async for chunk in bystander])
        assert b"('" not in seen
    await a.start()


async def test_the_server_that_is_left_rudely_floods_so_that_these_tests_mean_something() -> None:
    server = AddressServer()
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        async with await dial(f"127.0.0.1:{server.port}") as bystander:
            await server.member(0)
            rude = await dial(f"127.0.0.1:{server.port}")
            await server.member(1)
            await rude.aclose()
            flood = b""
            while flood.count(b"('127.0.0.1', ") < 10:
                flood += await bystander.receive_some()
            assert server.empty_texts >= 10
        server.stop()


async def test_a_silent_client_before_us_delays_our_texts_and_mixes_nothing_up(network: Network) -> None:
    (a,) = await network.start(1, plain_pace=0.005)
    server = NameServer()
    async with serving(server), await dial(f"127.0.0.1:{server.port}") as silent:
        await server.member(0)
        await a.connect(server.address, dialect="name", nick="jane")
        await a.send(0, "hello")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await silent.send_all(b"joe")
        jane = await server.member(1)
        assert await jane.wait_chunks(2) == [b"jane", b"hello\n"]
        assert (await a.peer(server.address))["sent"] == 1


@pytest.mark.parametrize("how", ["thrown out", "server restarts", "node restarts"])
async def test_with_keep_it_comes_back_by_itself_in_the_same_dialect_and_by_the_same_nick(
    network: Network, dialect: str, how: str
) -> None:
    (a,) = await network.start(1, plain_pace=0.005)
    server = server_of(dialect)
    nick = {"nick": "jane"} if dialect == "name" else {}
    async with serving(server), trio.open_nursery() as nursery:
        record = await a.connect(server.address, dialect=dialect, keep=True, **nick)
        assert record["desired"]
        first = await server.member(0)
        if how == "thrown out":
            first.throw_out()
        elif how == "server restarts":
            server.stop()
            await first.wait_over()
            await nursery.start(server.run)
        else:
            await a.restart()
        second = await server.member(1)
        again = await a.wait_state(server.address, "up", dialect=dialect, desired=True)
        assert again["slot"] == record["slot"]
        await a.send(server.address, "back again")
        greeting = [b"jane"] if nick else []
        assert await second.wait_chunks(len(greeting) + 1) == [*greeting, *said(dialect, "back again")]
        server.stop()


async def test_users_are_listed_and_what_would_leave_is_refused(network: Network) -> None:
    (a,) = await network.start(1, plain_pace=0.005)
    server = NameServer()
    async with serving(server):
        await a.connect(server.address, dialect="name", nick="jane")
        heard = await a.feed("start", direction="in")
        await a.send(0, "*users")
        assert (await heard.texts(3))[1:] == ["User List:", "[1] jane"]
        for text, kind in (("*exit", "bad_text"), ("two\nlines", "bad_text"), ("x" * 1025, "too_large")):
            with pytest.raises(Refused) as refused:
                await a.send(0, text)
            assert refused.value.kind == kind
        await a.send(0, "QUIT")
        assert (await server.members[0].wait_chunks(3))[-1] == b"QUIT\n"


async def test_one_connection_to_a_room_is_enough(network: Network, dialect: str) -> None:
    (a,) = await network.start(1)
    server = server_of(dialect)
    async with serving(server):
        await a.connect(server.address, dialect=dialect)
        for again in ({}, {"plain": True}, {"dialect": "address"}, {"dialect": "name", "nick": "other"}):
            with pytest.raises(Refused) as refused:
                await a.connect(server.address, **again)
            assert refused.value.data["reason"] == "already_connected"
        assert len(server.members) == 1
        assert [peer["dialect"] for peer in await a.peers()] == [dialect]
