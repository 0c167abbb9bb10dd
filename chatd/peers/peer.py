"""Peer: another program that this node has, had or wants a connection with, and its live links.

Owns what is known about the peer; the messages to it belong to its `Delivery`. Other modules read the attributes and
change them by calling methods. Knows no sockets: PeerLink is the part of a live connection that the core may use.
"""

from typing import Protocol

from chatd.api.results import LinkFaults, PeerRecord, PeerRef
from chatd.journal.batch import Batch
from chatd.peers.delivery import Delivery
from chatd.peers.epochs import PeerEpochs
from chatd.peers.names import SHORT_ID
from chatd.runtime import stamp
from chatd.sync import Broadcast


class PeerLink(Protocol):
    """The part of a live connection that the core may use. No method waits."""

    direction: str  # "in" | "out": who dialed
    address: str  # "HOST:PORT" of the other end
    reason: str | None  # why it ended
    unsent: int  # plain: messages that were accepted for this link and never written

    def close(self, reason: str) -> None:
        """Send a goodbye if the protocol has one, then close. The first reason is kept."""


class NativeLink(PeerLink, Protocol):
    """A link to another chatd."""

    epoch: str  # of the peer's journal
    lost: bool  # the peer has dropped it: everything written to it after the watermark of the peer's `Hello` is lost

    def drop(self, reason: str) -> None:
        """Close at once: nothing is received from it any longer."""

    def declare(self) -> None:
        """Send the peer the list of its rooms that this node is in."""


class PlainLink(PeerLink, Protocol):
    """A link without acknowledgements, with a queue of its own."""

    waiting: int  # messages in the queue
    full: bool  # the queue has no capacity

    def check(self, text: str) -> None:
        """Raise TextRefused (wire/lines.py) for a text that cannot be sent to the peer."""

    def enqueue(self, seq: int, text: str, batch: Batch) -> None:
        """Write the text once the batch is committed."""


class Peer:
    """One peer. `stream_id` indexes its events in the journal and its row; `slot` is the number that people type."""

    __slots__ = (
        "address",
        "changed",
        "delivery",
        "dialect",
        "epochs",
        "faults",
        "kind",
        "known",
        "links",
        "name",
        "nick",
        "node",
        "opening",
        "pending_reported",
        "persistent_addresses",
        "pinned",
        "reason",
        "received",
        "ref",
        "remembered",
        "rtt_ms",
        "since",
        "slot",
        "state",
        "stream_id",
        "terminated",
        "text_bytes",
        "text_chars",
        "trust",
    )

    def __init__(
        self,
        stream_id: int,
        slot: int,
        kind: str,
        name: str,
        node: str | None,
        address: str | None,
        delivery: Delivery,
        since: float = 0.0,
    ) -> None:
        self.stream_id = stream_id
        self.slot = slot
        self.kind = kind  # "native" | "plain"
        self.name = name
        self.node = node
        self.address = address  # "HOST:PORT": dialed last, or the peer's end of its last connection
        self.dialect: str | None = None  # plain, a room server: "address" | "name"
        self.nick = ""  # plain, a room server: the nick of this node there
        self.state = "down"
        self.since = since  # wall time
        self.reason: str | None = None  # of the state, for people
        self.links: list[PeerLink] = []
        self.persistent_addresses: list[str] = []  # addresses that are redialed, the next one first
        self.trust: str | None = None
        self.known = False  # dialed, accepted, named or configured here, or sent to; otherwise a stranger
        self.pinned = False  # its name is the first one that it announced, or was given here
        self.remembered = False  # it has a row in the journal
        self.terminated = False  # by this node, and no `connect` from either side since
        self.pending_reported = False  # the event `peer.pending` was appended in this run
        self.faults: LinkFaults | None = None  # impairments of its links, made on purpose
        self.rtt_ms: float | None = None
        self.received = 0  # messages in this run
        self.text_bytes = self.text_chars = 0  # limits of its last `Hello`; 0: unknown, or no limit
        self.delivery = delivery
        self.epochs = PeerEpochs()
        self.opening: Batch | None = None  # commits that a link is open
        self.changed = Broadcast()  # state, links or persistent addresses; the registry's is notified too
        self.ref = PeerRef(slot, name, kind, node)

    # -- changes

    def recall(self, *, pinned: bool, trust: str | None, terminated: bool, known: bool) -> None:
        """Restore the values of its row."""
        self.pinned, self.trust, self.terminated, self.known = pinned, trust, terminated, known
        self.remembered = True
        self.reason = "terminated" if terminated else None

    def rename(self, name: str, node: str | None, *, pinned: bool) -> None:
        """Set its name, and the node id that a link has authenticated."""
        self.name, self.node, self.pinned = name, node, pinned
        self.ref = PeerRef(self.slot, name, self.kind, node)

    def set_known(self) -> None:
        self.known = True

    def set_remembered(self, *, remembered: bool) -> None:
        """Record whether the peer has a row in the journal, now or with the next commit."""
        self.remembered = remembered

    def set_trust(self, trust: str) -> None:
        """Record the decision "accepted" or "denied"."""
        self.trust = trust

    def set_terminated(self, *, terminated: bool) -> None:
        self.terminated = terminated

    def set_state(self, state: str, reason: str | None, at: float) -> None:
        """Set state and reason. `at`, the wall time, becomes `since` if the state has changed."""
        if state != self.state:
            self.state, self.since = state, at
        self.reason = reason

    def set_pending_reported(self) -> None:
        self.pending_reported = True

    def attach(self, link: PeerLink) -> None:
        self.links.append(link)
        self.delivery.set_open(is_open=self.kind == "native")

    def detach(self, link: PeerLink) -> None:
        self.links.remove(link)
        self.delivery.set_open(is_open=self.kind == "native" and self.is_up)

    def set_opening(self, batch: Batch) -> None:
        """Set the batch that commits the fact that a link is open."""
        self.opening = batch

    def set_address(self, address: str | None) -> None:
        self.address = address

    def set_dialect(self, dialect: str | None, nick: str) -> None:
        """Set the dialect in which this node talks to a room server, and its nick there."""
        self.dialect, self.nick = dialect, nick

    def dial_first(self, address: str) -> None:
        """Make that address the first of the persistent ones; add it if it is new."""
        if address in self.persistent_addresses:
            self.persistent_addresses.remove(address)
        self.persistent_addresses.insert(0, address)

    def dial_last(self, address: str) -> None:
        """Make that address the last of the persistent ones; add it if it is new."""
        if address in self.persistent_addresses:
            self.persistent_addresses.remove(address)
        self.persistent_addresses.append(address)

    def stop_dialing(self, address: str) -> None:
        self.persistent_addresses.remove(address)

    def set_faults(self, faults: LinkFaults | None) -> None:
        self.faults = faults

    def set_rtt(self, rtt_ms: float) -> None:
        self.rtt_ms = rtt_ms

    def set_text_limits(self, text_bytes: int, text_chars: int) -> None:
        """Limits of one text from its `Hello`: bytes of UTF-8 and characters, 0 for no limit."""
        self.text_bytes, self.text_chars = text_bytes, text_chars

    def count_received(self, messages: int) -> None:
        self.received += messages

    # -- views

    @property
    def is_cloned(self) -> bool:
        """Whether two nodes with its identity are running."""
        return self.epochs.alternate

    @property
    def is_up(self) -> bool:
        return bool(self.links)

    @property
    def link(self) -> PeerLink | None:
        """Newest open link, the one to send on. A closing link may still be in `links`."""
        for link in reversed(self.links):
            if link.reason is None:
                return link
        return None

    @property
    def shown(self) -> str:
        """Name and short node id, for errors and for names of tasks."""
        return f"{self.name} ({self.node[:SHORT_ID]})" if self.node else self.name

    @property
    def log_fields(self) -> dict[str, object]:
        """Fields of a log line about this peer. A plain peer has no node id."""
        return {"peer": self.name, "node": self.node} if self.node else {"peer": self.name}

    def record(self) -> PeerRecord:
        """Record for `chatctl list`."""
        link = self.link or (self.links[-1] if self.links else None)
        waiting = sum(getattr(link, "waiting", 0) for link in self.links)
        return PeerRecord(
            slot=self.slot,
            name=self.name,
            kind=self.kind,
            node=self.node,
            address=link.address if link else self.address,
            direction=link.direction if link else None,
            state=self.state,
            since=stamp(self.since),
            reason=self.reason,
            rtt_ms=self.rtt_ms,
            queued=self.delivery.outbox.count if self.kind == "native" else waiting,
            received=self.received,
            sent=self.delivery.sent,
            desired=bool(self.persistent_addresses),
            trust=self.trust,
            dialect=self.dialect,
            faults=self.faults,
            cloned=self.is_cloned,
        )
