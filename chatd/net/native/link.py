"""A native link: one connection to another chatd, from the handshake to its end.

Owns the stream. The reader passes frames to `receiving.py`, `room_sync.py`, `queries.py` and the explorer, and reads as
fast as the journal has capacity. `writer.py` sends. A dead peer is detected by silence. Of two links to one peer, one
is closed. Decides nothing about messages. Made by the listener and the dialer, run by `net/links.py`.
"""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import groupby
from typing import cast

import trio

from chatd.net import reasons
from chatd.net.native.handshake import RECEIVE_BYTES, Established
from chatd.net.native.parts import LinkParts
from chatd.net.native.queries import Queries
from chatd.net.native.receiving import SINGLE, Receiver, kind_of
from chatd.net.native.room_sync import RoomSync
from chatd.net.native.writer import LAST_WORDS_S, LinkWriter
from chatd.net.pings import PendingPing
from chatd.sync import Waker
from chatd.wire.errors import RemoteError
from chatd.wire.frames import (
    AckFrame,
    Bye,
    Cloned,
    Count,
    Counted,
    Explore,
    Explored,
    FoundFrame,
    Frame,
    Gone,
    Hello,
    Inquire,
    Ordered,
    PingFrame,
    PongFrame,
    Resume,
    Rooms,
    Roster,
    TracedFrame,
)

CLOSING_S = 3.0  # from `close` to the end, even if the peer reads nothing
PROBE_S = 2.0  # of two links, one that does not answer a Ping within this time is closed
log = logging.getLogger("chatd.native")


class NativeLink:
    """One connection. `reason` is None while it is open, then why it ended; `bye` is the reason of the peer's Bye.

    Resource handling: owns the stream and closes it when `run` ends. Error handling: a protocol error of the peer ends
    the link with a `reason`; only bugs come out of `run`.
    """

    unsent = 0  # unsent messages stay in the journal

    def __init__(self, parts: LinkParts, established: Established, *, direction: str, address: str) -> None:
        self.direction = direction
        self.address = address
        self.peer = established.peer
        self.epoch = established.hello.epoch
        self.reason: str | None = None
        self.lost = False  # the peer has lost this link
        self.bye: str | None = None
        self.received_at = trio.current_time()
        self._parts = parts
        self._config = parts.config
        self._chat = parts.chat
        self._journal = parts.journal
        self._stream = established.stream
        self._decoder = established.decoder
        self._first_frames = established.rest
        self._scope = trio.CancelScope()
        self._waker = Waker()
        self._receiver = Receiver(self.peer, parts.config, parts.journal, parts.chat, parts.router)
        self._rooms = RoomSync(parts.router, self.peer)
        self.queries = Queries(
            self.peer,
            self._waker.wake,
            links=parts.links,
            random=parts.runtime.random,
            journal=parts.journal,
            lookup=parts.chat.lookup,
            traces=parts.traces,
        )
        self._writer = LinkWriter(
            *(parts, self, established),
            waker=self._waker,
            receiver=self._receiver,
            rooms=self._rooms,
            queries=self.queries,
        )
        self._has_gap = False  # a frame was not accepted, so no frame after it may be
        self._reader_ended = trio.Event()

    # -- what the core calls; nothing here waits

    def close(self, reason: str) -> None:
        """Send a Bye and close; nothing more is accepted. The first reason stays."""
        if self.reason is None:
            self.reason = reason
            self._scope.deadline = trio.current_time() + CLOSING_S
            self._waker.wake()

    def drop(self, reason: str) -> None:
        """End the link at once without a Bye: the peer has lost it."""
        self.lost = True
        self.close(reason)
        self._scope.cancel()

    def declare(self) -> None:
        """Send the rooms of the peer that we are in, with the next write."""
        self._rooms.declare()
        self._waker.wake()

    def ping(self) -> PendingPing:
        """Send a Ping with the next write."""
        return self._writer.ping()

    # -- the two tasks

    async def run(self) -> None:
        """Serve the link until it has ended."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write, nursery.cancel_scope)
                    self._settle_duplicates(nursery)
        finally:
            self._writer.close()
            self.queries.close()
            self.close("closed")
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORDS_S):
                await trio.aclose_forcefully(self._stream)

    async def _write(self, scope: trio.CancelScope) -> None:
        """Write until the link is closed, then send a Bye unless the peer has ended the link, and stop the reader."""
        try:
            await self._writer.run()
            if self.bye is None and (not self._reader_ended.is_set() or self.reason == "protocol"):
                await self._writer.send_bye(self._reader_ended)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._connection_broke(error)
        scope.cancel()

    def _connection_broke(self, error: BaseException) -> None:
        """Close with a reason as `list` shows it."""
        self.close("reset" if reasons.is_reset(error.__cause__) else "closed by peer")
        self._scope.cancel()

    # -- reading

    async def _read(self) -> None:
        """Read until the end, a protocol error, or silence for dead_after."""
        scope = trio.CancelScope()  # its deadline is moved on by each read
        try:
            with scope:
                await self._receive(self._first_frames, scope)
                self._first_frames = []
                while self.bye is None:
                    if not self._journal.has_capacity:
                        await self._wait_for_journal(scope, self._journal.wait_for_capacity)
                    scope.deadline = trio.current_time() + self._config.dead_after
                    data = await self._stream.receive_some(RECEIVE_BYTES)
                    self.received_at = trio.current_time()
                    await self._receive(self._decoder.receive(data), scope)
                    if self._has_gap and not self._journal.lost:  # the journal is back: a new link brings the rest
                        self.close("storage_lost")
                    if self._journal.is_idle:  # let the commit start before the next read
                        await trio.lowlevel.checkpoint()
                    if not data:
                        self.close("closed by peer")
                        break
            if scope.cancelled_caught:
                self.close("no answer")
                self._scope.cancel()
        except RemoteError as error:
            log.warning("protocol error by peer %(peer)s: %(reason)s", self.peer.log_fields | {"reason": error})
            self.close("protocol")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._connection_broke(error)
        finally:
            self._reader_ended.set()
            self._waker.wake()

    async def _wait_for_journal(self, scope: trio.CancelScope, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait for the journal, and send Pongs meanwhile, because the peer's Pings are not read."""
        while self.reason is None:
            scope.deadline = float("inf")
            with trio.move_on_after(self._config.ping_after):
                await wait()
                return
            self._writer.pong(0)

    async def _receive(self, frames: list[Frame], scope: trio.CancelScope) -> None:
        """Handle frames, after looking up their references to our messages."""
        if positions := self._receiver.referenced(frames):
            await self._wait_for_journal(scope, partial(self._receiver.look_up, positions))
        self._handle_all(frames)
        self._receiver.drop_references()

    def _handle_all(self, frames: list[Frame]) -> None:
        """Handle frames in order, those with positions in runs.

        No await: state and notices change together.
        """
        for kind, run in groupby(frames, kind_of):
            if kind == SINGLE:
                for frame in run:
                    self._handle(frame)
            elif self._is_accepting() and not self._receiver.receive(kind, cast(list[Ordered], list(run)), self):
                self._waker.wake()  # acknowledge the duplicates

    def _is_accepting(self) -> bool:
        """Whether frames are accepted; the peer sends the others again.

        Nothing is accepted while the journal is lost: without acknowledgement it stays in the peer's outbox.
        """
        self._has_gap = self._has_gap or self._journal.lost
        return self.reason is None and not self._has_gap

    def _handle(self, frame: Frame) -> None:
        match frame:
            case AckFrame(epoch=epoch, seq=seq):
                if not self._chat.acknowledge(self.peer, epoch, seq):
                    raise RemoteError(f"an acknowledgement of {epoch}:{seq}, which was never sent")
                if self._rooms.is_waiting:
                    self._waker.wake()
            case PingFrame(token=token):
                self._writer.pong(token)
            case PongFrame(token=token, at=at):
                self._writer.record_pong(token, at)
            case Resume():
                if self._is_accepting():
                    self._receiver.resume(frame)
            case Bye(reason=reason):
                self._receive_bye(reason)
            case Hello():
                raise RemoteError("a second Hello")
            case Cloned(epoch=epoch):
                self._parts.clones.record_report(self.peer, epoch)
            case Rooms() | Roster() | Gone():
                if self._is_accepting():
                    self._rooms.receive(frame, self)
                    self._waker.wake()
            case Explore() | FoundFrame() | Explored():
                self._parts.explorer.receive(frame, self)
            case Inquire() | TracedFrame() | Count() | Counted():
                self.queries.receive(frame)

    def _receive_bye(self, reason: str) -> None:
        self.bye = reason
        if reason in ("terminated", "denied"):
            self._parts.registry.persistent.remove(self.peer)
        self.close(reasons.ended(reason))

    # -- duplicate links

    def _settle_duplicates(self, nursery: trio.Nursery) -> None:
        """If both sides dialed, the node with the smaller id decides which link stays."""
        if self._parts.node > (self.peer.node or ""):
            return
        for other in self.peer.links:
            if isinstance(other, NativeLink) and other.reason is None and other.direction != self.direction:
                dialed, accepted = (self, other) if self.direction == "out" else (other, self)
                nursery.start_soon(_close_duplicate, dialed, accepted)

    async def answers_ping(self) -> bool:
        """Whether a Ping is answered within PROBE_S."""
        ping = self.ping()
        with trio.move_on_after(PROBE_S):
            await ping.answered.wait()
        return ping.answered.is_set()


async def _close_duplicate(dialed: NativeLink, accepted: NativeLink) -> None:
    """Close one of two links: the accepted one if the dialed one answers a Ping, else the dialed one."""
    duplicate = accepted if await dialed.answers_ping() else dialed
    duplicate.close("duplicate")
