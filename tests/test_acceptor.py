"""The accept loop: with and without descriptors."""

import errno
import os
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio
import trio.testing

from chatd import acceptor
from chatd.acceptor import Acceptor, Descriptors


class Port:
    """A listening socket. For its next accepts as many errors can be given."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self.errors: list[int] = []
        self.taken: list[bool] = []  # of what was accepted: whether it had a spare descriptor
        self._listener = listener
        self._accept = listener.accept
        listener.accept = self.accept  # type: ignore[method-assign]

    async def accept(self) -> trio.SocketStream:
        if self.errors:
            await trio.lowlevel.checkpoint()
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return await self._accept()

    def take(self, stream: trio.SocketStream, /, *, short: bool) -> None:
        self.taken.append(short)
        stream.socket.close()

    async def connect(self) -> None:
        """A client that is accepted, or refused."""
        sock = self._listener.socket
        async with await trio.open_tcp_stream(*sock.getsockname()) as stream:
            assert await stream.receive_some() == b""


@pytest.fixture
async def listener() -> AsyncIterator[trio.SocketListener]:
    (listening,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listening:
        yield listening


@pytest.fixture
def no_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From then on none can be opened to be held back."""

    def begin() -> None:
        monkeypatch.setattr(acceptor, "_open_spare", lambda: None)

    return begin


async def test_it_ends_when_the_listener_is_closed(listener: trio.SocketListener, nursery: trio.Nursery) -> None:
    port, ended = Port(listener), trio.Event()

    async def run() -> None:
        with Acceptor(Descriptors(), 1) as accepting:
            await accepting.run(listener, port.take)
        ended.set()

    nursery.start_soon(run)
    await port.connect()
    assert port.taken == [False]
    listener.socket.close()
    await ended.wait()


async def test_a_spare_that_was_lent_is_replaced_with_the_next_connection(
    listener: trio.SocketListener, nursery: trio.Nursery
) -> None:
    port = Port(listener)
    with Acceptor(Descriptors(), 1) as accepting:
        nursery.start_soon(accepting.run, listener, port.take)
        await port.connect()
        accepting.lend_spare()
        await port.connect()
        port.errors = [errno.EMFILE] * 2  # for the accept after the one that waits already
        await port.connect()
        await port.connect()
    assert port.taken == [False, False, False, True]


@pytest.mark.parametrize("closed_while_short", [False, True])
async def test_without_a_descriptor_it_waits_for_a_client_and_uses_a_spare_one(
    listener: trio.SocketListener, nursery: trio.Nursery, *, closed_while_short: bool
) -> None:
    port, descriptors, ended = Port(listener), Descriptors(), trio.Event()
    port.errors = [errno.EMFILE]
    if not closed_while_short:
        port.errors *= 2

    async def run() -> None:
        with Acceptor(descriptors, 1) as accepting:
            await accepting.run(listener, port.take)
        ended.set()

    nursery.start_soon(run)
    await trio.testing.wait_all_tasks_blocked()
    assert port.taken == []
    assert descriptors.problem is not None
    if not closed_while_short:
        await port.connect()
        await port.connect()
        assert port.taken == [True, False]
    listener.socket.close()
    await ended.wait()


async def test_a_client_that_comes_when_there_are_descriptors_again_is_not_short_of_one(
    listener: trio.SocketListener, nursery: trio.Nursery
) -> None:
    port = Port(listener)
    port.errors = [errno.EMFILE]
    with Acceptor(Descriptors(), 1) as accepting:
        nursery.start_soon(accepting.run, listener, port.take)
        await port.connect()
        assert (port.taken, port.errors) == ([False], [])
        nursery.cancel_scope.cancel()


async def test_with_all_spares_in_use_clients_wait_until_there_is_one(
    listener: trio.SocketListener, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, no_files: Any
) -> None:
    port = Port(listener)
    port.errors = [errno.EMFILE] * 6
    with Acceptor(Descriptors(), 1) as accepting:
        no_files()
        nursery.start_soon(accepting.run, listener, port.take)
        await port.connect()
        assert (port.taken, port.errors) == ([False], [])  # the spare was not enough, and then there was another
        assert not accepting.refill()
        monkeypatch.undo()
        assert accepting.refill()
        nursery.cancel_scope.cancel()


async def test_a_shortage_is_logged_once_a_minute_with_what_to_do(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    descriptors = Descriptors()
    for _ in range(1200):
        descriptors.record_failure(OSError(errno.EMFILE, "Too many open files"))
        await trio.sleep(0.1)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "out of file descriptors (raise the limit (ulimit -n, LimitNOFILE)" in caplog.text
    assert descriptors.problem is not None
    await trio.sleep(acceptor.RECENT_S)
    assert descriptors.problem is None


def test_spares_are_open_only_inside() -> None:
    before = len(os.listdir("/proc/self/fd"))
    accepting = Acceptor(Descriptors(), 3)
    with accepting:
        assert len(os.listdir("/proc/self/fd")) == before + 3
    assert accepting.refill()
    assert len(os.listdir("/proc/self/fd")) == before
