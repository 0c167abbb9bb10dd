"""The results of methods, and the records in them, as `--json` prints them. Fields are only ever added.

api/network.py contains those about links and the network.

Times are RFC 3339 in UTC with milliseconds (`2026-11-21T03:00:00.000Z`); positions are `EPOCH:SEQ`.
"""

import msgspec


class PeerRef(msgspec.Struct, frozen=True, gc=False):
    """A peer in an event. A member of a hosted room that is no peer of this node has no slot."""

    slot: int | None
    name: str
    kind: str  # "native" | "plain"
    node: str | None  # 52 characters; None for a plain peer


class Impairment(msgspec.Struct, frozen=True, omit_defaults=True):
    """The faults of one direction of a link."""

    delay: float = 0.0  # seconds added to everything
    jitter: float = 0.0  # seconds by which the delay varies at most, up and down; the order stays
    loss: float = 0.0  # the fraction of segments that TCP must resend: 0 to less than 1
    rate: int = 0  # bytes per second at most; 0: no limit
    cut: bool = False  # nothing gets through, without an error
    flap: float = 0.0  # seconds: alternately cut and open for that long; 0: no flapping


class LinkFaults(msgspec.Struct, frozen=True, rename={"in_": "in"}):
    """The faults of all links to one peer. `until`: when the previous faults return."""

    out: Impairment = Impairment()  # what we write
    in_: Impairment = Impairment()  # what we read
    until: str | None = None


class PeerRecord(msgspec.Struct, frozen=True):
    """One line of `list`."""

    slot: int
    name: str
    kind: str  # "native" | "plain"
    node: str | None
    address: str | None  # "HOST:PORT", as connected or last dialed
    direction: str | None  # "in" | "out": who dialed
    state: str  # "up" | "dialing" | "down" | "pending"
    since: str  # when it entered that state
    reason: str | None  # why it is down
    rtt_ms: float | None
    queued: int  # committed here, not acknowledged (native) or not written (plain)
    received: int  # messages received from it since the start
    sent: int  # messages written to it since the start
    desired: bool  # a persistent peer: it is redialed
    trust: str | None  # "accepted" | "denied" | None: what was decided by `peer accept` and `peer deny`
    dialect: str | None  # "address" | "name" | None: a room server in which we are a plain client
    faults: LinkFaults | None = None  # of its links; None: none
    cloned: bool = False  # two nodes run with its identity


class PeerList(msgspec.Struct, frozen=True):
    """Result of `list`, in slot order."""

    peers: list[PeerRecord]


class PeerResult(msgspec.Struct, frozen=True):
    """Result of `connect` and the `peer` verbs."""

    peer: PeerRecord


class Terminated(msgspec.Struct, frozen=True):
    """Result of `terminate`: `queued` is the number of messages that were not delivered within the deadline."""

    peer: PeerRecord
    queued: int


class Sent(msgspec.Struct, frozen=True, gc=False):
    """Result of `send`: `id` is the message's position in this node's journal."""

    id: str
    state: str  # "queued": committed here; with `wait`, or a repeated `key`, the present state
    peer: PeerRef
    room: str | msgspec.UnsetType = msgspec.UNSET  # for `room.say`


class Found(msgspec.Struct, frozen=True):
    """Result of `msg`: the message; an outgoing one with its present state."""

    message: msgspec.Raw


class Cancelled(msgspec.Struct, frozen=True):
    """Result of `cancel`: "cancelled"; or "sent" if the peer may have it: it is not sent again."""

    id: str
    state: str


class Answer(msgspec.Struct, frozen=True):
    """Result of `ask`: the id of the question, and the message that answers it."""

    id: str
    answer: msgspec.Raw


class ConsumerRecord(msgspec.Struct, frozen=True):
    """One line of `consumers`."""

    name: str
    position: str  # acknowledged up to and including this position
    lag: int  # committed events after that which its filter selects
    held: bool  # whether it has a reader
    last_seen: str  # when it last had a reader, or acknowledged
    filter: msgspec.Raw  # as given to `subscribe`, or {}


class ConsumerList(msgspec.Struct, frozen=True):
    """Result of `consumers`, by name."""

    consumers: list[ConsumerRecord]


class Acked(msgspec.Struct, frozen=True):
    """Result of `ack` and `consumer.remove`: the position of the consumer."""

    consumer: str
    position: str


class RoomRecord(msgspec.Struct, frozen=True):
    """One line of `room list`."""

    room: str  # "lobby@alice"
    host: str  # node id
    hosted: bool  # by this node
    nick: str | None  # ours, while this node is a member
    topic: str
    users: int  # number of members, as far as known
    state: str  # "up" | "away": the host is not connected


class RoomList(msgspec.Struct, frozen=True):
    """Result of `room.list`, by name."""

    rooms: list[RoomRecord]


class RoomResult(msgspec.Struct, frozen=True):
    """Result of the methods that change a room or its members."""

    room: RoomRecord


class UserRecord(msgspec.Struct, frozen=True):
    """A member of a room."""

    nick: str
    kind: str  # "native" | "plain"
    node: str | None  # of a native member
    here: bool  # whether the host is connected with it
    address: str | None  # at the host, of a plain member


class UserList(msgspec.Struct, frozen=True):
    """Result of `room.users`, in the order in which they joined. `fresh`: the host has just confirmed the list."""

    room: str
    topic: str
    users: list[UserRecord]
    fresh: bool


class PeerCounts(msgspec.Struct, frozen=True):
    """The number of peers per state."""

    up: int
    dialing: int
    down: int
    pending: int


class JournalStatus(msgspec.Struct, frozen=True):
    """The state of the journal. Sizes are in bytes."""

    path: str
    synchronous: str  # "full"
    schema: int
    position: str  # the newest committed position
    bytes: int
    full: bool  # the last write failed because the disk is full or read-only
    oldest: str | None  # events up to and including it are deleted (retention); None: none are
    owed: int  # messages in the outboxes of native peers
    owed_bytes: int


class FaultsStatus(msgspec.Struct, frozen=True):
    """Link faults: whether `link` may set them, and the number of peers with faults."""

    allowed: bool
    peers: int


class Status(msgspec.Struct, frozen=True):
    """Result of `status`."""

    node: str
    name: str
    epoch: str
    version: str
    pid: int
    listen: list[str]
    socket: str
    state: str  # the state directory
    uptime_s: float
    security: str  # one sentence: who can connect to this node
    trust: str
    plain: str
    peers: PeerCounts
    rooms: int  # hosted and joined rooms
    room_ports: list[str]  # addresses at which plain clients join rooms
    sessions: int
    journal: JournalStatus
    faults: FaultsStatus


class Whoami(msgspec.Struct, frozen=True):
    """Result of `whoami`."""

    name: str
    node: str


class MyIp(msgspec.Struct, frozen=True):
    """Result of `myip`: `ip` is the best address for other machines; `all` every address of this one, best first."""

    ip: str
    all: list[str]


class MyPort(msgspec.Struct, frozen=True):
    """Result of `myport`: the port of the first listener."""

    port: int


class Health(msgspec.Struct, frozen=True):
    """Result of `health`: `problems` is empty if `healthy`; `warnings` do not make a node unhealthy."""

    healthy: bool
    problems: list[str]
    warnings: list[str]


class Waited(msgspec.Struct, frozen=True):
    """Result of `wait`: the peers that meet the condition; for "delivered" the receiver."""

    peers: list[PeerRecord]


class Subscribed(msgspec.Struct, frozen=True):
    """Result of `subscribe`: `snapshot` is the state at `position`, the newest one; events up to it are replay.

    Reading starts after `after`. If another client takes the consumer over, this one gets a notification `ended` with
    the subscription's number and an error object.
    """

    subscription: int
    position: str
    after: str
    snapshot: PeerList


class Empty(msgspec.Struct, frozen=True):
    """Result of a method without result fields."""


class HistoryPage(msgspec.Struct, frozen=True):
    """Result of `history`: `next` is the start of the next page; None on the last one."""

    events: list[msgspec.Raw]
    next: str | None
