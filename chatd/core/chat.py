"""Chat: every decision about a message, in either direction.

Outgoing: is the text allowed, is there a link, then the journal. Incoming: is it new, then the journal and the mark
in one transaction. What links write they read from the journal; only plain links are handed their texts. Nothing in
here waits: a caller awaits the batch it gets.
"""

import logging
from collections.abc import Sequence
from functools import partial
from typing import cast

from chatd.api.errors import ControlError
from chatd.api.events import Gap, Message, PeerDiverged
from chatd.config import Config
from chatd.core.batch import Batch
from chatd.core.journal import Journal
from chatd.core.peer import Link, Peer, PlainLink
from chatd.core.registry import Registry
from chatd.wire import lines
from chatd.wire.frames import Text

# What may stand in a native text beside printable characters. The rest would write on somebody's terminal.
ALLOWED_CONTROLS = frozenset("\n\t")
CONTROLS = frozenset(map(chr, [*range(32), *range(127, 160)])) - ALLOWED_CONTROLS
log = logging.getLogger("chatd.chat")


class Chat:
    """The decisions of one node."""

    def __init__(self, config: Config, journal: Journal, registry: Registry) -> None:
        self._config = config
        self._journal = journal
        self._registry = registry

    # -- out

    def send(self, peer: Peer, text: str) -> tuple[Message, Batch]:
        """Accept a message for a peer, or raise ControlError; it is accepted when the batch is committed."""
        send = self._send_plain if peer.kind == "plain" else self.send_all
        (message,), batch = send(peer, (text,))
        return message, batch

    def send_all(self, peer: Peer, texts: Sequence[str]) -> tuple[list[Message], Batch]:
        """The same for neighbours that go to one native peer: all of them or none."""
        if peer.link is None:
            raise _offline(peer)
        limits = most_bytes, characters = self._limits(peer.text_bytes, peer.text_chars)
        if not all(texts) or not "".join(texts).isprintable():
            for text in texts:
                if not text or not text.isprintable():
                    _check_characters(text)
        longest = len(max(texts, key=len))
        if longest * 4 > most_bytes or 0 < characters < longest:
            for text in texts:
                _check_length(text, *limits)
        before = self._journal.appended
        messages, batch = self._append_out(peer, texts)
        peer.unacked.extend(range(before + 1, self._journal.appended + 1))
        batch.if_failed(peer, partial(self._take_back, peer))
        if not peer.remembered:
            self._registry.remember(peer)
        return messages, batch

    def _send_plain(self, peer: Peer, texts: tuple[str]) -> tuple[list[Message], Batch]:
        (text,), link = texts, cast(PlainLink | None, peer.link)
        if link is None:
            raise _offline(peer)
        try:
            lines.check_text(text, self._config.plain_send_bytes)
        except lines.TextRefused as error:
            raise ControlError(error.kind, str(error), error.hint) from None
        _check_length(text, *self._limits(0, 0))
        if link.full:
            raise ControlError("outbox_full", f"{link.waiting} messages wait for {peer.name}", "try again in a moment")
        messages, batch = self._append_out(peer, texts)
        link.enqueue(text, batch)
        return messages, batch

    def _append_out(self, peer: Peer, texts: Sequence[str]) -> tuple[list[Message], Batch]:
        messages = [Message(direction="out", peer=peer.ref, text=text, state="queued") for text in texts]
        return messages, self._journal.append_all(messages, peer.key, "out")

    def _take_back(self, peer: Peer) -> None:
        while peer.unacked and peer.unacked[-1] > self._journal.committed:
            peer.unacked.pop()

    def _limits(self, peer_bytes: int, peer_chars: int) -> tuple[int, int]:
        """Bytes and characters of a text, by our limits and the peer's; 0 is no limit."""
        config = self._config
        characters = min(filter(None, (config.max_text, peer_chars)), default=0)
        return min(config.text_bytes, peer_bytes or config.text_bytes), characters

    # -- in

    def receive(self, peer: Peer, link: Link, texts: Sequence[Text]) -> Batch | None:
        """Take a native peer's messages, in order; None if all of them were duplicates."""
        node = peer.node or ""
        ref, raised, messages = peer.ref, dict[str, int](), list[Message]()
        epoch, mark = "", 0
        for text in texts:
            if text.epoch != epoch:
                epoch = text.epoch
                mark = raised.get(epoch) or self._journal.marks.appended(node, epoch)
            if text.seq > mark:
                raised[epoch] = mark = text.seq
                messages.append(Message(direction="in", peer=ref, id=f"{epoch}:{mark}", text=text.text, re=text.re))
        if not messages:
            return None
        batch = self._journal.append_all(messages, peer.key, "in")
        for epoch, mark in raised.items():
            self._journal.raise_mark(node, epoch, mark)
        peer.received += len(messages)
        batch.if_failed(("in", link), partial(_hang_up, peer, link))
        if not peer.remembered:
            self._registry.remember(peer)
        return batch

    def receive_plain(self, peer: Peer, texts: Sequence[str]) -> Batch:
        """Take a plain peer's messages, at least one."""
        messages = [Message(direction="in", peer=peer.ref, text=text) for text in texts]
        peer.received += len(messages)
        return self._journal.append_all(messages, peer.key, "in")

    # -- positions

    def start_of(self, peer: Peer, epoch: str | None, seq: int) -> int | None:
        """Where a link to the peer starts, given its newest mark of our journal; None: it has what we never wrote."""
        acked = self._journal.marks.acked.get(peer.node or "", 0)
        span = self._journal.span(epoch) if epoch else None
        if span is None or epoch is None:
            return acked
        if seq <= span[1]:
            return max(acked, seq)
        if epoch == self._journal.epoch:
            return None
        theirs, ours = f"{epoch}:{seq}", self._journal.position(max(span[1], 0))
        self._journal.append(PeerDiverged(peer=peer.ref, theirs=theirs, ours=ours), peer.key)
        return max(acked, span[1])

    def resumed(self, peer: Peer, epoch: str, seq: int) -> None:
        """The peer goes on after that position of its journal: what we lack before it is not coming."""
        node = peer.node or ""
        mark = self._journal.marks.appended(node, epoch)
        if seq <= mark:
            return
        newest = (epoch, mark) if mark else self._journal.marks.committed(node)
        after = f"{newest[0]}:{newest[1]}" if newest else None
        self._journal.append(Gap(peer=peer.ref, after=after, through=f"{epoch}:{seq}"), peer.key)
        batch = self._journal.raise_mark(node, epoch, seq)
        batch.if_failed(("in", peer.key), partial(_hang_up, peer, *peer.links))
        log.warning("%s goes on after %s:%s; what lies before is lost here", peer.shown, epoch, seq)

    def acknowledged(self, peer: Peer, epoch: str, seq: int) -> bool:
        """The peer has committed everything up to there; False if we never wrote that.

        What it has of an epoch that we lost (a wiped or restored journal) is no fault of its own.
        """
        span = self._journal.span(epoch)
        if span is None:
            return True
        first, last = span
        if seq < first or (seq > last and epoch == self._journal.epoch):
            return False
        seq, node = min(seq, last), peer.node or ""
        if seq > self._journal.marks.acked.get(node, 0):
            self._journal.note_ack(node, seq)
            while peer.unacked and peer.unacked[0] <= seq:
                peer.unacked.popleft()
            peer.acked.notify()
        return True


def _hang_up(peer: Peer, *links: Link) -> None:
    """What was read from a link is lost: nothing more may be taken, or a mark would pass it.

    Not from another link of the peer either: on that one the same may have been dropped as a duplicate.
    """
    for link in (*links, *peer.links):
        link.close("storage_full")


def _check_length(text: str, most_bytes: int, characters: int) -> None:
    """Raise ControlError where a text is over one of the limits."""
    if len(text) * 4 > most_bytes and len(text.encode()) > most_bytes:
        raise ControlError("too_large", f"the text is over {most_bytes} bytes of UTF-8", "send it in pieces")
    if 0 < characters < len(text):
        raise ControlError("too_large", f"the text is over {characters} characters", "send it in pieces")


def _check_characters(text: str) -> None:
    """Raise ControlError where a native text is empty or not text."""
    if not text:
        raise ControlError("bad_text", "the text is empty", "say something")
    bad = next((character for character in text if character in CONTROLS), None)
    if bad is not None:
        hint = "only line breaks and tabs are allowed beside printable characters"
        raise ControlError("bad_text", f"the text has the control character U+{ord(bad):04X}", hint)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ControlError("bad_text", "the text has half a surrogate pair", "send UTF-8") from None


def _offline(peer: Peer) -> ControlError:
    if peer.terminated:
        return ControlError("peer_offline", f"{peer.name} was terminated", "`chatctl connect` to it again")
    hint = "connect to it, or `chatctl wait peer NAME` until it is back"
    if peer.state == "pending":
        hint = "it is pending: `chatctl peer accept` has to be said on the side that asks for it"
    return ControlError("peer_offline", f"{peer.name} is not connected ({peer.reason or peer.state})", hint)
