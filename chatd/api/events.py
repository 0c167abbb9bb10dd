"""Events: the same types in the journal, in subscriptions and in the output of `tail`.

An event does not change after it was appended. The journal sets `position` and `at`; the stored `state` is the first
one of the message. Fields are stored in the order of the structs: see journal/rawjson.py before changing it.
"""

import msgspec

from chatd.api.results import PeerRef


class Event(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=False, gc=False):
    """The fields of every event. The journal sets both when it appends the event."""

    position: str = ""  # "EPOCH:SEQ"
    at: str = ""  # RFC 3339, UTC, milliseconds: when this node appended it


class Message(Event, tag="message", kw_only=True, gc=False):
    """One text, to or from one peer, or in a room.

    `id` is the message's position in this node's own journal, which no other node can write. `global_id` is
    `NODEID/EPOCH:SEQ`: the authenticated node that sent the message, and its position in that node's journal. `re` is
    the `id` of the message that this one answers; null if that message is unknown here, or was not sent to this peer.
    `re_global_id` contains what the answer names in either case.

    In a joined room `peer` is the host; in a hosted room it is the sender. `room_position` is the position in the
    host's journal, which orders the room; our message to a joined room gets it with its `receipt`. With `to` the
    message is for that member alone; `to_node` is the member's node id, None for a plain client.
    """

    direction: str  # "in" | "out"
    peer: PeerRef
    room: str | None = None  # "lobby@alice"
    nick: str | None = None  # of the sender, in a room
    to: str | msgspec.UnsetType = msgspec.UNSET
    to_node: str | msgspec.UnsetType | None = msgspec.UNSET
    room_position: str | msgspec.UnsetType = msgspec.UNSET
    id: str = ""  # set by the journal: the position
    global_id: str | None = None  # None: direct from a plain peer
    re: str | None = None
    re_global_id: str | msgspec.UnsetType = msgspec.UNSET  # on answers only
    text: str
    expires: str | msgspec.UnsetType = msgspec.UNSET  # out, with a ttl: not sent after this time
    state: str | msgspec.UnsetType = msgspec.UNSET  # out only: "queued"; the last field: see journal/rawjson.py


class PeerUp(Event, tag="peer.up", kw_only=True, gc=False):
    """A link to a peer came up."""

    peer: PeerRef
    address: str
    direction: str  # "in" | "out": who dialed


class PeerDown(Event, tag="peer.down", kw_only=True, gc=False):
    """A peer's last link ended. `unsent` is the number of plain messages that were accepted and not written."""

    peer: PeerRef
    address: str
    reason: str
    unsent: int = 0


class PeerPending(Event, tag="peer.pending", kw_only=True, gc=False):
    """A stranger wants to connect: `peer accept` or `peer deny` decides."""

    peer: PeerRef
    address: str


class PeerDiverged(Event, tag="peer.diverged", kw_only=True, gc=False):
    """The peer has more events of one of our epochs than our journal, which was restored from a copy."""

    peer: PeerRef
    theirs: str  # position
    ours: str  # position


class PeerCloned(Event, tag="peer.cloned", kw_only=True, gc=False):
    """Two nodes run with the peer's identity, because its state directory was copied: their epochs alternate."""

    peer: PeerRef
    epochs: list[str]  # of both, newest first


class Receipt(Event, tag="receipt", kw_only=True, gc=False):
    """The final state of messages to a native peer.

    "delivered" with `through`: the peer has acknowledged everything up to and including that position, except earlier
    receipts and messages in rooms. "cancelled", "expired" and "rejected" are for one message, `id`. So is "delivered"
    of a message in a room of the peer: the host has placed it, at `room_position`. The host gives a `reason` when it
    rejects a message.
    """

    peer: PeerRef
    state: str
    through: str | None = None
    id: str | None = None
    room: str | None = None
    room_position: str | None = None
    reason: str | None = None


class Gap(Event, tag="gap", kw_only=True, gc=False):
    """Events after `after`, up to and including `through`, are missing here and will not come.

    With a `peer`: positions in that peer's journal; with a `room` too, only messages of the room are missing. Without a
    peer: positions in this journal (a reader fell below its floor).
    """

    peer: PeerRef | None = None
    room: str | None = None
    after: str | None  # None: from the beginning
    through: str


class RoomJoin(Event, tag="room.join", kw_only=True, gc=False):
    """A member joined a room. `room_position` is the position in the host's journal."""

    room: str  # "lobby@alice"
    nick: str
    node: str | None  # None for a plain client
    address: str | None = None  # at the host, of a plain client
    room_position: str


class RoomLeave(Event, tag="room.leave", kw_only=True, gc=False):
    """A member left a room. `reason`: "left", "kicked", "banned", or how the link of a plain client ended."""

    room: str
    nick: str
    node: str | None
    reason: str
    room_position: str


class RoomTopic(Event, tag="room.topic", kw_only=True, gc=False):
    """The topic of a room changed; empty: none."""

    room: str
    text: str
    room_position: str


class RoomGone(Event, tag="room.gone", kw_only=True, gc=False):
    """This node is no longer a member of a room: it was closed, or its host does not know it, or removed us."""

    room: str
    reason: str


class RoomRefused(Event, tag="room.refused", kw_only=True, gc=False):
    """At the host: a member's message was rejected. The event is sent to that member, which marks it `rejected`."""

    peer: PeerRef
    room: str
    global_id: str  # of the message
    reason: str


class DaemonStop(Event, tag="daemon.stop", kw_only=True, gc=False):
    """The last event of a run."""

    reason: str  # "signal" | "shutdown" | "storage" | "storage_lost"


class DaemonStart(Event, tag="daemon.start", kw_only=True, gc=False):
    """The first event of a run, and so of its epoch."""

    version: str


RoomEvent = RoomJoin | RoomLeave | RoomTopic | RoomGone | RoomRefused
AnyEvent = (
    Message
    | PeerUp
    | PeerDown
    | PeerPending
    | PeerDiverged
    | PeerCloned
    | Receipt
    | Gap
    | RoomEvent
    | DaemonStop
    | DaemonStart
)
EVENT_TYPES = (
    *("message", "receipt", "peer.up", "peer.down", "peer.pending", "peer.diverged", "peer.cloned", "gap"),
    *("room.join", "room.leave", "room.topic", "room.gone", "room.refused", "daemon.stop", "daemon.start"),
)
