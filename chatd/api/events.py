"""Events: what the journal stores, subscriptions carry and `tail` prints. One vocabulary for all three.

An event is immutable once it is appended: `position` and `at` are given by the journal, and `state` is
the one the message began with.
"""

import msgspec

from chatd.api.results import PeerRef


class Event(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=False, gc=False):
    """What every event has. The journal fills both in when the event is appended."""

    position: str = ""  # "EPOCH:SEQ"
    at: str = ""  # RFC 3339, UTC, milliseconds: when this node appended it


class Message(Event, tag="message", kw_only=True, gc=False):
    """One text, to or from one peer, or in a room.

    `id` is the message's position in this node's own journal, which no other node can write. `global_id` is
    `NODEID/EPOCH:SEQ`: the authenticated node that the message came from, and its position in that node's journal.
    `re` is the `id` of the message that it answers; null where that message is not known here, or was not sent to
    this peer. `re_global_id` has what the answer names in either case.

    In a room `peer` is its host, or where we host it who said it. `room_position` is the position in the host's
    journal, by which a room is ordered; one that we said to a room of another node gets it with its `receipt`. With
    `to` it was said to that member alone; `to_node` is the id of that nick's node, None for a plain client.
    """

    direction: str  # "in" | "out"
    peer: PeerRef
    room: str | None = None  # "lobby@alice"
    nick: str | None = None  # who said it in the room
    to: str | msgspec.UnsetType = msgspec.UNSET
    to_node: str | msgspec.UnsetType | None = msgspec.UNSET
    room_position: str | msgspec.UnsetType = msgspec.UNSET
    id: str = ""  # the journal fills it in: it is the position
    global_id: str | None = None  # None: direct from a plain peer
    re: str | None = None
    re_global_id: str | msgspec.UnsetType = msgspec.UNSET  # on answers only
    text: str
    expires: str | msgspec.UnsetType = msgspec.UNSET  # out, with a ttl: not sent any more from then on
    state: str | msgspec.UnsetType = msgspec.UNSET  # out only: "queued"; the last field: see journal/rawjson.py


class PeerUp(Event, tag="peer.up", kw_only=True, gc=False):
    """A link to a peer is up."""

    peer: PeerRef
    address: str
    direction: str  # "in" | "out": who dialed


class PeerDown(Event, tag="peer.down", kw_only=True, gc=False):
    """A peer's last link is gone. `unsent` plain messages were accepted and not written."""

    peer: PeerRef
    address: str
    reason: str
    unsent: int = 0


class PeerPending(Event, tag="peer.pending", kw_only=True, gc=False):
    """A stranger asks to talk: `peer accept` or `peer deny` decides."""

    peer: PeerRef
    address: str


class PeerDiverged(Event, tag="peer.diverged", kw_only=True, gc=False):
    """The peer has more of an epoch of ours than our journal: ours was restored from a copy."""

    peer: PeerRef
    theirs: str  # position
    ours: str  # position


class PeerCloned(Event, tag="peer.cloned", kw_only=True, gc=False):
    """Two nodes run with the peer's identity, because its state directory was copied: their epochs alternate."""

    peer: PeerRef
    epochs: list[str]  # of both, the newest first


class Receipt(Event, tag="receipt", kw_only=True, gc=False):
    """What became of messages to a native peer.

    "delivered" is told once for an acknowledgement: everything to the peer `through` that position, except what was
    told before, and what was said in rooms. "cancelled", "expired" and "rejected" are told of one message, `id`. So is
    "delivered" of one that was said in a room of the peer: it has come back, with its `room_position`. What the host
    refused is "rejected" for a `reason`.
    """

    peer: PeerRef
    state: str
    through: str | None = None
    id: str | None = None
    room: str | None = None
    room_position: str | None = None
    reason: str | None = None


class Gap(Event, tag="gap", kw_only=True, gc=False):
    """What lies behind `after` up to and with `through` is missing here, and is not coming.

    With a `peer`: positions of that peer's journal; with a `room` too it is the room's messages that are missing.
    Without a peer: of this journal (a reader fell below its floor).
    """

    peer: PeerRef | None = None
    room: str | None = None
    after: str | None  # None: from the beginning
    through: str


class RoomJoin(Event, tag="room.join", kw_only=True, gc=False):
    """Somebody is in a room. At a member: as its host tells it, with `room_position` the position over there."""

    room: str  # "lobby@alice"
    nick: str
    node: str | None  # None for a plain client
    address: str | None = None  # at the host, of a plain client
    room_position: str


class RoomLeave(Event, tag="room.leave", kw_only=True, gc=False):
    """Somebody is not in a room any more. `reason`: "left", "kicked", "banned", or how a plain client's link ended."""

    room: str
    nick: str
    node: str | None
    reason: str
    room_position: str


class RoomTopic(Event, tag="room.topic", kw_only=True, gc=False):
    """A room has another topic; empty: none."""

    room: str
    text: str
    room_position: str


class RoomGone(Event, tag="room.gone", kw_only=True, gc=False):
    """This node is not in that room any more: it was closed, or its host does not know it, or not want us."""

    room: str
    reason: str


class RoomRefused(Event, tag="room.refused", kw_only=True, gc=False):
    """At the host: what a member said was not taken. It is owed to that member, whose message is `rejected` by it."""

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
