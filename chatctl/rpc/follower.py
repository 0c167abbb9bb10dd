"""Events as they come: a subscription that outlives its session.

Yields the JSON of the events as the daemon wrote it, in the chunks they came in, so that `tail --json` costs no
decoding. Without a consumer it remembers its position itself; with one the daemon does. Shows nothing.
"""

import contextlib
import time

from chatctl.errors import Failure, SessionEnded, SessionEvicted, refusal
from chatctl.rpc import hangup
from chatctl.rpc.event_splitter import Cutter
from chatctl.rpc.positions import position_of, seq
from chatctl.rpc.session import RETRY_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from chatctl.cli.app import App
    from chatctl.rpc.consumer import Consumer

SETTLE_S = 10.0  # an acknowledgement is one commit; a disk can be that slow
PARTING_S = 1.0
AWAY = ("no_daemon", "shutting_down", "session_evicted", "rate_limited")  # also: all sessions are taken
FULL_S = 0.5  # between two tries to get a session while all are taken


class Follower:
    """All events after `start` that match, up to the seq `end` or for ever: goes on when the session ended."""

    def __init__(
        self,
        app: "App",
        start: object,
        match: "Mapping[str, object]",
        consumer: "Consumer | None" = None,
        *,
        end: int | None = None,
    ) -> None:
        self._app = app
        self._start = start
        self._match = match
        self._consumer = consumer
        self._end = end
        self._cutter = Cutter()
        self._session = app.session
        self._pending: list[bytes] = []
        self._repeats = 0  # up to that seq a consumer is sent again what it has got
        self._subscribed = self._stopped = False
        self.position = ""  # of the last event; none yet: we begin at `start` again
        try:
            self._subscribe()
        except SessionEvicted:  # it was older than this follower
            self._resume()

    @property
    def path(self) -> str:
        """The socket of the daemon that is followed."""
        return self._session.path

    def skip(self) -> None:
        """What was asked for is gone: let `batches` begin with what comes from now on."""
        self.position, self._start = "", "now"

    def stop(self) -> None:
        """From another thread: let `batches` end."""
        self._stopped = True
        self._app.interrupt()

    def batches(self) -> "Iterator[list[bytes]]":
        """Non-empty lists of events. Raises the failure that ends it; called again, it tries to go on."""
        while not self._stopped and not self._at_end():
            if not self._subscribed:
                self._resume()
            events = self._up_to_end(self._pending)
            self._pending = []
            if events:
                self.position = position_of(events[-1])
                yield events
            if self._subscribed and not self._at_end():
                self._receive()

    def acknowledge(self, position: str) -> None:
        """Everything up to there is done. Told to the daemon as soon as it has confirmed what was told before."""
        if self._consumer is None:
            return
        self._consumer.done = position
        if self._subscribed:
            try:
                self._consumer.say(self._session)
            except SessionEnded:
                self._lose()

    def settle(self, seconds: float = SETTLE_S) -> None:
        """Wait until the daemon has confirmed what is done: the one that we have, or the next."""
        consumer, deadline = self._consumer, time.monotonic() + seconds
        while consumer is not None and not consumer.settled:
            try:
                consumer.say(self._session)
                self._take_in(self._session.lines(deadline))
            except SessionEnded:
                self._lose()
                self._app.reach(min(self._app.patience(), max(deadline - time.monotonic(), 0.0)))
                self._session = self._app.session

    def part(self) -> None:
        """Leave in a hurry: what is done shall be acknowledged all the same, if that is to be had soon."""
        if self._subscribed:
            with contextlib.suppress(Failure):
                self.settle(PARTING_S)

    def pause(self, seconds: float) -> None:
        """Let time pass between two tries, and notice when the consumer is somebody else's, or the daemon another."""
        left = self._app.left()
        until = time.monotonic() + (seconds if left is None else min(seconds, left))
        while time.monotonic() < until:
            if self._consumer is None:  # without a window: what is not read, waits in the daemon
                self._rest(until)
            else:
                self._idle(until)
        if self._app.left() == 0:
            raise Failure("timeout", "the time is over")

    def _idle(self, until: float) -> None:
        """Take in what comes, until then at most."""
        if not self._subscribed:
            self._resume()
        try:
            self._take_in(self._session.lines(until))
        except SessionEnded:
            self._lose()
        except Failure as failure:
            if failure.kind != "timeout":
                raise

    def _at_end(self) -> bool:
        return self._end is not None and seq(self.position) >= self._end

    def _up_to_end(self, events: list[bytes]) -> list[bytes]:
        """Up to the first at `end`, or behind it: what was there may be gone."""
        if self._end is not None:
            for index, event in enumerate(events):
                if seq(position_of(event)) >= self._end:
                    return events[: index + 1]
        return events

    def _receive(self) -> None:
        try:
            self._take_in(self._session.lines(self._app.deadline))
        except SessionEnded:
            self._lose()

    def _take_in(self, lines: list[bytes]) -> None:
        events, others = self._cutter.cut(lines)
        if self._repeats and events:
            events = [event for event in events if seq(position_of(event)) > self._repeats]
            self._repeats = 0 if events else self._repeats
        self._pending += events
        for message in others:
            self._heed(message)

    def _heed(self, message: "Mapping[str, Any]") -> None:
        """What is no event. Raises the failure that it tells."""
        if message.get("method") == "ended":
            raise refusal(message["params"]["error"])
        if self._consumer is not None and self._consumer.heard(message):
            self._consumer.say(self._session)
        elif "error" in message:
            raise refusal(message["error"])

    def _lose(self) -> None:
        self._subscribed = False
        if self._consumer is not None:
            self._consumer.lost()

    def _subscribe(self) -> None:
        try:
            found, lines = self._session.reply(self._session.ask("subscribe", self._params()), self._app.deadline)
        except Failure as failure:
            if self._consumer is None or self._consumer.chosen or failure.details.get("reason") != "filter":
                raise
            self._match, self._consumer.chosen = {}, True  # nothing was asked for: the one that it has will do
            self._subscribe()
            return
        self._subscribed = True
        self._pending = []
        if not self.position and seq(found.get("after")) > 0:
            self.position = str(found["after"])
        if self._consumer is not None:
            self._consumer.takeover = False  # whoever takes it over next shall have it
            self._consumer.say(self._session)
        self._take_in(lines)

    def _params(self) -> "dict[str, object]":
        params: dict[str, object] = {"from": {"position": self.position} if self.position else self._start}
        if self._match:
            params["filter"] = self._match
        return {**params, **self._consumer.params()} if self._consumer is not None else params

    def _resume(self) -> None:
        """Subscribe again from where we are, as soon as the socket is back."""
        until = time.monotonic() + self._app.patience()
        while True:
            try:
                self._lose()
                self._app.reach(max(until - time.monotonic(), 0.0))
                self._session = self._app.session
                self._recognise()
                self._subscribe()
                return
            except Failure as failure:
                if failure.kind not in AWAY or time.monotonic() >= until:
                    raise
                pause = FULL_S if failure.kind == "rate_limited" else RETRY_S
            self._rest(time.monotonic() + pause)

    def _rest(self, until: float) -> None:
        """Do nothing until then. Raises BrokenPipeError."""
        if self._app.attended:
            hangup.wait(None, until)
        else:
            time.sleep(max(until - time.monotonic(), 0.0))

    def _recognise(self) -> None:
        """A consumer goes on wherever the daemon has it: cursor_gone if that is not the journal we have read."""
        if self._consumer is not None and self.position:
            self._app.call("history", {"from": {"position": self.position}, "n": 0})
            self._repeats = seq(self.position)
