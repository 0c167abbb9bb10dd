"""Peer: somebody we have, had or want a connection with, and the links to it."""

from collections import deque
from typing import Protocol

from chatd.api.records import PeerRecord, PeerRef
from chatd.core.batch import Batch
from chatd.runtime import Broadcast, stamp

SHORT_ID = 8  # characters of a node id that people see


class Link(Protocol):
    """What the core may do with a live connection: nothing here waits."""

    direction: str  # "in" | "out": who dialed
    address: str  # "HOST:PORT" of the other end
    reason: str | None  # why it ended
    unsent: int  # plain: accepted for it and not written

    def close(self, reason: str) -> None:
        """End it: say goodbye where the protocol has a word for it, then close."""


class NativeLink(Link, Protocol):
    """A link to another chatd."""

    epoch: str  # the peer's

    def drop(self, reason: str) -> None:
        """End it at once: from now on nothing is taken from it."""


class PlainLink(Link, Protocol):
    """A link without acknowledgements: messages are handed to it."""

    waiting: int  # messages handed over and not written
    full: bool  # as much waits as may

    def enqueue(self, text: str, batch: Batch) -> None:
        """Write the text once the batch is committed."""


class Peer:
    """One peer. `key` is its topic in the journal, and its row where it is remembered; `slot` is what people say."""

    __slots__ = (
        "acked",
        "address",
        "asked",
        "key",
        "kind",
        "links",
        "name",
        "node",
        "pinned",
        "reason",
        "received",
        "ref",
        "remembered",
        "rtt_ms",
        "sent",
        "since",
        "slot",
        "state",
        "terminated",
        "text_bytes",
        "text_chars",
        "trust",
        "unacked",
        "wish",
    )

    def __init__(self, key: int, slot: int, kind: str, name: str, node: str | None, address: str | None) -> None:
        self.key = key
        self.slot = slot
        self.kind = kind  # "native" | "plain"
        self.name = name
        self.node = node
        self.address = address  # as last dialed, or where it came from
        self.state = "down"
        self.since = 0.0  # wall time
        self.reason: str | None = None
        self.links: list[Link] = []
        self.wish: str | None = None  # the address that is redialed
        self.trust: str | None = None
        self.pinned = False  # its name is the one by which we know it
        self.remembered = False  # it has a row
        self.terminated = False  # by us, in this run
        self.asked = False  # a `peer.pending` was told
        self.rtt_ms: float | None = None
        self.received = 0
        self.sent = 0
        self.text_bytes = self.text_chars = 0  # what it takes, by its last Hello; 0 is not known, or no limit
        self.unacked: deque[int] = deque()  # our seqs that it has not acknowledged
        self.acked = Broadcast()
        self.ref = PeerRef(slot, name, kind, node)

    def rename(self, name: str, node: str | None) -> None:
        """Known by that name (and id) from now on."""
        self.name, self.node = name, node
        self.ref = PeerRef(self.slot, name, self.kind, node)

    @property
    def is_up(self) -> bool:
        """It has a live link."""
        return bool(self.links)

    @property
    def link(self) -> Link | None:
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
            queued=len(self.unacked) if self.kind == "native" else waiting,
            received=self.received,
            sent=self.sent,
            desired=self.wish is not None,
            trust=self.trust,
        )
