"""A native link: reads and writes the frames of one connection to another chatd.

The reader passes frames to messages/chat.py and rooms/router.py, and reads as fast as the journal has capacity. The
writer is a cursor: it reads from the journal what it sends, from the position in the peer's `Hello`, so that no message
waits in a queue. A slow peer costs no memory; a dead one is detected by silence. Run by `net/links.py`.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import cast

import trio

from chatd.api.errors import ControlError
from chatd.config.settings import Config
from chatd.journal.journal import Journal
from chatd.messages.chat import Chat
from chatd.net import reasons
from chatd.net.links import Links
from chatd.net.native.handshake import RECEIVE_BYTES, Established
from chatd.net.native.queries import Queries
from chatd.net.native.receiving import SINGLE, Receiver, kind_of
from chatd.net.native.room_sync import RoomSync
from chatd.net.native.sending import SendCursor
from chatd.net.pings import PendingPing, Pings
from chatd.net.room_updates import RoomUpdates
from chatd.net.topology.explorer import Explorer
from chatd.peers.clones import Clones
from chatd.peers.registry import Registry
from chatd.query.trace import MessageTraces
from chatd.rooms.router import RoomRouter
from chatd.runtime import Runtime
from chatd.sync import Waker
from chatd.wire.codec import encode_many
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

PONGS = 63  # Pongs that may wait for a write; older ones have timed out at the peer
CLOSING_S = 3.0  # from `close` to the end, even if the peer reads nothing
LAST_WORDS_S = 1.0  # to read to the end after our Bye
LINGER_S = 0.05  # that acknowledgements wait for another commit
PROBE_S = 2.0  # of two links, one that does not answer a Ping within this time is closed
log = logging.getLogger("chatd.native")


@dataclass(frozen=True)
class LinkParts:
    """The parts of the node that its links use."""

    config: Config
    runtime: Runtime
    node: str  # our node id
    journal: Journal
    registry: Registry
    chat: Chat
    router: RoomRouter
    room_updates: RoomUpdates
    traces: MessageTraces
    clones: Clones
    explorer: Explorer
    links: Links


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
        self.lost = False
        self.bye: str | None = None
        self._parts = parts
        self._chat = parts.chat
        self._journal = parts.journal
        self._stream = established.stream
        self._decoder = established.decoder
        self._hello = hello = established.hello
        self._rest = established.rest
        self._config = parts.config
        self._scope = trio.CancelScope()
        self._waker = Waker()
        self._outgoing = SendCursor(
            self.peer,
            self._waker,
            (hello.text_bytes, hello.text_chars),
            journal=parts.journal,
            states=parts.chat.states,
            intervals=parts.router.hosted_rooms.intervals,
            room_updates=parts.room_updates,
        )
        self._rooms = RoomSync(parts.router, self.peer)
        self._incoming = Receiver(self.peer, parts.config, parts.journal, parts.chat, parts.router)
        self._pongs: list[int] = []
        self._pings = Pings(parts.runtime.random, parts.runtime.wall)
        self.queries = Queries(
            self.peer,
            self._waker.wake,
            links=parts.links,
            random=parts.runtime.random,
            journal=parts.journal,
            lookup=parts.chat.lookup,
            traces=parts.traces,
        )
        self._deaf = False  # a frame was not accepted, so none after it may be
        self._heard = trio.current_time()
        self._over = trio.Event()  # the reader has ended

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
        asked = self._pings.ask()
        self._waker.wake()
        return asked

    # -- the link's life

    async def run(self) -> None:
        """Serve the link until it has ended."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write, nursery.cancel_scope)
                    self._settle_duplicates(nursery)
        finally:
            self._outgoing.close()
            self.queries.close()
            self.close("closed")
            with trio.CancelScope(shield=True, deadline=trio.current_time() + LAST_WORDS_S):
                await trio.aclose_forcefully(self._stream)

    def _ended(self, error: BaseException) -> None:
        """The connection broke: close with a reason as `list` shows it."""
        self.close("reset" if reasons.is_reset(error.__cause__) else "closed by peer")
        self._scope.cancel()

    # -- in

    async def _read(self) -> None:
        """Read until the end, a protocol error, or silence for dead_after."""
        life = trio.CancelScope()
        try:
            with life:
                await self._take_in(self._rest, life)
                self._rest = []
                while self.bye is None:
                    if not self._journal.has_capacity:
                        await self._for_journal(life, self._journal.wait_for_capacity)
                    life.deadline = trio.current_time() + self._config.dead_after
                    data = await self._stream.receive_some(RECEIVE_BYTES)
                    self._heard = trio.current_time()
                    await self._take_in(self._decoder.receive(data), life)
                    if self._deaf and not self._journal.lost:  # it is back: a new link brings what was not accepted
                        self.close("storage_lost")
                    if self._journal.is_idle:  # let the commit start before the next read
                        await trio.lowlevel.checkpoint()
                    if not data:
                        self.close("closed by peer")
                        break
            if life.cancelled_caught:
                self.close("no answer")
                self._scope.cancel()
        except RemoteError as error:
            log.warning("%s: protocol error: %s", self.peer.shown, error)
            self.close("protocol")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._ended(error)
        finally:
            self._over.set()
            self._waker.wake()

    async def _for_journal(self, life: trio.CancelScope, wait: Callable[[], Awaitable[None]]) -> None:
        """Wait for the journal, with Pongs meanwhile: the peer's Pings are not read."""
        while self.reason is None:
            life.deadline = float("inf")
            with trio.move_on_after(self._config.ping_after):
                await wait()
                return
            self._pongs.append(0)
            self._waker.wake()

    async def _take_in(self, frames: list[Frame], life: trio.CancelScope) -> None:
        """Accept frames, after looking up their references to our messages."""
        if named := self._incoming.named(frames):
            await self._for_journal(life, partial(self._incoming.look_up, named))
        self._take(frames)
        self._incoming.forget()

    def _take(self, frames: list[Frame]) -> None:
        """Handle frames in order, those with positions in runs.

        No await: state and notices change together.
        """
        for kind, run in groupby(frames, kind_of):
            if kind == SINGLE:
                for frame in run:
                    self._handle(frame)
            elif self._hears():  # else the peer sends them again
                self._take_ordered(kind, cast(list[Ordered], list(run)))

    def _hears(self) -> bool:
        """Whether frames are accepted. Not while the journal is lost: unacknowledged, they stay with the peer."""
        self._deaf = self._deaf or self._journal.lost
        return self.reason is None and not self._deaf

    def _take_ordered(self, kind: int, frames: list[Ordered]) -> None:
        if not self._incoming.receive(kind, frames, self):
            self._waker.wake()  # acknowledge the duplicates

    def _handle(self, frame: Frame) -> None:
        match frame:
            case AckFrame(epoch=epoch, seq=seq):
                if not self._chat.acknowledge(self.peer, epoch, seq):
                    raise RemoteError(f"an acknowledgement of {epoch}:{seq}, which was never sent")
                if self._rooms.is_waiting:
                    self._waker.wake()
            case PingFrame(token=token):
                self._pongs = [*self._pongs[-PONGS:], token]
                self._waker.wake()
            case PongFrame(token=token, at=at):
                self._take_pong(token, at)
            case Resume():
                if self._hears():
                    self._incoming.resume(frame)
            case Bye(reason=reason):
                self._take_bye(reason)
            case Hello():
                raise RemoteError("a second Hello")
            case Cloned(epoch=epoch):
                self._parts.clones.record_report(self.peer, epoch)
            case Rooms() | Roster() | Gone():
                self._take_rooms(frame)
            case Explore() | FoundFrame() | Explored():
                self._parts.explorer.receive(frame, self)
            case Inquire() | TracedFrame() | Count() | Counted():
                self.queries.receive(frame)

    def _take_rooms(self, frame: Rooms | Roster | Gone) -> None:
        if self._hears():
            self._rooms.receive(frame, self)
            self._waker.wake()

    def _take_bye(self, reason: str) -> None:
        self.bye = reason
        if reason in ("terminated", "denied"):
            self._parts.registry.persistent.remove(self.peer)
        self.close(reasons.ended(reason))

    def _take_pong(self, token: int, at: float) -> None:
        rtt_ms = self._pings.answered(token, at)
        if rtt_ms is not None:
            self.peer.set_rtt(rtt_ms)

    # -- out

    async def _write(self, scope: trio.CancelScope) -> None:
        """Send what is there and wait for more; at the end send a Bye and stop the reader."""
        try:
            start = await self._begin()
            if start is not None:
                self._outgoing.start(start)
                self._rooms.declare()
                epoch, seq = self._journal.epochs.as_watermark(start)
                await self._send([Resume(epoch=epoch, seq=seq), *self._rooms.take_frames(), *self._cloned()])
                self._pings.ask()
                await self._serve()
            await self._say_goodbye()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._ended(error)
        scope.cancel()

    def _cloned(self) -> list[Frame]:
        """Tell the peer that it is a clone, which it cannot detect itself."""
        return [Cloned(self.peer.epochs.previous)] if self.peer.is_cloned else []

    async def _begin(self) -> int | None:
        """The seq after which this link sends; None if the link is to be closed."""
        peer = self.peer
        start = await self._chat.start_link(peer, self, self._hello.mark_epoch, self._hello.mark_seq)
        if start is None:
            log.warning("%s claims to have more of this journal than was written", peer.shown)
            self.close("protocol")
        elif peer.opening is not None:
            try:
                await peer.opening.wait()
            except ControlError:
                return start  # the disk is full: send what is on it
        return start

    async def _serve(self) -> None:
        while self.reason is None:
            frames, after = self._due(), self._outgoing.cursor
            ordered = await self._outgoing.next()
            if frames or ordered:
                began = self._parts.runtime.wall()
                await self._send([*frames, *ordered])
                if ordered:
                    self.peer.delivery.record_write(after, self._outgoing.cursor, began, self._outgoing.texts)
            elif self._outgoing.at_tail:
                await self._rest_until_woken()

    async def _rest_until_woken(self) -> None:
        """Wait until woken; after silence send a Ping, after LINGER_S commit pending acknowledgements."""
        ask_at = max(self._heard, self._pings.last_asked) + self._config.ping_after
        linger = trio.current_time() + LINGER_S if self._journal.has_waiting_events else float("inf")
        with trio.move_on_at(min(ask_at, linger)) as scope:
            await self._waker.wait()
        if scope.cancelled_caught:
            self._journal.flush()
            if trio.current_time() >= ask_at:
                self._pings.ask()

    def _due(self) -> list[Frame]:
        """Frames outside the journal: acknowledgements, Pongs, Pings, room state, queries."""
        frames = self._incoming.acknowledgements()
        if self._pongs:
            now = self._parts.runtime.wall()
            frames += [PongFrame(token=token, at=now) for token in self._pongs]
        frames += [PingFrame(token=token) for token in self._pings.take_due()]
        self._pongs = []
        frames += self._rooms.take_frames()
        frames += self.queries.take_frames()
        return frames

    async def _send(self, frames: Sequence[Frame | bytes]) -> None:
        """One write. The reader has the deadline: a peer that does not read answers no Ping."""
        await self._stream.send_all(encode_many(frames, self._hello.frame_bytes))

    async def _say_goodbye(self) -> None:
        """Send the last acknowledgement and a Bye, half-close and wait for the reader to end."""
        if self.bye is not None or (self._over.is_set() and self.reason != "protocol"):
            return
        reason = self.reason if self.reason in reasons.TOLD else "protocol"
        with trio.move_on_after(LAST_WORDS_S):
            await self._send([*self._due(), Bye(reason=str(reason))])
            await self._stream.transport_stream.send_eof()
            await self._over.wait()

    # -- duplicate links

    async def answers(self) -> bool:
        """Whether a Ping is answered within PROBE_S."""
        asked = self.ping()
        with trio.move_on_after(PROBE_S):
            await asked.answered.wait()
        return asked.answered.is_set()

    def _settle_duplicates(self, nursery: trio.Nursery) -> None:
        """If both sides dialed, the node with the smaller id decides which link stays."""
        if self._parts.node > (self.peer.node or ""):
            return
        for other in self.peer.links:
            if isinstance(other, NativeLink) and other.reason is None and other.direction != self.direction:
                dialed, accepted = (self, other) if self.direction == "out" else (other, self)
                nursery.start_soon(_keep_one, dialed, accepted)


async def _keep_one(dialed: NativeLink, accepted: NativeLink) -> None:
    """Close one of two links: the accepted one, if the dialed one answers."""
    loser = accepted if await dialed.answers() else dialed
    loser.close("duplicate")
