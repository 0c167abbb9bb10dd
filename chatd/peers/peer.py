"""Peer: somebody we have, had or want a connection with, and the links to it."""

from typing import Final, Protocol

import trio

from chatd.api.results import LinkFaults, PeerRecord, PeerRef
from chatd.journal.batch import Batch, Statement
from chatd.peers.delivery import Delivery
from chatd.peers.names import SHORT_ID
from chatd.runtime import Broadcast, stamp

ROW = "id, slot, node, name, pinned, address, trust, terminated, known"
# Replaces by node too: a row whose deletion met a full disk may still be there.
PEER = f"INSERT OR REPLACE INTO peers ({ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
EPOCHS_KEPT: Final = 8  # of one peer, in this run
RETURNS: Final = (
    2  # of an epoch that was not the newest: one may be a Hello that was under way when its node was killed
)
CLONED_FOR_S: Final = 600.0  # after the last return


class PeerLink(Protocol):
    """What the core may do with a live connection: nothing here waits."""

    direction: str  # "in" | "out": who dialed
    address: str  # "HOST:PORT" of the other end
    reason: str | None  # why it ended
    unsent: int  # plain: accepted for it and not written

    def close(self, reason: str) -> None:
        """End it: say goodbye where the protocol has a word for it, then close."""


class NativeLink(PeerLink, Protocol):
    """A link to another chatd."""

    epoch: str  # the peer's
    lost: bool  # the peer has given it up: what was written to it and is not in its `Hello` never arrives

    def drop(self, reason: str) -> None:
        """End it at once: from now on nothing is taken from it."""

    def declare(self) -> None:
        """Tell the peer in which of its rooms we are."""


class PlainLink(PeerLink, Protocol):
    """A link without acknowledgements: messages are handed to it."""

    waiting: int  # messages handed over and not written
    full: bool  # as much waits as may

    def check(self, text: str) -> None:
        """Raises wire/lines.py's TextRefused for a text that cannot be said there."""

    def enqueue(self, seq: int, text: str, batch: Batch) -> None:
        """Write the text once the batch is committed."""


class PeerEpochs:
    """The epochs that a peer has said Hello with in this run."""

    __slots__ = ("_known", "_last", "_returns")

    def __init__(self) -> None:
        self._known: list[str] = []
        self._returns = 0
        self._last = float("-inf")  # trio's clock: when an older one came back

    def add(self, epoch: str) -> None:
        """It is the newest one."""
        if epoch == self.newest:
            return
        if epoch in self._known:
            self._returns = self._returns + 1 if self._is_recent else 1
            self._last = trio.current_time()
            self._known.remove(epoch)
        self._known = [*self._known[1 - EPOCHS_KEPT :], epoch]

    @property
    def alternate(self) -> bool:
        """Older ones come back: several nodes have the peer's identity."""
        return self._returns >= RETURNS and self._is_recent

    @property
    def _is_recent(self) -> bool:
        return trio.current_time() - self._last < CLONED_FOR_S

    @property
    def newest(self) -> str:
        """That of the newest Hello; empty before there was one."""
        return self._known[-1] if self._known else ""

    @property
    def previous(self) -> str:
        """The one before it."""
        return self._known[-2] if len(self._known) > 1 else ""


class Peer:
    """One peer. `key` is its topic in the journal, and its row where it is remembered; `slot` is what people say."""

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
        self.address = address  # as last dialed, or where it came from
        self.dialect: str | None = None  # plain, a room server: "address" | "name"
        self.nick = ""  # what it is told to call us
        self.state = "down"
        self.since = since  # wall time
        self.reason: str | None = None
        self.links: list[PeerLink] = []
        self.persistent_addresses: list[str] = []  # addresses that are redialed, the next one first
        self.trust: str | None = None
        self.known = False  # dialed, accepted, named or configured here, or sent to; else a stranger
        self.pinned = False  # its name is the one that it announced first, or that it was given here
        self.remembered = False  # it has a row
        self.terminated = False  # by us, and no `connect` from either side since
        self.pending_reported = False  # a `peer.pending` was told
        self.faults: LinkFaults | None = None  # impairments of its links, made on purpose
        self.rtt_ms: float | None = None
        self.received = 0  # messages in this run
        self.text_bytes = self.text_chars = 0  # what it takes, by its last Hello; 0 is not known, or no limit
        self.delivery = delivery  # the messages that go to it
        self.epochs = PeerEpochs()
        self.opening: Batch | None = None  # says in the journal that a link is open
        self.changed = Broadcast()  # its state, its links or its wishes; told beside the registry's
        self.ref = PeerRef(slot, name, kind, node)

    # -- what changes it

    def recall(self, *, pinned: bool, trust: str | None, terminated: bool, known: bool) -> None:
        """Restore what its row in the journal has."""
        self.pinned, self.trust, self.terminated, self.known = pinned, trust, terminated, known
        self.remembered = True
        self.reason = "terminated" if terminated else None

    def rename(self, name: str, node: str | None, *, pinned: bool) -> None:
        """Give it another name, and the node id that it has proven."""
        self.name, self.node, self.pinned = name, node, pinned
        self.ref = PeerRef(self.slot, name, self.kind, node)

    def set_known(self) -> None:
        """It is no stranger."""
        self.known = True

    def set_remembered(self, *, remembered: bool) -> None:
        """Whether its row is in the journal, or about to be."""
        self.remembered = remembered

    def set_trust(self, trust: str) -> None:
        """Somebody here has "accepted" or "denied" it."""
        self.trust = trust

    def set_terminated(self, *, terminated: bool) -> None:
        """Whether it was terminated here and no `connect` followed."""
        self.terminated = terminated

    def set_state(self, state: str, reason: str | None, at: float) -> None:
        """Move to a state, at that wall time unless it is the same one."""
        if state != self.state:
            self.state, self.since = state, at
        self.reason = reason

    def set_pending_reported(self) -> None:
        """A `peer.pending` was told."""
        self.pending_reported = True

    def attach(self, link: PeerLink) -> None:
        """Add a live link."""
        self.links.append(link)
        self.delivery.set_open(is_open=self.kind == "native")

    def detach(self, link: PeerLink) -> None:
        """Remove a link that has ended."""
        self.links.remove(link)
        self.delivery.set_open(is_open=self.kind == "native" and self.is_up)

    def set_opening(self, batch: Batch) -> None:
        """That batch says in the journal that a link is open."""
        self.opening = batch

    def set_address(self, address: str | None) -> None:
        """Where it was dialed last, or came from."""
        self.address = address

    def set_dialect(self, dialect: str | None, nick: str) -> None:
        """How a room server is talked to, and as whom."""
        self.dialect, self.nick = dialect, nick

    def dial_first(self, address: str) -> None:
        """Redial that address, before its other ones."""
        if address in self.persistent_addresses:
            self.persistent_addresses.remove(address)
        self.persistent_addresses.insert(0, address)

    def dial_last(self, address: str) -> None:
        """Redial that address, after its other ones."""
        if address in self.persistent_addresses:
            self.persistent_addresses.remove(address)
        self.persistent_addresses.append(address)

    def stop_dialing(self, address: str) -> None:
        """Redial that address no longer."""
        self.persistent_addresses.remove(address)

    def set_faults(self, faults: LinkFaults | None) -> None:
        """What impairs its links on purpose."""
        self.faults = faults

    def set_rtt(self, rtt_ms: float) -> None:
        """The newest measurement of the round trip."""
        self.rtt_ms = rtt_ms

    def set_text_limits(self, text_bytes: int, text_chars: int) -> None:
        """What its `Hello` says that it takes: bytes of UTF-8 and characters of one text."""
        self.text_bytes, self.text_chars = text_bytes, text_chars

    def count_received(self, messages: int) -> None:
        """Add messages that it has brought."""
        self.received += messages

    # -- what it is

    def row(self) -> Statement:
        """What the journal keeps of a native peer, or that it is forgotten."""
        if not self.remembered:
            return "DELETE FROM peers WHERE id = ?", (self.stream_id,)
        who = (self.stream_id, self.slot, self.node, self.name, self.pinned, self.address)
        return PEER, (*who, self.trust, self.terminated, self.known)

    @property
    def is_cloned(self) -> bool:
        """Two nodes with its identity are running."""
        return self.epochs.alternate

    @property
    def is_up(self) -> bool:
        """It has a live link."""
        return bool(self.links)

    @property
    def link(self) -> PeerLink | None:
        """The newest link that is open: what is sent takes that one. One that is closing may still be in `links`."""
        for link in reversed(self.links):
            if link.reason is None:
                return link
        return None

    @property
    def shown(self) -> str:
        """Name and short id, for log lines and errors."""
        return f"{self.name} ({self.node[:SHORT_ID]})" if self.node else self.name

    def record(self) -> PeerRecord:
        """What `list` shows."""
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
