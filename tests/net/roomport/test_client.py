"""Clients of a room port: what they read, byte for byte, how they end, and the cost of misbehaving ones."""

import socket
from contextlib import suppress

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.events import RoomJoin
from chatd.journal.store import DiskFull
from chatd.net.roomport import port as module
from tests.harness.chat_programs import RoomProgram
from tests.harness.connections import reset
from tests.harness.parts import World
from tests.harness.room_ports import WELCOME, exactly, nick_of, rest, room_port_node

# -- dialect name, as the client program of the name room server sees it


async def test_the_first_chunk_is_the_name_and_all_others_get_every_line() -> None:
    async with room_port_node() as node:
        bob, carol, dave = [await node.named(name) for name in ("bob", "carol", "dave")]
        assert bob.received == [WELCOME.format("bob").encode()]
        await bob.say("hello")
        await bob.say("  two  spaces")
        for other in (carol, dave):
            await other.wait_bytes(
                WELCOME.format(nick_of(other, node)).encode() + b"<bob> hello\n<bob>   two  spaces\n"
            )
        await carol.say("hi bob")
        await bob.wait_bytes(WELCOME.format("bob").encode() + b"<carol> hi bob\n")


async def test_a_name_with_a_newline_has_its_answers_with_one_and_its_first_line_may_be_glued_to_it() -> None:
    async with room_port_node() as node:
        bob = await node.named("bob")
        stream = await node.dial()
        await stream.send_all(b"carol\nhi all\n*users\n@bob psst\n@nobody hi\n")
        expected = WELCOME.format("carol") + "\nUser List:\n[1] bob\n[2] carol\nUser does not exist.\n"
        await exactly(stream, expected.encode())
        await bob.wait_bytes(WELCOME.format("bob").encode() + b"<carol> hi all\n<carol> (Private Message) psst")
        await stream.aclose()


async def test_only_the_asker_learns_that_a_user_does_not_exist() -> None:
    async with room_port_node() as node:
        bob, carol = await node.named("bob"), await node.named("carol")
        await bob.say("@nobody are you there?")
        assert (await bob.wait_received(2))[1] == b"User does not exist."
        await bob.say("end")
        await carol.wait_bytes(WELCOME.format("carol").encode() + b"<bob> end\n")
        assert await node.texts() == [("bob", "end")]


async def test_users_are_listed_in_the_order_in_which_they_came_and_help_is_given() -> None:
    async with room_port_node() as node:
        bob, unnamed = await node.named("bob"), await node.unnamed()
        await bob.say("*users")
        await bob.wait_bytes(WELCOME.format("bob").encode() + f"User List:\n[1] bob\n[2] {unnamed.address}\n".encode())
        await bob.say("*help")
        assert b"*exit" in (await bob.wait_received(3))[2]
        assert unnamed.received == []


async def test_a_taken_or_unacceptable_name_is_replaced_and_the_welcome_says_so() -> None:
    async with room_port_node() as node:
        await node.named("jane")
        second, bad = await node.named("Jane"), await node.named("no name!")
        assert b"Jane2" in second.received[0]
        assert b"taken" in second.received[0]
        nick = nick_of(bad, node)
        assert nick.startswith("guest")
        assert nick.encode() in bad.received[0]


async def test_a_private_message_reaches_members_of_the_other_dialect() -> None:
    async with room_port_node() as node:
        bob, unnamed = await node.named("bob"), await node.unnamed()
        await bob.say(f"@{unnamed.address} psst")
        await unnamed.wait_bytes(b"('bob', 0): (Private Message) psst\n")
        assert len(bob.received) == 1


async def test_exit_is_answered_with_a_reset_that_loses_nothing() -> None:
    async with room_port_node() as node:
        bob = await node.named("bob")
        await bob.say("*users")
        assert await bob.leave() == "reset"
        assert b"".join(bob.received).endswith(b"User List:\n[1] bob\n")
        await node.users("bob", gone=True)
        assert await node.leaves() == [("bob", "left")]


async def test_exit_is_answered_with_a_fin_where_lines_end_so_that_nc_shows_what_came_before() -> None:
    async with room_port_node() as node:
        stream = await node.nc("bob\n")
        await stream.send_all(b"*users\n*exit\n")
        assert await rest(stream) == (b"User List:\n[1] bob\n", "eof")
        await node.ports.wait_closed()  # it does not close, so we do
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(b"x")


async def test_a_client_that_says_nothing_delays_nobody_and_is_dropped(mock_clock: MockClock) -> None:
    async with room_port_node() as node:
        silent = [await node.dial() for _ in range(5)]
        await silent[0].send_all(b"\n \n")
        bob = await node.named("bob")
        assert bob.over is None
        mock_clock.jump(node.node.config.handshake_timeout)
        for stream in silent:
            assert await rest(stream) == (b"", "reset")
        assert [user.nick for user in node.room.users()] == ["bob"]


async def test_a_client_that_ends_before_its_name_was_never_there() -> None:
    async with room_port_node() as node:
        async with await node.dial():
            await trio.testing.wait_all_tasks_blocked()
        reset(await node.dial())
        await node.named("bob")
        assert [type(event) for event in await node.events()] == [RoomJoin]


# -- dialect address, as the client program of the address room server sees it


async def test_nothing_is_sent_on_joining_and_each_chunk_is_a_message_to_all_others() -> None:
    async with room_port_node() as node:
        one, two, bob = await node.unnamed(), await node.unnamed(), await node.named("bob")
        assert one.received == two.received == []
        await one.say("hello  there")
        shown = "('127.0.0.1', {}): hello  there\n".format(one.address.rpartition(":")[2]).encode()
        await two.wait_bytes(shown)
        await bob.wait_bytes(WELCOME.format("bob").encode() + f"<{one.address}> hello  there\n".encode())
        await bob.say("hi")
        assert await one.wait_received(1) == [b"('bob', 0): hi"]
        await two.wait_bytes(shown + b"('bob', 0): hi\n")


async def test_to_a_client_without_newlines_each_message_is_one_read() -> None:
    async with room_port_node() as node:
        one = await node.unnamed()
        await one.say("hello")
        await node.said(1)
        for number in range(5):
            node.say(f"text {number}")
            await one.wait_received(number + 1)
        assert one.received == [b"('alice', 0): text %d" % number for number in range(5)]


async def test_quit_is_answered_with_a_fin_promptly() -> None:
    async with room_port_node() as node:
        one, two = await node.unnamed(), await node.unnamed()
        began = trio.current_time()
        assert await one.leave() == "eof"
        assert trio.current_time() - began < 1
        stream = await node.dial(1)
        await stream.send_all(b"QUIT\r\n")
        assert await rest(stream) == (b"", "eof")
        await stream.aclose()
        await two.say("QUIT is a word")
        await node.users(one.address, gone=True)
        assert await node.said(1) == [(two.address, "QUIT is a word")]
        assert {reason for _, reason in await node.leaves()} == {"left"}


async def test_bytes_that_are_no_text_and_tricks_stay_one_harmless_line() -> None:
    async with room_port_node() as node:
        one, bob = await node.unnamed(), await node.named("bob")
        await one.send_raw(b"\xff\xfe\x00\x1b[2J")
        await node.users("bob")
        expected = WELCOME.format("bob").encode() + f"<{one.address}> ".encode() + "��\ufffd[2J\n".encode()
        await bob.wait_bytes(expected)


# -- ends


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_those_who_go_without_goodbye_are_gone_at_once(how: str) -> None:
    async with room_port_node() as node:
        bob, carol = await node.nc("bob\n"), await node.named("carol")
        if how == "reset":
            reset(bob)
        else:
            await bob.aclose()
        await node.users("bob", gone=True)
        assert await node.leaves() == [("bob", "closed by peer" if how == "fin" else "reset")]
        await carol.say("still here")
        assert carol.over is None


async def test_a_half_closed_client_gets_what_was_asked_for_before() -> None:
    async with room_port_node() as node:
        stream = await node.dial()
        await stream.send_all(b"bob\nlast words\n*users\nwithout a newline")
        await stream.send_eof()
        expected = WELCOME.format("bob") + "\nUser List:\n[1] bob\n"
        assert await rest(stream) == (expected.encode(), "eof")
        assert await node.texts() == [("bob", "last words"), ("bob", "without a newline")]
        await stream.aclose()


@pytest.mark.parametrize("number", [0, 1])
async def test_who_is_kicked_gets_what_was_said_before_and_a_reset(number: int) -> None:
    async with room_port_node() as node:
        client = await node.named("bob") if number == 0 else await node.unnamed()
        node.say("before")
        await client.wait_received(2 - number)
        (nick,) = [user.nick for user in node.room.users() if user.nick != "alice"]
        node.moderation.kick(node.room, nick)
        node.say("behind")
        assert await client.wait_over() == "reset"
        assert b"before" in client.received[-1]
        assert await node.leaves() == [(nick, "kicked")]


async def test_a_stopping_node_hangs_up_on_all_quickly_with_a_reset() -> None:
    async with room_port_node() as node:
        clients = [await node.named(f"user{number}") for number in range(20)] + [
            await node.unnamed() for _ in range(20)
        ]
        silent = await node.dial()
        began = trio.current_time()
        node.ports.hang_up()
        await node.ports.wait_closed()
        assert trio.current_time() - began < module.GOODBYE_S
        assert {await client.wait_over() for client in clients} == {"reset"}
        assert (await rest(silent))[1] == "reset"
        assert {reason for _, reason in await node.leaves()} == {"shutdown"}
        assert (await rest(await node.dial()))[0] == b""


async def test_a_line_that_is_too_long_ends_the_connection_and_what_stood_before_it_counts() -> None:
    async with room_port_node(plain_line_bytes=64) as node:
        stream = await node.nc("bob")
        await stream.send_all(b"short\n" + b"x" * 65 + b"\nbehind\n")
        assert (await rest(stream))[1] == "reset"
        assert await node.texts() == [("bob", "short")]
        assert await node.leaves() == [("bob", "line too long")]


async def test_what_could_not_be_stored_ends_the_connections_that_said_it() -> None:
    world = World()
    async with room_port_node(world) as node:
        bob, carol = await node.named("bob"), await node.named("carol")
        await node.node.journal.settled()
        world.fault = DiskFull()
        await bob.say("lost")
        assert await bob.wait_over() == "reset"
        assert carol.over is None
        await node.users("bob", gone=True)
        world.fault = DiskFull()
        late = await node.dial()
        await late.send_all(b"dave\n")
        await rest(late)
        await node.named("erin")
        assert await node.texts() == []


# -- those who cost only themselves


async def test_a_flood_is_read_at_the_receive_rate_and_others_are_heard_at_once() -> None:
    async with room_port_node(plain_rate=50) as node:
        bob, carol = await node.nc("bob\n"), await node.named("carol")
        flood = b"".join(b"line %d\n" % number for number in range(100_000))
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                    await bob.send_all(flood)

            nursery.start_soon(send)
            await node.said(1)
            began = trio.current_time()
            await carol.say("heard")
            while ("carol", "heard") not in await node.texts():
                await trio.lowlevel.checkpoint()
            assert trio.current_time() - began < 5
            assert len(await node.texts()) < 2000
            bob.socket.close()
            nursery.cancel_scope.cancel()


async def test_a_flood_of_nothing_is_read_at_that_rate_too(mock_clock: MockClock) -> None:
    async with room_port_node(plain_rate=50) as node, trio.open_nursery() as nursery:
        bob = await node.nc("bob\n")
        sent = 0

        async def flood() -> None:
            nonlocal sent
            while True:
                await bob.send_all(b"\n" * 65536)
                sent += 65536

        nursery.start_soon(flood)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert sent < 1 << 24  # what the kernel holds
        nursery.cancel_scope.cancel()
        bob.socket.close()


async def test_lists_of_a_large_room_are_given_at_the_receive_rate(mock_clock: MockClock) -> None:
    async with room_port_node(plain_rate=20) as node, trio.open_nursery() as nursery:
        for number in range(64):
            node.rooms.enter_plain(node.room, f"user{number}", f"10.0.0.1:{number + 1}", lambda reason: None)
        bob = await node.nc("bob\n")
        await bob.send_all(b"*users\n" * 500)
        answers = bytearray()

        async def read() -> None:
            while True:
                answers.extend(await bob.receive_some())

        nursery.start_soon(read)
        counts = []
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked(0.01)
            counts.append(answers.count(b"User List:"))
            mock_clock.jump(1)
        nursery.cancel_scope.cancel()
        bob.socket.close()
        assert counts == [7, 14, 20]  # a list of 65 costs as much as three texts


async def test_one_that_never_reads_is_cut_and_the_others_get_everything_meanwhile() -> None:
    async with room_port_node(plain_buffer_bytes=262144) as node:
        deaf = await node.dial()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await deaf.send_all(b"deaf\n")
        bob = await node.named("bob")
        await node.users("deaf")
        node.rooms.enter_own(node.room, "alice")
        said, lines = 0, 0
        while node.room.named("deaf") is not None:
            node.say("x" * 10_000)
            said += 1
            while lines < said:
                await bob.wait_received(len(bob.received) + 1)
                lines = b"".join(bob.received).count(b"\n")
        assert await node.leaves() == [("deaf", "too slow")]
        assert (await rest(deaf))[1] == "reset"


async def test_one_that_takes_nothing_for_so_long_is_stalled(mock_clock: MockClock) -> None:
    async with room_port_node(plain_buffer_bytes=1 << 28) as node:
        deaf = await node.dial()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await deaf.send_all(b"deaf\n")
        await node.users("deaf")
        for _ in range(60):
            node.say("x" * 16_000)
        await node.said(60)
        await trio.testing.wait_all_tasks_blocked(0.01)
        mock_clock.jump(node.node.config.plain_stall - 1)
        mock_clock.rate = 100
        await node.users("deaf", gone=True)
        assert await node.leaves() == [("deaf", "stalled")]
        deaf.socket.close()


async def test_many_at_once_hear_each_other_in_one_order() -> None:
    async with room_port_node() as node:
        clients = []
        async with trio.open_nursery() as nursery:

            async def enter(number: int) -> None:
                clients.append(await node.named(f"user{number}"))

            for number in range(50):
                nursery.start_soon(enter, number)
        names = {client: nick_of(client, node) for client in clients}
        async with trio.open_nursery() as nursery:

            async def post_all(client: RoomProgram) -> None:
                for number in range(10):
                    await client.say(f"text {number}")

            for client in clients:
                nursery.start_soon(post_all, client)
        texts = await node.said(500)
        for client in clients:
            lines = [f"<{nick}> {text}\n" for nick, text in texts if nick != names[client]]
            await client.wait_bytes((WELCOME.format(names[client]) + "".join(lines)).encode())


async def test_what_would_be_gone_with_the_next_start_ends_the_connection_of_who_says_it() -> None:
    async with room_port_node() as node:
        bob = await node.named("bob")
        await node.named("carol")
        node.node.journal.store.files.lost = True
        await bob.send_raw(b"lost")
        await node.users("bob", gone=True)
        assert ("bob", "storage_lost") in await node.leaves()
        assert await node.texts() == []
        assert node.room.named("carol") is not None
