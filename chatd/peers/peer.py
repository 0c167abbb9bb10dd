"""Peer: another program that this node has, had or wants a connection with, and its live links.

Owns what is known of the peer itself; the messages that go to it are its `Delivery`. Other modules read the attributes
and change them by calling methods. Knows no sockets: PeerLink says what the core may do with a live connection.
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
    """A live connection, as far as the core may use it. No method waits."""

    direction: str  # "in" | "out": who dialed
    address: str  # "HOST:PORT" of the other end
    reason: str | None  # why it ended
    unsent: int  # plain: messages that were accepted for this link and never written

    def close(self, reason: str) -> None:
        """Say goodbye if the protocol has a word for it, then close. The first reason stays."""


class NativeLink(PeerLink, Protocol):
    """A link to another chatd."""

    epoch: str  # of the peer's journal
    lost: bool  # the peer has dropped it: what was written to it and is not in the peer's `Hello` never arrives

    def drop(self, reason: str) -> None:
        """Close at once: nothing is received from it any longer."""

    def declare(self) -> None:
        """Tell the peer which of its rooms this node is in."""


class PlainLink(PeerLink, Protocol):
    """A link without acknowledgements: messages are handed to it."""

    waiting: int  # messages handed over and not written
    full: bool  # no more messages fit

    def check(self, text: str) -> None:
        """Raise TextRefused (wire/lines.py) for a text that the peer cannot be sent."""

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
        self.address = address  # "HOST:PORT" that was dialed last, or from where it connected
        self.dialect: str | None = None  # plain, a room server: "address" | "name"
        self.nick = ""  # plain, a room server: the name under which this node enters
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
        self.delivery = delivery  # the messages that go to it
        self.epochs = PeerEpochs()
        self.opening: Batch | None = None  # records in the journal that a link is open
        self.changed = Broadcast()  # state, links or persistent addresses; the registry's is notified too
        self.ref = PeerRef(slot, name, kind, node)

    # -- changes

    def recall(self, *, pinned: bool, trust: str | None, terminated: bool, known: bool) -> None:
        """Restore the values of its row."""
        self.pinned, self.trust, self.terminated, self.known = pinned, trust, terminated, known
        self.remembered = True
        self.reason = "terminated" if terminated else None

    def rename(self, name: str, node: str | None, *, pinned: bool) -> None:
        """Set its name, and the node id that it has proven."""
        self.name, self.node, self.pinned = name, node, pinned
        self.ref = PeerRef(self.slot, name, self.kind, node)

    def set_known(self) -> None:
        self.known = True

    def set_remembered(self, *, remembered: bool) -> None:
        """Record that its row is in the journal or will be with the next commit, or that it was deleted."""
        self.remembered = remembered

    def set_trust(self, trust: str) -> None:
        """Record the decision "accepted" or "denied"."""
        self.trust = trust

    def set_terminated(self, *, terminated: bool) -> None:
        self.terminated = terminated

    def set_state(self, state: str, reason: str | None, at: float) -> None:
        """Set state and reason. `at` is the wall time, kept as `since` if the state is another one."""
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
        """Remember the batch that records in the journal that a link is open."""
        self.opening = batch

    def set_address(self, address: str | None) -> None:
        self.address = address

    def set_dialect(self, dialect: str | None, nick: str) -> None:
        """Set how this node talks to a room server, and under which name it enters."""
        self.dialect, self.nick = dialect, nick

    def dial_first(self, address: str) -> None:
        """Add or move that address to the front of the redialed ones."""
        if address in self.persistent_addresses:
            self.persistent_addresses.remove(address)
        self.persistent_addresses.insert(0, address)

    def dial_last(self, address: str) -> None:
        """Add or move that address to the end of the redialed ones."""
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
        """Newest open link, which carries what is sent. A closing one may still be in `links`."""
        for link in reversed(self.links):
            if link.reason is None:
                return link
        return None

    @property
    def shown(self) -> str:
        """Name and short node id, for log lines and errors."""
        return f"{self.name} ({self.node[:SHORT_ID]})" if self.node else self.name

    def record(self) -> PeerRecord:
        """Values that `chatctl list` shows."""
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
