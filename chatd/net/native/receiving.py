"""Receiver: frames of one link that have positions in the peer's journal, and their acknowledgement.

Accepts them only after a `Resume`, within the limits of our `Hello`, and once; `messages/inbox.py` and
`rooms/router.py` append them to the journal. An `AckFrame` carries the watermark that is committed when it is written.
A frame may only have positions of its sender's journal: our own current epoch in it is a protocol error, and references
to our messages are looked up before the frames are accepted (`messages/references.py`). Called by `link.py`.
"""

from collections.abc import Sequence
from typing import Final, cast

from chatd.config.settings import Config
from chatd.journal.journal import Journal
from chatd.messages.chat import Chat
from chatd.messages.references import NO_REFERENCES, look_up
from chatd.messages.text import any_over
from chatd.peers.peer import Peer, PeerLink
from chatd.rooms.following import FromHost
from chatd.rooms.router import RoomRouter
from chatd.wire.errors import RemoteError
from chatd.wire.frames import AckFrame, Frame, Happened, Missing, Ordered, Refused, Resume, Said, Say, Text, frame_name

SINGLE, DIRECT, IN_ROOMS = range(3)  # kinds of frames: handled one by one, or in runs
KINDS: Final[dict[type, int]] = {Text: DIRECT} | dict.fromkeys((Say, Said, Happened, Refused, Missing), IN_ROOMS)
NOTHING: Final = 0  # acknowledged watermark of an epoch before its first acknowledgement


def kind_of(frame: Frame) -> int:
    """How the frame is handled: SINGLE, DIRECT or IN_ROOMS."""
    return KINDS.get(type(frame), SINGLE)


class Receiver:
    __slots__ = ("_acknowledged", "_chat", "_journal", "_limits", "_peer", "_references", "_resumed", "_router")

    def __init__(self, peer: Peer, config: Config, journal: Journal, chat: Chat, router: RoomRouter) -> None:
        self._chat = chat
        self._router = router
        self._journal = journal
        self._limits = config.text_bytes, config.max_text
        self._peer = peer
        self._references = NO_REFERENCES
        self._resumed = False
        self._acknowledged: dict[str, int] = {}  # epoch of the peer -> newest acknowledged watermark

    def referenced(self, frames: Sequence[Frame]) -> set[str]:
        """Positions in our journal that the frames refer to."""
        positions = set[str]()
        for frame in frames:
            if type(frame) is Text:
                if frame.re is not None:
                    positions.add(frame.re)
            elif isinstance(frame, Said | Refused) and frame.id is not None:
                positions.add(frame.id)
        return positions

    async def look_up(self, positions: set[str]) -> None:
        """Look up our messages that the next frames refer to; call `drop_references` after those frames."""
        self._references = await look_up(self._journal, self._peer, positions)

    def drop_references(self) -> None:
        """Drop the result of `look_up`."""
        self._references = NO_REFERENCES

    def resume(self, frame: Resume) -> None:
        """Start: the next frame has a position after that of `frame`. Raises RemoteError."""
        if self._resumed:
            raise RemoteError("a second Resume")
        self._check_epochs([frame])
        self._resumed = True
        if frame.seq:
            self._chat.inbox.resume(self._peer, frame.epoch, frame.seq)

    def receive(self, kind: int, frames: list[Ordered], link: PeerLink) -> bool:
        """Accept a run of one kind, in order; False if all frames were duplicates. Raises RemoteError."""
        if not self._resumed:
            raise RemoteError(f"{frame_name(frames[0])} before Resume")
        self._check_epochs(frames)
        text_bytes, text_chars = self._limits
        texts = frames if kind == DIRECT else [frame for frame in frames if isinstance(frame, Say | Said)]
        if any_over(cast(list[Text], texts), text_bytes, text_chars):
            raise RemoteError(f"a text over {text_bytes} bytes, or {text_chars} characters if not 0")
        if kind == DIRECT:
            new = self._chat.inbox.receive(self._peer, link, cast(list[Text], frames), self._references)
        else:
            new = self._router.receive(self._peer, link, cast(list[Say | FromHost], frames), self._references)
        for epoch in (frames[0].epoch, frames[-1].epoch):
            self._acknowledged.setdefault(epoch, NOTHING)
        if new is None:
            self._acknowledged[frames[-1].epoch] = NOTHING  # acknowledge again: the peer has not got that
        return new is not None

    def _check_epochs(self, frames: Sequence[Ordered | Resume]) -> None:
        if self._journal.epoch in {frame.epoch for frame in frames}:
            raise RemoteError(f"{frame_name(frames[0])} with the epoch of this node's own journal")

    def acknowledgements(self) -> list[Frame]:
        """New acknowledgements to send now."""
        frames: list[Frame] = []
        for epoch, acknowledged in self._acknowledged.items():
            watermark = self._journal.watermarks.committed_in(self._peer.node or "", epoch)
            if watermark > acknowledged:
                self._acknowledged[epoch] = watermark
                frames.append(AckFrame(epoch=epoch, seq=watermark))
        return frames
