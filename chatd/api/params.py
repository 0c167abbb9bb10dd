"""Requests: the parameters of every method, with the names of chatctl's flags.

`peer` is a slot number or a PEER string: digits are a slot, then `HOST:PORT`, an exact name, a prefix of a node
id (4 characters or more). Durations are seconds; points in time are RFC 3339. Unknown fields are ignored.
"""

import msgspec

PeerSpec = int | str


class Nothing(msgspec.Struct, frozen=True):
    """Parameters of a method that takes none."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """`send`: appended at once, answered after its commit; with `wait` when it is in that state.

    `wait` is "sent" or "delivered". `ttl`: seconds after which it is not sent any more. `key`: the same one is the same
    message. Without `queue` a peer that is away is refused.
    """

    peer: PeerSpec
    text: str
    wait: str | None = None
    timeout: float | None = None
    ttl: float | None = None
    key: str | None = None
    queue: bool = True


class Reply(msgspec.Struct, frozen=True, gc=False):
    """`reply`: a `send` to whoever said the message `id`, as the answer to it.

    `id` is a message's id, or for one from a plain peer its position.
    """

    id: str
    text: str
    wait: str | None = None
    timeout: float | None = None
    ttl: float | None = None
    key: str | None = None
    queue: bool = True


class Ask(msgspec.Struct, frozen=True):
    """`ask`: a `send`, answered with the peer's `reply` to it."""

    peer: PeerSpec
    text: str
    timeout: float | None = None
    ttl: float | None = None
    key: str | None = None
    queue: bool = True


class ById(msgspec.Struct, frozen=True):
    """`msg` and `cancel`: a message's id; for `msg` also a position in this journal."""

    id: str


class Connect(msgspec.Struct, frozen=True):
    """`connect`: answered when the link is up or every address has failed.

    `dialect` is "address" or "name": a room server of the kind of seed 003 or 004. `nick`: what it is to call us.
    """

    host: str
    port: int = 7420
    plain: bool = False
    keep: bool = False
    timeout: float | None = None
    dialect: str | None = None
    nick: str | None = None


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


class RoomHost(msgspec.Struct, frozen=True):
    """`room.host`: also for a room that is hosted already. With `join` this node is in it, as `nick` or by its name."""

    room: str
    nick: str | None = None
    join: bool = True


class Join(msgspec.Struct, frozen=True):
    """`room.join`: NAME@PEER, or the name of a room that this node hosts. Without `nick` by this node's name."""

    room: str
    nick: str | None = None
    timeout: float | None = None


class ByRoom(msgspec.Struct, frozen=True):
    """`room.leave` and `room.close`. ROOM is `lobby` or `lobby@alice`."""

    room: str


class RoomUsers(msgspec.Struct, frozen=True):
    """`room.users`."""

    room: str


class RoomSay(msgspec.Struct, frozen=True):
    """`room.say`: to all, or to the member `to` alone.

    Without `to` a text that begins with `@NICK ` is for that one; `@@` is how a text to all begins with an at sign.
    `wait` is "sent" or "delivered": the host has put it in its place among all others.
    """

    room: str
    text: str
    to: str | None = None
    wait: str | None = None
    timeout: float | None = None


class Topic(msgspec.Struct, frozen=True):
    """`room.topic`: without `text` it is only told; "" takes it away. Only the host sets it."""

    room: str
    text: str | None = None


class RoomMember(msgspec.Struct, frozen=True):
    """`room.kick`, `room.ban` and `room.unban`, at the host."""

    room: str
    nick: str


class Wait(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """`wait`: `for` is what to wait for.

    "ready", "peer" (with `peer`: it is up), "peers" (with `count`: that many or more are up), "users" (with `room` and
    `count`: that many or more are in it), "delivered" (with `id`), "outbox-empty" (with `peer`: nothing is owed to
    it; without: to nobody), or "topo" (with `links`: `alice-bob,bob-carol`, all of them are up).
    """

    for_: str
    peer: PeerSpec | None = None
    room: str | None = None
    count: int | None = None
    id: str | None = None
    links: str | None = None
    timeout: float | None = None


class From(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to start reading: exactly one of the three."""

    position: str | None = None  # after it
    since: str | None = None  # RFC 3339
    last: int | None = None  # the last N that match


class Filter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to read: every given field must match. `gap` events always do. A peer and a room exclude each other.

    A `peer` that is no peer may be a room. Those of a peer are without what is said in rooms.
    """

    types: list[str] | None = None
    direction: str | None = None  # "in" | "out"
    peer: PeerSpec | None = None
    room: str | None = None


class Subscribe(msgspec.Struct, frozen=True, rename={"from_": "from", "as_": "as"}):
    """`subscribe`: `from` is "now", "start" or a From.

    `as` names a consumer: one that is known goes on behind what it acknowledged, and `from` does not matter; a new one
    begins at `from`. The filter belongs to it. At most `window` events are sent beyond its last `ack`. With `takeover`
    whoever holds it loses it.
    """

    from_: str | From = "now"
    filter: Filter | None = None
    as_: str | None = None
    window: int = 256
    takeover: bool = False


class Unsubscribe(msgspec.Struct, frozen=True):
    """`unsubscribe`."""

    subscription: int


class Ack(msgspec.Struct, frozen=True):
    """`ack`: the consumer has done everything up to and with `position`. Durable when answered; never goes back."""

    consumer: str
    position: str


class ByConsumer(msgspec.Struct, frozen=True):
    """`consumer.remove`."""

    consumer: str


class History(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """`history`: oldest first, at most `n` events; without `from` the last `n`."""

    from_: str | From | None = None
    until: str | None = None  # RFC 3339, exclusive
    n: int = 100
    filter: Filter | None = None


class Link(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """`link`: without `peer` and `all` it only lists; a `peer` without anything to change lists that one.

    Faults of `direction` "out", "in" or "both" change as named, and what is not named stays; `heal` ends all of that
    direction first. `for`: after so many seconds what was before comes back. `reset` breaks the connections. `all` is
    every peer that there is, and every one that comes.
    """

    peer: PeerSpec | None = None
    all: bool = False
    direction: str = "both"
    delay: float | None = None  # seconds
    jitter: float | None = None
    loss: float | None = None  # 0 to less than 1
    rate: int | None = None  # bytes a second; 0: no limit
    cut: bool | None = None
    flap: float | None = None  # seconds; 0: not
    reset: bool = False
    heal: bool = False
    for_: float | None = None


class Topo(msgspec.Struct, frozen=True):
    """`topo`: over so many hops at most; what has not come within `timeout` is silent."""

    hops: int = 16
    timeout: float = 5.0


class Ping(msgspec.Struct, frozen=True):
    """`ping`: once, to the daemon of a native peer and back."""

    peer: PeerSpec
    timeout: float | None = None


class Trace(msgspec.Struct, frozen=True):
    """`trace`: a message's id, or a position in this journal; the other end has so many seconds to answer."""

    id: str
    timeout: float = 5.0


class Tally(msgspec.Struct, frozen=True):
    """`tally`: how many of our messages from `first` through `last` (ids) a native peer has got."""

    peer: PeerSpec
    first: str
    last: str
    timeout: float | None = None
