"""LinkWriter: the sending side of one native link.

Each write holds the frames outside the journal (acknowledgements, Pongs, Pings, room state, queries) and then what
`sending.py` reads from the journal after the position in the peer's `Hello`. So no message waits in a queue, and a slow
peer costs no memory. Does not own the stream and does not decide when the link ends: `link.py` does both and runs it.
"""

import logging
from collections.abc import Sequence
from typing import Final, Protocol

import trio

from chatd.api.errors import ControlError
from chatd.net import reasons
from chatd.net.native.handshake import Established
from chatd.net.native.parts import LinkParts
from chatd.net.native.queries import Queries
from chatd.net.native.receiving import Receiver
from chatd.net.native.room_sync import RoomSync
from chatd.net.native.sending import SendCursor
from chatd.net.pings import PendingPing, Pings
from chatd.peers.peer import NativeLink
from chatd.sync import Waker
from chatd.wire.codec import encode_many
from chatd.wire.frames import Bye, Cloned, Frame, PingFrame, PongFrame, Resume

PONGS: Final = 63  # Pongs that may wait for a write; older ones have timed out at the peer
LAST_WORDS_S: Final = 1.0  # to write the Bye, and for the reader to read to the end after it
LINGER_S: Final = 0.05  # that acknowledgements wait for another commit
log = logging.getLogger("chatd.native")


class WritableLink(NativeLink, Protocol):
    """The link, as its writer uses it."""

    received_at: float  # trio's clock: the last read


class LinkWriter:
    """Writes the frames of one link in one task, `run`. `waker` makes it look for due frames and at the link's state.

    Resource handling: `close` stops watching the journal. Error handling: `run` and `send_bye` raise
    trio.BrokenResourceError and trio.ClosedResourceError.
    """

    def __init__(
        self,
        parts: LinkParts,
        link: WritableLink,
        established: Established,
        *,
        waker: Waker,
        receiver: Receiver,
        rooms: RoomSync,
        queries: Queries,
    ) -> None:
        self._link = link
        self._peer = established.peer
        self._stream = established.stream
        self._hello = hello = established.hello
        self._ping_after = parts.config.ping_after
        self._wall = parts.runtime.wall
        self._chat = parts.chat
        self._journal = parts.journal
        self._waker = waker
        self._receiver = receiver
        self._rooms = rooms
        self._queries = queries
        self._pongs: list[int] = []
        self._pings = Pings(parts.runtime.random, parts.runtime.wall)
        self._cursor = SendCursor(
            self._peer,
            waker,
            (hello.text_bytes, hello.text_chars),
            journal=parts.journal,
            states=parts.chat.states,
            intervals=parts.router.hosted_rooms.intervals,
            room_updates=parts.room_updates,
        )

    def close(self) -> None:
        """Stop watching the journal."""
        self._cursor.close()

    # -- called by the reader and by other tasks

    def ping(self) -> PendingPing:
        """Send a Ping with the next write."""
        ping = self._pings.queue()
        self._waker.wake()
        return ping

    def pong(self, token: int) -> None:
        """Send a Pong with the next write."""
        self._pongs = [*self._pongs[-PONGS:], token]
        self._waker.wake()

    def record_pong(self, token: int, theirs: float) -> None:
        """Record the peer's Pong; `theirs` is its wall clock. Unknown tokens are ignored."""
        rtt_ms = self._pings.record_pong(token, theirs)
        if rtt_ms is not None:
            self._peer.set_rtt(rtt_ms)

    # -- the writing task

    async def run(self) -> None:
        """Write until the link is closed."""
        start = await self._start_link()
        if start is None:
            return
        self._cursor.start(start)
        self._rooms.declare()
        epoch, seq = self._journal.epochs.as_watermark(start)
        await self._send([Resume(epoch=epoch, seq=seq), *self._rooms.take_frames(), *self._clone_report()])
        self._pings.queue()
        while self._link.reason is None:
            await self._write_next()

    async def _start_link(self) -> int | None:
        """The seq after which this link sends; None if the link is to be closed."""
        peer = self._peer
        start = await self._chat.start_link(peer, self._link, self._hello.mark_epoch, self._hello.mark_seq)
        if start is None:
            text = "protocol error by peer %(peer)s: it claims to have messages that this node never wrote"
            log.warning(text, peer.log_fields)
            self._link.close("protocol")
        elif peer.opening is not None:
            try:
                await peer.opening.wait()
            except ControlError:
                return start  # the disk is full: send what is on it
        return start

    def _clone_report(self) -> list[Frame]:
        """Tell the peer that it is a clone, which it cannot detect itself."""
        return [Cloned(self._peer.epochs.previous)] if self._peer.is_cloned else []

    async def _write_next(self) -> None:
        """One write of everything that is due, or a rest if that is nothing."""
        frames, after = self._due_frames(), self._cursor.position
        ordered = await self._cursor.next()
        if frames or ordered:
            began = self._wall()
            await self._send([*frames, *ordered])
            if ordered:
                self._peer.delivery.record_write(after, self._cursor.position, began, self._cursor.message_count)
        elif self._cursor.at_tail:
            await self._rest_until_woken()

    async def _rest_until_woken(self) -> None:
        """Wait until woken; after silence send a Ping, after LINGER_S commit pending acknowledgements."""
        ping_at = max(self._link.received_at, self._pings.last_queued_at) + self._ping_after
        linger = trio.current_time() + LINGER_S if self._journal.has_waiting_events else float("inf")
        with trio.move_on_at(min(ping_at, linger)) as scope:
            await self._waker.wait()
        if scope.cancelled_caught:
            self._journal.flush()
            if trio.current_time() >= ping_at:
                self._pings.queue()

    def _due_frames(self) -> list[Frame]:
        """Frames outside the journal: acknowledgements, Pongs, Pings, room state, queries."""
        frames = self._receiver.acknowledgements()
        if self._pongs:
            now = self._wall()
            frames += [PongFrame(token=token, at=now) for token in self._pongs]
        frames += [PingFrame(token=token) for token in self._pings.take_due()]
        self._pongs = []
        frames += self._rooms.take_frames()
        frames += self._queries.take_frames()
        return frames

    async def _send(self, frames: Sequence[Frame | bytes]) -> None:
        """One write. The reader has the deadline: a peer that does not read answers no Ping."""
        await self._stream.send_all(encode_many(frames, self._hello.frame_bytes))

    async def send_bye(self, reader_ended: trio.Event) -> None:
        """Send the last acknowledgement and a Bye, half-close and wait for the reader to end."""
        reason = self._link.reason if self._link.reason in reasons.SENT_IN_BYE else "protocol"
        with trio.move_on_after(LAST_WORDS_S):
            await self._send([*self._due_frames(), Bye(reason=str(reason))])
            await self._stream.transport_stream.send_eof()
            await reader_ended.wait()
