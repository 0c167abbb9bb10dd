"""Client: chatd for a bot in Python. Blocking, on the standard library only.

    from chatctl.client import Client

    with Client.open() as client:
        for message in client.messages(as_="bot"):
            client.reply(message, "got it", key=f"bot {message['id']}")

If the daemon restarts, calls wait for it for up to `patience` seconds and reading continues where it stopped. Every
error is a `chatctl.errors.Failure` with a `kind`, e.g. "unknown_peer". Messages and all other results are dicts as in
docs/control.md. Durations are seconds. Use a Client from one thread at a time.
"""

import json
import time

from chatctl.errors import Failure, SessionEnded
from chatctl.rpc.connection import RETRY_S, Connection
from chatctl.rpc.consumer import ConsumerCursor
from chatctl.rpc.follower import Follower
from chatctl.rpc.positions import is_gap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Any, Self

PATIENCE_S = 30.0
SENDING_METHODS = ("send", "reply", "ask", "room.say")  # repeated without a key, each sends a second message
WINDOW = 64


class Client:
    """A client of one daemon. Owns its sessions until `close`, or the end of a `with`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._consumer: str | None = None
        self._readers: list[Connection] = []

    @classmethod
    def open(cls, node: str | None = None, socket: str | None = None, patience: float = PATIENCE_S) -> "Self":
        """Connect to the daemon of `node` or at `socket`; by default to the one that chatctl would use."""
        connection = Connection()
        connection.node, connection.socket, connection.connect_timeout = node, socket, patience
        connection.connect(patience)
        return cls(connection)

    def close(self) -> None:
        for connection in (self._connection, *self._readers):
            connection.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _where: "TracebackType | None"
    ) -> None:
        self.close()

    def send(
        self,
        peer: int | str,
        text: str,
        *,
        wait: str | None = None,
        timeout: float | None = None,
        ttl: float | None = None,
        key: str | None = None,
    ) -> "dict[str, Any]":
        """Send a message; return its `id` and `state`.

        `wait` for "sent" or "delivered", at most `timeout` seconds. A message not sent within `ttl` expires. `key` is
        an idempotency key: repeating it does not send a second message. If a restart of the daemon interrupts the
        call, it is repeated when there is a key, and raises `outcome_unknown` otherwise.
        """
        return self.call("send", timeout, peer=peer, text=text, wait=wait, ttl=ttl, key=key)

    def reply(
        self,
        message: "Mapping[str, Any]",
        text: str,
        *,
        wait: str | None = None,
        timeout: float | None = None,
        ttl: float | None = None,
        key: str | None = None,
    ) -> "dict[str, Any]":
        """Reply to a message that `messages` yielded: like `send`, to its sender."""
        return self.call("reply", timeout, id=message["id"], text=text, wait=wait, ttl=ttl, key=key)

    def ask(
        self,
        peer: int | str,
        text: str,
        *,
        timeout: float | None = None,
        ttl: float | None = None,
        key: str | None = None,
    ) -> "dict[str, Any]":
        """Send a message and wait for the reply to it; return that reply."""
        answer: dict[str, Any] = self.call("ask", timeout, peer=peer, text=text, ttl=ttl, key=key)["answer"]
        return answer

    def say(
        self, room: str, text: str, *, to: str | None = None, wait: str | None = None, timeout: float | None = None
    ) -> "dict[str, Any]":
        """Post a message in a room; return its `id` and `state`. With `to`, only the member with that nick gets it.

        `wait` for "sent" or "delivered" (the host has stored it), at most `timeout` seconds. Without `to`, a text that
        begins with `@NICK ` goes to that member alone; begin with `@@` to post a text that starts with `@` to all.
        """
        return self.call("room.say", timeout, room=room, text=text, to=to, wait=wait)

    def join(self, room: str, nick: str | None = None, *, timeout: float | None = None) -> "dict[str, Any]":
        """Join a room, e.g. `lobby@alice`; return the room. Membership lasts across restarts, until `leave`."""
        joined: dict[str, Any] = self.call("room.join", timeout, room=room, nick=nick)["room"]
        return joined

    def leave(self, room: str) -> None:
        self.call("room.leave", room=room)

    def users(self, room: str) -> "list[dict[str, Any]]":
        """Members of a room, in the order in which they joined."""
        members: list[dict[str, Any]] = self.call("room.users", room=room)["users"]
        return members

    def messages(
        self,
        as_: str | None = None,
        from_: "str | Mapping[str, object]" = "now",
        *,
        peer: int | str | None = None,
        room: str | None = None,
        out: bool = False,
        takeover: bool = False,
        strict: bool = False,
    ) -> "Iterator[dict[str, Any]]":
        """Yield inbound messages without end; with `out` our own, too.

        `from_` is "now", "start" or a value as in `subscribe`. `peer` or `room` selects a peer's or a room's messages;
        in a room's message `nick` is the author. `as_` names a consumer: reading continues after what it has
        acknowledged, and `from_` counts only when the name is new. A message is acknowledged when the loop asks for
        the next one, so a message interrupted by a crash or a `break` comes again. Missing messages are skipped, or
        raise `cursor_gone` with `strict`.
        """
        match: dict[str, object] = {"types": ["message"], **({} if out else {"direction": "in"})}
        match.update({name: value for name, value in (("peer", peer), ("room", room)) if value is not None})
        given = out or peer is not None or room is not None
        consumer = None if as_ is None else ConsumerCursor(as_, WINDOW, takeover=takeover, filter_given=given)
        connection = self._connection.clone()
        try:
            follower = Follower(connection, from_, match, consumer)
        except Failure:
            connection.close()
            raise
        self._readers.append(connection)
        self._consumer = as_
        return self._read(connection, follower, strict)

    def _read(self, connection: Connection, follower: Follower, strict: bool) -> "Iterator[dict[str, Any]]":
        try:
            for events in follower.batches():
                for event in events:
                    message = json.loads(event)
                    if message["type"] == "message":
                        yield message
                    follower.acknowledge(message["position"])
                    if strict and is_gap(event):
                        follower.confirm_acks()
                        raise Failure("cursor_gone", "messages are missing", details=message)
        finally:
            self._readers.remove(connection)
            connection.close()

    def ack(self, message: "Mapping[str, Any]") -> None:
        """Acknowledge a message and all before it now. For a loop over `messages(as_=…)` that ends with it."""
        if self._consumer is None:
            raise Failure("usage", "nobody to acknowledge as", "read with messages(as_=NAME)")
        self.call("ack", consumer=self._consumer, position=message["position"])

    def call(self, method: str, timeout: float | None = None, /, **params: object) -> "dict[str, Any]":
        """Return the result of any method of the daemon. Parameters that are None are left out.

        Waits for a daemon that restarts and repeats the request, where a repetition cannot do harm.
        """
        given = {name: value for name, value in params.items() if value is not None}
        until = time.monotonic() + self._connection.connect_timeout
        self._connection.timeout = timeout
        self._connection.start_clock()
        while True:
            self._connection.drop_dead_session()
            try:
                return self._connection.call_with_timeout(method, given)
            except SessionEnded:
                if method in SENDING_METHODS and "key" not in given:
                    raise Failure("outcome_unknown", "the daemon ended before it answered") from None
                if method == "shutdown" or time.monotonic() >= until:
                    raise
            except Failure as failure:
                if failure.kind != "shutting_down" or time.monotonic() >= until:
                    raise
            time.sleep(RETRY_S)
