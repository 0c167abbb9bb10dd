"""Hearing: what happens in the rooms of other nodes that this node is in.

It comes in the order of the host's journal, and is put into ours on the membership's own topic. Our own messages come
back in this way, and that is their delivery. Waits for nothing.
"""

from collections.abc import Sequence
from functools import partial

from chatd.api.events import Gap, Message, Receipt, RoomJoin, RoomLeave, RoomTopic
from chatd.journal.batch import Statement
from chatd.journal.global_id import parts
from chatd.journal.journal import Journal
from chatd.messages.references import NONE, References
from chatd.messages.states import REJECTED, STORE
from chatd.peers.peer import Peer
from chatd.rooms.hosted import CLOSED
from chatd.rooms.joined import JoinedRooms
from chatd.rooms.joined_room import IN, JoinedRoom
from chatd.wire.frames import Happened, Missing, Refused, Said

ECHO = "INSERT INTO echoes (topic, seq) VALUES (?, ?) ON CONFLICT (topic) DO UPDATE SET seq = max(seq, excluded.seq)"
FromHost = Said | Happened | Missing | Refused


class RoomFollowing:
    """What one node is told by its hosts."""

    def __init__(self, journal: Journal, memberships: JoinedRooms, node: str) -> None:
        """`node` is our id."""
        self._journal = journal
        self._memberships = memberships
        self._node = node
        self._echoes: dict[int, tuple[int, int]] = {}  # of each peer: what was dealt with before the last two batches

    def take(self, peer: Peer, frames: Sequence[FromHost], claims: References = NONE) -> None:
        """All of it is new. What is of a room that we are not in is nothing, except that our own has arrived.

        `claims` has the messages that the frames may name as ours.
        """
        start = 0
        for index, frame in enumerate(frames):
            if index + 1 < len(frames) and _is_more(frame, frames[index + 1]):
                continue
            if isinstance(frame, Said):
                self._said(peer, frames[start : index + 1], claims)  # type: ignore[arg-type]  # all like this one
            else:
                self._happened(peer, frame, claims)
            start = index + 1

    def _said(self, peer: Peer, frames: Sequence[Said], claims: References) -> None:
        """Neighbours in one room."""
        membership = self._memberships.get(peer.node or "", frames[0].room)
        heard = list[Message]()
        for frame in frames:
            if frame.id is not None:
                self._hear(peer, membership, heard)
                heard = []
                self._echo(peer, membership, frame, claims)
            elif membership is not None:
                heard.append(self._message(peer, membership, frame))
        self._hear(peer, membership, heard)

    def _message(self, peer: Peer, membership: JoinedRoom, frame: Said) -> Message:
        message = Message(
            direction="in",
            peer=peer.ref,
            room=membership.label,
            nick=frame.nick,
            room_position=f"{frame.epoch}:{frame.seq}",
            global_id=f"{peer.node}/{frame.epoch}:{frame.seq}",
            text=frame.text,
        )
        if frame.to is not None:
            message.to = frame.to
        return message

    def _hear(self, peer: Peer, membership: JoinedRoom | None, messages: list[Message]) -> None:
        if membership is not None and messages:
            self._journal.append_all(messages, membership.stream_id, "in")
            peer.received += len(messages)

    def _echo(self, peer: Peer, membership: JoinedRoom | None, frame: Said, claims: References) -> None:
        """Our own message is in its place."""
        seq = self._awaited(peer, frame, claims)
        if not seq:
            return
        if membership is not None:
            position = f"{frame.epoch}:{frame.seq}"
            receipt = Receipt(
                peer=peer.ref, state="delivered", id=frame.id, room=membership.label, room_position=position
            )
            self._journal.append(receipt, membership.stream_id)
        self._dealt_with(peer, seq)

    def _awaited(self, peer: Peer, frame: Said | Refused, claims: References) -> int:
        """Our seq of what we said in that room of the peer and has not come back; 0: no host speaks for others.

        Of a message that is in the journal no more, only that it was said in some room of the peer is known.
        """
        named = frame.id or ":0"
        epoch, seq = parts(named)
        if seq <= peer.echoed or not self._journal.holds(epoch, seq):
            return 0
        claimed = claims.get(named)
        in_room = seq in peer.unheard if claimed is None else claimed.room == frame.room
        return seq if in_room else 0

    def _dealt_with(self, peer: Peer, seq: int) -> None:
        """As soon as that is committed; else the host says it again, and it is awaited then."""
        batch, key = self._journal.filling, ("echo", peer.stream_id)
        if key not in batch.undo:
            sure, before = self._echoes.get(peer.stream_id, (0, 0))  # two batches at most are under way
            peer.unheard.cut_head(sure)
            self._echoes[peer.stream_id] = before, peer.echoed
            batch.if_failed(key, partial(_unecho, peer, peer.echoed))
        peer.echoed = seq
        self._journal.note(key, partial(_echoed, peer))
        peer.progress.notify()

    def _happened(self, peer: Peer, frame: FromHost, claims: References) -> None:
        if isinstance(frame, Missing):
            for room, after in frame.rooms:
                if (membership := self._memberships.get(peer.node or "", room)) is not None:
                    gap = Gap(peer=peer.ref, room=membership.label, after=after, through=frame.through)
                    self._journal.append(gap, membership.stream_id)
            return
        membership = self._memberships.get(peer.node or "", frame.room)
        if isinstance(frame, Refused):
            self._refused(peer, membership, frame, claims)
        elif isinstance(frame, Happened) and membership is not None:
            self._change(membership, frame)

    def _change(self, membership: JoinedRoom, frame: Happened) -> None:
        room, position = membership.label, f"{frame.epoch}:{frame.seq}"
        event: RoomJoin | RoomLeave | RoomTopic
        match frame.what:
            case "join":
                membership.came(frame.nick, frame.node)
                event = RoomJoin(room=room, nick=frame.nick, node=frame.node, room_position=position)
            case "leave":
                if frame.node == self._node:
                    self._ended(membership, frame.seq, frame.text)
                    return
                membership.went(frame.nick)
                event = RoomLeave(
                    room=room, nick=frame.nick, node=frame.node, reason=frame.text, room_position=position
                )
            case "topic":
                self._set_subject(membership, frame.text)
                event = RoomTopic(room=room, text=frame.text, room_position=position)
            case "closed":
                self._ended(membership, frame.seq, CLOSED)
                return
        self._journal.append(event, membership.stream_id)

    def _ended(self, membership: JoinedRoom, seq: int, reason: str) -> None:
        """The host says that we are not in the room any more; or were not: a former time in it ends there."""
        if membership.state == IN and seq > membership.since:
            self._memberships.end(membership, reason)

    def _set_subject(self, membership: JoinedRoom, text: str) -> None:
        membership.topic = text
        membership.changed.notify()
        if membership.state == IN:
            self._memberships.keep(membership)

    def _refused(self, peer: Peer, membership: JoinedRoom | None, frame: Refused, claims: References) -> None:
        """What we said is not in the room, and will not be."""
        seq = self._awaited(peer, frame, claims)
        if not seq:
            return
        receipt = Receipt(
            peer=peer.ref,
            state=REJECTED,
            id=frame.id,
            room=membership.label if membership else f"{frame.room}@{peer.name}",
            reason=frame.reason,
        )
        self._journal.append(receipt, membership.stream_id if membership else peer.stream_id)
        self._journal.execute(STORE, seq, peer.stream_id, REJECTED, 1)
        self._dealt_with(peer, seq)


def _is_more(frame: FromHost, following: FromHost) -> bool:
    """Whether both are messages of one room."""
    return isinstance(frame, Said) and isinstance(following, Said) and frame.room == following.room


def _unecho(peer: Peer, seq: int) -> None:
    peer.echoed = min(peer.echoed, seq)


def _echoed(peer: Peer) -> Statement:
    return ECHO, (peer.stream_id, peer.echoed)
