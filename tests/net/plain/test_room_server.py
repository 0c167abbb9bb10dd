"""Links to room servers; the test plays the server.

On a mock clock and connections in memory; whether a close is a FIN or an RST is seen on loopback.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import msgspec
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.config.settings import Config
from chatd.journal.batch import Batch
from chatd.net.plain.link import DRAIN_S, SHUTDOWN_S
from chatd.net.plain.room_server import PAUSE_S, WELCOME_S, RoomServerLink
from chatd.wire.lines import TextRefused
from tests.harness.connections import Ends, in_memory, loopback
from tests.harness.parts import lone_peer
from tests.harness.plain_node import FakeNode, committed

CONFIG = Config(node="default", name="alice", socket="/none", state="/none", plain_pace=0.001)
WELCOME = b"Welcome to this chatroom, jane!"


class Rig(msgspec.Struct):
    """A running link and the other end of its connection."""

    link: RoomServerLink
    node: FakeNode
    stream: trio.SocketStream
    ended: trio.Event
    scope: trio.CancelScope

    def say(self, *texts: str) -> None:
        for number, text in enumerate(texts):
            self.link.enqueue(number, text, committed())

    async def reads(self, *chunks: bytes) -> None:
        """Result of each of the next reads."""
        for chunk in chunks:
            assert await self.stream.receive_some() == chunk

    async def quiet(self) -> bool:
        """Whether there is nothing to read, and no end, once nothing moves any more; takes no time."""
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.stream.socket.recv, 1, socket.MSG_PEEK)
                await trio.testing.wait_all_tasks_blocked()
                if nursery.child_tasks:
                    scope.cancel()
        return scope.cancelled_caught

    async def closed(self) -> str:
        """How the link closes: "fin" or "reset"; "said more" if it writes something before."""
        try:
            return "said more" if await self.stream.receive_some() else "fin"
        except trio.BrokenResourceError:
            return "reset"

    async def over(self) -> str | None:
        """Wait for the end of the link; return the reason."""
        await self.ended.wait()
        return self.link.reason


@asynccontextmanager
async def room_server_link(
    dialect: str, config: Config = CONFIG, *, welcome: bytes = WELCOME, ends: Ends | None = None
) -> AsyncIterator[Rig]:
    """Run a link until the end of the block, with the nick jane, after its greeting and the welcome."""
    ours, theirs = ends or in_memory()
    node, peer = FakeNode(), lone_peer(1, 0, "plain", "127.0.0.1:1234", None, "127.0.0.1:1234")
    peer.dialect, peer.nick = dialect, "jane" if dialect == "name" else ""
    link = RoomServerLink(ours, peer, node, node, config, address="127.0.0.1:1234")
    rig = Rig(link, node, theirs, trio.Event(), trio.CancelScope())

    async def run() -> None:
        with rig.scope:
            await link.run()
        rig.ended.set()

    async with theirs, trio.open_nursery() as nursery:
        nursery.start_soon(run)
        if dialect == "name" and welcome:
            await rig.reads(b"jane")
            await theirs.send_all(welcome)
            await node.wait_texts(1)
        yield rig
        link.close("terminated")
        await theirs.aclose()
        await rig.ended.wait()
    assert ours.socket.fileno() == -1


@pytest.fixture(params=["address", "name"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


FAREWELLS = {"address": b"QUIT", "name": b"*exit\n"}


# -- greeting


async def test_the_name_is_said_at_once_and_alone_and_nothing_before_the_welcome(autojump_clock: MockClock) -> None:
    async with room_server_link("name", welcome=b"") as rig:
        rig.say("hello", "everybody")
        await rig.reads(b"jane")
        assert await rig.quiet()
        assert rig.link.waiting == 2
        await rig.stream.send_all(WELCOME)
        await rig.reads(b"hello\n", b"everybody\n")
        assert rig.node.texts == [WELCOME.decode()]
    assert rig.link.sent == 2


async def test_without_a_welcome_it_goes_on_after_a_while(autojump_clock: MockClock) -> None:
    async with room_server_link("name", welcome=b"") as rig:
        rig.say("hello")
        began = trio.current_time()
        await rig.reads(b"jane", b"hello\n")
        assert trio.current_time() == pytest.approx(began + WELCOME_S + CONFIG.plain_pace)


async def test_the_pace_is_kept_after_the_welcome_too(autojump_clock: MockClock) -> None:
    async with room_server_link("name", msgspec.structs.replace(CONFIG, plain_pace=3600.0)) as rig:
        rig.say("hello")
        assert await rig.quiet()
        began = trio.current_time()
        rig.link.close("shutdown")
        await rig.reads(FAREWELLS["name"])
        assert trio.current_time() == pytest.approx(began + SHUTDOWN_S + PAUSE_S)
        assert rig.link.sent == 0


async def test_nothing_is_said_on_coming_where_there_are_no_names(autojump_clock: MockClock) -> None:
    async with room_server_link("address") as rig:
        assert await rig.quiet()
        rig.say("hello", "  two  spaces ")
        await rig.reads(b"hello", b"  two  spaces ")


# -- messages


async def test_texts_are_never_glued_also_where_the_server_speaks_lines(
    dialect: str, autojump_clock: MockClock
) -> None:
    config = msgspec.structs.replace(CONFIG, plain_pace=3600.0)
    async with room_server_link(dialect, config) as rig:
        before = len(rig.node.texts)
        await rig.stream.send_all(b"<bob> a line\n")
        await rig.node.wait_texts(before + 1)
        rig.say("one", "two", "three")
        if dialect == "address":
            await rig.reads(b"one")
        assert await rig.quiet()
        assert rig.link.waiting == (2 if dialect == "address" else 3)
        await rig.stream.send_eof()


async def test_commands_and_private_texts_are_said_as_they_are(autojump_clock: MockClock) -> None:
    async with room_server_link("name") as rig:
        rig.say("@bob psst", "*users", "Close Connection")
        await rig.reads(b"@bob psst\n", b"*users\n", b"Close Connection\n")


async def test_what_cannot_be_said_is_refused(dialect: str, autojump_clock: MockClock) -> None:
    async with room_server_link(dialect) as rig:
        for text in ("", "two\nlines", "a\ttab", "\ud800", "x" * 1025):
            with pytest.raises(TextRefused):
                rig.link.check(text)
        rig.link.check("x" * 1024)


async def test_what_would_leave_is_refused_and_what_would_elsewhere_is_not(
    dialect: str, autojump_clock: MockClock
) -> None:
    texts = {"address": "QUIT", "name": "*exit"}
    async with room_server_link(dialect) as rig:
        with pytest.raises(TextRefused) as refused:
            rig.link.check(texts.pop(dialect))
        assert "chatctl terminate" in refused.value.hint
        for text in texts.values():
            rig.link.check(text)


async def test_chunks_and_lines_of_the_room_are_texts_kept_whole(dialect: str, autojump_clock: MockClock) -> None:
    async with room_server_link(dialect) as rig:
        before = len(rig.node.texts)
        await rig.stream.send_all("('10.0.0.2', 5000): grüße".encode())
        await rig.node.wait_texts(before + 1)
        await rig.stream.send_all(b"<bob> one\n<bob> two\n")
        await rig.node.wait_texts(before + 3)
        assert rig.node.texts[before:] == ["('10.0.0.2', 5000): grüße", "<bob> one", "<bob> two"]


async def test_two_members_who_speak_one_after_the_other_are_two_texts(autojump_clock: MockClock) -> None:
    async with room_server_link("address") as rig:
        for number in range(20):
            await rig.stream.send_all(b"('10.0.0.2', %d): hello" % number)
            await rig.node.wait_texts(number + 1)
        assert rig.node.texts == [f"('10.0.0.2', {number}): hello" for number in range(20)]


async def test_a_line_that_comes_in_two_is_one_text(autojump_clock: MockClock) -> None:
    async with room_server_link("name") as rig:
        await rig.stream.send_all("<bob> grü".encode()[:-1])
        await rig.stream.send_all("grüße\n".encode()[3:])
        await rig.node.wait_texts(2)
        assert rig.node.texts[1] == "<bob> grüße"


async def test_a_room_in_which_much_is_said_without_line_ends_is_not_left(
    dialect: str, autojump_clock: MockClock
) -> None:
    async with room_server_link(dialect, msgspec.structs.replace(CONFIG, plain_quiet=3600.0), welcome=b"hi\n") as rig:
        before, said = len(rig.node.texts), "é" * 50_000
        await rig.stream.send_all(said.encode() + b"\n" + said.encode() + b"\nend\n")
        while rig.node.texts[-1] != "end":
            await rig.node.wait_texts(len(rig.node.texts) + 1)
        assert "".join(rig.node.texts[before:]) == said + said + "end"
        assert max(map(len, rig.node.texts)) <= 8192
        assert rig.link.reason is None


async def test_a_message_whose_commit_failed_is_not_said(dialect: str, autojump_clock: MockClock) -> None:
    async with room_server_link(dialect) as rig:
        refused = Batch()
        rig.link.enqueue(1, "refused", refused)
        rig.say("kept")
        refused.settle(ControlError("storage_full", "full"))
        assert (await rig.stream.receive_some()).strip() == b"kept"
    assert (rig.link.sent, rig.link.unsent) == (1, 0)


# -- leaving


@pytest.mark.parametrize("reason", ["terminated", "shutdown"])
async def test_the_farewell_is_said_alone_and_we_close_only_after_them(
    dialect: str, reason: str, autojump_clock: MockClock
) -> None:
    async with room_server_link(dialect) as rig:
        rig.link.close(reason)
        await rig.reads(FAREWELLS[dialect])
        assert await rig.quiet()
        assert not rig.ended.is_set()
        await rig.stream.aclose()
        assert await rig.over() == reason


async def test_what_waits_is_said_before_the_farewell_each_by_itself(dialect: str, autojump_clock: MockClock) -> None:
    async with room_server_link(dialect) as rig:
        rig.say("one", "two", "three")
        rig.link.close("terminated")
        end = b"\n" if dialect == "name" else b""
        await rig.reads(b"one" + end, b"two" + end, b"three" + end, FAREWELLS[dialect])
        await rig.stream.aclose()
        assert await rig.over() == "terminated"
    assert (rig.link.sent, rig.link.unsent) == (3, 0)


async def test_who_is_not_welcomed_yet_has_nothing_to_leave(autojump_clock: MockClock) -> None:
    async with room_server_link("name", welcome=b"") as rig:
        await rig.reads(b"jane")
        rig.say("never said")
        rig.link.close("shutdown")
        assert await rig.closed() == "fin"
        assert await rig.over() == "shutdown"
    assert (rig.link.sent, rig.link.unsent) == (0, 1)


@pytest.mark.parametrize(("dialect", "how"), [("address", "reset"), ("name", "fin")])
async def test_a_server_that_does_not_close_is_left_after_a_while(
    dialect: str, how: str, autojump_clock: MockClock
) -> None:
    async with room_server_link(dialect) as rig:
        began = trio.current_time()
        rig.link.close("terminated")
        await rig.reads(FAREWELLS[dialect])
        assert await rig.closed() == how
        assert await rig.over() == "terminated"
        assert trio.current_time() == pytest.approx(began + DRAIN_S)


async def test_who_is_cut_never_leaves_an_address_server_with_a_bare_fin() -> None:
    async with room_server_link("address", ends=await loopback()) as rig:
        await rig.quiet()
        rig.scope.cancel()
        assert await rig.closed() == "reset"


async def test_a_server_that_closes_first_is_not_told_anything_and_not_reset(dialect: str) -> None:
    async with room_server_link(dialect, ends=await loopback()) as rig:
        await rig.quiet()
        await rig.stream.send_eof()
        assert await rig.over() == "closed by peer"
        assert await rig.closed() == "fin"


async def test_a_server_that_floods_while_we_leave_is_left_all_the_same(
    dialect: str, autojump_clock: MockClock
) -> None:
    async with room_server_link(dialect) as rig, trio.open_nursery() as nursery:

        async def flood() -> None:
            with suppress(trio.BrokenResourceError):
                while True:
                    await rig.stream.send_all(b"('10.0.0.2', 5000): " * 100)
                    await trio.sleep(0.009)

        nursery.start_soon(flood)
        await rig.node.wait_texts(10)
        began = trio.current_time()
        rig.link.close("terminated")
        assert await rig.stream.receive_some() == FAREWELLS[dialect]
        assert await rig.over() == "terminated"
        assert trio.current_time() == pytest.approx(began + DRAIN_S)


async def test_a_server_that_reads_nothing_does_not_hold_us(dialect: str, autojump_clock: MockClock) -> None:
    async with room_server_link(dialect) as rig:
        rig.say("x" * 100_000)
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
        rig.link.close("shutdown")
        assert await rig.over() == "shutdown"
        assert trio.current_time() == pytest.approx(began + SHUTDOWN_S + DRAIN_S)
    assert (rig.link.sent, rig.link.unsent) == (0, 1)
