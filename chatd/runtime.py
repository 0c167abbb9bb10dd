"""Runtime: wall clock, randomness, worker threads, descriptors and TCP.

A simulation replaces the whole object, so nothing else in chatd reads the wall clock, draws random numbers, starts
threads or opens TCP sockets. Knows no peers and no journal.
"""

import os
import random
import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

import trio

from chatd.acceptor import Descriptors

T = TypeVar("T")

# TCP keepalive detects peers that vanished without a FIN: 60 s of silence, then 4 probes 15 s apart.
KEEPALIVE = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
ACCEPT_BACKLOG = 1024
STAGGER_S = 0.25  # between attempts at several addresses of one name (RFC 8305)


class DialFailed(Exception):
    """No address answered. `attempts` are (address, reason)."""

    def __init__(self, attempts: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{address}: {reason}" for address, reason in attempts))
        self.attempts = attempts


class Runtime:
    """The real clock, threads and sockets."""

    def __init__(self) -> None:
        self.random = random.Random()
        self.descriptors = Descriptors()
        self._threads = trio.CapacityLimiter(4)  # not trio's own: slow name resolution must not delay the journal

    def wall(self) -> float:
        """Seconds since 1970, for display only: order comes from seq, timeouts from trio's clock."""
        return time.time()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        """Run blocking work in a worker thread; a cancelled caller still waits until it ends."""
        return await trio.to_thread.run_sync(function, *args, limiter=self._threads)

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        """Connect to the first address of `host` that answers. Raises DialFailed with a reason for each address."""
        try:
            resolved = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DialFailed([(f"{host}:{port}", f"the name cannot be resolved ({_reason(error)})")]) from None
        try:
            stream = await trio.open_tcp_stream(host, port, happy_eyeballs_delay=STAGGER_S)
        except OSError as error:
            raise DialFailed(_attempts(error, resolved)) from None
        enable_keepalive(stream)
        return stream

    async def listen(self, host: str, port: int) -> trio.SocketListener:
        """Bind one address and listen. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            await sock.bind((host, port))
            sock.listen(ACCEPT_BACKLOG)
        except BaseException:
            sock.close()
            raise
        return trio.SocketListener(sock)


def enable_keepalive(stream: trio.SocketStream) -> None:
    """Enable keepalive; trio has disabled Nagle's algorithm already."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEPALIVE:
        stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _attempts(error: OSError, resolved: Sequence[tuple[object, ...]]) -> list[tuple[str, str]]:
    """(address, reason) of each attempt, in the order of the resolved addresses."""
    addresses = list(dict.fromkeys(_format_sockaddr(entry[4]) for entry in resolved))
    causes = (
        error.__cause__.exceptions if isinstance(error.__cause__, BaseExceptionGroup) else [error.__cause__ or error]
    )
    reasons = [_reason(cause) for cause in causes]
    if len(reasons) != len(addresses):
        reasons = [reasons[0]] * len(addresses)
    return list(zip(addresses, reasons, strict=True))


def _format_sockaddr(sockaddr: object) -> str:
    host, port = sockaddr[:2]  # type: ignore[index]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _reason(error: BaseException) -> str:
    """The reason without the address, which is shown separately."""
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        text = os.strerror(error.errno or 0)
    else:  # getaddrinfo: negative errno, text in strerror
        text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]


def stamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-21T03:00:00.000Z`."""
    millis = int(seconds * 1000)
    whole = datetime.fromtimestamp(millis // 1000, UTC).isoformat()
    return f"{whole[:19]}.{millis % 1000:03d}Z"


def parse_stamp(text: str) -> float:
    """Seconds since 1970 of an RFC 3339 time; UTC if it has no offset. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
