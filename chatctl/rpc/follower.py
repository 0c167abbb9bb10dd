"""A subscription that continues in the next session when one ends, e.g. when the daemon restarts.

Yields the JSON of events as the daemon wrote it, in the chunks in which they arrived, so that `tail --json` decodes
nothing. Without a consumer it remembers its position itself; with one the daemon does. Prints nothing. Used by `tail`,
the console and `chatctl.client`.
"""

import contextlib
import time

from chatctl.errors import Failure, SessionEnded, SessionEvicted, refusal
from chatctl.rpc import hangup
from chatctl.rpc.connection import RETRY_S
from chatctl.rpc.event_splitter import EventSplitter
from chatctl.rpc.positions import position_of, seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from chatctl.rpc.connection import Connection
    from chatctl.rpc.consumer import ConsumerCursor

ACK_TIMEOUT_S = 10.0  # an acknowledgement is one commit; a disk can be that slow
LAST_ACK_S = 1.0
RETRIED_KINDS = ("no_daemon", "shutting_down", "session_evicted", "rate_limited")  # the last: all sessions are in use
FULL_S = 0.5  # between two attempts while all sessions are in use


class Follower:
    """All events after `start` that match, up to and including sequence number `end`, or without end."""

    def __init__(
        self,
        connection: "Connection",
        start: object,
        match: "Mapping[str, object]",
        consumer: "ConsumerCursor | None" = None,
        *,
        end: int | None = None,
    ) -> None:
        self._connection = connection
        self._start = start
        self._match = match
        self._consumer = consumer
        self._end = end
        self._splitter = EventSplitter()
        self._session = connection.session
        self._pending: list[bytes] = []
        self._repeated_through = 0  # a consumer receives the events up to this sequence number a second time
        self._subscribed = self._stopped = False
        self.position = ""  # of the last event; while empty, a new session begins at `start`
        try:
            self._subscribe()
        except SessionEvicted:  # it was older than this follower
            self._resubscribe()

    @property
    def path(self) -> str:
        """Socket of the daemon that is followed."""
        return self._session.path

    def restart_from_now(self) -> None:
        """After `cursor_gone`: let `batches` continue with new events."""
        self.position, self._start = "", "now"

    def stop(self) -> None:
        """Make `batches` return. For another thread."""
        self._stopped = True
        self._connection.interrupt()

    def batches(self) -> "Iterator[list[bytes]]":
        """Yield non-empty lists of events. After it has raised a Failure, another call tries to continue."""
        while not self._stopped and not self._at_end():
            if not self._subscribed:
                self._resubscribe()
            events = self._up_to_end(self._pending)
            self._pending = []
            if events:
                self.position = position_of(events[-1])
                yield events
            if self._subscribed and not self._at_end():
                self._receive()

    def acknowledge(self, position: str) -> None:
        """Everything up to and including `position` is processed. Sent as soon as no other `ack` is open."""
        if self._consumer is None:
            return
        self._consumer.processed = position
        if self._subscribed:
            try:
                self._consumer.send_ack(self._session)
            except SessionEnded:
                self._mark_unsubscribed()

    def confirm_acks(self, seconds: float = ACK_TIMEOUT_S) -> None:
        """Wait until this daemon, or the next one, has confirmed everything that is processed."""
        consumer, deadline = self._consumer, time.monotonic() + seconds
        while consumer is not None and not consumer.is_confirmed:
            try:
                consumer.send_ack(self._session)
                self._process_lines(self._session.read_lines(deadline))
            except SessionEnded:
                self._mark_unsubscribed()
                patience = min(self._connection.connect_patience(), max(deadline - time.monotonic(), 0.0))
                self._connection.connect(patience)
                self._session = self._connection.session

    def try_confirm_acks(self) -> None:
        """Like `confirm_acks`, for at most a second and without errors. For a reader that ends with a failure."""
        if self._subscribed:
            with contextlib.suppress(Failure):
                self.confirm_acks(LAST_ACK_S)

    def pause(self, seconds: float) -> None:
        """Wait between two attempts to process an event. With a consumer, notice a takeover or a daemon restart."""
        left = self._connection.time_left()
        until = time.monotonic() + (seconds if left is None else min(seconds, left))
        while time.monotonic() < until:
            if self._consumer is None:  # no window: unread events stay in the daemon
                self._sleep_until(until)
            else:
                self._receive_until(until)
        if self._connection.time_left() == 0:
            raise Failure("timeout", "the time is over")

    def _receive_until(self, until: float) -> None:
        if not self._subscribed:
            self._resubscribe()
        try:
            self._process_lines(self._session.read_lines(until))
        except SessionEnded:
            self._mark_unsubscribed()
        except Failure as failure:
            if failure.kind != "timeout":
                raise

    def _at_end(self) -> bool:
        return self._end is not None and seq(self.position) >= self._end

    def _up_to_end(self, events: list[bytes]) -> list[bytes]:
        """Events up to the first one at or after `end`: the event at `end` itself may have been deleted."""
        if self._end is not None:
            for index, event in enumerate(events):
                if seq(position_of(event)) >= self._end:
                    return events[: index + 1]
        return events

    def _receive(self) -> None:
        try:
            self._process_lines(self._session.read_lines(self._connection.deadline))
        except SessionEnded:
            self._mark_unsubscribed()

    def _process_lines(self, lines: list[bytes]) -> None:
        events, others = self._splitter.split(lines)
        if self._repeated_through and events:
            events = [event for event in events if seq(position_of(event)) > self._repeated_through]
            self._repeated_through = 0 if events else self._repeated_through
        self._pending += events
        for message in others:
            self._process_message(message)

    def _process_message(self, message: "Mapping[str, Any]") -> None:
        """Process a message that is not an event. Raises Failure for an error or the end of the subscription."""
        if message.get("method") == "ended":
            raise refusal(message["params"]["error"])
        if self._consumer is not None and self._consumer.handle_reply(message):
            self._consumer.send_ack(self._session)
        elif "error" in message:
            raise refusal(message["error"])

    def _mark_unsubscribed(self) -> None:
        self._subscribed = False
        if self._consumer is not None:
            self._consumer.forget_request()

    def _subscribe(self) -> None:
        try:
            number = self._session.send_request("subscribe", self._subscribe_params())
            subscribed, lines = self._session.read_reply(number, self._connection.deadline)
        except Failure as failure:
            if self._consumer is None or self._consumer.filter_given or failure.details.get("reason") != "filter":
                raise
            self._match, self._consumer.filter_given = {}, True  # none was given: use the consumer's own
            self._subscribe()
            return
        self._subscribed = True
        self._pending = []
        if not self.position and seq(subscribed.get("after")) > 0:
            self.position = str(subscribed["after"])
        if self._consumer is not None:
            self._consumer.takeover = False  # only once: a later takeover by another reader shall succeed
            self._consumer.send_ack(self._session)
        self._process_lines(lines)

    def _subscribe_params(self) -> "dict[str, object]":
        params: dict[str, object] = {"from": {"position": self.position} if self.position else self._start}
        if self._match:
            params["filter"] = self._match
        return {**params, **self._consumer.subscribe_params()} if self._consumer is not None else params

    def _resubscribe(self) -> None:
        """Subscribe again after the last event, as soon as the socket is back."""
        until = time.monotonic() + self._connection.connect_patience()
        while True:
            try:
                self._mark_unsubscribed()
                self._connection.connect(max(until - time.monotonic(), 0.0))
                self._session = self._connection.session
                self._check_journal()
                self._subscribe()
                return
            except Failure as failure:
                if failure.kind not in RETRIED_KINDS or time.monotonic() >= until:
                    raise
                pause = FULL_S if failure.kind == "rate_limited" else RETRY_S
            self._sleep_until(time.monotonic() + pause)

    def _sleep_until(self, until: float) -> None:
        if self._connection.watches_stdout:
            hangup.wait(None, until)
        else:
            time.sleep(max(until - time.monotonic(), 0.0))

    def _check_journal(self) -> None:
        """Raise `cursor_gone` if the daemon has another journal: a consumer would continue in it unnoticed."""
        if self._consumer is not None and self.position:
            self._connection.call("history", {"from": {"position": self.position}, "n": 0})
            self._repeated_through = seq(self.position)
