"""Requests: the parameters of every method, with the names of chatctl's flags.

`peer` is a slot number or a PEER string: digits are a slot, then `HOST:PORT`, an exact name, a prefix of a node
id (4 characters or more). Durations are seconds; points in time are RFC 3339. Unknown fields are ignored.
"""

import msgspec

PeerSpec = int | str


class Nothing(msgspec.Struct, frozen=True):
    """Parameters of a method that takes none."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """`send`: appended at once, answered after its commit."""

    peer: PeerSpec
    text: str


class Connect(msgspec.Struct, frozen=True):
    """`connect`: answered when the link is up or every address has failed."""

    host: str
    port: int = 7420
    plain: bool = False
    keep: bool = False
    timeout: float | None = None


class ByPeer(msgspec.Struct, frozen=True):
    """`terminate`, `peer.accept`, `peer.deny`, `peer.forget`."""

    peer: PeerSpec


class Rename(msgspec.Struct, frozen=True):
    """`peer.rename`."""

    peer: PeerSpec
    name: str


class List(msgspec.Struct, frozen=True):
    """`list`: plain peers that are gone only with `all`."""

    all: bool = False


class Wait(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """`wait`: `for` is "ready", "peer" (with `peer`: it is up) or "peers" (with `count`: that many or more are up)."""

    for_: str
    peer: PeerSpec | None = None
    count: int | None = None
    timeout: float | None = None


class From(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to start reading: exactly one of the three."""

    position: str | None = None  # after it
    since: str | None = None  # RFC 3339
    last: int | None = None  # the last N that match


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to read: every given field must match. `gap` events always do."""

    types: list[str] | None = None
    direction: str | None = None  # "in" | "out"
    peer: PeerSpec | None = None
    room: str | None = None


class Subscribe(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """`subscribe`: `from` is "now", "start" or a From."""

    from_: str | From = "now"
    filter: Filter | None = None


class Unsubscribe(msgspec.Struct, frozen=True):
    """`unsubscribe`."""

    subscription: int


class History(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """`history`: oldest first, at most `n` events; without `from` the last `n`."""

    from_: str | From | None = None
    until: str | None = None  # RFC 3339, exclusive
    n: int = 100
    filter: Filter | None = None
