"""The parameters of every method, with the names of chatctl's flags.

`peer` is a slot number or a PEER string: digits (a slot), `HOST:PORT`, an exact name, or a prefix of a node id (4
characters or more), in this order. Durations are in seconds; points in time are RFC 3339. Unknown fields are ignored.
"""

import msgspec

PeerSpec = int | str


class Nothing(msgspec.Struct, frozen=True):
    """No parameters."""


class Send(msgspec.Struct, frozen=True, gc=False):
    """`send`: the response follows the commit of the message; with `wait` ("sent" or "delivered"), that state.

    `ttl`: seconds after which the message is no longer sent. `key`: an idempotency key; repeating it does not send a
    second message. With `queue` false, an offline peer is an error.
    """

    peer: PeerSpec
    text: str
    wait: str | None = None
    timeout: float | None = None
    ttl: float | None = None
    key: str | None = None
    queue: bool = True


class Reply(msgspec.Struct, frozen=True, gc=False):
    """`reply`: a `send` to the sender of the message `id`, as the answer to it."""

    id: str
    text: str
    wait: str | None = None
    timeout: float | None = None
    ttl: float | None = None
    key: str | None = None
    queue: bool = True


class Ask(msgspec.Struct, frozen=True):
    """`ask`: a `send`; the response contains the peer's `reply` to it."""

    peer: PeerSpec
    text: str
    timeout: float | None = None
    ttl: float | None = None
    key: str | None = None
    queue: bool = True


class ById(msgspec.Struct, frozen=True):
    """`msg` and `cancel`: a message's id; for `msg` also its global id."""

    id: str


class Connect(msgspec.Struct, frozen=True):
    """`connect`: the response follows when the link is up or every address has failed.

    `dialect` is "address" or "name", the kind of a room server; `nick` is our nick there.
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
    """`list`: with `all` also plain peers that are gone."""

    all: bool = False


class RoomHost(msgspec.Struct, frozen=True):
    """`room.host`: may be repeated. With `join` this node joins the room, as `nick` or by its own name."""

    room: str
    nick: str | None = None
    join: bool = True


class Join(msgspec.Struct, frozen=True):
    """`room.join`: NAME@PEER, or the name of a hosted room. The default `nick` is this node's name."""

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
    """`room.say`: to all members, or only to the member `to`.

    Without `to`, a text that begins with `@NICK ` is for that member; `@@` is an at sign at the beginning of a text to
    all. `wait` is "sent" or "delivered"; delivered means that the host has given the message its position in the room.
    """

    room: str
    text: str
    to: str | None = None
    wait: str | None = None
    timeout: float | None = None


class Topic(msgspec.Struct, frozen=True):
    """`room.topic`: without `text` it returns the topic; "" removes it. Only the host can set it."""

    room: str
    text: str | None = None


class RoomMember(msgspec.Struct, frozen=True):
    """`room.kick`, `room.ban` and `room.unban`, at the host."""

    room: str
    nick: str


class Wait(msgspec.Struct, frozen=True, rename={"for_": "for"}):
    """`wait`: block until the condition `for` holds.

    "ready", "peer" (`peer` is up), "peers" (`count` or more peers are up), "users" (`count` or more members are in
    `room`), "delivered" (the message `id`), "outbox-empty" (of `peer`, or of all peers), or "topo" (all `links` are up,
    e.g. `alice-bob,bob-carol`).
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
    """The events to read: every given field must match. `gap` events always match.

    `peer` and `room` exclude each other. `peer` may also name a room. The events of a peer do not include messages in
    rooms.
    """

    types: list[str] | None = None
    direction: str | None = None  # "in" | "out"
    peer: PeerSpec | None = None
    room: str | None = None


class Subscribe(msgspec.Struct, frozen=True, rename={"from_": "from", "as_": "as"}):
    """`subscribe`: `from` is "now", "start" or a From.

    `as` names a consumer. An existing one continues after its last acknowledgement, whatever `from` is; a new one
    starts at `from`, and keeps its filter. At most `window` events are sent beyond its last `ack`. With `takeover` its
    present reader is disconnected from it.
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
    """`ack`: the consumer has processed everything up to and including `position`. Never moves back; durable."""

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
    """`link`: without `peer` and `all` it lists all links; with a `peer` and no change it lists that one.

    The named faults of `direction` ("out", "in" or "both") change, others stay; `heal` ends all faults of that
    direction first. `for`: seconds after which the previous faults return. `reset` breaks the connections. `all` means
    every present and future peer.
    """

    peer: PeerSpec | None = None
    all: bool = False
    direction: str = "both"
    delay: float | None = None  # seconds
    jitter: float | None = None
    loss: float | None = None  # 0 to less than 1
    rate: int | None = None  # bytes per second; 0: no limit
    cut: bool | None = None
    flap: float | None = None  # seconds; 0: none
    reset: bool = False
    heal: bool = False
    for_: float | None = None


class Topo(msgspec.Struct, frozen=True):
    """`topo`: explore the network over at most `hops` links; a node without an answer within `timeout` is silent."""

    hops: int = 16
    timeout: float = 5.0


class Ping(msgspec.Struct, frozen=True):
    """`ping`: one round trip to the daemon of a native peer."""

    peer: PeerSpec
    timeout: float | None = None


class Trace(msgspec.Struct, frozen=True):
    """`trace`: a message's id or global id; `timeout` is for the answer of the other end."""

    id: str
    timeout: float = 5.0


class Tally(msgspec.Struct, frozen=True):
    """`tally`: the number of our messages from `first` through `last` (ids) that a native peer has."""

    peer: PeerSpec
    first: str
    last: str
    timeout: float | None = None
