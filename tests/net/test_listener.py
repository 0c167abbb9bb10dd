"""The listener: binding, and the bounds of what comes in."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from random import Random

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.config.values import parse_address
from chatd.failures import AddressInUse
from chatd.net.listener import is_loopback
from chatd.node import Node
from chatd.runtime import DialFailed, Runtime
from tests.harness.handmade_peer import Handmade, new_identity
from tests.harness.linked_node import linking
from tests.harness.memory.network import MemoryNetwork
from tests.harness.memory.runtime import MemoryRuntime


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


class Port:
    """A bound listener that accepts, and its clients."""

    def __init__(self, node: Node) -> None:
        self.listener = node.listener
        self.registry = node.registry
        self._runtime = node.runtime

    async def connect(self) -> trio.SocketStream:
        """One more connection."""
        return await self._runtime.dial(*parse_address(self.listener.addresses[0]))


@asynccontextmanager
async def listening(runtime: Runtime | None = None, **settings: object) -> AsyncIterator[Port]:
    """A listener in memory, unless a runtime is given."""
    seen = runtime or MemoryRuntime("127.0.0.1", Random(1), MemoryNetwork(Random(1)))
    address = "127.0.0.1:0" if runtime else "127.0.0.1:7420"
    async with linking(seen, listen=[address], **settings) as node:
        port = Port(node)
        await port.listener.bind()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(port.listener.run)
            yield port
            nursery.cancel_scope.cancel()
            node.links.nursery.cancel_scope.cancel()


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
            with pytest.raises(
                AddressInUse, match=f"cannot listen on {taken}: address already in use .*--listen"
            ) as failed:
                await listener.bind()
            assert failed.value.exit_code == 5
            with pytest.raises(DialFailed, match="refused"):
                await node.runtime.dial(*parse_address(listener.addresses[0]))


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
    assert caplog.text.count("any host that can reach it can connect") == warns


# -- bounds


async def test_beyond_the_bound_of_links_connections_are_refused_and_that_is_told_once(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with listening(max_links=3) as port:
        kept = [await port.connect() for _ in range(3)]
        for stream in kept:
            await stream.send_all(b"hi\n")
        while len(list(port.registry.all_links())) < 3:
            await port.registry.changed.wait()
        for _ in range(3):
            async with await port.connect() as refused:
                await closed(refused)
        assert len(list(port.registry.all_links())) == 3
        for stream in kept:
            await stream.aclose()
    assert caplog.text.count("too many connections") == 1


async def test_a_refused_program_that_talks_gets_a_fin_and_no_reset() -> None:
    async with listening(Runtime(), max_links=1) as port, await port.connect() as kept:
        await kept.send_all(b"hi\n")
        while not port.listener.is_full:
            await trio.lowlevel.checkpoint()
        async with await port.connect() as refused:
            await refused.send_all(b"hi\n" * 1000)
            assert await refused.receive_some() == b""
            await refused.send_all(b"still there?\n")  # is read and dropped
            await refused.send_eof()
            assert await refused.receive_some() == b""


async def test_of_too_many_that_have_not_said_who_they_are_the_oldest_go(autojump_clock: MockClock) -> None:
    async with listening(unauthenticated=4, plain="off", handshake_timeout=60) as port:
        began = trio.current_time()
        streams = [await port.connect() for _ in range(10)]
        for stream in streams[:6]:
            await closed(stream)
        assert trio.current_time() < began + 1
        for stream in streams[6:]:
            await closed(stream)
            assert trio.current_time() >= began + 60


async def test_a_peer_that_said_who_it_is_does_not_count_any_more(autojump_clock: MockClock) -> None:
    async with listening(unauthenticated=1, plain="off") as port:
        peer = await Handmade.over(await port.connect(), new_identity())
        await peer.greet()
        for _ in range(3):
            async with await port.connect():
                continue
        assert port.registry.find("handmade").is_up
        await peer.close()


async def test_where_plain_is_off_text_is_cut_and_silence_after_the_handshake_time(autojump_clock: MockClock) -> None:
    async with listening(plain="off", handshake_timeout=7) as port:
        for data, seconds in ((b"hi\n", 0), (b"", 7)):
            async with await port.connect() as stream:
                began = trio.current_time()
                if data:
                    await stream.send_all(data)
                await closed(stream)
                assert trio.current_time() == pytest.approx(began + seconds, abs=0.01)  # what is under way takes time
        assert list(port.registry) == []


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
        nursery.cancel_scope.cancel()
