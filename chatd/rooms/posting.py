"""RoomPosting: messages to the rooms that this node hosts, from plain clients, other nodes and this node itself.

A message is stored once, on the room's stream id; its position there orders it among all messages of the room. A
message of a node that cannot be posted is rejected, and the rejection is queued for that node. No method waits. Called
by room ports, `control/methods/room_say.py` and `router.py`.
"""

from collections.abc import Sequence

import msgspec

from chatd.api.events import Message, RoomRefused
from chatd.api.results import PeerRef
from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.messages.text import check_lengths, check_texts
from chatd.peers.peer import Peer
from chatd.rooms.hosted import HostedRooms, HostSettings
from chatd.rooms.room import OWN, HostedRoom, Member
from chatd.wire.frames import Say

REFUSALS = 10_000  # undelivered rejections per peer, beyond outbox_messages


class RoomPosting:
    def __init__(self, journal: Journal, hosted_rooms: HostedRooms, host_settings: HostSettings) -> None:
        self._journal = journal
        self._hosted_rooms = hosted_rooms
        self._host_settings = host_settings
        self._self = PeerRef(None, host_settings.name, "native", host_settings.node)

    def post(
        self, room: HostedRoom, member: Member, texts: Sequence[str], to: Member | None = None
    ) -> tuple[list[Message], Batch]:
        """Post texts of a plain client or of this node itself; with `to`, privately to that member.

        Raises ControlError for texts of this node that exceed a limit. Texts of plain clients are not checked.
        """
        own = member.kind == OWN
        if own:
            check_texts(texts)
            check_lengths(texts, self._host_settings.text_bytes, self._host_settings.text_chars)
        direction = "out" if own else "in"
        state = "delivered" if own else msgspec.UNSET
        ref = self._self if own else PeerRef(None, member.nick, "plain", None)
        label, nick, ours = room.label, member.nick, f"{self._host_settings.node}/"
        messages = [
            Message(
                direction=direction,
                peer=ref,
                room=label,
                nick=nick,
                room_position=position,
                global_id=ours + position,
                text=text,
                state=state,
            )
            for position, text in zip(self._journal.next_positions(len(texts)), texts, strict=True)
        ]
        if to is not None:
            for message in messages:
                message.to, message.to_node = to.nick, to.node
        batch = self._journal.append_all(messages, room.stream_id, direction)
        self._hosted_rooms.track_append(room, batch)
        return messages, batch

    def receive(self, peer: Peer, says: Sequence[Say]) -> int:
        """Post new messages of another node, in order, and reject those that cannot be posted.

        Return how many were processed: fewer than all if the node has too many undelivered rejections.
        """
        start = 0
        for index, say in enumerate(says):
            refusal = self._refusal(peer, say)
            last = index + 1 == len(says)
            if refusal is not None:
                self._append_run(peer, says[start:index])
                if peer.delivery.outbox.count >= self._host_settings.outbox_messages + REFUSALS:
                    return index
                self._refuse(peer, say, refusal)
                start = index + 1
            elif last or says[index + 1].room != say.room:
                self._append_run(peer, says[start : index + 1])
                start = index + 1
        return len(says)

    def _append_run(self, peer: Peer, says: Sequence[Say]) -> None:
        """Post consecutive messages to one room, none of which is rejected."""
        if not says:
            return
        room = self._hosted_rooms.get(says[0].room)
        assert room is not None  # otherwise it was rejected
        member = room.by_node[peer.node or ""]
        messages = [
            Message(
                direction="in",
                peer=peer.ref,
                room=room.label,
                nick=member.nick,
                room_position=position,
                global_id=f"{peer.node}/{say.epoch}:{say.seq}",
                text=say.text,
            )
            for position, say in zip(self._journal.next_positions(len(says)), says, strict=True)
        ]
        for message, say in zip(messages, says, strict=True):
            if say.to is not None:
                message.to, message.to_node = say.to, say.to_node
        self._hosted_rooms.track_append(room, self._journal.append_all(messages, room.stream_id, "in"))

    def _refusal(self, peer: Peer, say: Say) -> str | None:
        """Why the message cannot be posted; None: it can."""
        room = self._hosted_rooms.get(say.room)
        if room is None:
            return "there is no such room"
        if peer.node not in room.by_node:
            return "banned" if peer.node in room.bans else "not in the room"
        if say.to is None:
            return None
        to = room.named(say.to)
        if to is None:
            return f"there is no {say.to}"
        return None if to.node == say.to_node else f"{say.to} is somebody else by now"

    def _refuse(self, peer: Peer, say: Say, reason: str) -> None:
        """Queue a rejection for the sender."""
        label, global_id = f"{say.room}@{self._host_settings.name}", f"{peer.node}/{say.epoch}:{say.seq}"
        event = RoomRefused(peer=peer.ref, room=label, global_id=global_id, reason=reason)
        batch = self._journal.append(event, peer.stream_id, "out")
        if not batch.done:
            peer.delivery.add_refusal(batch)
