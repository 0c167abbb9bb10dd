"""Results about links and the network: `link`, `topo`, `ping`, `trace` and `tally`. Fields are only ever added.

Times are RFC 3339 in UTC with milliseconds (`2026-11-21T03:00:00.000Z`); positions are `EPOCH:SEQ`.
"""

import msgspec

from chatd.api.results import LinkFaults, PeerRef


class Measured(msgspec.Struct, frozen=True):
    """Measurements of one direction of a peer's links since its faults were last set; None without traffic."""

    bytes: int
    segments: int  # TCP segments, of 1448 bytes at most
    resent: int  # segments that were lost at least once
    delay_s: float | None  # the mean time that a byte was delayed here, including the wait for the rate
    rate: float | None  # bytes per second while something was in transit


class LinkRecord(msgspec.Struct, frozen=True, rename={"in_": "in"}):
    """One line of `link`."""

    peer: PeerRef
    state: str  # as in `list`
    faults: LinkFaults | None
    out: Measured | None  # None: none of its links ever had a fault
    in_: Measured | None


class LinkList(msgspec.Struct, frozen=True):
    """Result of `link`: the peers that were named, or all that are up or have faults."""

    allowed: bool
    default: LinkFaults | None  # the faults of future peers: `--all`
    links: list[LinkRecord]


class TopologyLink(msgspec.Struct, frozen=True):
    """One link of a node, as reported by that node."""

    node: str
    name: str
    state: str  # "up" | "dialing" | "pending" | "down"
    rtt_ms: float | None


class TopologyNode(msgspec.Struct, frozen=True):
    """One node of the network. A node without an answer is known from its neighbours."""

    node: str
    name: str
    # "answered" | "private": it reports no links | "silent": no answer in time | "unasked": too far away, or not
    # reachable over links that are up
    status: str
    hops: int | None  # from this node, over links that are up; None: no path is known
    plain: int | None  # number of its connected plain peers
    links: list[TopologyLink]


class Topology(msgspec.Struct, frozen=True):
    """Result of `topo`: this node first, then by hops and name. `complete`: all nodes that were asked have answered."""

    nodes: list[TopologyNode]
    complete: bool
    elapsed_ms: float


class Pinged(msgspec.Struct, frozen=True):
    """Result of `ping`. `clock_ms`: how far the peer's clock is ahead of ours, with an error of half the round trip."""

    peer: PeerRef
    rtt_ms: float
    clock_ms: float | None


class Step(msgspec.Struct, frozen=True):
    """One step of a message, e.g. its commit at the receiver."""

    step: str  # "accepted" | "committed" | "sent" | "arrived" | "acknowledged" | "taken" | "rejected" | …
    node: str  # the name of the node where it happened
    here: bool  # whether that is this node
    done: bool  # False: not yet
    at: str | None  # by that node's clock; None: not yet, or the time is unknown
    at_here: str | None  # the same by this node's clock, if known
    consumer: str | None  # for "taken": its name
    after_ms: float | None = None  # since the first step, by this node's clock, if known


class Traced(msgspec.Struct, frozen=True):
    """Result of `trace`. `silent`: why the other end has reported nothing; None: it has.

    `clock_ms` is how far its clock is ahead of ours, plus or minus `clock_error_ms`.
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
    room_position: str | None = None  # in a joined room, if known


class Tallied(msgspec.Struct, frozen=True):
    """Result of `tally`: the number of messages of the range in the peer's journal, and of distinct ones."""

    peer: PeerRef
    messages: int
    distinct: int
