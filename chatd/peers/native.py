"""Native links: frames in, frames out, for one connection to another chatd.

The reader takes frames to core/chat.py and reads on as fast as the journal takes them. The writer is a cursor: what it
sends it reads from the journal, after where the peer's `Hello` says, so that nothing waits in a queue; an `Ack` is
the newest committed mark at the time it is written. A slow peer costs nothing, and a dead one is noticed by silence.
"""

import logging
from typing import NamedTuple

import trio

from chatd.api.errors import ControlError
from chatd.peers import reasons
from chatd.peers.handshake import RECEIVE_BYTES, Established
from chatd.peers.links import Links
from chatd.peers.pings import Pings
from chatd.peers.texts import Outgoing, any_over
from chatd.runtime import Waker
from chatd.wire.frames import Ack, Bye, Frame, Hello, Ping, Pong, RemoteError, Resume, Text, encode_many

PONGS = 63  # answers that may wait behind a write; older ones are for questions that nobody waits on any more
CLOSING_S = 3.0  # from the decision to the end, also where the peer takes nothing any more
LAST_WORDS_S = 1.0  # to read to the end once we have said Bye
NOTHING = 0  # is acknowledged yet
LINGER_S = 0.05  # that a receipt may wait for other things to be written with
PROBE_S = 2.0  # a link that does not answer a Ping in this time loses against another one
log = logging.getLogger("chatd.native")


class _Limits(NamedTuple):
    ping_after: float
    dead_after: float
    text_bytes: int
    text_chars: int


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
        config = links.config
        self._limits = _Limits(config.ping_after, config.dead_after, config.text_bytes, config.max_text)
        self._scope = trio.CancelScope()
        self._waker = Waker()
        self._outgoing = Outgoing(links.journal, links.chat, self.peer, hello.text_bytes, hello.text_chars)
        self._said: dict[str, int] = {}  # for each epoch of which something came: the mark that was acknowledged last
        self._resumed = False
        self._pongs: list[int] = []
        self._pings = Pings(links.runtime.random)
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

    # -- the link's life

    async def run(self) -> None:
        """Serve the link until it has ended."""
        self._journal.watch(self._waker, self.peer.key)
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write, nursery.cancel_scope)
                    self._settle_duplicates(nursery)
        finally:
            self._journal.unwatch(self._waker, self.peer.key)
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
                self._take(self._rest)
                self._rest = []
                while self.bye is None:
                    await self._room(life)
                    life.deadline = trio.current_time() + self._limits.dead_after
                    data = await self._stream.receive_some(RECEIVE_BYTES)
                    self._heard = trio.current_time()
                    self._take(self._decoder.receive(data))
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

    async def _room(self, life: trio.CancelScope) -> None:
        """Wait for the journal; the peer hears from us meanwhile, though its Pings are not read."""
        while not self._journal.has_room and self.reason is None:
            life.deadline = float("inf")
            with trio.move_on_after(self._limits.ping_after):
                await self._journal.room()
                return
            self._pongs.append(0)
            self._waker.wake()

    def _take(self, frames: list[Frame]) -> None:
        """Handle frames in order, texts by the run. No await: what is taken and what is told change together."""
        texts: list[Text] = []
        for frame in frames:
            if type(frame) is Text:
                texts.append(frame)
                continue
            if texts:
                self._take_texts(texts)
                texts = []
            self._handle(frame)
        if texts:
            self._take_texts(texts)

    def _take_texts(self, texts: list[Text]) -> None:
        if self.reason is not None:
            return  # it is closing, or lost to another link: what comes now comes again
        if not self._resumed:
            raise RemoteError("Text before Resume")
        limits = self._limits
        if any_over(texts, limits.text_bytes, limits.text_chars):
            raise RemoteError(f"a text over {limits.text_bytes} bytes, or {limits.text_chars} characters if not 0")
        new = self._chat.receive(self.peer, self, texts)
        for epoch in (texts[0].epoch, texts[-1].epoch):
            self._said.setdefault(epoch, NOTHING)
        if new is None:
            self._said[texts[-1].epoch] = NOTHING  # they sent it again: they do not know that we have it
            self._waker.wake()

    def _handle(self, frame: Frame) -> None:
        match frame:
            case Ack(epoch=epoch, seq=seq):
                if not self._chat.acknowledged(self.peer, epoch, seq):
                    raise RemoteError(f"an acknowledgement of {epoch}:{seq}, which was never sent")
            case Ping(token=token):
                self._pongs = [*self._pongs[-PONGS:], token]
                self._waker.wake()
            case Pong(token=token):
                self._take_pong(token)
            case Resume(epoch=epoch, seq=seq):
                self._take_resume(epoch, seq)
            case Bye(reason=reason):
                self._take_bye(reason)
            case Hello():
                raise RemoteError("a second Hello")

    def _take_resume(self, epoch: str, seq: int) -> None:
        if self._resumed:
            raise RemoteError("a second Resume")
        self._resumed = True
        if seq and self.reason is None:
            self._chat.resumed(self.peer, epoch, seq)

    def _take_bye(self, reason: str) -> None:
        self.bye = reason
        if reason in ("terminated", "denied"):
            self._links.registry.wishes.end(self.peer)
        self.close(reasons.ended(reason))

    def _take_pong(self, token: int) -> None:
        rtt_ms = self._pings.answered(token)
        if rtt_ms is not None:
            self.peer.rtt_ms = rtt_ms

    # -- out

    async def _write(self, scope: trio.CancelScope) -> None:
        """Send what there is, then wait for more; at the end say goodbye and stop the reader."""
        try:
            start = await self._begin()
            if start is not None:
                self._outgoing.start(start)
                await self._send([Resume(epoch=self._journal.epoch_of(start), seq=start)])
                self._pings.ask()
                await self._serve()
            await self._say_goodbye()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._ended(error)
        scope.cancel()

    async def _begin(self) -> int | None:
        """Where this link starts; None if there is nothing to start."""
        peer = self.peer
        start = await self._chat.begin(peer, self, self._hello.mark_epoch, self._hello.mark_seq)
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
            frames = self._due()
            texts = await self._outgoing.next()
            if frames or texts:
                await self._send([*frames, *texts])
                self.peer.sent += len(texts)
                if texts:
                    self.peer.progress.notify()
            elif self._outgoing.at_tail:
                await self._rest_until_woken()

    async def _rest_until_woken(self) -> None:
        """Wait for a commit, a Ping or the end; ask after silence, and commit receipts that nothing else has taken."""
        ask_at = max(self._heard, self._pings.last_asked) + self._limits.ping_after
        linger = trio.current_time() + LINGER_S if self._journal.lingers else float("inf")
        with trio.move_on_at(min(ask_at, linger)) as scope:
            await self._waker.wait()
        if scope.cancelled_caught:
            self._journal.flush()
            if trio.current_time() >= ask_at:
                self._pings.ask()

    def _due(self) -> list[Frame]:
        """Frames that are values of now: the mark, answers and questions."""
        frames: list[Frame] = []
        for epoch, said in self._said.items():
            mark = self._journal.marks.committed_in(self.peer.node or "", epoch)
            if mark > said:
                self._said[epoch] = mark
                frames.append(Ack(epoch=epoch, seq=mark))
        frames += [Pong(token=token) for token in self._pongs]
        frames += [Ping(token=token) for token in self._pings.take()]
        self._pongs = []
        return frames

    async def _send(self, frames: list[Frame]) -> None:
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
        pong = self._pings.ask()
        self._waker.wake()
        with trio.move_on_after(PROBE_S):
            await pong.wait()
        return pong.is_set()

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
