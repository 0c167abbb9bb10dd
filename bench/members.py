"""`members KIND COUNT MESSAGES SILENT WHERE…`: everybody in one room, in one process that does as little as can be.

KIND is how they come in: `bare` (to a port that says nothing), `name` (a room port of chatd), `irc` (ngircd), or
`native`, where each reads the events of one node, and the WHEREs are control sockets. Of the COUNT that come in, SILENT
never read; such a one comes back when it is cut.

What each of the others gets is counted, and its last message is looked at; of one of them it is every message.
"""

import json
import re
import select
import socket
import sys

from bench import irc
from bench.pipeline import BYTES, begin, connect, measured, received, text
from bench.process import PATIENCE_S, say

BUFFER = 1 << 18
KEPT = 2 * BYTES + 1024  # of each member: its last message lies in this, whatever is around it
SMALL = 4096  # the receive buffer of one that does not read: the kernel is not to read for it
NUMBER = re.compile(rb"(\d{9})x{%d}" % (BYTES - 9))


def entered(kind: str, where: str, number: int, *, reads: bool = True) -> socket.socket:
    """One more who is in the room."""
    if kind == "native":
        return _subscribed(where)
    sock = connect(int(where), buffer=None if reads else SMALL)
    if kind == "name":
        sock.sendall(b"m%d\n" % number)
        if reads:
            _await_line(sock)
    elif kind == "irc":
        irc.enter(sock, b"m%d" % number)
    return sock


def _subscribed(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE_S)
    sock.connect(path)
    params = {"from": "now", "filter": {"types": ["message"]}}
    sock.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params}).encode() + b"\n")
    _await_line(sock)
    return sock


def _await_line(sock: socket.socket) -> None:
    while not received(sock).endswith(b"\n"):
        pass


class Crowd:
    """All members; `take` returns when everybody who reads has everything."""

    def __init__(self, kind: str, count: int, silent: int, where: list[str]) -> None:
        self._kind, self._where = kind, where
        self._poll = select.epoll()
        self._silent: dict[int, socket.socket] = {}
        self._members: dict[int, socket.socket] = {}
        self._comers = 0
        for _ in range(silent):
            self._be_silent()
        for n in range(count - silent):
            sock = self._enter(where[n % len(where)])
            self._members[sock.fileno()] = sock
        for sock in self._members.values() if kind == "irc" else ():
            irc.settle(sock)
        for fd in self._members:
            self._poll.register(fd, select.EPOLLIN)
        self._last = dict.fromkeys(self._members, b"")
        self._seen: list[bytes] = []

    def _enter(self, where: str, *, reads: bool = True) -> socket.socket:
        self._comers += 1
        return entered(self._kind, where, self._comers, reads=reads)

    def _be_silent(self) -> None:
        sock = self._enter(self._where[0], reads=False)
        self._silent[sock.fileno()] = sock
        self._poll.register(sock, 0)  # only that it is cut

    def take(self, messages: int) -> None:
        """Count lines where their length varies, else bytes."""
        buffer = bytearray(BUFFER)
        first = next(iter(self._members))
        unit = 0 if self._kind == "native" else self._line_bytes(first)
        rest = dict.fromkeys(self._members, messages * (unit or 1))
        open_ones = len(rest)
        while open_ones:
            ready = self._poll.poll(PATIENCE_S)
            if not ready:
                raise SystemExit(f"{open_ones} members wait for what does not come")
            for fd, _ in ready:
                if fd in self._silent:
                    self._come_back(fd)
                    continue
                size = self._received(fd, buffer)
                rest[fd] -= size if unit else buffer.count(b"\n", 0, size)
                open_ones -= rest[fd] == 0
                if rest[fd] < 0:
                    raise SystemExit("a member got more than was said")
                if fd == first:
                    self._seen.append(bytes(buffer[:size]))

    def _line_bytes(self, fd: int) -> int:
        sock = self._members[fd]
        data = b""
        while b"\n" not in data:
            data = sock.recv(BUFFER, socket.MSG_PEEK)
        return data.index(b"\n") + 1

    def _received(self, fd: int, buffer: bytearray) -> int:
        size = self._members[fd].recv_into(buffer)
        if not size:
            raise SystemExit("a member was cut off")
        kept = bytes(buffer[max(0, size - KEPT) : size])
        self._last[fd] = kept if size >= KEPT else (self._last[fd] + kept)[-KEPT:]
        return size

    def _come_back(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._silent.pop(fd).close()
        self._be_silent()

    @property
    def cuts(self) -> int:
        """How often one that does not read was cut."""
        return self._comers - len(self._members) - len(self._silent)

    def whole(self, messages: int) -> bool:
        """Everybody has the last one; the first member each of them, in order."""
        numbers = [int(number) for number in NUMBER.findall(b"".join(self._seen))]
        last = text(messages - 1).encode()
        return numbers == list(range(messages)) and all(last in kept for kept in self._last.values())


def main(kind: str, count: int, messages: int, silent: int, *, where: list[str]) -> None:
    """Ready when all are in."""
    crowd = Crowd(kind, count, silent, where)
    began = begin()
    crowd.take(messages)
    ended = measured(began)
    say({**ended, "whole": crowd.whole(messages), "cuts": crowd.cuts})


if __name__ == "__main__":
    how, *numbers = sys.argv[1:5]
    main(how, *map(int, numbers), where=sys.argv[5:])
