"""Visitor links: we are a plain client of somebody else's room server, seed 003, 004 or one that speaks like them.

It says what wire/dialects.py gives it in the way of net/plain/link.py, except that such a server must be met and left
as it expects: a name is sent at once and alone, every text is a write of its own, and who leaves says so and waits for
the server to close. A plain peer that has a dialect gets this link from `net/dialer.py`.
"""

import socket
import struct
from typing import Final

import trio

from chatd.config.settings import Config
from chatd.net.plain.link import DRAIN_S, JournalState, PlainLink, PlainReceiver
from chatd.peers.peer import Peer
from chatd.wire.dialect_clients import AddressClient, DialectClient, NameClient
from chatd.wire.dialects import ADDRESS, NAME
from chatd.wire.lines import LineDecoder

WELCOME_S: Final = 10.0  # for the server to say that it has our name
PAUSE_S: Final = 0.3  # the longest pause before the farewell, whatever the pace is
# What one read gives is a text, or those of several members would be one; but a line of dialect `name` may come in two.
QUIET_S: Final = {ADDRESS: 0.0, NAME: 0.01}
_RESETS: Final = struct.pack("ii", 1, 0)
_CLOSES: Final = struct.pack("ii", 0, 0)


class RoomServerLink(PlainLink):
    """One connection to a room server.

    Resource and error handling are those of PlainLink.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        peer: Peer,
        chat: PlainReceiver,
        journal: JournalState,
        config: Config,
        *,
        address: str,
    ) -> None:
        super().__init__(stream, peer, chat, journal, config, direction="out", address=address)
        # What all members say comes over one link, often without line ends: too much of it is no reason to hang up.
        self._decoder = LineDecoder(config.plain_line_bytes, cut=True)
        self._quiet = QUIET_S[peer.dialect or NAME]
        self._client: DialectClient = AddressClient() if peer.dialect == ADDRESS else NameClient(peer.nick)
        self._entered = not self._client.greeting
        self._welcomed = trio.Event()
        if peer.dialect == ADDRESS:
            # That server answers a bare FIN with an endless row of empty texts to all others. At a reset it does not,
            # and a reset is what it gets even when this process is killed. One that has closed first never sees it.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)

    def check(self, text: str) -> None:
        """Raises TextRefused for a text that cannot be said there."""
        self._client.check(text, self._config.plain_send_bytes)

    def _encode(self, text: str) -> bytes:
        return self._client.encode(text)

    def _speaks_lines(self) -> bool:
        """It looks for commands in whole chunks, so two texts are never in one write."""
        return False

    # -- the beginning

    def _has_work(self) -> bool:
        return not self._entered or super()._has_work()

    async def _write_all(self) -> None:
        if not self._entered:
            await self._send_greeting()
        await super()._write_all()

    async def _send_greeting(self) -> None:
        """Say who we are; nothing follows before the server has answered, or has had the time to."""
        with trio.fail_after(self._config.plain_stall):
            await self._write_command(self._client.greeting)
        with trio.move_on_after(WELCOME_S):
            await self._welcomed.wait()
        self._write_pacer.spend()
        self._entered = True

    def _deliver(self, texts: list[str]) -> None:
        if texts:
            self._welcomed.set()
        super()._deliver(texts)

    # -- the end

    async def _shut_down(self) -> None:
        """Say the farewell, alone, and wait for them to close: to that server our own FIN would be no end."""
        try:
            with trio.move_on_after(DRAIN_S):
                if self._entered and not self._eof:
                    await self._write_pacer.wait(at_most_s=PAUSE_S)
                    await self._write_command(self._client.farewell)
                    await self._drain()
            if self._eof:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CLOSES)
        except OSError:  # reset, or gone since long
            self._eof = True

    async def _write_command(self, data: bytes) -> None:
        """Write what is no message. The caller sets the deadline. Raises OSError."""
        while data:
            data = data[await self._sock.send(data) :]
