"""`chatctl ping`: measures the round trip to a peer's daemon repeatedly, like ping(8)."""

import select
import time

import click

from chatctl.cli.sending import check_utf8
from chatctl.cli.verb import App, Verb
from chatctl.errors import DONE, FAILED, Failure, SessionEvicted
from chatctl.rpc.session import parse_message, result_of
from chatctl.text.measures import DurationHistogram, millis_text, spread_text
from chatctl.text.output import short
from chatctl.text.sanitize import inline
from chatctl.text.values import duration_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_OPEN = 16  # pings without an answer, so that they do not pile up on a silent link
LOST_KINDS = ("timeout", "peer_offline")  # failures of one ping; the next one may succeed


class Pinger:
    """Pings of one peer on one session. Each is a request; the daemon measures the round trip."""

    def __init__(self, app: App, params: "dict[str, object]", count: int | None, interval: float) -> None:
        self.resolved = 0  # pings that were answered or lost
        self.sent = 0
        self.round_trips = DurationHistogram()
        self._app = app
        self._session = app.session
        self._params = params
        self._count = count
        self._interval = interval
        self._max_open = MAX_OPEN if interval else 1
        self._open: dict[int, int] = {}  # request id -> number of the ping
        self._due = time.monotonic()
        self._peer: object = None

    def ping_all(self) -> None:
        """Return when `count` pings have been answered or lost."""
        while self._wants_more or self._open:
            now = time.monotonic()
            if self._may_send and now >= self._due:
                self._send()
                self._due = now + self._interval
            self._wait_for_reply()

    @property
    def _wants_more(self) -> bool:
        return self._count is None or self.sent < self._count

    @property
    def _may_send(self) -> bool:
        return self._wants_more and len(self._open) < self._max_open

    def _send(self) -> None:
        self.sent += 1
        self._open[self._session.send_request("ping", self._params)] = self.sent

    def _wait_for_reply(self) -> None:
        """Wait for a reply, at most until the next ping is due."""
        left, wait = self._app.time_left(), max(self._due - time.monotonic(), 0.0) if self._may_send else None
        if left is not None:
            wait = left if wait is None else min(wait, left)
        ready, _, _ = select.select([self._session.sock], [], [], wait)
        if ready:
            try:
                for line in self._session.read_lines():
                    self._process_reply(parse_message(line))
            except SessionEvicted:  # the pings were far apart; the daemon has read no open one
                self._resend_open()
        elif self._app.time_left() == 0:
            raise Failure("timeout", f"{self.round_trips.count} of {self.sent} pings were answered in time")

    def _resend_open(self) -> None:
        self._app.close()
        self._session = self._app.session
        self._open = {self._session.send_request("ping", self._params): ping for ping in self._open.values()}

    def _process_reply(self, message: "dict[str, Any]") -> None:
        """Raises Failure for an error that further pings would repeat, or if the first ping finds the peer offline."""
        number = self._open.pop(message.get("id") or 0, None)
        if number is None:
            return
        try:
            result = result_of(message)
        except Failure as failure:
            if failure.kind not in LOST_KINDS or (failure.kind == "peer_offline" and not self.resolved):
                raise
            self._print_lost(number, failure)
        else:
            self._print_answer(number, result)
        self.resolved += 1

    def _print_answer(self, number: int, result: "dict[str, Any]") -> None:
        self.round_trips.add(float(result.get("rtt_ms") or 0.0) / 1000)
        self._peer = peer = result.get("peer") or {}
        if self._app.out.json:
            self._app.out.result({"seq": number, **result})
            return
        who = inline(f"{peer.get('name')} ({short(peer.get('node'))})")
        self._app.out.line(f"answer from {who}: seq={number} time={millis_text(float(result.get('rtt_ms') or 0.0))} ms")

    def _print_lost(self, number: int, failure: Failure) -> None:
        if self._app.out.json:
            self._app.out.result({"seq": number, "error": {"kind": failure.kind, "message": failure.message}})
            return
        why = f" ({inline(failure.message)})" if failure.kind != "timeout" else ""
        self._app.out.line(f"no answer: seq={number}{why}")

    def print_summary(self) -> None:
        sent, answered, times = self.sent, self.round_trips.count, self.round_trips.record()
        if self._app.out.json:
            counts = {"sent": sent, "answered": answered, "lost": sent - answered}
            self._app.out.result({"peer": self._peer, **counts, **times})
            return
        lost = (sent - answered) / sent if sent else 0.0
        times_text = f", {spread_text(times)}" if answered else ""
        self._app.out.line(f"{sent} sent, {answered} answered, {lost:.0%} lost{times_text}")


def run(app: App, peer: str, count: int | None, interval: float, patience: float) -> int:
    """Without `count`, end at Ctrl-C."""
    check_utf8(peer, "the peer's name")
    pinger, ended = Pinger(app, {"peer": peer, "timeout": patience}, count, interval), None
    try:
        pinger.ping_all()
    except KeyboardInterrupt:
        pass
    except Failure as failure:
        ended = failure
    if ended is None or pinger.resolved or ended.kind == "timeout":
        pinger.print_summary()
    if ended is not None:
        raise ended
    return DONE if pinger.round_trips.count else FAILED


command = Verb(
    "ping",
    run,
    [
        click.Argument(["peer"]),
        click.Option(
            ["-c", "--count"], type=click.IntRange(1), metavar="N", help="Stop after N pings (default: at Ctrl-C)."
        ),
        click.Option(
            ["-i", "--interval"],
            type=duration_option,
            default="1s",
            metavar="DURATION",
            help="Time between pings (1s). 0: send the next after each answer.",
        ),
        click.Option(
            ["-W", "--wait", "patience"],
            type=duration_option,
            default="5s",
            metavar="DURATION",
            help="Count an answer as lost after DURATION (5s).",
        ),
    ],
    help="Measure the round-trip time to a peer: from this daemon to the peer's daemon and back. "
    "Exit 0 if any answer arrived, 1 if none did, 124 after --timeout. The peer must be "
    "connected at the start. If it disconnects later, ping waits for it and counts the missing "
    "answers as lost.",
    epilog="PEER is a slot, HOST:PORT, a name, or a node id or its beginning. --json prints an object "
    "for each answer (seq, peer, rtt_ms, clock_ms, or error), then a summary (sent, answered, "
    "lost, min_ms, median_ms, …).",
)
