"""`chatctl ping`: the way to a peer's daemon and back, again and again, as ping(8) does it."""

import select
import time

import click

from chatctl.cli.sending import check
from chatctl.cli.verb import Verb
from chatctl.errors import DONE, FAILED, Failure, SessionEvicted
from chatctl.rpc.session import parse, result
from chatctl.text.measures import Durations, millis, spread
from chatctl.text.output import short
from chatctl.text.sanitize import inline
from chatctl.text.values import duration_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App

MOST_OPEN = 16  # pings without an answer: a link that is silent does not collect them
LOST = ("timeout", "peer_offline")  # what may be otherwise for the next one


class Pinger:
    """Pings of one peer on one session. Each is a request of its own; how long it took, the daemon says."""

    def __init__(self, app: "App", params: "dict[str, object]", count: int | None, interval: float) -> None:
        self.heard = 0  # of how many it is known what became of them
        self.asked = 0
        self.answers = Durations()
        self._app = app
        self._session = app.session
        self._params = params
        self._count = count
        self._interval = interval
        self._most = MOST_OPEN if interval else 1
        self._open: dict[int, int] = {}  # the request's number: which ping it is
        self._due = time.monotonic()
        self._peer: object = None

    def run(self) -> None:
        """Until all that were wanted have been answered, or are lost."""
        while self._wanted or self._open:
            now = time.monotonic()
            if self._may_ask and now >= self._due:
                self._ask()
                self._due = now + self._interval
            self._listen()

    @property
    def _wanted(self) -> bool:
        return self._count is None or self.asked < self._count

    @property
    def _may_ask(self) -> bool:
        return self._wanted and len(self._open) < self._most

    def _ask(self) -> None:
        self.asked += 1
        self._open[self._session.ask("ping", self._params)] = self.asked

    def _listen(self) -> None:
        """Wait for an answer, or for the time to ask again."""
        left, wait = self._app.left(), max(self._due - time.monotonic(), 0.0) if self._may_ask else None
        if left is not None:
            wait = left if wait is None else min(wait, left)
        ready, _, _ = select.select([self._session.sock], [], [], wait)
        if ready:
            try:
                for line in self._session.lines():
                    self._take(parse(line))
            except SessionEvicted:  # the pings were far apart; none that is open was read
                self._begin_again()
        elif self._app.left() == 0:
            raise Failure("timeout", f"{self.answers.count} of {self.asked} pings were answered in time")

    def _begin_again(self) -> None:
        self._app.close()
        self._session = self._app.session
        self._open = {self._session.ask("ping", self._params): which for which in self._open.values()}

    def _take(self, message: "dict[str, Any]") -> None:
        """One answer. Raises what no other ping would change, or what was wrong with the first one."""
        number = self._open.pop(message.get("id") or 0, None)
        if number is None:
            return
        try:
            found = result(message)
        except Failure as failure:
            if failure.kind not in LOST or (failure.kind == "peer_offline" and not self.heard):
                raise
            self._tell_lost(number, failure)
        else:
            self._tell(number, found)
        self.heard += 1

    def _tell(self, number: int, found: "dict[str, Any]") -> None:
        self.answers.add(float(found.get("rtt_ms") or 0.0) / 1000)
        self._peer = peer = found.get("peer") or {}
        if self._app.out.json:
            self._app.out.result({"seq": number, **found})
            return
        who = inline(f"{peer.get('name')} ({short(peer.get('node'))})")
        self._app.out.line(f"answer from {who}: seq={number} time={millis(float(found.get('rtt_ms') or 0.0))} ms")

    def _tell_lost(self, number: int, failure: Failure) -> None:
        if self._app.out.json:
            self._app.out.result({"seq": number, "error": {"kind": failure.kind, "message": failure.message}})
            return
        why = f" ({inline(failure.message)})" if failure.kind != "timeout" else ""
        self._app.out.line(f"no answer: seq={number}{why}")

    def conclude(self) -> None:
        """The summary."""
        asked, answered, times = self.asked, self.answers.count, self.answers.record()
        if self._app.out.json:
            counts = {"sent": asked, "answered": answered, "lost": asked - answered}
            self._app.out.result({"peer": self._peer, **counts, **times})
            return
        lost = (asked - answered) / asked if asked else 0.0
        told = f", {spread(times)}" if answered else ""
        self._app.out.line(f"{asked} sent, {answered} answered, {lost:.0%} lost{told}")


def run(app: "App", peer: str, count: int | None, interval: float, patience: float) -> int:
    """Ping; Ctrl-C is how one without a count ends."""
    check(peer, "the peer's name")
    pinger, ended = Pinger(app, {"peer": peer, "timeout": patience}, count, interval), None
    try:
        pinger.run()
    except KeyboardInterrupt:
        pass
    except Failure as failure:
        ended = failure
    if ended is None or pinger.heard or ended.kind == "timeout":
        pinger.conclude()
    if ended is not None:
        raise ended
    return DONE if pinger.answers.count else FAILED


command = Verb(
    "ping",
    run,
    [
        click.Argument(["peer"]),
        click.Option(["-c", "--count"], type=click.IntRange(1), metavar="N", help="End after N; without it at Ctrl-C."),
        click.Option(
            ["-i", "--interval"],
            type=duration_option,
            default="1s",
            metavar="DURATION",
            help="From one to the next (1s); 0: as soon as the last is answered.",
        ),
        click.Option(
            ["-W", "--wait", "patience"],
            type=duration_option,
            default="5s",
            metavar="DURATION",
            help="An answer that has not come by then is lost (5s).",
        ),
    ],
    help="Measure the round trip to a peer: from this daemon over the link to the peer's, which answers, and back. "
    "Exit 0 if any answer came, 1 if none did; --timeout ends the whole of it, with 124. A peer that is not connected "
    "at the beginning is refused; one that goes meanwhile is waited for, and what it does not answer is lost.",
    epilog="PEER is a slot, HOST:PORT, a name, or a node id or its beginning. With --json an object for each answer "
    "(seq, peer, rtt_ms, clock_ms, or error), then one of the sum (sent, answered, lost, min_ms, median_ms, …).",
)
