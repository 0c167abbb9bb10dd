"""Events as they come: a subscription that outlives its session, and pages of the past.

Yields the JSON of the events as the daemon wrote it, in the chunks they came in, so that `tail --json` costs no
decoding. Knows positions; shows nothing.
"""

import json
import select
import sys
import time

from chatctl.client import RETRY_S, SessionEnded, parse
from chatctl.errors import Failure, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from chatctl.app import App
    from chatctl.client import Client

PAGE = 1000
SHAPES = 16  # a session has two: replayed events and new ones
_MARK = b'"event":'
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Cutter:
    """Cuts the event out of its notification.

    The first line of each shape is decoded, to see whether what follows its head up to `}}` is the event and nothing
    else; lines with that head are then cut without decoding. Any other daemon's shape is decoded every time.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, bool] = {}

    def cut(self, lines: list[bytes]) -> list[bytes]:
        """The events among `lines`."""
        events = []
        for line in lines:
            head, _, rest = line.partition(_MARK)
            if self._heads.get(head) and rest.endswith(b"}}"):
                events.append(rest[:-2])
            elif (event := self._decoded(head, rest, line)) is not None:
                events.append(event)
        return events

    def _decoded(self, head: bytes, rest: bytes, line: bytes) -> bytes | None:
        message = parse(line)
        if message.get("method") != "event":
            if "error" in message:
                raise refusal(message["error"])
            return None
        event = message["params"]["event"]
        if len(self._heads) >= SHAPES:
            self._heads.clear()
        try:
            self._heads[head] = bool(json.loads(rest[:-2]) == event)
        except ValueError:
            self._heads[head] = False
        return _encode(event).encode(errors="backslashreplace")


class Follower:
    """All events after `start` that match, for ever: goes on from `position` when the session ended."""

    def __init__(self, app: "App", start: object, match: "Mapping[str, object]") -> None:
        self._app = app
        self._match = match
        self._cutter = Cutter()
        self._pending: list[bytes] = []
        self._subscribed = self._stopped = False
        self._start = start
        self.position = ""  # of the last event; none yet: we begin at `start` again
        self._subscribe(app.client)

    def stop(self) -> None:
        """From another thread: let `batches` end."""
        self._stopped = True
        self._app.interrupt()

    def batches(self) -> "Iterator[list[bytes]]":
        """Non-empty lists of events. Raises the failure that ends it; called again, it tries to go on."""
        while not self._stopped:
            if not self._subscribed:
                self._resume()
            events = self._cutter.cut(self._pending)
            self._pending = []
            if events:
                self.position = json.loads(events[-1])["position"]
                yield events
            try:
                _wait(self._app.client, self._app.deadline)
                self._pending = self._app.client.lines(self._app.deadline)
            except SessionEnded:
                self._subscribed = False

    def _subscribe(self, client: "Client") -> None:
        start = {"position": self.position} if self.position else self._start
        params: dict[str, object] = {"from": start}
        if self._match:
            params["filter"] = self._match
        found, self._pending = client.reply(client.ask("subscribe", params), self._app.deadline)
        if start == "now":  # else what lies before the daemon's newest position is still to come
            self.position = str(found.get("position"))
        self._subscribed = True

    def _resume(self) -> None:
        """Subscribe again from where we are, as soon as the socket is back."""
        until = time.monotonic() + self._app.patience()
        while True:
            try:
                self._app.reach(max(until - time.monotonic(), 0.0))
                self._subscribe(self._app.client)
                return
            except Failure as failure:
                if failure.kind not in ("no_daemon", "shutting_down") or time.monotonic() >= until:
                    raise
            time.sleep(RETRY_S)


def pages(
    app: "App", start: object, match: "Mapping[str, object]", until: str | None = None, n: int | None = None
) -> "Iterator[list[dict[str, Any]]]":
    """Events of the past, oldest first, at most `n`. A `start` of None means the last `n`."""
    params: dict[str, object] = {}
    if match:
        params["filter"] = match
    if until is not None:
        params["until"] = until
    left = n
    while left is None or left > 0:
        page = app.call(
            "history", {**params, "n": PAGE if left is None else left, **({"from": start} if start else {})}
        )
        events = page.get("events") or []
        if events:
            yield events
        following = {"position": page.get("next")}
        if page.get("next") is None or following == start:
            return
        start = following
        left = None if left is None else left - len(events)


def seq(position: object) -> int:
    """The number in a position: it rises for a journal's whole life, whatever the epoch."""
    try:
        return int(str(position).rpartition(":")[2])
    except ValueError:
        return 0


def _wait(client: "Client", deadline: float | None) -> None:
    """Wait for data, or for stdout to lose its reader: a `tail | head -1` must not stay until the next message."""
    poll = select.poll()
    poll.register(client.sock, select.POLLIN)
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # no file: a test's, or the console's
        return
    left = None if deadline is None else max(deadline - time.monotonic(), 0.0) * 1000
    for number, _ in poll.poll(left):
        if number == sys.stdout.fileno() != client.sock.fileno():
            raise BrokenPipeError
