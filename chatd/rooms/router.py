"""RoomRouter: routes the room frames of native links to the rooms hosted here, or to the joined rooms.

Accepts only frames above the peer's watermark, which texts and room frames share: a frame at or below it is a
duplicate. Accepted frames are committed together with the watermark. Builds all parts of `rooms/`. Called by
`net/native/`.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import cast

from chatd.config.settings import Config
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.messages.inbox import above_watermark, close_if_failed, raise_watermarks
from chatd.messages.references import NO_REFERENCES, References
from chatd.peers.peer import Peer, PeerLink
from chatd.peers.registry import Registry
from chatd.rooms.declarations import Declarations
from chatd.rooms.following import FromHost, RoomFollowing
from chatd.rooms.hosted import HostedRooms, HostSettings
from chatd.rooms.joined import JoinedRooms
from chatd.rooms.moderation import Moderation
from chatd.rooms.posting import RoomPosting
from chatd.wire.frames import Say


class RoomRouter:
    """All parts of the rooms of one node, and the entry for room frames."""

    def __init__(self, config: Config, node: str, journal: Journal, registry: Registry) -> None:
        """`node` is our id. Loads what the last run left (blocking)."""
        host_settings = HostSettings(
            node, config.name, config.text_bytes, config.max_text, config.room_members, config.outbox_messages
        )
        self.hosted_rooms = HostedRooms(journal, registry, host_settings)
        self.declarations = Declarations(journal, registry, self.hosted_rooms)
        self.moderation = Moderation(journal, self.hosted_rooms)
        self.posting = RoomPosting(journal, self.hosted_rooms, host_settings)
        self.joined_rooms = JoinedRooms(journal, registry, self.hosted_rooms, host_settings)
        self._following = RoomFollowing(journal, self.joined_rooms, node)
        self._journal = journal
        self._registry = registry

    def receive(
        self, peer: Peer, link: PeerLink, frames: Sequence[Say | FromHost], references: References = NO_REFERENCES
    ) -> Batch | None:
        """Accept frames at positions of the peer's journal, in order. None: all of them are duplicates.

        `references`: our messages that the frames may name. A peer that does not acknowledge rejections is
        disconnected, and its remaining frames are dropped.
        """
        node = peer.node or ""
        new = above_watermark(self._journal, node, frames)
        if not new:
            return None
        done = self._route(peer, new, references)
        raise_watermarks(self._journal, node, new[:done])
        batch = self._journal.next_batch
        close_if_failed(batch, peer, link)
        if done < len(new):
            link.close("takes no refusals")
        self._registry.remembered.ensure(peer)
        return batch

    def _route(self, peer: Peer, frames: Sequence[Say | FromHost], references: References) -> int:
        """Pass the frames to posting and following; return how many of them were processed."""
        done = 0
        for are_says, group in groupby(frames, lambda frame: type(frame) is Say):
            run = list(group)
            if not are_says:
                self._following.receive(peer, cast(list[FromHost], run), references)
                done += len(run)
                continue
            processed = self.posting.receive(peer, cast(list[Say], run))
            peer.count_received(processed)
            done += processed
            if processed < len(run):
                break
        return done
