"""Records: the nouns that results carry and `--json` prints. Fields are only ever added.

Times are RFC 3339 in UTC with milliseconds (`2026-11-21T03:00:00.000Z`); positions are `EPOCH:SEQ`.
"""

import msgspec


class PeerRef(msgspec.Struct, frozen=True, gc=False):
    """Who a message is with, as events carry it. Somebody in a room of this node who is no peer of it has no slot."""

    slot: int | None
    name: str
    kind: str  # "native" | "plain"
    node: str | None  # 52 characters; None for a plain peer


class Impairment(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one direction of a link suffers on purpose."""

    delay: float = 0.0  # seconds that everything takes longer
    jitter: float = 0.0  # seconds by which that varies at most, up and down; nothing overtakes
    loss: float = 0.0  # the share of segments that TCP has to send again: 0 to less than 1
    rate: int = 0  # bytes a second at most; 0: no limit
    cut: bool = False  # nothing gets through, and nobody is told
    flap: float = 0.0  # seconds: cut for so long, then open for so long, and again; 0: not


class LinkFaults(msgspec.Struct, frozen=True, rename={"in_": "in"}):
    """The faults of all links to one peer. `until`: they end by themselves, and what was before comes back."""

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
    since: str  # when it came into that state
    reason: str | None  # why it is down
    rtt_ms: float | None
    queued: int  # committed here, not acknowledged (native) or not written (plain)
    received: int  # messages taken from it in this run
    sent: int  # messages written to it in this run
    desired: bool  # a standing wish: it is redialed
    trust: str | None  # "accepted" | "denied" | None: what was decided by `peer accept` and `peer deny`
    dialect: str | None  # "address" | "name" | None: a room server in which we are a plain client
    faults: LinkFaults | None = None  # what its links suffer on purpose; None: nothing
    cloned: bool = False  # two nodes with its identity are running


class PeerList(msgspec.Struct, frozen=True):
    """Result of `list`, in slot order."""

    peers: list[PeerRecord]


class PeerResult(msgspec.Struct, frozen=True):
    """Result of `connect` and the `peer` verbs."""

    peer: PeerRecord


class Terminated(msgspec.Struct, frozen=True):
    """Result of `terminate`: `queued` messages were accepted for it and not delivered within the deadline."""

    peer: PeerRecord
    queued: int


class Sent(msgspec.Struct, frozen=True, gc=False):
    """Result of `send`: `id` is the message's position in this node's journal."""

    id: str
    state: str  # "queued": committed here; with `wait`, or for a `key` that was known, the one it has now
    peer: PeerRef
    room: str | msgspec.UnsetType = msgspec.UNSET  # `room.say`: where it was said


class Found(msgspec.Struct, frozen=True):
    """Result of `msg`: the message, with the state it has now if it went out."""

    message: msgspec.Raw


class Cancelled(msgspec.Struct, frozen=True):
    """Result of `cancel`: "cancelled"; or "sent" where the peer may have it: it is not sent again, the peer decides."""

    id: str
    state: str


class Answer(msgspec.Struct, frozen=True):
    """Result of `ask`: the id of the question, and the message that answers it."""

    id: str
    answer: msgspec.Raw


class ConsumerRecord(msgspec.Struct, frozen=True):
    """One line of `consumers`."""

    name: str
    position: str  # acknowledged up to there
    lag: int  # committed events behind that which it is to get
    held: bool  # somebody reads as it
    last_seen: str  # when somebody last did, or acknowledged
    filter: msgspec.Raw  # as given to `subscribe`, or {}


class ConsumerList(msgspec.Struct, frozen=True):
    """Result of `consumers`, by name."""

    consumers: list[ConsumerRecord]


class Acked(msgspec.Struct, frozen=True):
    """Result of `ack` and `consumer.remove`: where the consumer is, or was."""

    consumer: str
    position: str


class RoomRecord(msgspec.Struct, frozen=True):
    """One line of `room list`."""

    room: str  # "lobby@alice"
    host: str  # node id
    hosted: bool  # by this node
    nick: str | None  # ours, while we are in it
    topic: str
    users: int  # in it, as far as we know
    state: str  # "up" | "away": its host has no link with us


class RoomList(msgspec.Struct, frozen=True):
    """Result of `room.list`, by name."""

    rooms: list[RoomRecord]


class RoomResult(msgspec.Struct, frozen=True):
    """Result of the verbs that change a room or who is in it."""

    room: RoomRecord


class UserRecord(msgspec.Struct, frozen=True):
    """Somebody in a room."""

    nick: str
    kind: str  # "native" | "plain"
    node: str | None  # of a native one
    here: bool  # its host has a link with it
    address: str | None  # at the host, of a plain one


class UserList(msgspec.Struct, frozen=True):
    """Result of `room.users`, in the order in which they came. `fresh`: the host has just said so."""

    room: str
    topic: str
    users: list[UserRecord]
    fresh: bool


class PeerCounts(msgspec.Struct, frozen=True):
    """How many peers are in which state."""

    up: int
    dialing: int
    down: int
    pending: int


class JournalStatus(msgspec.Struct, frozen=True):
    """How the journal is doing. Sizes in bytes."""

    path: str
    synchronous: str  # "full"
    schema: int
    position: str  # the newest committed one
    bytes: int
    full: bool  # the last write met a full (or read-only) disk
    oldest: str | None  # what lies up to and with this position is gone (retention); None: nothing is
    owed: int  # messages that native peers have not acknowledged
    owed_bytes: int


class FaultsStatus(msgspec.Struct, frozen=True):
    """Faults on purpose: whether `link` may make them, and how many peers have some."""

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
    security: str  # one sentence: who may talk to this node
    trust: str
    plain: str
    peers: PeerCounts
    rooms: int  # hosted here, or of others that this node is in
    room_ports: list[str]  # where plain clients come into rooms
    sessions: int
    journal: JournalStatus
    faults: FaultsStatus


class Whoami(msgspec.Struct, frozen=True):
    """Result of `whoami`."""

    name: str
    node: str


class MyIp(msgspec.Struct, frozen=True):
    """Result of `myip`: `ip` is the one to give to others; `all` every address of this machine, best first."""

    ip: str
    all: list[str]


class MyPort(msgspec.Struct, frozen=True):
    """Result of `myport`: the port of the first listener."""

    port: int


class Health(msgspec.Struct, frozen=True):
    """Result of `health`: `problems` is empty when `healthy`; `warnings` do not make it unhealthy."""

    healthy: bool
    problems: list[str]
    warnings: list[str]


class Waited(msgspec.Struct, frozen=True):
    """Result of `wait`: the peers that fulfilled it; for "delivered" the one it was delivered to."""

    peers: list[PeerRecord]


class Subscribed(msgspec.Struct, frozen=True):
    """Result of `subscribe`: `snapshot` is the state at `position`, the newest when it began; up to it is replay.

    `after` is where it reads from. A consumer's holder that loses it to another gets a notification `ended`, with the
    subscription's number and an error object.
    """

    subscription: int
    position: str
    after: str
    snapshot: PeerList


class Empty(msgspec.Struct, frozen=True):
    """Result of a verb that has nothing to say."""


class HistoryPage(msgspec.Struct, frozen=True):
    """Result of `history`: `next` is the position to go on from, None when there is no more."""

    events: list[msgspec.Raw]
    next: str | None


class Measured(msgspec.Struct, frozen=True):
    """What one direction of a peer's links did since faults were last set on it; None where nothing went through."""

    bytes: int
    segments: int  # as TCP would cut them, of 1448 bytes at most
    resent: int  # of these the ones that were lost at least once
    delay_s: float | None  # the mean time that a byte was held here, waiting for the rate counted
    rate: float | None  # bytes a second while something was on its way


class LinkRecord(msgspec.Struct, frozen=True, rename={"in_": "in"}):
    """One line of `link`."""

    peer: PeerRef
    state: str  # as in `list`
    faults: LinkFaults | None
    out: Measured | None  # None: no link of it ever had a fault
    in_: Measured | None


class LinkList(msgspec.Struct, frozen=True):
    """Result of `link`: the peers that were named; all that are up or have faults where none was."""

    allowed: bool
    default: LinkFaults | None  # what peers that come from now on get: `--all`
    links: list[LinkRecord]


class TopologyLink(msgspec.Struct, frozen=True):
    """One link of a node, as that node sees it."""

    node: str
    name: str
    state: str  # "up" | "dialing" | "pending" | "down"
    rtt_ms: float | None


class TopologyNode(msgspec.Struct, frozen=True):
    """One node of the network. Those that did not answer are known from their neighbours."""

    node: str
    name: str
    # "answered" | "private": it does not say more | "silent": no answer in time | "unasked": too far away, or no link
    # that is up leads there
    status: str
    hops: int | None  # from this node, over links that are up; None: no way is known
    plain: int | None  # plain peers it is connected with
    links: list[TopologyLink]


class Topology(msgspec.Struct, frozen=True):
    """Result of `topo`: this node first, then by hops and name. `complete`: all that were asked have answered."""

    nodes: list[TopologyNode]
    complete: bool
    elapsed_ms: float


class Pinged(msgspec.Struct, frozen=True):
    """Result of `ping`. `clock_ms`: how far the peer's clock is before ours, within half of the round trip."""

    peer: PeerRef
    rtt_ms: float
    clock_ms: float | None


class Step(msgspec.Struct, frozen=True):
    """One step of a message's life."""

    step: str  # "accepted" | "committed" | "sent" | "arrived" | "acknowledged" | "taken" | "rejected" | …
    node: str  # the name of the node where it happened
    here: bool  # that is this node
    done: bool  # False: not yet
    at: str | None  # by that node's clock; None: not yet, or the time was not kept
    at_here: str | None  # the same moment by this node's clock, as far as known
    consumer: str | None  # "taken": who took it
    after_ms: float | None = None  # since the first step, by this node's clock, as far as known


class Traced(msgspec.Struct, frozen=True):
    """Result of `trace`. `silent`: why the other end has said nothing of it; None: it has.

    `clock_ms` is how far its clock is before ours, give or take `clock_error_ms`.
    """

    id: str
    global_id: str | None
    direction: str
    peer: PeerRef
    room: str | None
    steps: list[Step]
    clock_ms: float | None
    clock_error_ms: float | None
    silent: str | None
    room_position: str | None = None  # where it stands in another node's room, as far as known


class Tallied(msgspec.Struct, frozen=True):
    """Result of `tally`: of the messages of that range, as they lie in the peer's journal, and how many different."""

    peer: PeerRef
    messages: int
    distinct: int
