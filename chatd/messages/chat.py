"""Chat: every decision about a message, in either direction.

Outgoing: is the text allowed, may so much be owed to the peer (to a plain one: is there a link), then the journal.
Incoming: is it new, then the journal and the mark in one transaction. What links write they read from the journal; only
plain links are handed their texts. Sending and taking wait for nothing: a caller awaits the batch it gets.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, cast

import msgspec
import trio

from chatd.api.errors import ControlError
from chatd.api.events import Message, PeerDiverged, Receipt
from chatd.config.settings import Config
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.messages.inbox import Inbox
from chatd.messages.keys import Keys
from chatd.messages.lookup import MessageLookup
from chatd.messages.states import MessageStates
from chatd.messages.text import check_characters, check_length, check_lengths, check_texts
from chatd.peers.outbox import NoCapacity
from chatd.peers.peer import NativeLink, Peer, PeerLink, PlainLink
from chatd.peers.registry import Registry
from chatd.runtime import Runtime, stamp
from chatd.wire.lines import TextRefused

STALL_S = 10.0  # an outbox at its bound, of which nothing was acknowledged for so long, is full
log = logging.getLogger("chatd.chat")


class RoomTarget(NamedTuple):
    """In which room of the peer something is said, by whom, and to whom alone: (nick, node id or None)."""

    label: str
    nick: str
    to: tuple[str, str | None] | None = None


class Answered(NamedTuple):
    """The message that one answers: its id here and, unless it came direct from a plain peer, its global id."""

    id: str
    global_id: str | None


class Options(NamedTuple):
    """How a message is to be sent, which one it answers, and whether it is said in a room."""

    ttl: float | None = None  # seconds
    key: str | None = None
    queue: bool = True
    re: Answered | None = None
    room_target: RoomTarget | None = None


DEFAULT_OPTIONS = Options()


class Chat:
    """The decisions of one node."""

    def __init__(
        self,
        config: Config,
        node: str,
        journal: Journal,
        registry: Registry,
        runtime: Runtime,
        now: float,
        on_acknowledged: Callable[[str, int], None],
    ) -> None:
        """Read what the last run left (blocking).

        `node` is our own id and `now` is trio's clock. `on_acknowledged(node, seq)` is called when a node has
        acknowledged everything up to and including seq.
        """
        self.states = MessageStates(journal, registry, now=now, wall=runtime.wall())
        self.keys = Keys(journal)
        self.lookup = MessageLookup(journal, registry, node)
        self.inbox = Inbox(node, journal, registry)
        self._config = config
        self._journal = journal
        self._registry = registry
        self._node = node
        self._on_acknowledged = on_acknowledged
        self._wall = runtime.wall

    # -- out

    def find_keyed(self, peer: Peer, text: str, key: str) -> int | None:
        """The seq of the message that was sent with that key. Raises ControlError, and NoCapacity."""
        check_characters(text)
        return self.keys.find(key, peer.stream_id, text)

    def send(self, peer: Peer, text: str, options: Options = DEFAULT_OPTIONS) -> tuple[Message, Batch]:
        """Accept a message for a peer; it is accepted when the batch is committed. One with a key is not `said` yet.

        Raises ControlError, and NoCapacity where the caller has to be slowed.
        """
        if peer.kind == "native" and not (text and text.isprintable()):
            check_characters(text)
        send = self._send_plain if peer.kind == "plain" else self._send_native
        (message,), batch = send(peer, (text,), options)
        if options.key is not None and not batch.done:
            self.keys.add(options.key, self._journal.appended, peer.stream_id, text, batch)
        return message, batch

    def send_all(
        self, peer: Peer, texts: Sequence[str], options: Options = DEFAULT_OPTIONS
    ) -> tuple[list[Message], Batch]:
        """The same for neighbours that go to one native peer, or to one of its rooms: all of them or none."""
        check_texts(texts)
        return self._send_native(peer, texts, options)

    def _send_native(self, peer: Peer, texts: Sequence[str], options: Options) -> tuple[list[Message], Batch]:
        self._admit(peer, len(texts), options)
        check_lengths(texts, *self._limits(peer.text_bytes, peer.text_chars))
        messages, batch = self._append_out(peer, texts, options)
        if batch.done:
            return messages, batch  # the journal is broken, and says so
        peer.delivery.add(batch, len(texts), in_room=options.room_target is not None)
        if options.ttl is not None:
            ends_at = int((self._wall() + options.ttl) * 1000)
            first = batch.entries[-len(texts)]
            self.states.expire_after(peer, first.seq, len(first.raw), options.ttl, ends_at, batch)
        self._registry.ensure_known(peer)
        return messages, batch

    def _admit(self, peer: Peer, count: int, options: Options) -> None:
        """Whether so many more may be owed to it. Raises ControlError, NoCapacity."""
        away = peer.link is None
        if peer.terminated or peer.node is None or (away and not options.queue):
            raise _offline(peer)
        if peer.trust == "denied":
            hint = f"`chatctl peer accept {peer.slot}` lets it talk again"
            raise ControlError("forbidden", f"{peer.name} is denied", hint)
        config, outbox, owed = self._config, peer.delivery.outbox, self._registry.outbox_totals
        full = outbox.count + count > config.outbox_messages or outbox.size >= config.outbox_bytes
        if not full and owed.size < config.retain_bytes // 2:
            return
        stalled_at = peer.delivery.progressed_at + STALL_S
        if away or not outbox.count or trio.current_time() >= stalled_at:
            raise _full(peer, away=away, full=full)
        raise NoCapacity(partial(self._wait_for_capacity, peer, count), stalled_at)

    async def _wait_for_capacity(self, peer: Peer, count: int) -> None:
        """Wait until that many messages fit, and some more; or until the peer is offline."""
        config, outbox, owed = self._config, peer.delivery.outbox, self._registry.outbox_totals
        most = max(0, min(config.outbox_messages * 3 // 4, config.outbox_messages - count))
        while peer.link is not None:
            if outbox.count > most or outbox.size >= config.outbox_bytes:
                await peer.delivery.progress.wait()
            elif owed.size >= config.retain_bytes // 2:
                await owed.changed.wait()
            else:
                return

    def _send_plain(self, peer: Peer, texts: Sequence[str], options: Options) -> tuple[list[Message], Batch]:
        (text,), link = texts, cast(PlainLink | None, peer.link)
        if link is None:
            raise _offline(peer)
        if options.ttl is not None:
            hint = "it is written at once, or not at all"
            raise ControlError("conflict", f"a message to {peer.name}, a plain peer, has no ttl", hint, reason="plain")
        try:
            link.check(text)
        except TextRefused as error:
            raise ControlError(error.kind, str(error), error.hint) from None
        check_length(text, *self._limits(0, 0))
        if link.full:
            raise ControlError("outbox_full", f"{link.waiting} messages wait for {peer.name}", "try again in a moment")
        messages, batch = self._append_out(peer, texts, options)
        self._registry.ensure_known(peer)
        link.enqueue(self._journal.appended, text, batch)
        return messages, batch

    def _append_out(self, peer: Peer, texts: Sequence[str], options: Options) -> tuple[list[Message], Batch]:
        expires = msgspec.UNSET if options.ttl is None else stamp(self._wall() + options.ttl)
        ours = f"{self._node}/"
        messages = [
            Message(
                direction="out", peer=peer.ref, global_id=ours + position, text=text, expires=expires, state="queued"
            )
            for position, text in zip(self._journal.next_positions(len(texts)), texts, strict=True)
        ]
        if (answered := options.re) is not None:
            for message in messages:
                message.re, message.re_global_id = answered.id, answered.global_id or msgspec.UNSET
        if (saying := options.room_target) is not None:
            for message in messages:
                message.room, message.nick = saying.label, saying.nick
                if saying.to is not None:
                    message.to, message.to_node = saying.to
        return messages, self._journal.append_all(messages, peer.stream_id, "out")

    def _limits(self, peer_bytes: int, peer_chars: int) -> tuple[int, int]:
        """Bytes and characters of a text, by our limits and the peer's; 0 is no limit."""
        config = self._config
        characters = min(filter(None, (config.max_text, peer_chars)), default=0)
        return min(config.text_bytes, peer_bytes or config.text_bytes), characters

    def record_written(self, peer: Peer, seq: int) -> None:
        """Record that a plain link has written everything up to and including `seq`."""
        peer.delivery.record_plain_write(seq, self._wall())

    # -- positions

    async def start_link(self, peer: Peer, link: PeerLink, epoch: str | None, seq: int) -> int | None:
        """Where a link to the peer starts, given its newest mark of our journal; None: it has what we never wrote.

        The mark is an acknowledgement. Of an only link it says also what of former ones has not arrived, and will not;
        while there is another one, that may still bring what the mark does not show.
        """
        start = self._start_of(peer, epoch, seq)
        if start is None:
            return None
        await self.states.load_outbox(peer, max([start, *peer.delivery.tentative]))
        self._acknowledge(peer, start)
        only = all(other is link or other.lost for other in cast(list[NativeLink], peer.links))
        peer.delivery.start_link(start, only=only)
        if only:
            self.states.decide(peer, start)
        return start

    def _start_of(self, peer: Peer, epoch: str | None, seq: int) -> int | None:
        acked = self._journal.watermarks.acked.get(peer.node or "", 0)
        span = self._journal.span(epoch) if epoch else None
        if span is None or epoch is None:
            return acked
        if seq <= span[1]:
            return max(acked, seq)
        if epoch == self._journal.epoch:
            return None
        theirs, ours = f"{epoch}:{seq}", self._journal.position(max(span[1], 0))
        self._journal.append(PeerDiverged(peer=peer.ref, theirs=theirs, ours=ours), peer.stream_id)
        return max(acked, span[1])

    def acknowledge(self, peer: Peer, epoch: str, seq: int) -> bool:
        """The peer has committed everything up to there; False if we never wrote that to it.

        What it has of an epoch that we lost (a wiped or restored journal) is no fault of its own. Of an older one that
        is here again it may have more than its Hello has told, written by what we were then.
        """
        span = self._journal.span(epoch)
        if span is None:
            return True
        first, last = span
        if seq < first or (seq > min(last, peer.delivery.written) and epoch == self._journal.epoch):
            return False
        self._acknowledge(peer, min(seq, last))
        return True

    def _acknowledge(self, peer: Peer, seq: int) -> None:
        node = peer.node or ""
        if seq <= self._journal.watermarks.acked.get(node, 0):
            return
        direct = peer.delivery.acknowledge(seq)
        self._on_acknowledged(node, seq)
        self._journal.note_ack(node, seq)
        if direct:
            receipt = Receipt(peer=peer.ref, state="delivered", through=self._journal.position(seq))
            self._journal.append(receipt, peer.stream_id, urgent=False)


def _offline(peer: Peer) -> ControlError:
    if peer.terminated:
        return ControlError("peer_offline", f"{peer.name} was terminated", "`chatctl connect` to it again")
    if peer.kind == "native" and peer.node is None:
        hint = "`chatctl wait peer NAME`, then send"
        return ControlError("peer_offline", f"nobody has answered at {peer.name} yet", hint)
    hint = "`chatctl connect` to it" if peer.kind == "plain" else "connect to it, or send without --no-queue"
    return ControlError("peer_offline", f"{peer.name} is not connected ({peer.reason or peer.state})", hint)


def _full(peer: Peer, *, away: bool, full: bool) -> ControlError:
    if not full:
        message, hint = "the outboxes of all peers hold half of what the journal may", "raise --retain-bytes"
    else:
        message = f"{peer.delivery.outbox.count} messages wait for {peer.name}"
        hint = f"`chatctl wait peer {peer.name}`" if away else "it takes nothing: `chatctl list`"
        hint += ", or raise --outbox-messages and --outbox-bytes"
    return ControlError("outbox_full", message, hint)
