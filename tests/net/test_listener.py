"""The listener: binding, and the bounds of what comes in."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio
import trio.testing

from chatd.failures import AddressInUse
from chatd.net.listener import Listener, is_loopback
from chatd.runtime import Runtime
from tests.harness.handmade_peer import Handmade
from tests.harness.linked_node import linking


class Pretending(Runtime):
    """Binds nothing; `missing` families do not exist, and a taken port is taken."""

    def __init__(self, missing: int = 0, taken: int = 0) -> None:
        super().__init__()
        self.missing = missing
        self.taken = taken
        self.bound: list[tuple[str, int]] = []

    async def listen(self, host: str, port: int) -> trio.SocketListener:
        if self.missing and ":" in host:
            raise OSError(self.missing, "Address family not supported by protocol")
        if port and port == self.taken:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.bound.append((host, port))
        return await super().listen("127.0.0.1", 0)


@asynccontextmanager
async def listening(runtime: Runtime | None = None, **settings: object) -> AsyncIterator[Listener]:
    """A bound listener that accepts."""
    async with linking(runtime, **settings) as node:
        listener = node.listener
        await listener.bind()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.run)
            yield listener
            nursery.cancel_scope.cancel()
            node.links.nursery.cancel_scope.cancel()


async def connect(listener: Listener) -> trio.SocketStream:
    """One more connection."""
    host, _, port = listener.addresses[0].partition(":")
    return await trio.open_tcp_stream(host, int(port))


async def closed(stream: trio.SocketStream) -> None:
    """Wait until the other side has closed."""
    with suppress(trio.BrokenResourceError):
        assert await stream.receive_some() == b""


# -- binding


async def test_port_0_is_told_as_the_port_it_became() -> None:
    async with linking(listen=["127.0.0.1:0", "127.0.0.1:0"]) as node:
        listener = node.listener
        await listener.bind()
        ports = [int(address.rpartition(":")[2]) for address in listener.addresses]
        assert len(set(ports)) == 2
        assert all(ports)
        listener.close()


async def test_an_address_in_use_is_one_clear_line_and_frees_the_others() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        async with linking(listen=["127.0.0.1:0", taken]) as node:
            listener = node.listener
            with pytest.raises(AddressInUse, match=f"cannot listen on {taken} .address already in use.") as failed:
                await listener.bind()
            assert failed.value.exit_code == 5
            first = listener._listeners[0].socket
            assert first.fileno() == -1


@pytest.mark.parametrize("missing", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT])
async def test_without_ipv6_the_default_listens_on_ipv4_alone(missing: int) -> None:
    runtime = Pretending(missing)
    async with linking(runtime, listen=["0.0.0.0:7420", "[::]:7420"]) as node:
        listener = node.listener
        await listener.bind()
        assert runtime.bound == [("0.0.0.0", 7420)]
        assert len(listener.addresses) == 1
        listener.close()


@pytest.mark.parametrize("listen", [["[::]:7420"], ["0.0.0.0:7420", "[::]:7421"], ["0.0.0.0:7420", "[::1]:7420"]])
async def test_an_ipv6_address_that_was_asked_for_must_be_there(listen: list[str]) -> None:
    async with linking(Pretending(errno.EAFNOSUPPORT), listen=listen) as node:
        listener = node.listener
        with pytest.raises(AddressInUse):
            await listener.bind()


async def test_a_taken_port_on_ipv6_is_not_taken_for_missing_ipv6() -> None:
    class TakenOn6(Pretending):
        async def listen(self, host: str, port: int) -> trio.SocketListener:
            if ":" in host:
                raise OSError(errno.EADDRINUSE, "Address already in use")
            return await super().listen(host, port)

    async with linking(TakenOn6(), listen=["0.0.0.0:7420", "[::]:7420"]) as node:
        with pytest.raises(AddressInUse, match=r"\[::\]:7420"):
            await node.listener.bind()


@pytest.mark.parametrize(
    ("listen", "trust", "warns"),
    [("0.0.0.0:0", "open", True), ("0.0.0.0:0", "pending", False), ("127.0.0.1:0", "open", False)],
)
async def test_listening_beyond_this_machine_with_open_trust_is_warned_about_once(
    listen: str, trust: str, caplog: pytest.LogCaptureFixture, *, warns: bool
) -> None:
    async with linking(listen=[listen], trust=trust) as node:
        listener = node.listener
        await listener.bind()
        listener.close()
    assert caplog.text.count("may talk to this node") == warns


# -- bounds


async def test_beyond_the_bound_of_links_connections_are_refused_and_that_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(max_links=3) as listener:
        kept = [await connect(listener) for _ in range(3)]
        for stream in kept:
            await stream.send_all(b"hi\n")
        while len(list(listener._parts.registry.all_links())) < 3:
            await listener._parts.registry.changed.wait()
        for _ in range(3):
            async with await connect(listener) as refused:
                await closed(refused)
        assert len(list(listener._parts.registry.all_links())) == 3
        for stream in kept:
            await stream.aclose()
    assert caplog.text.count("too many connections") == 1


async def test_a_refused_program_that_talks_gets_a_fin_and_no_reset() -> None:
    async with listening(max_links=1) as listener, await connect(listener) as kept:
        await kept.send_all(b"hi\n")
        while not listener.is_full:
            await trio.lowlevel.checkpoint()
        async with await connect(listener) as refused:
            await refused.send_all(b"hi\n" * 1000)
            assert await refused.receive_some() == b""
            await refused.send_all(b"still there?\n")  # is read and dropped
            await refused.send_eof()
            assert await refused.receive_some() == b""


async def test_of_too_many_that_have_not_said_who_they_are_the_oldest_go() -> None:
    async with listening(unauthenticated=4, plain="off") as listener:
        streams = [await connect(listener) for _ in range(10)]
        for stream in streams[:6]:
            await closed(stream)
        assert len(listener._unauthenticated) == 4
        with trio.move_on_after(0.05) as waiting:
            await closed(streams[6])
        assert waiting.cancelled_caught
        for stream in streams:
            await stream.aclose()


async def test_a_peer_that_said_who_it_is_does_not_count_any_more() -> None:
    async with listening(unauthenticated=1, plain="off") as listener:
        peer = await Handmade.linked(listener.addresses[0])
        for _ in range(3):
            async with await connect(listener):
                continue
        assert listener._parts.registry.find("handmade").is_up
        await peer.close()


async def test_where_plain_is_off_text_is_cut_and_silence_after_the_handshake_time() -> None:
    async with listening(plain="off", handshake_timeout=0.1) as listener:
        for data in (b"hi\n", b""):
            async with await connect(listener) as stream:
                if data:
                    await stream.send_all(data)
                await closed(stream)
        assert list(listener._parts.registry) == []


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("10.0.0.1", False), ("bob", False)],
)
def test_what_is_this_machine_itself(host: str, *, loopback: bool) -> None:
    assert is_loopback(host) is loopback


async def test_each_of_two_that_come_in_one_tick_drops_another_one() -> None:
    async with linking(unauthenticated=2) as node, trio.open_nursery() as nursery:
        listener, alive = node.listener, list[str]()

        async def come(name: str) -> None:
            with listener._unauthenticated_place():
                alive.append(name)
                try:
                    await trio.sleep_forever()
                finally:
                    alive.remove(name)

        for name in ("first", "second"):
            nursery.start_soon(come, name)
            await trio.testing.wait_all_tasks_blocked()
        for name in ("third", "fourth"):
            nursery.start_soon(come, name)
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(alive) == ["fourth", "third"]
        assert len(listener._unauthenticated) == 2
        nursery.cancel_scope.cancel()
    assert not listener._unauthenticated
