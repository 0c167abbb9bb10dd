"""Exchange: what native links bring of rooms, in either role. Judges what is new, and hands it to whom it is for.

Room frames at a position of the peer's journal are under the same mark as its texts: what lies at or below it is a
duplicate, and what is taken is committed together with the mark.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, cast

from chatd.config.settings import Config
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.messages.chat import hang_up
from chatd.messages.references import NONE, References
from chatd.peers.peer import NativeLink, Peer, PeerLink
from chatd.peers.registry import Registry
from chatd.rooms.following import FromHost, RoomFollowing
from chatd.rooms.hosted import HostedRooms, HostSettings
from chatd.rooms.joined import JoinedRooms
from chatd.rooms.moderation import Moderation
from chatd.rooms.posting import RoomPosting
from chatd.rooms.room import HostedRoom
from chatd.wire.frames import Gone, Rooms, Roster, Say
from chatd.wire.room_frames import USERS_MOST as PAGE

MOST_DECLARED = 4096  # nodes whose newest list is remembered


class DeclarationAnswer(NamedTuple):
    """To what a peer declared: the rooms that it cannot be in, and those that it is in."""

    gone: list[Gone]
    rooms: list[HostedRoom]


class RoomRouter:
    """That of one node."""

    def __init__(self, config: Config, node: str, journal: Journal, registry: Registry) -> None:
        """`node` is our id. Reads what the last run left (blocking)."""
        host_settings = HostSettings(
            node, config.name, config.text_bytes, config.max_text, config.room_members, config.outbox_messages
        )
        self.hosted_rooms = HostedRooms(journal, registry, host_settings)
        self.moderation = Moderation(journal, self.hosted_rooms)
        self.posting = RoomPosting(journal, self.hosted_rooms, host_settings)
        self.joined_rooms = JoinedRooms(journal, registry, self.hosted_rooms, host_settings)
        self._following = RoomFollowing(journal, self.joined_rooms, node)
        self._journal = journal
        self._registry = registry
        self._declared: dict[str, tuple[str, int]] = {}  # of each node: its epoch, and the number of its newest list

    def receive(
        self, peer: Peer, link: PeerLink, frames: Sequence[Say | FromHost], references: References = NONE
    ) -> Batch | None:
        """Frames at positions of the peer's journal, in order; None if all of them were duplicates.

        `references` has the messages that the frames may name as ours.
        A peer that takes none of its refusals is hung up on, and what it said behind them is not taken.
        """
        new = self._above_watermark(peer, frames)
        if not new:
            return None
        done = self._route(peer, new, references)
        for epoch, mark in {frame.epoch: frame.seq for frame in new[:done]}.items():
            self._journal.raise_mark(peer.node or "", epoch, mark)
        batch = self._journal.filling
        hang_up(batch, peer, link)
        if done < len(new):
            link.close("takes no refusals")
        if not peer.remembered:
            self._registry.remember(peer)
        return batch

    def _above_watermark(self, peer: Peer, frames: Sequence[Say | FromHost]) -> list[Say | FromHost]:
        """Those that lie above the mark of their epoch."""
        marks, new = dict[str, int](), list[Say | FromHost]()
        for frame in frames:
            mark = marks.get(frame.epoch) or self._journal.watermarks.appended(peer.node or "", frame.epoch)
            if frame.seq > mark:
                marks[frame.epoch] = frame.seq
                new.append(frame)
        return new

    def _route(self, peer: Peer, frames: Sequence[Say | FromHost], references: References) -> int:
        """To the rooms here, or to our joined_rooms; with how many that was done."""
        done = 0
        for said, run in groupby(frames, lambda frame: type(frame) is Say):
            some = list(run)
            if not said:
                self._following.receive(peer, cast(list[FromHost], some), references)
                done += len(some)
                continue
            taken = self.posting.receive(peer, cast(list[Say], some))
            peer.received += taken
            done += taken
            if taken < len(some):
                break
        return done

    def declared(self, peer: Peer, link: NativeLink, frame: Rooms) -> DeclarationAnswer | None:
        """The peer says in which rooms of ours it is, or wants to be. It counts once that is committed.

        None: that is older than what it said on another link. The same again is nothing new.
        """
        node, before = peer.node or "", self._journal.appended
        epoch, number = self._declared.get(node, ("", 0))
        if epoch == link.epoch and frame.number < number:
            return None
        again = (epoch, number) == (link.epoch, frame.number)
        self._declared[node] = link.epoch, frame.number
        if len(self._declared) > MOST_DECLARED:
            del self._declared[next(iter(self._declared))]
        wanted = [(name, nick, new and not again) for name, nick, new in frame.rooms]
        answer = DeclarationAnswer(*self.hosted_rooms.declare(peer, wanted))
        if self._journal.appended != before:
            hang_up(self._journal.filling, peer, link)
            if not peer.remembered:
                self._registry.remember(peer)
        return answer

    def is_committed_member(self, node: str, room: HostedRoom) -> bool:
        """Whether the node is in the room, and that is committed."""
        member = room.by_node.get(node)
        return member is not None and member.since <= self._journal.committed

    def rosters(self, node: str, room: HostedRoom) -> list[Roster]:
        """Who is in the room, for a node that is in it."""
        member, records = room.by_node[node], room.user_records(self._registry.is_up)
        users = [(user.nick, user.node, user.here) for user in records]
        pages = [users[start : start + PAGE] for start in range(0, len(users), PAGE)]
        return [
            Roster(room.name, member.nick, room.topic, member.since, page, number < len(pages))
            for number, page in enumerate(pages, start=1)
        ]
