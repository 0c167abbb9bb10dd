"""Chat: decides about outgoing messages, where links start, and which acknowledgements are valid.

A message is accepted if its text is allowed and fits into the peer's outbox; for a plain peer, if there is a link. It
is then appended to the journal. Native links read from the journal what they write; plain links get each text in a
queue. `inbox` handles incoming messages. Sending never waits: the caller awaits the batch that it gets. Called by
`control/` and by the links.
"""

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

STALL_S = 10.0  # an outbox at its bound is full if nothing was acknowledged for so long


class RoomTarget(NamedTuple):
    """Room of the peer that a message goes to, nick of the sender, and one recipient: (nick, node id or None)."""

    label: str
    nick: str
    to: tuple[str, str | None] | None = None


class Answered(NamedTuple):
    """The message that another one answers: its id here and, unless it came from a plain peer, its global id."""

    id: str
    global_id: str | None


class Options(NamedTuple):
    """How a message is sent, which message it answers, and to which room it goes."""

    ttl: float | None = None  # seconds
    key: str | None = None
    queue: bool = True
    re: Answered | None = None
    room_target: RoomTarget | None = None


DEFAULT_OPTIONS = Options()


class Chat:
    """Outgoing messages of one node."""

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

        `node` is this node's id and `now` is trio's clock. `on_acknowledged(node, seq)` is called when a node has
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

    # -- sending

    def find_keyed(self, peer: Peer, text: str, key: str) -> int | None:
        """Seq of the message that was sent with that key, or None. Raises ControlError, and NoCapacity."""
        check_characters(text)
        return self.keys.find(key, peer.stream_id, text)

    def send(self, peer: Peer, text: str, options: Options = DEFAULT_OPTIONS) -> tuple[Message, Batch]:
        """Append a message to a peer; it is accepted when the batch is committed. With a key, call `find_keyed` first.

        Raises ControlError, and NoCapacity if the caller must wait.
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
        """Append several messages to one native peer, or to one of its rooms: all of them or none."""
        check_texts(texts)
        return self._send_native(peer, texts, options)

    def _send_native(self, peer: Peer, texts: Sequence[str], options: Options) -> tuple[list[Message], Batch]:
        self._admit(peer, len(texts), options)
        check_lengths(texts, *self._limits(peer))
        messages, batch = self._append_out(peer, texts, options)
        if batch.done:
            return messages, batch  # the journal is broken, and the batch has the error
        peer.delivery.add(batch, len(texts), in_room=options.room_target is not None)
        if options.ttl is not None:
            ends_at = int((self._wall() + options.ttl) * 1000)
            first = batch.entries[-len(texts)]
            self.states.expire_after(peer, first.seq, len(first.raw), options.ttl, ends_at, batch)
        self._registry.remembered.ensure_known(peer)
        return messages, batch

    def _admit(self, peer: Peer, count: int, options: Options) -> None:
        """Raise ControlError or NoCapacity unless `count` messages may be added to the outbox."""
        offline = peer.link is None
        if peer.terminated or peer.node is None or (offline and not options.queue):
            raise _offline(peer)
        if peer.trust == "denied":
            hint = f"`chatctl peer accept {peer.slot}` lets it talk again"
            raise ControlError("forbidden", f"{peer.name} is denied", hint)
        config, outbox, totals = self._config, peer.delivery.outbox, self._registry.outbox_totals
        full = outbox.count + count > config.outbox_messages or outbox.size >= config.outbox_bytes
        if not full and totals.size < config.retain_bytes // 2:
            return
        stalled_at = peer.delivery.progressed_at + STALL_S
        if offline or not outbox.count or trio.current_time() >= stalled_at:
            raise _outbox_full(peer, offline=offline, full=full)
        raise NoCapacity(partial(self._wait_for_capacity, peer, count), stalled_at)

    async def _wait_for_capacity(self, peer: Peer, count: int) -> None:
        """Wait until `count` messages fit and the outbox is below three quarters; or until the peer is offline."""
        config, outbox, totals = self._config, peer.delivery.outbox, self._registry.outbox_totals
        most = max(0, min(config.outbox_messages * 3 // 4, config.outbox_messages - count))
        while peer.link is not None:
            if outbox.count > most or outbox.size >= config.outbox_bytes:
                await peer.delivery.progress.wait()
            elif totals.size >= config.retain_bytes // 2:
                await totals.changed.wait()
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
        check_length(text, *self._limits(peer))
        if link.full:
            raise ControlError("outbox_full", f"{link.waiting} messages wait for {peer.name}", "try again in a moment")
        messages, batch = self._append_out(peer, texts, options)
        self._registry.remembered.ensure_known(peer)
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
        if (target := options.room_target) is not None:
            for message in messages:
                message.room, message.nick = target.label, target.nick
                if target.to is not None:
                    message.to, message.to_node = target.to
        return messages, self._journal.append_all(messages, peer.stream_id, "out")

    def _limits(self, peer: Peer) -> tuple[int, int]:
        """Most bytes, and most characters (0: no limit), that both this node and the peer accept in a text."""
        config = self._config
        characters = min(filter(None, (config.max_text, peer.text_chars)), default=0)
        return min(config.text_bytes, peer.text_bytes or config.text_bytes), characters

    def record_written(self, peer: Peer, seq: int) -> None:
        """Record that a plain link has written everything up to and including `seq`."""
        peer.delivery.record_plain_write(seq, self._wall())

    # -- starts of links, and acknowledgements

    async def start_link(self, peer: Peer, link: PeerLink, epoch: str | None, seq: int) -> int | None:
        """Return the seq after which a link starts, given the peer's watermark of this journal.

        None: the peer claims to have events that this node never wrote. The watermark is an acknowledgement. If this is
        the only link to the peer, everything after it that former links wrote is lost; another link may still carry it.
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
        acked = self._journal.watermarks.acknowledged_by(peer.node)
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
        """The peer has committed everything up to that position; False if that was never written to it.

        A position in an epoch that this journal has lost (wiped or restored) is not an error of the peer. In an older
        epoch the peer may have more than its `Hello` reported, because this node wrote it in that epoch.
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
        if seq <= self._journal.watermarks.acknowledged_by(node):
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


def _outbox_full(peer: Peer, *, offline: bool, full: bool) -> ControlError:
    """Error for a full outbox (`full`), or for outboxes that are full in total."""
    if not full:
        message, hint = "the outboxes of all peers hold half of what the journal may", "raise --retain-bytes"
    else:
        message = f"{peer.delivery.outbox.count} messages wait for {peer.name}"
        hint = f"`chatctl wait peer {peer.name}`" if offline else "it takes nothing: `chatctl list`"
        hint += ", or raise --outbox-messages and --outbox-bytes"
    return ControlError("outbox_full", message, hint)
