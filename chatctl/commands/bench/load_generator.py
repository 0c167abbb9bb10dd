"""Sends many messages to one peer on one session and measures when each is delivered. Used by `bench`; prints nothing.

The session subscribes to the peer's receipts. A message counts as delivered when a receipt or the reply to a `wait` for
it arrives, whichever is first: a receipt is committed with the next batch, up to 50 ms late if nothing else is
committed. The number of messages under way is bounded, so that a peer that goes offline does not fill the outbox.
"""

import contextlib
import select
import socket
import time
from collections import deque

from chatctl.errors import Failure, refusal
from chatctl.rpc.positions import seq
from chatctl.rpc.session import parse_message
from chatctl.text.measures import DurationHistogram

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.rpc.session import ControlSession

WINDOW = 8192  # messages under way; a daemon queues 10,000 for a peer by default
WINDOW_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 64 * 1024  # built and written in one step
MAX_WAITS = 8  # open `wait` requests
STEP_S = 0.1  # longest duration of a step
RETRY_S = 0.25  # after a refusal because the outbox is full
NUMBER_DIGITS = 8  # at the start of each text
SEND_ID = 0  # id of all `send` requests: they are answered in order
ACCEPTED = b'{"jsonrpc":"2.0","id":%d,"result":{"id":"' % SEND_ID
GIVEN_UP = ("cancelled", "expired", "rejected")
EVENTS = ["receipt", "peer.down"]


class LoadGenerator:
    """Sends `count` messages of `size` bytes to the peer in `slot`, `rate` per second or as fast as possible.

    Latency counts from the time a message is due: its time on the schedule if there is a rate, else when it is written.
    """

    def __init__(self, session: "ControlSession", slot: int, count: int, size: int, rate: int | None) -> None:
        self.accepted = self.delivered = 0
        self.given_up = 0  # cancelled, expired or rejected
        self.link_losses = 0  # times that the link went down
        self.first_id = self.last_id = ""  # ids of accepted messages
        self.latencies = DurationHistogram()  # from due to delivered
        self.started_at = self.last_delivery_at = time.monotonic()
        self._session = session
        self._count = count
        self._rate = rate
        self._request = f'{{"jsonrpc":"2.0","id":{SEND_ID},"method":"send","params":{{"peer":{slot},"text":"'
        self._first_request = self._request.replace('"text"', '"queue":false,"text"')
        self._request_end = "x" * (size - NUMBER_DIGITS) + '"}}\n'
        self._max_open = max(min(WINDOW, WINDOW_BYTES // size), 1)
        self._chunk = max(CHUNK_BYTES // size, 1)
        self._started = 0  # messages that have entered the window
        self._refused: deque[tuple[int, float]] = deque()  # refused because the outbox was full
        self._retry_at = 0.0  # nothing is sent before
        self._unwritten = memoryview(b"")  # rest of the requests that were built
        self._unanswered: deque[tuple[int, float]] = deque()  # number and due time
        self._undelivered: deque[tuple[int, float]] = deque()  # accepted and not delivered: seq and due time
        self._delivered_through = 0  # everything up to this sequence number is delivered
        self._given_up_seqs: set[int] = set()  # sequence numbers of messages that were given up
        self._open_waits = 0
        self._accepted_at_wait = 0  # `accepted` when the last `wait` was sent

    @property
    def is_finished(self) -> bool:
        """Whether every message is delivered or given up, and no request is half written."""
        return self.delivered + self.given_up == self._count and not self._unwritten

    @property
    def elapsed(self) -> float:
        """Seconds from the first message sent to the last one delivered."""
        return max(self.last_delivery_at - self.started_at, 0.0)

    def step(self, deadline: float | None) -> None:
        """Send due messages and process what arrived; wait for either, at most STEP_S."""
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise Failure("timeout", "not done in time")
        if not self._started:
            self.started_at = now
        if not self._unwritten:
            self._build_requests(now)
        sock = self._session.sock
        readable, writable, _ = select.select(
            [sock], [sock] if self._unwritten else [], [], self._time_to_wait(now, deadline)
        )
        if writable:
            self._write(sock)
        if readable:
            self._process_lines(self._session.read_lines())

    # -- sending

    def _build_requests(self, now: float) -> None:
        """Build the next requests if the window has capacity and they are due."""
        capacity = min(self._window - len(self._unanswered) - len(self._undelivered), self._chunk)
        batch = self._next_batch(capacity, now) if capacity > 0 and now >= self._retry_at else []
        if batch:
            self._unanswered += batch
            request_start = self._request if self.accepted else self._first_request  # an offline peer refuses it
            lines = [f"{request_start}{number:0{NUMBER_DIGITS}}{self._request_end}" for number, _ in batch]
            self._unwritten = memoryview("".join(lines).encode())
        else:
            self._send_wait()

    @property
    def _window(self) -> int:
        """Only one message before the first acceptance: if it is refused, the run ends."""
        return self._max_open if self.accepted else 1

    def _next_batch(self, capacity: int, now: float) -> list[tuple[int, float]]:
        if self._refused:
            return [self._refused.popleft() for _ in range(min(capacity, len(self._refused)))]
        end = min(self._started + capacity, self._count)
        start, started_at, rate = self._started, self.started_at, self._rate
        if rate is None:
            batch = [(number, now) for number in range(start, end)]
        else:
            end = min(end, int((now - started_at) * rate) + 1)
            batch = [(number, started_at + number / rate) for number in range(start, end)]
        self._started = max(start, end)
        return batch

    def _send_wait(self) -> None:
        """Send a `wait` for the newest accepted message, if many were accepted since the last `wait`."""
        alone = not self._unanswered and not self._refused and self._started == self._count
        step = 0 if alone else len(self._undelivered) // (2 * MAX_WAITS)
        if self._undelivered and self._open_waits < MAX_WAITS and self.accepted - self._accepted_at_wait > step:
            self._open_waits += 1
            self._accepted_at_wait = self.accepted
            request = '{"jsonrpc":"2.0","id":"%s","method":"wait","params":{"for":"delivered","id":"%s"}}\n'
            self._unwritten = memoryview((request % (self.last_id, self.last_id)).encode())

    def _time_to_wait(self, now: float, deadline: float | None) -> float:
        """Seconds until the next message is due or the step ends."""
        until = now + STEP_S if deadline is None else min(now + STEP_S, deadline)
        if self._rate is not None and self._started < self._count:
            due = self.started_at + self._started / self._rate
            until = min(until, due) if due > now else until
        return max(until - now, 0.0)

    def _write(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the buffer is full, or the session has ended: then reading raises
            self._unwritten = self._unwritten[sock.send(self._unwritten, socket.MSG_DONTWAIT) :]

    # -- receiving

    def _process_lines(self, lines: list[bytes]) -> None:
        start, unanswered, waiting = len(ACCEPTED), self._unanswered, self._undelivered
        for line in lines:
            if line.startswith(ACCEPTED):
                number = int(line[line.index(b":", start) + 1 : line.index(b'"', start)])
                waiting.append((number, unanswered.popleft()[1]))
                self.accepted += 1
            else:
                self._process_message(parse_message(line))
        newest = next((line for line in reversed(lines) if line.startswith(ACCEPTED)), None)
        if newest is not None:
            self._record_id(newest[start : newest.index(b'"', start)].decode())
        self._count_resolved()

    def _record_id(self, newest: str) -> None:
        self.last_id = newest
        self.first_id = self.first_id or newest

    def _process_message(self, message: "dict[str, Any]") -> None:
        """Process a line that is not an acceptance in the usual form."""
        number = message.get("id")
        if message.get("method") == "event":
            self._process_event(message["params"]["event"])
        elif number == SEND_ID and "result" in message:
            self._record_id(str(message["result"]["id"]))
            self._undelivered.append((seq(self.last_id), self._unanswered.popleft()[1]))
            self.accepted += 1
        elif number == SEND_ID:
            self._schedule_again(refusal(message["error"]))
        elif isinstance(number, str):
            self._open_waits -= 1
            if "result" in message:  # after an error, a receipt has the state
                self._delivered_through = max(self._delivered_through, seq(number))
        elif "error" in message:
            raise refusal(message["error"])

    def _process_event(self, event: "dict[str, Any]") -> None:
        if event.get("type") == "peer.down":
            self.link_losses += 1
        elif event.get("through") is not None and event.get("state") == "delivered":
            self._delivered_through = max(self._delivered_through, seq(event["through"]))
        elif event.get("state") in GIVEN_UP:
            self._given_up_seqs.add(seq(event.get("id")))

    def _schedule_again(self, failure: Failure) -> None:
        """Schedule a refused message again if the outbox was full. Raises any other failure."""
        if failure.kind != "outbox_full" or not self.accepted:
            raise failure
        self._refused.append(self._unanswered.popleft())
        self._retry_at = time.monotonic() + RETRY_S

    def _count_resolved(self) -> None:
        """Count messages that are delivered or given up, those with the same due time in one step."""
        now, waiting = time.monotonic(), self._undelivered
        run, due = 0, 0.0
        while waiting and (waiting[0][0] <= self._delivered_through or waiting[0][0] in self._given_up_seqs):
            number, at = waiting.popleft()
            if number in self._given_up_seqs:
                self.given_up += 1
                continue
            if at != due and run:
                self._count_delivered(run, now, due)
                run = 0
            run, due = run + 1, at
        if run:
            self._count_delivered(run, now, due)

    def _count_delivered(self, run: int, now: float, due: float) -> None:
        self.latencies.add(now - due, run)
        self.delivered += run
        self.last_delivery_at = now
