"""Peer: somebody we have, had or want a connection with, and the links to it."""

from typing import Final, Protocol

import trio

from chatd.api.results import LinkFaults, PeerRecord, PeerRef
from chatd.journal.batch import Batch, Statement
from chatd.peers.names import SHORT_ID
from chatd.peers.outbox import Lane, Outbox, OutboxTotals
from chatd.runtime import stamp
from chatd.sync import Broadcast

OUTBOX = "INSERT OR REPLACE INTO outboxes (topic, first, messages, bytes, written) VALUES (?, ?, ?, ?, ?)"
ROW = "id, slot, node, name, pinned, address, trust, terminated, known"
# Replaces by node too: a row whose deletion met a full disk may still be there.
PEER = f"INSERT OR REPLACE INTO peers ({ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
OPEN = -1  # while a link is open, everything that is committed may have been written
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

    def met(self, epoch: str) -> None:
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
    def other(self) -> str:
        """The one before it."""
        return self._known[-2] if len(self._known) > 1 else ""


class Peer:
    """One peer. `key` is its topic in the journal, and its row where it is remembered; `slot` is what people say."""

    __slots__ = (
        "address",
        "asked",
        "changed",
        "dialect",
        "echoed",
        "epochs",
        "faults",
        "forgotten",
        "kind",
        "known",
        "links",
        "name",
        "nick",
        "node",
        "opening",
        "outbox",
        "persistent_addresses",
        "pinned",
        "progress",
        "reached",
        "reason",
        "received",
        "ref",
        "remembered",
        "rtt_ms",
        "sent",
        "since",
        "slot",
        "state",
        "stream_id",
        "terminated",
        "text_bytes",
        "text_chars",
        "trust",
        "unheard",
        "written",
    )

    def __init__(
        self,
        key: int,
        slot: int,
        kind: str,
        name: str,
        node: str | None,
        address: str | None,
        owed: OutboxTotals | None = None,
    ) -> None:
        self.stream_id = key
        self.slot = slot
        self.kind = kind  # "native" | "plain"
        self.name = name
        self.node = node
        self.address = address  # as last dialed, or where it came from
        self.dialect: str | None = None  # plain, a room server: "address" | "name"; peers/persistent.py writes both
        self.nick = ""  # what it is told to call us
        self.state = "down"
        self.since = 0.0  # wall time
        self.reason: str | None = None
        self.links: list[PeerLink] = []
        self.persistent_addresses: list[
            str
        ] = []  # addresses that are redialed, the next one first; peers/persistent.py writes it
        self.trust: str | None = None
        self.known = False  # dialed, accepted, named or configured here, or sent to; else a stranger
        self.pinned = False  # its name is the one that it announced first, or that it was given here
        self.remembered = False  # it has a row
        self.forgotten = False  # it had a row, and lives on only as long as its links
        self.terminated = False  # by us, and no `connect` from either side since
        self.asked = False  # a `peer.pending` was told
        self.faults: LinkFaults | None = None  # what its links suffer on purpose; net/faults/faults.py writes it
        self.rtt_ms: float | None = None
        self.received = 0
        self.sent = 0
        self.text_bytes = self.text_chars = 0  # what it takes, by its last Hello; 0 is not known, or no limit
        self.outbox = Outbox(owed or OutboxTotals())  # native: what it has not acknowledged
        self.written = 0  # seq up to which former links may have written
        self.reached = 0  # seq up to which links of this run may have, or from where one started
        self.unheard = Lane()  # what was said in its rooms in this run, and has not come back; without sizes
        self.echoed = 0  # our seq up to which it has dealt with everything that we said in its rooms
        self.epochs = PeerEpochs()
        self.opening: Batch | None = None  # says in the journal that a link is open
        self.progress = Broadcast()  # something was written, acknowledged or given up, or a link has ended
        self.changed = Broadcast()  # its state, its links or its wishes; told beside the registry's
        self.ref = PeerRef(slot, name, kind, node)

    def rename(self, name: str, node: str | None) -> None:
        """Known by that name (and id) from now on."""
        self.name, self.node = name, node
        self.ref = PeerRef(self.slot, name, self.kind, node)

    def row(self) -> Statement:
        """What the journal keeps of a native peer, or that it is forgotten."""
        if not self.remembered:
            return "DELETE FROM peers WHERE id = ?", (self.stream_id,)
        who = (self.stream_id, self.slot, self.node, self.name, self.pinned, self.address)
        return PEER, (*who, self.trust, self.terminated, self.known)

    def outbox_row(self) -> Statement:
        """What the journal keeps of the outbox; of a forgotten peer, how much it had acknowledged."""
        if self.forgotten:
            return OUTBOX, (self.stream_id, 0, 0, 0, self.written)
        outbox = self.outbox
        written = OPEN if self.kind == "native" and self.links else max(self.written, self.reached)
        return OUTBOX, (self.stream_id, outbox.first, outbox.count, outbox.size, written)

    def take_back(self, committed: int) -> None:
        """What was appended for it behind that seq was never committed."""
        self.outbox.take_back(committed)
        self.unheard.cut_tail(committed)

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
            queued=self.outbox.count if self.kind == "native" else waiting,
            received=self.received,
            sent=self.sent,
            desired=bool(self.persistent_addresses),
            trust=self.trust,
            dialect=self.dialect,
            faults=self.faults,
            cloned=self.is_cloned,
        )
