"""Incoming: what one link brings at positions of the peer's journal, and how far that is acknowledged.

It is taken only behind a `Resume`, within the limits that our `Hello` has told, and once; messages/chat.py and
rooms/router.py judge that. An `AckFrame` is the mark as committed at the time it is written.

No frame speaks for another journal than its sender's: our own present epoch in one is a protocol error, and what frames
say of messages of ours is looked up before they are taken (messages/references.py).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, cast

from chatd.messages.references import NO_REFERENCES, look_up
from chatd.messages.text import any_over
from chatd.peers.peer import Peer, PeerLink
from chatd.rooms.following import FromHost
from chatd.wire.errors import RemoteError
from chatd.wire.frames import AckFrame, Frame, Happened, Missing, Ordered, Refused, Resume, Said, Say, Text, frame_name

if TYPE_CHECKING:
    from chatd.net.links import Links

SINGLE, DIRECT, IN_ROOMS = range(3)  # kinds of frames, by how they are handled: each by itself, or in runs
KINDS: Final[dict[type, int]] = {Text: DIRECT} | dict.fromkeys((Say, Said, Happened, Refused, Missing), IN_ROOMS)
NOTHING: Final = 0  # is acknowledged yet


def kind_of(frame: Frame) -> int:
    """SINGLE, or which runs it goes in."""
    return KINDS.get(type(frame), SINGLE)


class Receiver:
    """That of one link."""

    __slots__ = ("_chat", "_claims", "_exchange", "_journal", "_limits", "_peer", "_resumed", "_said")

    def __init__(self, links: "Links", peer: Peer) -> None:
        self._chat = links.chat
        self._exchange = links.router
        self._journal = links.journal
        self._limits = links.config.text_bytes, links.config.max_text
        self._peer = peer
        self._claims = NO_REFERENCES
        self._resumed = False
        self._said: dict[str, int] = {}  # for each epoch of which something came: the mark that was acknowledged last

    def named(self, frames: Sequence[Frame]) -> set[str]:
        """The positions of our journal that frames name."""
        named = set[str]()
        for frame in frames:
            if type(frame) is Text:
                if frame.re is not None:
                    named.add(frame.re)
            elif isinstance(frame, Said | Refused) and frame.id is not None:
                named.add(frame.id)
        return named

    async def look_up(self, named: set[str]) -> None:
        """Find the messages of ours that the frames which are taken next name. `forget` them then."""
        self._claims = await look_up(self._journal, self._peer, named)

    def forget(self) -> None:
        """The frames for which something was looked up are taken."""
        self._claims = NO_REFERENCES

    def resume(self, frame: Resume) -> None:
        """What comes starts after that position. Raises RemoteError."""
        if self._resumed:
            raise RemoteError("a second Resume")
        self._check_epochs([frame])
        self._resumed = True
        if frame.seq:
            self._chat.inbox.resume(self._peer, frame.epoch, frame.seq)

    def take(self, kind: int, frames: list[Ordered], link: PeerLink) -> bool:
        """A run of one kind, in order; False if all of it was here before. Raises RemoteError."""
        if not self._resumed:
            raise RemoteError(f"{frame_name(frames[0])} before Resume")
        self._check_epochs(frames)
        text_bytes, text_chars = self._limits
        texts = frames if kind == DIRECT else [frame for frame in frames if isinstance(frame, Say | Said)]
        if any_over(cast(list[Text], texts), text_bytes, text_chars):
            raise RemoteError(f"a text over {text_bytes} bytes, or {text_chars} characters if not 0")
        if kind == DIRECT:
            new = self._chat.inbox.receive(self._peer, link, cast(list[Text], frames), self._claims)
        else:
            new = self._exchange.receive(self._peer, link, cast(list[Say | FromHost], frames), self._claims)
        for epoch in (frames[0].epoch, frames[-1].epoch):
            self._said.setdefault(epoch, NOTHING)
        if new is None:
            self._said[frames[-1].epoch] = NOTHING  # they sent it again: they do not know that we have it
        return new is not None

    def _check_epochs(self, frames: Sequence[Ordered | Resume]) -> None:
        if self._journal.epoch in {frame.epoch for frame in frames}:
            raise RemoteError(f"{frame_name(frames[0])} with the epoch of this node's own journal")

    def due(self) -> list[Frame]:
        """The acknowledgements that were not told yet."""
        frames: list[Frame] = []
        for epoch, said in self._said.items():
            mark = self._journal.watermarks.committed_in(self._peer.node or "", epoch)
            if mark > said:
                self._said[epoch] = mark
                frames.append(AckFrame(epoch=epoch, seq=mark))
        return frames
