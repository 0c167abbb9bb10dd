"""Inbox: messages that peers send. Drops duplicates, and appends new messages together with their watermark.

A native peer sends the positions of its journal in order: a frame is new if it is above the watermark of its epoch.
Room frames share these watermarks; `rooms/router.py` uses the functions of this module for them. No method waits: a
caller that needs the commit awaits the batch. Called by the links.
"""

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from chatd.api.events import Gap, Message
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.messages.references import NO_REFERENCES, References
from chatd.peers.peer import Peer, PeerLink
from chatd.peers.registry import Registry
from chatd.wire.frames import Text

log = logging.getLogger("chatd.chat")


class Positioned(Protocol):
    """A frame at a position of the sender's journal."""

    @property
    def epoch(self) -> str: ...

    @property
    def seq(self) -> int: ...


F = TypeVar("F", bound=Positioned)


class Inbox:
    """Incoming messages of one node."""

    def __init__(self, node: str, journal: Journal, registry: Registry) -> None:
        """`node` is this node's id."""
        self._node = node
        self._journal = journal
        self._registry = registry

    def receive(
        self, peer: Peer, link: PeerLink, texts: Sequence[Text], references: References = NO_REFERENCES
    ) -> Batch | None:
        """Append a native peer's messages, in order; None if all of them are duplicates.

        `references`: our messages that the texts may answer.
        """
        node, ref, messages = peer.node or "", peer.ref, list[Message]()
        new = above_watermark(self._journal, node, texts)
        if not new:
            return None
        for text in new:
            message = Message(direction="in", peer=ref, global_id=f"{node}/{text.epoch}:{text.seq}", text=text.text)
            if text.re is not None:
                self._answer(message, text.re, references)
            messages.append(message)
        batch = self._journal.append_all(messages, peer.stream_id, "in")
        raise_watermarks(self._journal, node, new)
        peer.count_received(len(messages))
        close_if_failed(batch, peer, link)
        self._registry.remembered.ensure(peer)
        return batch

    def _answer(self, message: Message, position: str, references: References) -> None:
        """Set which message of this node `message` answers, as far as the claim is true (`references`).

        The answered message keeps the global id that it was sent with, even if this node has a new key since.
        """
        if (answered := references.get(position)) is not None:
            message.re, message.re_global_id = position, answered.global_id
        else:
            message.re_global_id = f"{self._node}/{position}"

    def receive_plain(self, peer: Peer, texts: Sequence[str]) -> Batch:
        """Append a plain peer's messages, at least one."""
        messages = [Message(direction="in", peer=peer.ref, text=text) for text in texts]
        peer.count_received(len(messages))
        return self._journal.append_all(messages, peer.stream_id, "in")

    def resume(self, peer: Peer, epoch: str, seq: int) -> None:
        """The peer continues after that position of its journal: it will not send what is missing here up to there."""
        node = peer.node or ""
        watermark = self._journal.watermarks.appended(node, epoch)
        if seq <= watermark:
            return
        newest = (epoch, watermark) if watermark else self._journal.watermarks.committed(node)
        after = f"{newest[0]}:{newest[1]}" if newest else None
        self._journal.append(Gap(peer=peer.ref, after=after, through=f"{epoch}:{seq}"), peer.stream_id)
        batch = self._journal.raise_watermark(node, epoch, seq)
        batch.if_failed(("in", *peer.links), partial(_close, peer, *peer.links))
        log.warning(
            "messages of peer %(peer)s are missing here: it continues after %(position)s",
            peer.log_fields | {"position": f"{epoch}:{seq}"},
        )


def above_watermark(journal: Journal, node: str, frames: Iterable[F]) -> list[F]:
    """The frames that are new: each is above the watermark of its epoch, and above the new ones before it."""
    new, watermarks = list[F](), dict[str, int]()
    epoch, watermark = "", 0
    for frame in frames:
        if frame.epoch != epoch:
            watermarks[epoch] = watermark
            epoch = frame.epoch
            watermark = watermarks.get(epoch) or journal.watermarks.appended(node, epoch)
        if frame.seq > watermark:
            watermark = frame.seq
            new.append(frame)
    return new


def raise_watermarks(journal: Journal, node: str, frames: Iterable[Positioned]) -> None:
    """Raise the watermarks to these new frames, so that each of them is a duplicate afterwards."""
    for epoch, seq in {frame.epoch: frame.seq for frame in frames}.items():
        journal.raise_watermark(node, epoch, seq)


def close_if_failed(batch: Batch, peer: Peer, link: PeerLink) -> None:
    """Close the peer's links if the batch, which has frames of `link`, is not committed."""
    batch.if_failed(("in", link), partial(_close, peer, link))


def _close(peer: Peer, *links: PeerLink) -> None:
    """Close links after received frames were lost: frames after them would raise the watermark past them.

    All links of the peer are closed, because another one may have dropped the same frames as duplicates.
    """
    for link in (*links, *peer.links):
        link.close("storage_full")
