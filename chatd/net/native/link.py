"""Native links: frames in, frames out, for one connection to another chatd.

The reader takes frames to messages/chat.py and reads on as fast as the journal takes them. The writer is a cursor: what
it sends it reads from the journal, after where the peer's `Hello` says, so that nothing waits in a queue; an `AckFrame`
is the newest committed mark at the time it is written. A slow peer costs nothing, and a dead one is noticed by silence.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import groupby
from typing import cast

import trio

from chatd.api.errors import ControlError
from chatd.net import reasons
from chatd.net.links import Links
from chatd.net.native.handshake import RECEIVE_BYTES, Established
from chatd.net.native.queries import Queries
from chatd.net.native.receiving import SINGLE, Receiver, kind_of
from chatd.net.native.room_sync import RoomSync
from chatd.net.native.sending import SendCursor
from chatd.net.pings import PendingPing, Pings
from chatd.runtime import Waker
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

PONGS = 63  # answers that may wait behind a write; older ones are for questions that nobody waits on any more
CLOSING_S = 3.0  # from the decision to the end, also where the peer takes nothing any more
LAST_WORDS_S = 1.0  # to read to the end once we have said Bye
LINGER_S = 0.05  # that a receipt may wait for other things to be written with
PROBE_S = 2.0  # a link that does not answer a Ping in this time loses against another one
log = logging.getLogger("chatd.native")


class NativeLink:
    """One connection. `reason` is None while it is open, then why it ended; `bye` is the peer's, if it said one.

    Resource handling: owns the stream and closes it when `run` ends. Error handling: what the peer does wrong ends the
    link with a `reason`; only bugs come out of `run`.
    """

    unsent = 0  # what was not sent stays in the journal

    def __init__(self, links: Links, established: Established, *, direction: str, address: str) -> None:
        self.direction = direction
        self.address = address
        self.peer = established.peer
        self.epoch = established.hello.epoch
        self.reason: str | None = None
        self.lost = False
        self.bye: str | None = None
        self._links = links
        self._chat = links.chat
        self._journal = links.journal
        self._stream = established.stream
        self._decoder = established.decoder
        self._hello = hello = established.hello
        self._rest = established.rest
        self._config = links.config
        self._scope = trio.CancelScope()
        self._waker = Waker()
        self._outgoing = SendCursor(links, self.peer, self._waker, hello.text_bytes, hello.text_chars)
        self._rooms = RoomSync(links.router, self.peer)
        self._incoming = Receiver(links, self.peer)
        self._pongs: list[int] = []
        self._pings = Pings(links.runtime.random, links.runtime.wall)
        self.queries = Queries(links, self.peer, self._waker.wake)
        self._deaf = False  # something that the peer sent was not taken: then nothing after it may be
        self._heard = trio.current_time()
        self._over = trio.Event()  # the reader has come to the end

    # -- what the core calls; nothing here waits

    def close(self, reason: str) -> None:
        """Say goodbye and close; from now on nothing is taken from it. The first reason stays."""
        if self.reason is None:
            self.reason = reason
            self._scope.deadline = trio.current_time() + CLOSING_S
            self._waker.wake()

    def drop(self, reason: str) -> None:
        """End it at once, without a word: the peer has lost it."""
        self.lost = True
        self.close(reason)
        self._scope.cancel()

    def declare(self) -> None:
        """Tell the peer in which of its rooms we are, with the next write."""
        self._rooms.declare()
        self._waker.wake()

    def ping(self) -> PendingPing:
        """Ask the peer for an answer, with the next write."""
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
        """The connection is gone: how, in the words of `list`."""
        self.close("reset" if reasons.is_reset(error.__cause__) else "closed by peer")
        self._scope.cancel()

    # -- in

    async def _read(self) -> None:
        """Until the end, a fault of the peer, or silence for too long."""
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
                    if self._deaf and not self._journal.lost:  # it is back: what was not taken comes on another link
                        self.close("storage_lost")
                    if self._journal.is_idle:  # the commit begins now, not when TLS has found nothing more
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
        """Wait for the journal; the peer hears from us meanwhile, though its Pings are not read."""
        while self.reason is None:
            life.deadline = float("inf")
            with trio.move_on_after(self._config.ping_after):
                await wait()
                return
            self._pongs.append(0)
            self._waker.wake()

    async def _take_in(self, frames: list[Frame], life: trio.CancelScope) -> None:
        """Take frames, once what they say of messages of ours is looked up."""
        if named := self._incoming.named(frames):
            await self._for_journal(life, partial(self._incoming.look_up, named))
        self._take(frames)
        self._incoming.forget()

    def _take(self, frames: list[Frame]) -> None:
        """Handle frames in order, those at positions by the run.

        No await: what is taken and what is told change together.
        """
        for kind, run in groupby(frames, kind_of):
            if kind == SINGLE:
                for frame in run:
                    self._handle(frame)
            elif self._hears():  # else what comes now comes again
                self._take_ordered(kind, cast(list[Ordered], list(run)))

    def _hears(self) -> bool:
        """Whether what comes is taken. Not where the journal is lost: without an acknowledgement the peer keeps it."""
        self._deaf = self._deaf or self._journal.lost
        return self.reason is None and not self._deaf

    def _take_ordered(self, kind: int, frames: list[Ordered]) -> None:
        if not self._incoming.take(kind, frames, self):
            self._waker.wake()  # to acknowledge it once more

    def _handle(self, frame: Frame) -> None:
        match frame:
            case AckFrame(epoch=epoch, seq=seq):
                if not self._chat.acknowledge(self.peer, epoch, seq):
                    raise RemoteError(f"an acknowledgement of {epoch}:{seq}, which was never sent")
                if self._rooms.waits:
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
                self._links.clones.record_report(self.peer, epoch)
            case Rooms() | Roster() | Gone():
                self._take_rooms(frame)
            case Explore() | FoundFrame() | Explored():
                self._links.explorer.take(frame, self)
            case Inquire() | TracedFrame() | Count() | Counted():
                self.queries.take(frame)

    def _take_rooms(self, frame: Rooms | Roster | Gone) -> None:
        if self._hears():
            self._rooms.take(frame, self)
            self._waker.wake()

    def _take_bye(self, reason: str) -> None:
        self.bye = reason
        if reason in ("terminated", "denied"):
            self._links.registry.persistent.remove(self.peer)
        self.close(reasons.ended(reason))

    def _take_pong(self, token: int, at: float) -> None:
        rtt_ms = self._pings.answered(token, at)
        if rtt_ms is not None:
            self.peer.set_rtt(rtt_ms)

    # -- out

    async def _write(self, scope: trio.CancelScope) -> None:
        """Send what there is, then wait for more; at the end say goodbye and stop the reader."""
        try:
            start = await self._begin()
            if start is not None:
                self._outgoing.start(start)
                self._rooms.declare()
                epoch, seq = self._journal.epochs.as_watermark(start)
                await self._send([Resume(epoch=epoch, seq=seq), *self._rooms.due(), *self._cloned()])
                self._pings.ask()
                await self._serve()
            await self._say_goodbye()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._ended(error)
        scope.cancel()

    def _cloned(self) -> list[Frame]:
        """What the peer cannot notice itself."""
        return [Cloned(self.peer.epochs.previous)] if self.peer.is_cloned else []

    async def _begin(self) -> int | None:
        """Where this link starts; None if there is nothing to start."""
        peer = self.peer
        start = await self._chat.start_link(peer, self, self._hello.mark_epoch, self._hello.mark_seq)
        if start is None:
            log.warning("%s claims to have more of this journal than was written", peer.shown)
            self.close("protocol")
        elif peer.opening is not None:
            try:
                await peer.opening.wait()
            except ControlError:
                return start  # the disk is full: what is on it goes out all the same
        return start

    async def _serve(self) -> None:
        while self.reason is None:
            frames, after = self._due(), self._outgoing.cursor
            ordered = await self._outgoing.next()
            if frames or ordered:
                began = self._links.runtime.wall()
                await self._send([*frames, *ordered])
                if ordered:
                    self.peer.delivery.record_write(after, self._outgoing.cursor, began, self._outgoing.texts)
            elif self._outgoing.at_tail:
                await self._rest_until_woken()

    async def _rest_until_woken(self) -> None:
        """Wait for a commit, a Ping or the end; ask after silence, and commit receipts that nothing else has taken."""
        ask_at = max(self._heard, self._pings.last_asked) + self._config.ping_after
        linger = trio.current_time() + LINGER_S if self._journal.has_waiting_events else float("inf")
        with trio.move_on_at(min(ask_at, linger)) as scope:
            await self._waker.wait()
        if scope.cancelled_caught:
            self._journal.flush()
            if trio.current_time() >= ask_at:
                self._pings.ask()

    def _due(self) -> list[Frame]:
        """Frames that are values of now: the mark, answers and questions."""
        frames = self._incoming.due()
        if self._pongs:
            now = self._links.runtime.wall()
            frames += [PongFrame(token=token, at=now) for token in self._pongs]
        frames += [PingFrame(token=token) for token in self._pings.take()]
        self._pongs = []
        frames += self._rooms.due()
        frames += self.queries.due()
        return frames

    async def _send(self, frames: Sequence[Frame | bytes]) -> None:
        """One write. Its deadline is the reader's: a peer that takes nothing answers no Ping, and is dead by that."""
        await self._stream.send_all(encode_many(frames, self._hello.frame_bytes))

    async def _say_goodbye(self) -> None:
        """The last acknowledgement and why, then half-close and wait for the reader to come to the end."""
        if self.bye is not None or (self._over.is_set() and self.reason != "protocol"):
            return
        reason = self.reason if self.reason in reasons.TOLD else "protocol"
        with trio.move_on_after(LAST_WORDS_S):
            await self._send([*self._due(), Bye(reason=str(reason))])
            await self._stream.transport_stream.send_eof()
            await self._over.wait()

    # -- is it one too many

    async def answers(self) -> bool:
        """Whether a Ping is answered within PROBE_S."""
        asked = self.ping()
        with trio.move_on_after(PROBE_S):
            await asked.answered.wait()
        return asked.answered.is_set()

    def _settle_duplicates(self, nursery: trio.Nursery) -> None:
        """Both sides dialed: the node with the smaller id decides which link stays."""
        if self._links.identity.node > (self.peer.node or ""):
            return
        for other in self.peer.links:
            if isinstance(other, NativeLink) and other.reason is None and other.direction != self.direction:
                dialed, accepted = (self, other) if self.direction == "out" else (other, self)
                nursery.start_soon(_keep_one, dialed, accepted)


async def _keep_one(dialed: NativeLink, accepted: NativeLink) -> None:
    """Of two links keep the one that we dialed, if it is alive."""
    loser = accepted if await dialed.answers() else dialed
    loser.close("duplicate")
