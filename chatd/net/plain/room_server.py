"""Links to room servers, on which this node is a plain client of another program: one of the two servers in
docs/origins.md, or one with the same dialect.

A plain link (`link.py`) with the encoding of `wire/dialect_clients.py` and the behaviour that a server expects. The
first write is the name alone, every text is a write of its own, and the last write is a farewell, after which the node
waits for the server to close. `net/dialer.py` uses it for plain peers that have a dialect.
"""

import socket
import struct
from typing import Final

import trio

from chatd.config.settings import Config
from chatd.net.plain.link import DRAIN_S, JournalState, PlainChat, PlainLink
from chatd.peers.peer import Peer
from chatd.wire.dialect_clients import AddressClient, DialectClient, NameClient
from chatd.wire.dialects import ADDRESS, NAME
from chatd.wire.lines import LineDecoder

WELCOME_S: Final = 10.0  # for the server's welcome
PAUSE_S: Final = 0.3  # longest pause before the farewell, whatever `plain_pace` is
# One read is one text: texts of several members must not merge. But a line of dialect `name` may arrive in two reads.
QUIET_S: Final = {ADDRESS: 0.0, NAME: 0.01}
_LINGER_RESET: Final = struct.pack("ii", 1, 0)
_LINGER_OFF: Final = struct.pack("ii", 0, 0)


class RoomServerLink(PlainLink):
    """One connection to a room server.

    Resource and error handling: see PlainLink.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        peer: Peer,
        chat: PlainChat,
        journal: JournalState,
        config: Config,
        *,
        address: str,
    ) -> None:
        super().__init__(stream, peer, chat, journal, config, direction="out", address=address)
        # The texts of all members arrive on one link, often without newlines: many bytes are no reason to hang up.
        self._decoder = LineDecoder(config.plain_line_bytes, cut=True)
        self._quiet = QUIET_S[peer.dialect or NAME]
        self._client: DialectClient = AddressClient() if peer.dialect == ADDRESS else NameClient(peer.nick)
        self._has_entered = not self._client.greeting
        self._welcomed = trio.Event()
        if peer.dialect == ADDRESS:
            # After a bare FIN that server sends empty texts to all others forever; after a reset it does not. With
            # SO_LINGER it gets a reset even if this process is killed. A server that closes first never sees it.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)

    def check(self, text: str) -> None:
        """Raise TextRefused for a text that cannot be sent to that server."""
        self._client.check(text, self._config.plain_send_bytes)

    def _encode(self, text: str) -> bytes:
        return self._client.encode(text)

    def _speaks_lines(self) -> bool:
        """False: the server takes whole chunks as commands, so one write never has two texts."""
        return False

    # -- greeting

    def _has_work(self) -> bool:
        return not self._has_entered or super()._has_work()

    async def _write_all(self) -> None:
        if not self._has_entered:
            await self._send_greeting()
        await super()._write_all()

    async def _send_greeting(self) -> None:
        """Send our name; wait for the welcome, at most WELCOME_S, before the first message."""
        with trio.fail_after(self._config.plain_stall):
            await self._write_command(self._client.greeting)
        with trio.move_on_after(WELCOME_S):
            await self._welcomed.wait()
        self._write_pacer.spend()
        self._has_entered = True

    def _deliver(self, texts: list[str]) -> None:
        if texts:
            self._welcomed.set()
        super()._deliver(texts)

    # -- the end

    async def _shut_down(self) -> None:
        """Send the farewell alone and wait for the server to close: it does not handle a FIN of ours."""
        try:
            with trio.move_on_after(DRAIN_S):
                if self._has_entered and not self._eof:
                    await self._write_pacer.wait(at_most_s=PAUSE_S)
                    await self._write_command(self._client.farewell)
                    await self._drain()
            if self._eof:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        except OSError:  # already reset or closed
            self._eof = True

    async def _write_command(self, data: bytes) -> None:
        """Write something that is not a message. The caller sets the deadline. Raises OSError."""
        while data:
            data = data[await self._sock.send(data) :]
