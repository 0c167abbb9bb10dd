"""Plain links: one TCP connection to `nc`, telnet or a seed program, in either direction.

The trio shell around wire/lines.py: when to read, when a chunk is a message, when to write, how to close. It does
not decide about messages (messages/chat.py does) and opens no slot; `net/listener.py` and `net/dialer.py` make the
peer, run the link in its supervisor, and tell the registry when it is up and down. The rules are in docs/wire.md.
What is different on a link to a room server is in `net/plain/room_server.py`.
"""

import socket
from collections import deque
from functools import partial
from typing import Final, Literal, Protocol

import trio

from chatd.api.errors import ControlError
from chatd.config.settings import Config
from chatd.journal.batch import Batch
from chatd.net.pacing import Pacer
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
from chatd.net.sniff import first
from chatd.peers.peer import Peer
from chatd.wire.lines import LineDecoder, LineTooLong, check_text, encode_line

RECV_BYTES: Final = 4096  # small, so that what one read brings stays near the receive rate
BURST_S: Final = 1.0  # of the receive rate may come at once
HANG_UP_S: Final = 1.0  # a hang-up this soon after a send, and without an answer, is told together with it
DRAIN_S: Final = 1.0  # to read until EOF once we have said that we close
SHUTDOWN_S: Final = 0.8  # to write what waits when the daemon stops; with DRAIN_S under 2 s
WRITE_BYTES: Final = 16384  # of lines in one write

Outcome = Literal["native", "closed"]


class PlainReceiver(Protocol):
    """The part of messages/chat.py that takes texts."""

    def receive_plain(self, peer: Peer, texts: list[str]) -> Batch:
        """Put them into the next commit."""

    def written(self, peer: Peer, seq: int) -> None:
        """Everything handed over up to there is written."""


class JournalState(Protocol):
    """The part of journal/journal.py that slows down or ends who reads."""

    @property
    def lost(self) -> bool:
        """Nothing may be taken."""

    async def room(self) -> None:
        """Wait until more may be appended."""


class PlainLink:
    """One plain connection. `reason` is None while it is open, then why it ended.

    Resource handling: owns the stream from the call of `run` on, and closes it, unless `run` answers "native".
    Error handling: whatever the peer does ends in a `reason`, never in an exception; those of `chat` and `journal`
    come out of `run`, with the stream closed.
    """

    def __init__(
        self,
        stream: trio.SocketStream,
        peer: Peer,
        chat: PlainReceiver,
        journal: JournalState,
        config: Config,
        *,
        direction: str,
        address: str,
        provisional: bool = False,
    ) -> None:
        """`provisional`: accepted, and silent so far; its first byte may still make it native."""
        self.kind = "plain"
        self.direction = direction  # "in" | "out": who dialed
        self.address = address
        self.reason: str | None = None
        self.waiting = 0  # messages handed over and not written
        self.unsent = 0  # how many of them never will be; known when `run` has ended
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
        self._queue: deque[tuple[int, str, Batch]] = deque()
        self._waiting_bytes = 0
        self._nursery: trio.Nursery | None = None
        self._reading = trio.CancelScope()
        self._writing = False
        self._eof = False  # nothing more can come
        self._read_pacer = Pacer(1 / config.plain_rate, BURST_S)
        self._write_pacer = Pacer(config.plain_pace)
        self._spoke_at = float("-inf")  # when we wrote something that was not answered yet

    # -- what the core calls; nothing here waits

    @property
    def full(self) -> bool:
        """As much waits as may: the next message is `outbox_full`."""
        return self.waiting >= self._config.plain_queue or self._waiting_bytes >= self._config.plain_buffer_bytes

    def check(self, text: str) -> None:
        """Raises TextRefused for a text that cannot be said there."""
        check_text(text, self._config.plain_send_bytes)

    def enqueue(self, seq: int, text: str, batch: Batch) -> None:
        """Write the text once the batch is committed. On a link that has ended it counts as unsent."""
        self._provisional = False
        self._queue.append((seq, text, batch))
        self.waiting += 1
        self._waiting_bytes += len(text.encode())
        if self.reason is None:
            self._start_writer()
        else:
            self.unsent += 1

    def close(self, reason: str) -> None:
        """Write what waits, half-close, read to the end, close; all under deadlines. The first reason stays."""
        if self.reason is None:
            self.reason = reason
            self._reading.cancel()

    # -- the one task of an idle link

    async def run(self) -> Outcome:
        """Serve the connection until it has ended, or turns out to be native.

        Answers "native" when a provisional link's first byte begins a TLS handshake and nothing was handed over to
        it: then nothing was read or written either, the stream stays open and is the caller's. Else "closed".
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
            self.unsent = sum(1 for _, _, batch in self._queue if batch.error is None)
            if not native:
                self._sock.close()
        return "native" if native else "closed"

    def _set_reason(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason

    async def _serve(self) -> bool:
        """Take in texts until the peer ends it, and say in `reason` how. True: it is native."""
        try:
            if self._provisional and await first(self._stream) == "native" and self._provisional:
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
        """The texts of the next chunk; of the one that waits, when the line stays quiet."""
        chunk = await self._receive_chunk()
        if chunk is None:
            return self._decoder.flush()
        self._eof = not chunk
        texts = self._decoder.receive(chunk)
        if not self._eof and not self._decoder.hung_up:
            self._spoke_at = float("-inf")
        return texts

    async def _receive_chunk(self) -> bytes | None:
        """What is readable; None when an unfinished chunk waits and the line stays quiet. Raises OSError."""
        if not self._decoder.pending:
            # No deadline: a plain peer may be silent for ever. The kernel's keepalive notices when it is gone.
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
            batch = self._chat.receive_plain(self._peer, texts)
            # They were lost: the peer can only be told by hanging up on it.
            batch.if_failed(("in", self), partial(self.close, STORAGE_FULL))

    async def _pace_reading(self) -> None:
        """Strangers are read at the receive rate; everybody only while the journal keeps up."""
        await self._journal.room()
        if self.direction == "in":
            await self._read_pacer.wait()

    def _close_reason(self) -> str:
        return SENT_THEN_CLOSED if trio.current_time() - self._spoke_at <= HANG_UP_S else CLOSED

    # -- writing, by a task that exists only while something waits

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
        """Wait for the oldest message's commit. One that failed was refused to its sender: dropped."""
        try:
            await self._queue[0][2].wait()
        except ControlError:
            self._pop()
            return False
        return True

    async def _write_some(self) -> None:
        """One message; to a peer that speaks lines everything that is committed, up to WRITE_BYTES."""
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
        """Write all of it, counting each message as its last byte is taken."""
        taken = written = 0
        while taken < len(data):
            with trio.fail_after(self._config.plain_stall):
                taken += await self._sock.send(data[taken:])
            self._spoke_at = trio.current_time()
            done = [self._pop() for end in ends[written:] if end <= taken]
            written += len(done)
            self.sent += len(done)
            self._peer.sent += len(done)
            if done:
                self._chat.written(self._peer, done[-1])

    def _pop(self) -> int:
        seq, text, _ = self._queue.popleft()
        self.waiting -= 1
        self._waiting_bytes -= len(text.encode())
        return seq

    # -- the end

    def _write_patience(self) -> float:
        """How long what waits may still be written."""
        if self.reason in (RESET, STALLED):
            return 0.0
        return SHUTDOWN_S if self.reason == SHUTDOWN else self._config.terminate_timeout

    async def _shut_down(self) -> None:
        """Close without an RST, on which one of the seed programs crashes: read until they have closed too."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            with trio.move_on_after(DRAIN_S):
                await self._drain()
        except OSError:  # reset, or gone since long: there is nobody to be polite to
            self._eof = True

    async def _drain(self) -> None:
        """Read until they close. The caller sets the deadline. Raises OSError."""
        while not self._eof:
            self._eof = not await self._sock.recv(RECV_BYTES)
