"""One client of a room port, from its first byte to the end of its connection.

The trio side of `wire/dialects.py`: when to read, when a chunk is a line, how to execute a command, and how to hang up.
Owns the stream. `fanout.py` writes the messages of the room to the client; replies to the client's own commands are
written here. Run by `port.py`, under a supervisor.
"""

import fcntl
import logging
import socket
import struct
import termios
from functools import partial
from typing import Final, NamedTuple

import trio

from chatd.api.errors import ControlError
from chatd.config.settings import Config
from chatd.journal.journal import Journal
from chatd.net.pacing import Pacer
from chatd.net.reasons import (
    CLOSED,
    LINE_TOO_LONG,
    RESET,
    SILENT,
    STALLED,
    STORAGE_FULL,
    STORAGE_LOST,
    TOO_SLOW,
    broken,
)
from chatd.net.roomport.fanout import Fanout
from chatd.net.roomport.writer import ClientWriter
from chatd.rooms.hosted import LEFT, HostedRooms
from chatd.rooms.posting import RoomPosting
from chatd.rooms.room import HostedRoom, Member
from chatd.wire import dialects
from chatd.wire.dialects import AddressServer, Command, Enter, Help, Leave, NameServer, Server, Speak, Users

RECV_BYTES: Final = 4096  # small, so that one read does not exceed the receive rate by much
BURST_S: Final = 1.0  # this many seconds' worth of the receive rate at once
FLOOD_BYTES: Final = 512  # this many bytes count as a message, even if they contain none
LISTED: Final = 32  # this many nicks in a list count as a message
LAST_WORDS_S: Final = 0.2  # to write the buffer after the client has left the room
POLL_S, POLLS = 0.005, 40  # for the client's kernel to confirm all written bytes
DRAIN_S: Final = 1.0  # to read until EOF after our FIN
KERNEL_BYTES: Final = 131072  # SO_SNDBUF; the kernel doubles it. The default would be up to 4 MiB
LINGER_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close with an RST
log = logging.getLogger("chatd.rooms")


class RoomAccess(NamedTuple):
    """The parts of the node that a client uses: its room and port, and what posts and delivers there."""

    room: HostedRoom
    dialect: str
    fanout: Fanout
    hosted_rooms: HostedRooms
    posting: RoomPosting
    journal: Journal
    config: Config


class RoomClient:
    """One connection. `reason`: why it ended; None while it is open. `member`: None while it is not in the room.

    Resource handling: owns the stream once `run` is called, and closes it.
    Error handling: errors of the connection or of the client end in a `reason`, never in an exception.
    """

    def __init__(self, access: RoomAccess, stream: trio.SocketStream, address: str) -> None:
        self.address = address
        self.dialect = access.dialect
        self.reason: str | None = None
        self.member: Member | None = None
        self.writer: ClientWriter
        self._access = access
        self._config = access.config
        self._sock = stream.socket
        self._codec = _codec(access)
        self._reading = trio.CancelScope()
        self._name_deadline = trio.current_time() + access.config.handshake_timeout
        self._pacer = Pacer(1 / self._config.plain_rate, BURST_S)

    @property
    def ends_lines(self) -> bool | None:
        """Whether the client's own texts end with newlines; None: not known yet."""
        return self._codec.ends_lines

    def close(self, reason: str) -> None:
        """Disconnect the client after writing its buffer. The first reason is kept."""
        if self.reason is None:
            self.reason = reason
            self._access.fanout.discard(self)
            self._reading.cancel()

    # -- its task

    async def run(self) -> None:
        """Serve the connection until it has ended."""
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
            async with trio.open_nursery() as nursery:
                self.writer = ClientWriter(self._sock.fileno(), self._config, nursery, self.close)
                with self._reading:
                    await self._serve()
                self._leave()
                patience = 0.0 if self.reason in (RESET, STALLED, TOO_SLOW) else LAST_WORDS_S
                nursery.cancel_scope.deadline = trio.current_time() + patience
            await self._hang_up()
        finally:
            self.close("cut")
            self._leave()
            self._sock.close()

    def _leave(self) -> None:
        member, self.member = self.member, None
        if member is not None:
            reason, room = self.reason or "cut", self._access.room
            self._access.hosted_rooms.leave(room, member, reason)
            fields = {"nick": member.nick, "room": room.label, "address": self.address, "reason": reason}
            log.info("client %(nick)s left room %(room)s (%(address)s): %(reason)s", fields)

    async def _serve(self) -> None:
        """Execute commands until the connection ends, and set `reason`."""
        try:
            if self.dialect == dialects.ADDRESS:
                self._enter(None)
            while self.reason is None:
                await self._pace_reading()
                await self._read()
        except ControlError as error:
            self._reply(error.message)
            self.close(error.kind)
        except trio.TooSlowError:
            self.close(SILENT)
        except OSError as error:  # reset, or the kernel's keepalive gave up
            self.close(broken(error))

    # -- reading

    async def _read(self) -> None:
        """Read and execute one chunk, or the unfinished one if the line stays quiet."""
        chunk = await self._receive()
        if chunk != b"" and self._access.journal.lost:
            self.close(STORAGE_LOST)
            return
        end = None if chunk or chunk is None else CLOSED
        try:
            commands = self._codec.flush() if chunk is None else self._codec.receive(chunk)
        except dialects.TooLong as error:
            commands, end = error.commands, LINE_TOO_LONG
        self._pacer.spend(max(0, len(chunk or b"") / FLOOD_BYTES - len(commands)))
        self.writer.set_paced(self.dialect == dialects.ADDRESS and self._codec.ends_lines is False)
        await self._execute_all(commands)
        if end is not None:
            self.close(end)

    async def _receive(self) -> bytes | None:
        """Read a chunk. None: an unfinished line waits and the line stays quiet. Raises OSError, TooSlowError."""
        if self.member is None:
            with trio.fail_at(self._name_deadline):
                return await self._sock.recv(RECV_BYTES)
        if not self._codec.pending:
            # No deadline: a member may stay silent. The kernel's keepalive detects that it is gone.
            return await self._sock.recv(RECV_BYTES)
        with trio.move_on_after(self._config.plain_quiet):
            return await self._sock.recv(RECV_BYTES)
        return None

    async def _pace_reading(self) -> None:
        """Wait for capacity in the journal and for the receive rate."""
        await self._access.journal.wait_for_capacity()
        await self._pacer.wait()

    # -- commands

    async def _execute_all(self, commands: list[Command]) -> None:
        """Execute commands in order; append consecutive public texts together. Raises ControlError: not admitted."""
        texts: list[str] = []
        for command in commands:
            if isinstance(command, Speak) and command.to is None:
                texts.append(command.text)
                continue
            self._post(texts)
            texts = []
            await self._pace_reading()
            self._execute(command)
            if self.reason is not None:
                return
        self._post(texts)

    def _execute(self, command: Command) -> None:
        room = self._access.room
        match command:
            case Enter(name):
                self._enter(name)
            case Speak(text, to):
                self._post_privately(str(to), text)
            case Users():
                users = room.users()
                self._pacer.spend(1 + len(users) / LISTED)
                self._reply(dialects.user_list(user.nick for user in users))
            case Help():
                self._pacer.spend(1)
                self._reply(dialects.HELP)
            case Leave():
                self.close(LEFT)

    def _enter(self, name: str | None) -> None:
        """Enter the room. The welcome is the first text that the client receives. Raises ControlError."""
        access = self._access
        self.member, why = access.hosted_rooms.enter_plain(access.room, name, self.address, self.close)
        if name is not None:
            self._reply(dialects.welcome(self.member.nick, why))
        access.fanout.add(self, self.member)
        fields = {"nick": self.member.nick, "room": access.room.label, "address": self.address}
        log.info("client %(nick)s joined room %(room)s (%(address)s)", fields)

    def _post(self, texts: list[str], to: Member | None = None) -> None:
        if texts and self.member is not None:
            self._pacer.spend(len(texts))
            _, batch = self._access.posting.post(self._access.room, self.member, texts, to)
            # The texts are lost: hanging up is the only way to tell the client.
            batch.if_failed(("in", self), partial(self.close, STORAGE_FULL))

    def _post_privately(self, nick: str, text: str) -> None:
        to = self._access.room.named(nick)
        if to is not None:
            self._post([text], to)
        else:
            self._pacer.spend(1)
            self._reply(dialects.UNKNOWN_USER)

    def _reply(self, text: str) -> None:
        """Write a reply. Clients of dialect `address` expect none."""
        if self.dialect == dialects.NAME:
            self.writer.write(dialects.reply(text, ends_lines=self._codec.ends_lines))

    # -- the end

    async def _hang_up(self) -> None:
        """End the connection: with a FIN if the client left, otherwise with an RST.

        The clients of the room servers in docs/origins.md loop on an unexpected FIN and end at an RST. A client that
        ends its lines is a person with nc, who would lose unread text by an RST at once: it gets a FIN before.
        """
        self.writer.close()
        if self.reason in (CLOSED, RESET):
            return
        if self.reason == LEFT and self.dialect == dialects.ADDRESS:
            await self._half_close(DRAIN_S)
            return
        if self.reason not in (STALLED, TOO_SLOW):
            await (self._half_close(LAST_WORDS_S) if self.ends_lines else self._wait_acknowledged())
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)

    async def _half_close(self, patience: float) -> None:
        """Send a FIN and read until the client closes: closing with unread input would send an RST."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            with trio.move_on_after(patience):
                while await self._sock.recv(RECV_BYTES):
                    continue
        except OSError:  # already reset or closed
            return

    async def _wait_acknowledged(self) -> None:
        """Wait until the client's kernel has confirmed all written bytes: an RST discards the others."""
        for _ in range(POLLS):
            if not _unconfirmed_bytes(self._sock.fileno()):
                return
            await trio.sleep(POLL_S)


def _codec(access: RoomAccess) -> Server:
    line_bytes = access.config.plain_line_bytes
    return AddressServer(line_bytes) if access.dialect == dialects.ADDRESS else NameServer(line_bytes)


def _unconfirmed_bytes(descriptor: int) -> int:
    """Number of written bytes that the client's kernel has not confirmed."""
    (count,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)))
    return int(count)
