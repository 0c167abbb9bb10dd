"""RoomFollowing: events of joined rooms, as their hosts report them.

Events arrive in the order of the host's journal and are appended to ours on the joined room's stream id. The host
reports our own messages too; that report is their delivery. No method waits. Called by `router.py`.
"""

from collections.abc import Sequence

from chatd.api.events import Gap, Message, Receipt, RoomJoin, RoomLeave, RoomTopic
from chatd.journal.epochs import split_position
from chatd.journal.journal import Journal
from chatd.messages.references import NO_REFERENCES, References
from chatd.messages.states import REJECTED
from chatd.peers.peer import Peer
from chatd.rooms.hosted import CLOSED
from chatd.rooms.joined import JoinedRooms
from chatd.rooms.joined_room import IN, JoinedRoom
from chatd.wire.frames import Happened, Missing, Refused, Said

FromHost = Said | Happened | Missing | Refused


class RoomFollowing:
    """Applies the ordered frames of all hosts."""

    def __init__(self, journal: Journal, joined_rooms: JoinedRooms, node: str) -> None:
        """`node` is our id."""
        self._journal = journal
        self._joined_rooms = joined_rooms
        self._node = node

    def receive(self, peer: Peer, frames: Sequence[FromHost], references: References = NO_REFERENCES) -> None:
        """Apply new frames of one host, in order. Frames of rooms that we are not in only confirm our own messages.

        `references`: our messages that the frames may name.
        """
        start = 0
        for index, frame in enumerate(frames):
            if index + 1 < len(frames) and _are_in_one_room(frame, frames[index + 1]):
                continue
            if isinstance(frame, Said):
                self._receive_messages(peer, frames[start : index + 1], references)  # type: ignore[arg-type]  # all are Said
            else:
                self._receive_event(peer, frame, references)
            start = index + 1

    def _receive_messages(self, peer: Peer, frames: Sequence[Said], references: References) -> None:
        """Append consecutive messages of one room."""
        joined_room = self._joined_rooms.get(peer.node or "", frames[0].room)
        messages = list[Message]()
        for frame in frames:
            if frame.id is not None:
                self._append_messages(peer, joined_room, messages)
                messages = []
                self._confirm_own(peer, joined_room, frame, references)
            elif joined_room is not None:
                messages.append(self._message_of(peer, joined_room, frame))
        self._append_messages(peer, joined_room, messages)

    def _message_of(self, peer: Peer, joined_room: JoinedRoom, frame: Said) -> Message:
        message = Message(
            direction="in",
            peer=peer.ref,
            room=joined_room.label,
            nick=frame.nick,
            room_position=f"{frame.epoch}:{frame.seq}",
            global_id=f"{peer.node}/{frame.epoch}:{frame.seq}",
            text=frame.text,
        )
        if frame.to is not None:
            message.to = frame.to
        return message

    def _append_messages(self, peer: Peer, joined_room: JoinedRoom | None, messages: list[Message]) -> None:
        if joined_room is not None and messages:
            self._journal.append_all(messages, joined_room.stream_id, "in")
            peer.count_received(len(messages))

    def _confirm_own(self, peer: Peer, joined_room: JoinedRoom | None, frame: Said, references: References) -> None:
        """The host has placed our own message in the room: append its receipt."""
        seq = self._own_seq(peer, frame, references)
        if not seq:
            return
        if joined_room is not None:
            position = f"{frame.epoch}:{frame.seq}"
            receipt = Receipt(
                peer=peer.ref, state="delivered", id=frame.id, room=joined_room.label, room_position=position
            )
            self._journal.append(receipt, joined_room.stream_id)
        peer.delivery.echo(seq)

    def _own_seq(self, peer: Peer, frame: Said | Refused, references: References) -> int:
        """Return the seq of our message that the frame names, if we sent it to this room and it is not confirmed yet.

        0 otherwise: a host may confirm only messages that we sent to the same room. If retention has removed the
        message from the journal, it is only known that we sent it to some room of the host.
        """
        named = frame.id or ":0"
        epoch, seq = split_position(named)
        if seq <= peer.delivery.echoed or not self._journal.holds(epoch, seq):
            return 0
        reference = references.get(named)
        in_room = seq in peer.delivery.unechoed if reference is None else reference.room == frame.room
        return seq if in_room else 0

    def _receive_event(self, peer: Peer, frame: FromHost, references: References) -> None:
        if isinstance(frame, Missing):
            for room, after in frame.rooms:
                if (joined_room := self._joined_rooms.get(peer.node or "", room)) is not None:
                    gap = Gap(peer=peer.ref, room=joined_room.label, after=after, through=frame.through)
                    self._journal.append(gap, joined_room.stream_id)
            return
        joined_room = self._joined_rooms.get(peer.node or "", frame.room)
        if isinstance(frame, Refused):
            self._reject_own(peer, joined_room, frame, references)
        elif isinstance(frame, Happened) and joined_room is not None:
            self._apply_change(joined_room, frame)

    def _apply_change(self, joined_room: JoinedRoom, frame: Happened) -> None:
        room, position = joined_room.label, f"{frame.epoch}:{frame.seq}"
        event: RoomJoin | RoomLeave | RoomTopic
        match frame.what:
            case "join":
                joined_room.add_user(frame.nick, frame.node)
                event = RoomJoin(room=room, nick=frame.nick, node=frame.node, room_position=position)
            case "leave":
                if frame.node == self._node:
                    self._leave_if_current(joined_room, frame.seq, frame.text)
                    return
                joined_room.remove_user(frame.nick)
                event = RoomLeave(
                    room=room, nick=frame.nick, node=frame.node, reason=frame.text, room_position=position
                )
            case "topic":
                self._set_topic(joined_room, frame.text)
                event = RoomTopic(room=room, text=frame.text, room_position=position)
            case "closed":
                self._leave_if_current(joined_room, frame.seq, CLOSED)
                return
        self._journal.append(event, joined_room.stream_id)

    def _leave_if_current(self, joined_room: JoinedRoom, seq: int, reason: str) -> None:
        """The host reports our leave. Ignored if it is the end of an earlier stay in the room."""
        if joined_room.state == IN and seq > joined_room.since:
            self._joined_rooms.remove(joined_room, reason)

    def _set_topic(self, joined_room: JoinedRoom, text: str) -> None:
        joined_room.set_topic(text)
        if joined_room.state == IN:
            self._joined_rooms.save(joined_room)

    def _reject_own(self, peer: Peer, joined_room: JoinedRoom | None, frame: Refused, references: References) -> None:
        """The host rejected our message: append its receipt."""
        seq = self._own_seq(peer, frame, references)
        if not seq:
            return
        receipt = Receipt(
            peer=peer.ref,
            state=REJECTED,
            id=frame.id,
            room=joined_room.label if joined_room else f"{frame.room}@{peer.name}",
            reason=frame.reason,
        )
        self._journal.append(receipt, joined_room.stream_id if joined_room else peer.stream_id)
        peer.delivery.save_outcome(seq, REJECTED, final=True)
        peer.delivery.echo(seq)


def _are_in_one_room(frame: FromHost, following: FromHost) -> bool:
    """Whether both are messages in the same room."""
    return isinstance(frame, Said) and isinstance(following, Said) and frame.room == following.room
