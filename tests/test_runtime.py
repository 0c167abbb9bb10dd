import socket
import threading
import time
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from chatd.runtime import KEEPALIVE, DialFailed, Runtime, parse_stamp, stamp


class Resolver(trio.abc.HostnameResolver):
    """Every name has these addresses."""

    def __init__(self, *addresses: tuple[int, tuple[object, ...]]) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> list[Any]:
        await trio.lowlevel.checkpoint()
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in self.addresses]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


def resolve_to(*addresses: tuple[int, tuple[object, ...]]) -> None:
    """For the rest of this test's run of trio."""
    trio.socket.set_custom_hostname_resolver(Resolver(*addresses))


async def closed_port(runtime: Runtime) -> int:
    """A port on which nobody listens now."""
    listener = await runtime.listen("127.0.0.1", 0)
    port = int(listener.socket.getsockname()[1])
    await listener.aclose()
    return port


async def test_a_dialed_connection_is_kept_alive_and_not_delayed() -> None:
    runtime = Runtime()
    async with await runtime.listen("127.0.0.1", 0) as listener:
        port = listener.socket.getsockname()[1]
        async with await runtime.dial("127.0.0.1", port) as stream, await listener.accept() as accepted:
            assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for name, value in KEEPALIVE:
                assert stream.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value
            await accepted.send_all(b"hi")
            assert await stream.receive_some() == b"hi"


async def test_a_dial_tells_every_address_with_its_reason() -> None:
    runtime = Runtime()
    port = await closed_port(runtime)
    resolve_to((socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port)))
    with pytest.raises(DialFailed) as failed:
        await runtime.dial("nobody.invalid", port)
    addresses = [address for address, _ in failed.value.attempts]
    assert addresses == [f"[::1]:{port}", f"127.0.0.1:{port}"]
    assert failed.value.attempts[1][1] == "connection refused"
    assert f"127.0.0.1:{port}: connection refused" in str(failed.value)


async def test_an_address_that_a_name_has_twice_is_told_once() -> None:
    runtime = Runtime()
    port = await closed_port(runtime)
    resolve_to(*[(socket.AF_INET, ("127.0.0.1", port))] * 2)
    with pytest.raises(DialFailed) as failed:
        await runtime.dial("nobody.invalid", port)
    assert failed.value.attempts == [(f"127.0.0.1:{port}", "connection refused")]


async def test_a_dial_goes_on_with_the_next_address() -> None:
    runtime = Runtime()
    async with await runtime.listen("127.0.0.1", 0) as listener:
        port = listener.socket.getsockname()[1]
        resolve_to((socket.AF_INET, ("127.0.0.2", port)), (socket.AF_INET, ("127.0.0.1", port)))
        async with await runtime.dial("two.invalid", port) as stream:
            assert stream.socket.getpeername()[0] == "127.0.0.1"


async def test_a_single_refusal_is_told() -> None:
    runtime = Runtime()
    port = await closed_port(runtime)
    with pytest.raises(DialFailed) as failed:
        await runtime.dial("127.0.0.1", port)
    assert failed.value.attempts == [(f"127.0.0.1:{port}", "connection refused")]


@pytest.mark.parametrize("host", ["no.such.name.invalid", "x" * 70 + ".invalid", "a..b", "\ud800"])
async def test_a_name_that_cannot_be_resolved_is_told(host: str) -> None:
    with pytest.raises(DialFailed, match="the name cannot be resolved") as failed:
        await Runtime().dial(host, 7420)
    assert [address for address, _ in failed.value.attempts] == [f"{host}:7420"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_can_be_listened_on_again_at_once(host: str) -> None:
    runtime = Runtime()
    listener = await runtime.listen(host, 0)
    port = listener.socket.getsockname()[1]
    with pytest.raises(OSError, match="in use"):
        await runtime.listen(host, port)
    async with await runtime.dial(host, port):
        await (await listener.accept()).aclose()
    await listener.aclose()
    await (await runtime.listen(host, port)).aclose()


async def test_one_port_can_be_listened_on_in_both_families() -> None:
    runtime = Runtime()
    async with await runtime.listen("::", 0) as six:
        port = six.socket.getsockname()[1]
        async with await runtime.listen("0.0.0.0", port) as four:
            assert four.socket.getsockname()[1] == port


async def test_an_address_of_somebody_else_cannot_be_listened_on() -> None:
    with pytest.raises(OSError, match="assign"):
        await Runtime().listen("192.0.2.1", 0)


async def test_blocking_work_runs_in_another_thread() -> None:
    here = threading.get_ident()
    assert await Runtime().in_thread(lambda number: (threading.get_ident() != here, number), 5) == (True, 5)


def test_the_wall_clock_is_the_systems() -> None:
    before = time.time()
    assert before <= Runtime().wall() <= time.time()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_230_000, "2026-11-21T03:00:00.000Z"),
        (1_795_230_000.999, "2026-11-21T03:00:00.999Z"),
        (1_795_230_000.9999, "2026-11-21T03:00:00.999Z"),
    ],
)
def test_a_stamp_is_utc_with_milliseconds_that_are_never_rounded_up(seconds: float, shown: str) -> None:
    assert stamp(seconds) == shown


@given(st.integers(0, 253402300799999))
def test_a_stamp_is_read_back(millis: int) -> None:
    assert round(parse_stamp(stamp(millis / 1000)) * 1000) == pytest.approx(millis, abs=1)


def test_a_point_in_time_without_an_offset_is_utc() -> None:
    assert parse_stamp("2026-11-21T03:00:00") == parse_stamp("2026-11-21T03:00:00Z") == 1_795_230_000
    assert parse_stamp("2026-11-21T04:00:00+01:00") == 1_795_230_000


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01T00:00:00Z", "12"])
def test_what_is_no_point_in_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"[Ii]nvalid isoformat|month must be"):
        parse_stamp(text)
