"""Events: what the journal stores, subscriptions carry and `tail` prints. One vocabulary for all three.

An event is immutable once it is appended: `position` and `at` are given by the journal, and `state` is
the one the message began with.
"""

import msgspec

from chatd.api.records import PeerRef


class Event(msgspec.Struct, tag_field="type", kw_only=True, omit_defaults=False, gc=False):
    """What every event has. The journal fills both in when the event is appended."""

    position: str = ""  # "EPOCH:SEQ"
    at: str = ""  # RFC 3339, UTC, milliseconds: when this node appended it


class Message(Event, tag="message", kw_only=True, gc=False):
    """One text, to or from one peer."""

    direction: str  # "in" | "out"
    peer: PeerRef
    room: str | None = None
    nick: str | None = None
    id: str | None = None  # position in its sender's journal; None for a plain inbound one
    re: str | None = None  # the id that it answers
    text: str
    expires: str | msgspec.UnsetType = msgspec.UNSET  # out, with a ttl: not sent any more from then on
    state: str | msgspec.UnsetType = msgspec.UNSET  # out only: "queued"; the last field, see `with_state`


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


class Receipt(Event, tag="receipt", kw_only=True, gc=False):
    """What became of messages to a native peer.

    "delivered" is told once for an acknowledgement: everything to the peer `through` that position, except what was
    told before. "cancelled", "expired" and "rejected" are told of one message, `id`.
    """

    peer: PeerRef
    state: str
    through: str | None = None
    id: str | None = None


class Gap(Event, tag="gap", kw_only=True, gc=False):
    """What lies behind `after` up to and with `through` is missing here, and is not coming.

    With a `peer`: positions of that peer's journal. Without: of this journal (a reader fell below its floor).
    """

    peer: PeerRef | None = None
    after: str | None  # None: from the beginning
    through: str


class DaemonStop(Event, tag="daemon.stop", kw_only=True, gc=False):
    """The last event of a run."""

    reason: str  # "signal" | "shutdown"


class DaemonStart(Event, tag="daemon.start", kw_only=True, gc=False):
    """The first event of a run, and so of its epoch."""

    version: str


AnyEvent = Message | PeerUp | PeerDown | PeerPending | PeerDiverged | Receipt | Gap | DaemonStop | DaemonStart
EVENT_TYPES = (
    *("message", "receipt", "peer.up", "peer.down", "peer.pending", "peer.diverged", "gap"),
    *("daemon.stop", "daemon.start"),
)
QUEUED = b'"state":"queued"}'


def with_state(raw: bytes, state: str) -> bytes:
    """The JSON of an outgoing message, which ends with the state it began with, in another state."""
    return raw.removesuffix(QUEUED) + b'"state":"%s"}' % state.encode() if raw.endswith(QUEUED) else raw
