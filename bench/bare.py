"""The bare trio programs that chatd is measured beside: `forward`, with and without a commit for each chunk,
`broadcast`, and `echo`.

No journal, no TLS, no frames, no errors handled: the least that a program on the same foundation can do.
"""

import sqlite3
import sys

import trio

from bench.process import say

READ_BYTES = 65536


class Row:
    """One SQLite commit with FULL for each chunk."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)")

    def commit(self, body: bytes | bytearray) -> None:
        """Blocks: nothing else is to be done here."""
        self._db.execute("INSERT INTO events (body) VALUES (?)", (body,))


async def forward(port: int, database: str | None) -> None:
    """Pass on to 127.0.0.1:PORT what one connection sends."""
    row = Row(database) if database else None
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    say(listener.socket.getsockname()[1])
    source = await listener.accept()
    async with source, await trio.open_tcp_stream("127.0.0.1", port) as sink:
        async for chunk in source:
            if row is not None:
                row.commit(chunk)
            await sink.send_all(chunk)


async def broadcast() -> None:
    """Send the lines of one connection to all of another port, each behind the name of who said it; until killed."""
    (source_port,), (port,) = [await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024) for _ in range(2)]
    say([listener.socket.getsockname()[1] for listener in (source_port, port)])
    members: list[trio.SocketStream] = []

    async def take_in(member: trio.SocketStream) -> None:
        members.append(member)
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, take_in, [port])
        rest = b""
        async for chunk in await source_port.accept():
            *lines, rest = (rest + chunk).split(b"\n")
            joined = b"".join([b"<bench> %b\n" % line for line in lines])
            for member in members:
                await member.send_all(joined)


async def echo() -> None:
    """Send back what every connection sends."""

    async def serve(stream: trio.SocketStream) -> None:
        async for chunk in stream:
            await stream.send_all(chunk)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024)
    say(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    if sys.argv[1] in ("echo", "broadcast"):
        trio.run(echo if sys.argv[1] == "echo" else broadcast)
    else:
        trio.run(forward, int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
