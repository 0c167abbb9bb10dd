"""Plain links: one TCP connection to `nc`, telnet or a peer program (docs/origins.md), in either direction.

The trio side of `wire/lines.py`: when to read, when a chunk is a message, when to write, how to close. Owns the stream.
Decides nothing about messages (`messages/chat.py`). `net/listener.py` and `net/dialer.py` create the peer, attach the
link to it and run it under a supervisor. The rules are in docs/wire.md. `room_server.py` adapts it to room servers.
"""

import socket
from functools import partial
from typing import Final, Literal, Protocol

import trio

from chatd.api.errors import ControlError
from chatd.config.settings import Config
from chatd.journal.batch import Batch
from chatd.net.pacing import Pacer
from chatd.net.plain.send_queue import SendQueue
from chatd.net.reasons import (
    CLOSED,
    LINE_TOO_LONG,
    RESET,
    SENT_THEN_CLOSED,
    SHUTDOWN,
    STALLED,
    STORAGE_FULL,
    STORAGE_LOST,
    broken,
)
from chatd.net.sniff import peek_kind
from chatd.peers.peer import Peer
from chatd.wire.lines import LineDecoder, LineTooLong, check_text, encode_line

RECV_BYTES: Final = 4096  # small, so that one read does not exceed the receive rate by much
BURST_S: Final = 1.0  # this many seconds' worth of the receive rate at once
HANG_UP_S: Final = 1.0  # a hang-up this soon after an unanswered send is reported together with it
DRAIN_S: Final = 1.0  # to read until EOF after our FIN
SHUTDOWN_S: Final = 0.8  # to write the queue when the daemon stops; under 2 s together with DRAIN_S
WRITE_BYTES: Final = 16384  # lines per write, in bytes

Result = Literal["native", "closed"]


class PlainReceiver(Protocol):
    """The part of `messages/inbox.py` that a plain link uses."""

    def receive_plain(self, peer: Peer, texts: list[str]) -> Batch:
        """Add texts to the next commit."""


class PlainChat(Protocol):
    """The part of `messages/chat.py` that a plain link uses."""

    @property
    def inbox(self) -> PlainReceiver:
        """Receives the texts of the peer."""

    def record_written(self, peer: Peer, seq: int) -> None:
        """Everything up to and including `seq` is written."""


class JournalState(Protocol):
    """The part of `journal/journal.py` that a plain link uses."""

    @property
    def lost(self) -> bool:
        """Whether nothing can be stored until a restart."""

    async def wait_for_capacity(self) -> None: ...


class PlainLink:
    """One plain connection. `reason` is None while it is open, then why it ended.

    Resource handling: owns the stream once `run` is called, and closes it, unless `run` returns "native".
    Error handling: errors of the connection end in a `reason`, never in an exception. `run` raises the exceptions of
    `chat` and `journal`, after closing the stream.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        peer: Peer,
        chat: PlainChat,
        journal: JournalState,
        config: Config,
        *,
        direction: str,
        address: str,
        provisional: bool = False,
    ) -> None:
        """`provisional`: accepted and silent so far; its first byte can still make it native."""
        self.kind = "plain"
        self.direction = direction  # "in" | "out": who dialed
        self.address = address
        self.reason: str | None = None
        self.unsent = 0  # messages that will never be written; known when `run` has ended
        self.received = 0
        self.sent = 0
        self._stream = stream
        self._sock = stream.socket
        self._peer = peer
        self._chat = chat
        self._journal = journal
        self._config = config
        self._provisional = provisional
        self._decoder = LineDecoder(config.plain_line_bytes)
        self._quiet = config.plain_quiet
        self._queue = SendQueue(config)
        self._nursery: trio.Nursery | None = None
        self._reading = trio.CancelScope()
        self._writing = False
        self._eof = False  # nothing more can arrive
        self._read_pacer = Pacer(1 / config.plain_rate, BURST_S)
        self._write_pacer = Pacer(config.plain_pace)
        self._unanswered_write_at = float("-inf")  # trio's clock: the newest write that no input has followed

    # -- called by the core; nothing here waits

    @property
    def full(self) -> bool:
        """Whether the queue is full: the next message is rejected with `outbox_full`."""
        return self._queue.full

    @property
    def waiting(self) -> int:
        """Number of messages that are not written yet."""
        return len(self._queue)

    def check(self, text: str) -> None:
        """Raise TextRefused for a text that cannot be sent to this peer."""
        check_text(text, self._config.plain_send_bytes)

    def enqueue(self, seq: int, text: str, batch: Batch) -> None:
        """Write the text after the commit of its batch. On a link that has ended, it counts as unsent."""
        self._provisional = False
        self._queue.append(seq, text, batch)
        if self.reason is None:
            self._start_writer()
        else:
            self.unsent += 1

    def close(self, reason: str) -> None:
        """Write the queue, half-close, read to the end, close; all with deadlines. The first reason is kept."""
        if self.reason is None:
            self.reason = reason
            self._reading.cancel()

    # -- reading, in the only task of an idle link

    async def run(self) -> Result:
        """Serve the connection until it has ended or turns out to be native.

        Return "native" if the first byte of a provisional link starts a TLS handshake and no message was queued. Then
        nothing was read or written, and the open stream belongs to the caller. Otherwise return "closed".
        """
        native = False
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._start_writer()
                with self._reading:
                    native = await self._serve()
                if self.reason != STORAGE_FULL:
                    self._deliver(self._decoder.close())
                nursery.cancel_scope.deadline = trio.current_time() + self._write_patience()
            if not native:
                await self._shut_down()
        finally:
            self._set_reason("cut")
            self.unsent = self._queue.count_unsent()
            if not native:
                self._sock.close()
        return "native" if native else "closed"

    def _set_reason(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason

    async def _serve(self) -> bool:
        """Read until the peer ends the connection, and set `reason`. True: the peer is native."""
        try:
            if self._provisional and await peek_kind(self._stream) == "native" and self._provisional:
                self._set_reason("native")
                return True
            await self._read()
        except LineTooLong as error:
            self._deliver(error.texts)
            self._set_reason(LINE_TOO_LONG)
        except OSError as error:  # reset, or the kernel's keepalive gave up
            self._eof = True
            self._set_reason(broken(error))
        return False

    async def _read(self) -> None:
        while not self._eof and not self._decoder.hung_up:
            await self._pace_reading()
            self._deliver(await self._receive_texts())
        self._set_reason(self._close_reason())

    async def _receive_texts(self) -> list[str]:
        """The texts of the next chunk, or of the unfinished one if the line stays quiet."""
        chunk = await self._receive_chunk()
        if chunk is None:
            return self._decoder.flush()
        self._eof = not chunk
        texts = self._decoder.receive(chunk)
        if not self._eof and not self._decoder.hung_up:
            self._unanswered_write_at = float("-inf")
        return texts

    async def _receive_chunk(self) -> bytes | None:
        """Read a chunk. None: an unfinished chunk waits and the line stays quiet. Raises OSError."""
        if not self._decoder.pending:
            # No deadline: a plain peer may stay silent. The kernel's keepalive detects that it is gone.
            return await self._sock.recv(RECV_BYTES)
        with trio.move_on_after(self._quiet):
            return await self._sock.recv(RECV_BYTES)
        return None

    def _deliver(self, texts: list[str]) -> None:
        if texts and self._journal.lost:
            self.close(STORAGE_LOST)
        elif texts:
            self.received += len(texts)
            self._read_pacer.spend(len(texts))
            batch = self._chat.inbox.receive_plain(self._peer, texts)
            # The texts are lost: hanging up is the only way to tell the peer.
            batch.if_failed(("in", self), partial(self.close, STORAGE_FULL))

    async def _pace_reading(self) -> None:
        """Wait for capacity in the journal and, on accepted links, for the receive rate."""
        await self._journal.wait_for_capacity()
        if self.direction == "in":
            await self._read_pacer.wait()

    def _close_reason(self) -> str:
        return SENT_THEN_CLOSED if trio.current_time() - self._unanswered_write_at <= HANG_UP_S else CLOSED

    # -- writing, in a task that exists only while messages wait

    def _start_writer(self) -> None:
        if self._has_work() and self._nursery is not None and not self._writing:
            self._writing = True
            self._nursery.start_soon(self._write)

    def _has_work(self) -> bool:
        return bool(self._queue)

    async def _write(self) -> None:
        try:
            await self._write_all()
        except OSError as error:
            self._eof = True
            self.close(broken(error))
        except trio.TooSlowError:
            self.close(STALLED)
        finally:
            self._writing = False

    async def _write_all(self) -> None:
        while self._queue:
            if await self._head_is_committed():
                await self._write_pacer.wait()
                await self._write_some()

    async def _head_is_committed(self) -> bool:
        """Wait for the commit of the oldest message. Drop it if that failed: the client got an error."""
        try:
            await self._queue.head.wait()
        except ControlError:
            self._queue.pop()
            return False
        return True

    async def _write_some(self) -> None:
        """Write one message; to a peer that sends lines, all committed ones up to WRITE_BYTES."""
        lines = self._speaks_lines()
        ends: list[int] = []
        data = bytearray()
        for _, text, batch in self._queue:
            if ends and (not lines or len(data) >= WRITE_BYTES or not batch.done or batch.error is not None):
                break
            data += self._encode(text)
            ends.append(len(data))
        await self._send(data, ends)
        if not lines:
            self._write_pacer.spend()

    def _speaks_lines(self) -> bool | None:
        return self._decoder.speaks_lines

    def _encode(self, text: str) -> bytes:
        return encode_line(text, self._speaks_lines())

    async def _send(self, data: bytearray, ends: list[int]) -> None:
        """Write all data; count each message when the socket has accepted its last byte. `ends`: offsets in `data`."""
        accepted = written = 0
        while accepted < len(data):
            with trio.fail_after(self._config.plain_stall):
                accepted += await self._sock.send(data[accepted:])
            self._unanswered_write_at = trio.current_time()
            done = [self._queue.pop() for end in ends[written:] if end <= accepted]
            written += len(done)
            self.sent += len(done)
            self._peer.delivery.count_sent(len(done))
            if done:
                self._chat.record_written(self._peer, done[-1])

    # -- the end

    def _write_patience(self) -> float:
        """Seconds that remain to write the queue."""
        if self.reason in (RESET, STALLED):
            return 0.0
        return SHUTDOWN_S if self.reason == SHUTDOWN else self._config.terminate_timeout

    async def _shut_down(self) -> None:
        """Close without an RST, which crashes the close-text peer: read until the peer has closed too."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            with trio.move_on_after(DRAIN_S):
                await self._drain()
        except OSError:  # already reset or closed
            self._eof = True

    async def _drain(self) -> None:
        """Read until the peer closes. The caller sets the deadline. Raises OSError."""
        while not self._eof:
            self._eof = not await self._sock.recv(RECV_BYTES)
