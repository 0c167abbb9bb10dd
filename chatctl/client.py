"""Client: chatd for a bot in Python. Blocking, and of the standard library only.

    from chatctl.client import Client

    with Client.open() as client:
        for message in client.messages(as_="bot"):
            client.reply(message, "got it", key=f"bot {message['id']}")

A daemon that is restarted meanwhile is waited for (`patience`); the messages go on where they stopped. Whatever goes
wrong is a `chatctl.errors.Failure`, and its `kind` says what; a message, and every other result, is a dict as
docs/control.md has it. Durations are seconds. One thread uses a Client at a time.
"""

import json
import time

from chatctl.cli.app import App
from chatctl.errors import Failure, SessionEnded
from chatctl.rpc.consumer import Consumer
from chatctl.rpc.follower import Follower
from chatctl.rpc.positions import is_gap
from chatctl.rpc.session import RETRY_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Any, Self

PATIENCE_S = 30.0
SPOKEN = ("send", "reply", "ask", "room.say")  # twice would be two messages
WINDOW = 64


class Client:
    """A client of one daemon. Owns its sessions until `close`, or the end of a `with`."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._consumer: str | None = None
        self._readers: list[App] = []

    @classmethod
    def open(cls, node: str | None = None, socket: str | None = None, patience: float = PATIENCE_S) -> "Self":
        """The daemon of `node` or at `socket`; by default the one that chatctl would find."""
        app = App()
        app.node, app.socket, app.connect_timeout = node, socket, patience
        app.reach(patience)
        return cls(app)

    def close(self) -> None:
        """End the sessions."""
        for app in (self._app, *self._readers):
            app.close()

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
        """Send a message; `id` and `state` of it.

        `wait` for "sent" or "delivered", at most `timeout`. After `ttl` it is not sent any more. The same `key` again
        is the same message: with one, a send that a restart of the daemon interrupts is repeated; without, it is
        `outcome_unknown`.
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
        """Answer a message: like `send`, to whoever said it."""
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
        """Send a message; the message that answers it."""
        answer: dict[str, Any] = self.call("ask", timeout, peer=peer, text=text, ttl=ttl, key=key)["answer"]
        return answer

    def say(
        self, room: str, text: str, *, to: str | None = None, wait: str | None = None, timeout: float | None = None
    ) -> "dict[str, Any]":
        """Say something in a room; `id` and `state` of it. With `to` only to the member of that nick.

        `wait` for "sent" or "delivered" (it has its place in the room), at most `timeout`. Without `to` a text that
        begins with `@NICK ` is for that one, and `@@` is how one to all begins with an at sign.
        """
        return self.call("room.say", timeout, room=room, text=text, to=to, wait=wait)

    def join(self, room: str, nick: str | None = None, *, timeout: float | None = None) -> "dict[str, Any]":
        """Be in a room, `lobby@alice`, from now on, over restarts, until `leave`; the room."""
        found: dict[str, Any] = self.call("room.join", timeout, room=room, nick=nick)["room"]
        return found

    def leave(self, room: str) -> None:
        """Be in a room no more."""
        self.call("room.leave", room=room)

    def users(self, room: str) -> "list[dict[str, Any]]":
        """Who is in a room, in the order in which they came."""
        found: list[dict[str, Any]] = self.call("room.users", room=room)["users"]
        return found

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
        """Inbound messages from now on, for ever; `out`: our own, too. `from_` is "now", "start" or as in `subscribe`.

        Those of `peer`, or what is said in `room`, or all; in a message of a room `nick` is who said it.
        With `as_` they go on behind what the consumer of that name has acknowledged (`from_` is for a new name). A
        message is acknowledged when the loop comes back for the next: one that a crash or a `break` interrupts comes
        again. What is missing is passed over, or with `strict` `cursor_gone`.
        """
        match: dict[str, object] = {"types": ["message"], **({} if out else {"direction": "in"})}
        match.update({name: value for name, value in (("peer", peer), ("room", room)) if value is not None})
        chosen = out or peer is not None or room is not None
        consumer = None if as_ is None else Consumer(as_, WINDOW, takeover=takeover, chosen=chosen)
        app = self._app.twin()
        try:
            follower = Follower(app, from_, match, consumer)
        except Failure:
            app.close()
            raise
        self._readers.append(app)
        self._consumer = as_
        return self._read(app, follower, strict)

    def _read(self, app: App, follower: Follower, strict: bool) -> "Iterator[dict[str, Any]]":
        try:
            for events in follower.batches():
                for event in events:
                    message = json.loads(event)
                    if message["type"] == "message":
                        yield message
                    follower.acknowledge(message["position"])
                    if strict and is_gap(event):
                        follower.settle()
                        raise Failure("cursor_gone", "messages are missing", details=message)
        finally:
            self._readers.remove(app)
            app.close()

    def ack(self, message: "Mapping[str, Any]") -> None:
        """Acknowledge a message, and all before it, now. For a loop of `messages(as_=…)` that ends behind it."""
        if self._consumer is None:
            raise Failure("usage", "nobody to acknowledge as", "read with messages(as_=NAME)")
        self.call("ack", consumer=self._consumer, position=message["position"])

    def call(self, method: str, timeout: float | None = None, /, **params: object) -> "dict[str, Any]":
        """The result of any method of the daemon. Parameters that are None are left out.

        Waits for a daemon that is being restarted, and asks again: if it has not done it, or twice does no harm.
        """
        given = {name: value for name, value in params.items() if value is not None}
        until = time.monotonic() + self._app.connect_timeout
        self._app.timeout = timeout
        self._app.begin()
        while True:
            self._app.refresh()
            try:
                return self._app.call_timed(method, given)
            except SessionEnded:
                if method in SPOKEN and "key" not in given:
                    raise Failure("outcome_unknown", "the daemon ended before it answered") from None
                if method == "shutdown" or time.monotonic() >= until:
                    raise
            except Failure as failure:
                if failure.kind != "shutting_down" or time.monotonic() >= until:
                    raise
            time.sleep(RETRY_S)
