"""Load: many messages to one peer on one session, and when each of them was delivered. For `bench`; shows nothing.

The session has a subscription to the receipts of that peer. A message is delivered when a receipt says so, or the
answer to a `wait` for it, whichever comes first: a receipt is written down with the next commit, and where there is
none, 50 ms late. What is under way is bounded, so that a peer that goes away leaves no full outbox.
"""

import contextlib
import select
import socket
import time
from collections import deque

from chatctl.errors import Failure, refusal
from chatctl.rpc.positions import seq
from chatctl.rpc.session import parse
from chatctl.text.measures import Durations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.rpc.session import Session

WINDOW = 8192  # messages under way: what a daemon queues for a peer, unless told otherwise, is 10,000
WINDOW_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 64 * 1024  # built and written at a time
PROBES = 8  # waits that are open at a time
TURN_S = 0.1  # a turn takes no longer
REST_S = 0.25  # after a refusal that is for the moment only
NUMBER = 8  # digits in front of each text
SEND = 0  # the id of all requests to send: they are answered in their order
ACCEPTED = b'{"jsonrpc":"2.0","id":%d,"result":{"id":"' % SEND
GIVEN_UP = ("cancelled", "expired", "rejected")
EVENTS = ["receipt", "peer.down"]


class Load:
    """`count` messages of `size` bytes to the peer in that slot: `rate` a second, or as fast as they are taken.

    With a rate a message is due at its time on the schedule, whenever it can be sent; without one when it is written.
    """

    def __init__(self, session: "Session", slot: int, count: int, size: int, rate: int | None) -> None:
        self.accepted = self.delivered = 0
        self.given_up = 0  # cancelled, expired or rejected
        self.breaks = 0  # how often the peer went down
        self.first = self.last = ""  # ids of what was accepted
        self.times = Durations()  # from due to delivered
        self.begun = self.ended = time.monotonic()  # `ended`: when something was delivered last
        self._session = session
        self._count = count
        self._rate = rate
        self._request = f'{{"jsonrpc":"2.0","id":{SEND},"method":"send","params":{{"peer":{slot},"text":"'
        self._first_request = self._request.replace('"text"', '"queue":false,"text"')
        self._behind = "x" * (size - NUMBER) + '"}}\n'
        self._most = max(min(WINDOW, WINDOW_BYTES // size), 1)
        self._chunk = max(CHUNK_BYTES // size, 1)
        self._taken = 0  # messages that came into the window
        self._again: deque[tuple[int, float]] = deque()  # refused for the moment
        self._resting = 0.0  # until then
        self._out = memoryview(b"")  # whole requests, less what is written
        self._unanswered: deque[tuple[int, float]] = deque()  # number and due time
        self._waiting: deque[tuple[int, float]] = deque()  # accepted and not delivered: seq and due time
        self._through = 0  # the seq up to which all is delivered
        self._gone: set[int] = set()  # seqs of what never will be
        self._probes = self._probed = 0  # that are open; `accepted` at the last one

    @property
    def done(self) -> bool:
        """Whether it is known of every message what became of it, and no request is written in part."""
        return self.delivered + self.given_up == self._count and not self._out

    @property
    def elapsed(self) -> float:
        """Seconds from the first that was sent to the last that was delivered."""
        return max(self.ended - self.begun, 0.0)

    def turn(self, deadline: float | None) -> None:
        """Send what is due, take in what came; waits for either, TURN_S at most. Raises Failure."""
        now = time.monotonic()
        if deadline is not None and now >= deadline:
            raise Failure("timeout", "not done in time")
        if not self._taken:
            self.begun = now
        if not self._out:
            self._fill(now)
        sock = self._session.sock
        readable, writable, _ = select.select([sock], [sock] if self._out else [], [], self._pause(now, deadline))
        if writable:
            self._write(sock)
        if readable:
            self._read(self._session.lines())

    # -- out

    def _fill(self, now: float) -> None:
        """The next requests, if there is room for them and they are due."""
        room = min(self._window - len(self._unanswered) - len(self._waiting), self._chunk)
        batch = self._next(room, now) if room > 0 and now >= self._resting else []
        if batch:
            self._unanswered += batch
            before = self._request if self.accepted else self._first_request  # a peer that is away shall refuse it
            lines = [f"{before}{number:0{NUMBER}}{self._behind}" for number, _ in batch]
            self._out = memoryview("".join(lines).encode())
        else:
            self._probe()

    @property
    def _window(self) -> int:
        """One before anything was accepted: if that is refused, it is the end."""
        return self._most if self.accepted else 1

    def _next(self, room: int, now: float) -> list[tuple[int, float]]:
        if self._again:
            return [self._again.popleft() for _ in range(min(room, len(self._again)))]
        end = min(self._taken + room, self._count)
        start, begun, rate = self._taken, self.begun, self._rate
        if rate is None:
            batch = [(number, now) for number in range(start, end)]
        else:
            end = min(end, int((now - begun) * rate) + 1)
            batch = [(number, begun + number / rate) for number in range(start, end)]
        self._taken = max(start, end)
        return batch

    def _probe(self) -> None:
        """Wait for the newest that was accepted, if that is some way behind the last that is waited for."""
        alone = not self._unanswered and not self._again and self._taken == self._count
        step = 0 if alone else len(self._waiting) // (2 * PROBES)
        if self._waiting and self._probes < PROBES and self.accepted - self._probed > step:
            self._probes += 1
            self._probed = self.accepted
            request = '{"jsonrpc":"2.0","id":"%s","method":"wait","params":{"for":"delivered","id":"%s"}}\n'
            self._out = memoryview((request % (self.last, self.last)).encode())

    def _pause(self, now: float, deadline: float | None) -> float:
        """How long nothing is to be done, but for what comes."""
        until = now + TURN_S if deadline is None else min(now + TURN_S, deadline)
        if self._rate is not None and self._taken < self._count:
            due = self.begun + self._taken / self._rate
            until = min(until, due) if due > now else until
        return max(until - now, 0.0)

    def _write(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):  # nothing goes now, or never again: then reading says why
            self._out = self._out[sock.send(self._out, socket.MSG_DONTWAIT) :]

    # -- in

    def _read(self, lines: list[bytes]) -> None:
        start, unanswered, waiting = len(ACCEPTED), self._unanswered, self._waiting
        for line in lines:
            if line.startswith(ACCEPTED):
                number = int(line[line.index(b":", start) + 1 : line.index(b'"', start)])
                waiting.append((number, unanswered.popleft()[1]))
                self.accepted += 1
            else:
                self._heed(parse(line))
        newest = next((line for line in reversed(lines) if line.startswith(ACCEPTED)), None)
        if newest is not None:
            self._name(newest[start : newest.index(b'"', start)].decode())
        self._settle()

    def _name(self, newest: str) -> None:
        self.last = newest
        self.first = self.first or newest

    def _heed(self, message: "dict[str, Any]") -> None:
        """What is not an acceptance of the usual shape."""
        number = message.get("id")
        if message.get("method") == "event":
            self._heed_event(message["params"]["event"])
        elif number == SEND and "result" in message:
            self._name(str(message["result"]["id"]))
            self._waiting.append((seq(self.last), self._unanswered.popleft()[1]))
            self.accepted += 1
        elif number == SEND:
            self._refused(refusal(message["error"]))
        elif isinstance(number, str):
            self._probes -= 1
            if "result" in message:  # else a receipt says what became of it
                self._through = max(self._through, seq(number))
        elif "error" in message:
            raise refusal(message["error"])

    def _heed_event(self, event: "dict[str, Any]") -> None:
        if event.get("type") == "peer.down":
            self.breaks += 1
        elif event.get("through") is not None and event.get("state") == "delivered":
            self._through = max(self._through, seq(event["through"]))
        elif event.get("state") in GIVEN_UP:
            self._gone.add(seq(event.get("id")))

    def _refused(self, failure: Failure) -> None:
        """A message was not accepted. Raises the failure, unless the outbox is full just now: then it comes again."""
        if failure.kind != "outbox_full" or not self.accepted:
            raise failure
        self._again.append(self._unanswered.popleft())
        self._resting = time.monotonic() + REST_S

    def _settle(self) -> None:
        """Count what is delivered by now, neighbours of one due time together."""
        now, waiting = time.monotonic(), self._waiting
        run, due = 0, 0.0
        while waiting and (waiting[0][0] <= self._through or waiting[0][0] in self._gone):
            number, at = waiting.popleft()
            if number in self._gone:
                self.given_up += 1
                continue
            if at != due and run:
                self._count_delivered(run, now, due)
                run = 0
            run, due = run + 1, at
        if run:
            self._count_delivered(run, now, due)

    def _count_delivered(self, run: int, now: float, due: float) -> None:
        self.times.add(now - due, run)
        self.delivered += run
        self.ended = now
