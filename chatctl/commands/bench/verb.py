"""`chatctl bench`: measures throughput and latency to a peer, and checks that every message arrives exactly once."""

import time

import click

from chatctl.cli.sending import check_utf8
from chatctl.cli.verb import App, Verb
from chatctl.commands.bench.load_generator import EVENTS, GIVEN_UP, NUMBER_DIGITS, LoadGenerator
from chatctl.errors import DONE, FAILED, INTERRUPTED, Failure
from chatctl.rpc.pages import history_pages
from chatctl.rpc.positions import seq
from chatctl.text.measures import millis_text, progress_line, size_text
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_MESSAGES = 10_000_000
TALLY_POSITIONS = 8_000_000  # counted by one request
REDRAW_S = 0.1
MAX_BYTES = 1_000_000  # fits into a line to the daemon


class Bench:
    """One run. `record` has the measurements so far."""

    def __init__(self, app: App, peer: str, messages: int, size: int, rate: int | None) -> None:
        """Raises Failure for a peer that does not answer a ping, e.g. a plain or an offline one."""
        self._app = app
        self._peer: dict[str, Any] = app.call_with_timeout("ping", {"peer": peer}).get("peer") or {}
        self._slot = int(self._peer.get("slot") or 0)
        self._options = {"messages": messages, "size": size, "rate": rate}
        self._size = size
        wanted = {"from": "now", "filter": {"types": EVENTS, "peer": self._slot}}
        self._before = app.call("subscribe", wanted)
        self._load = LoadGenerator(app.session, self._slot, messages, size, rate)
        self._lost: int | None = None  # None: not counted
        self._duplicated: int | None = None

    @property
    def clean(self) -> bool:
        """Whether every message arrived exactly once."""
        return self._lost == self._duplicated == self._load.given_up == 0

    def measure(self) -> None:
        """Send all messages, wait until they are delivered, and let the peer's daemon count them."""
        load, messages, due = self._load, self._options["messages"] or 0, 0.0
        try:
            while not load.is_finished:
                load.step(self._app.deadline)
                if (now := time.monotonic()) >= due:
                    self._app.out.progress(progress_line(load.delivered, messages, self._rate))
                    due = now + REDRAW_S
            self._app.out.progress("counting what has arrived")
            self._count_arrived()
        finally:
            self._app.out.progress("")

    def _count_arrived(self) -> None:
        """Set `lost` and `duplicated` from a count in the peer's journal."""
        epoch, last = self._load.first_id.partition(":")[0], seq(self._load.last_id)
        arrived = distinct = 0
        for start in range(seq(self._load.first_id), last + 1, TALLY_POSITIONS):
            result = self._tally(f"{epoch}:{start}", f"{epoch}:{min(start + TALLY_POSITIONS - 1, last)}")
            arrived += int(result.get("messages") or 0)
            distinct += int(result.get("distinct") or 0)
        self._duplicated = arrived - distinct
        self._lost = max(self._expected() - distinct, 0)

    def _tally(self, first: str, last: str) -> "dict[str, Any]":
        """Count in the peer's journal, as soon as the peer is connected."""
        while True:
            try:
                return self._app.call_with_timeout("tally", {"peer": self._slot, "first": first, "last": last})
            except Failure as failure:
                if failure.kind != "peer_offline":
                    raise
            self._app.call_with_timeout("wait", {"for": "peer", "peer": self._slot})

    def _expected(self) -> int:
        """Messages that the peer should have in the range: ours, and those that other clients sent meanwhile."""
        load, before = self._load, self._sent_count(self._before.get("snapshot") or {})
        if self._sent_count(self._app.call("list", {"all": True})) - before == load.delivered == load.accepted:
            return load.delivered
        match = {"types": ["message"], "direction": "out", "peer": self._slot}
        expected, first, last = 0, seq(load.first_id), seq(load.last_id)
        for page in history_pages(self._app, {"position": self._before.get("position")}, match):
            seqs = [seq(event.get("position")) for event in page if event.get("state") not in GIVEN_UP]
            expected += sum(first <= number <= last for number in seqs)
            if seq(page[-1].get("position")) >= last:
                break
        return max(expected, load.delivered)  # some may have been deleted here since

    def _sent_count(self, result: "dict[str, Any]") -> int:
        """The daemon's count of messages written to the peer."""
        peers = result.get("peers") or []
        return next((int(peer.get("sent") or 0) for peer in peers if peer.get("slot") == self._slot), 0)

    @property
    def _rate(self) -> float:
        return self._load.delivered / self._load.elapsed if self._load.elapsed > 0 else 0.0

    def record(self) -> "dict[str, Any]":
        """For `--json`. `lost` and `duplicated` are null unless the peer has counted."""
        load = self._load
        return {
            "peer": self._peer,
            **self._options,
            "sent": load.accepted,
            "delivered": load.delivered,
            "given_up": load.given_up,
            "elapsed_s": round(load.elapsed, 6),
            "messages_per_s": round(self._rate, 1),
            "bytes_per_s": round(self._rate * self._size, 1),
            **load.latencies.record(),
            "lost": self._lost,
            "duplicated": self._duplicated,
            "link_lost": load.link_losses,
        }

    def lines(self) -> list[str]:
        load = self._load
        name = inline(str(self._peer.get("name")))
        speed = f"{self._rate:,.0f}/s, {size_text(self._rate * self._size)}/s"
        lines = [f"{load.delivered} messages of {self._size} bytes to {name} in {load.elapsed:.2f} s: {speed}"]
        if load.latencies.count:
            lines.append(f"delivered: {self._spread()}")
        if load.link_losses:
            lines.append(f"the link was lost {load.link_losses} time{'' if load.link_losses == 1 else 's'}")
        if load.given_up:
            lines.append(f"given up {load.given_up} (cancelled, expired or rejected)")
        if self._lost is not None:
            lines.append(f"lost {self._lost}, duplicated {self._duplicated}")
        return lines

    def _spread(self) -> str:
        """`median 2.1 ms, p99 8.0 ms, max 9.9 ms`."""
        times = self._load.latencies.record()
        return ", ".join(f"{name} {millis_text(times[f'{name}_ms'] or 0.0)} ms" for name in ("median", "p99", "max"))

    def with_measurements(self, failure: Failure) -> Failure:
        """Add the measurements so far to a failure."""
        load = self._load
        so_far = f"{load.delivered} of {self._options['messages']} messages delivered, {self._rate:,.0f}/s"
        if load.latencies.count:
            so_far += f", {self._spread()}"
        return Failure(failure.kind, f"{failure.message}: {so_far}", failure.hint, {**failure.details, **self.record()})


def run(app: App, peer: str, messages: int, size: int, rate: int | None) -> int:
    """An interrupted run prints the measurements so far."""
    check_utf8(peer, "the peer's name")
    if "@" in peer:
        raise Failure("usage", f"{peer} is a room: nobody acknowledges what is said there", "name a peer")
    bench, status = Bench(app, peer, messages, size, rate), INTERRUPTED
    try:
        bench.measure()
        status = DONE if bench.clean else FAILED
    except KeyboardInterrupt:
        app.out.note("interrupted: what was accepted will still be delivered")
    except Failure as failure:
        raise bench.with_measurements(failure) from None
    if app.out.json:
        app.out.result(bench.record())
    else:
        app.out.line("\n".join(bench.lines()))
    return status


command = Verb(
    "bench",
    run,
    [
        click.Argument(["peer"]),
        click.Option(
            ["--messages"],
            type=click.IntRange(1, MAX_MESSAGES),
            default=10_000,
            metavar="N",
            help="Number of messages (10000).",
        ),
        click.Option(
            ["--size"],
            type=click.IntRange(NUMBER_DIGITS, MAX_BYTES),
            default=100,
            metavar="BYTES",
            help=f"Size of each text, {NUMBER_DIGITS} or more (100).",
        ),
        click.Option(
            ["--rate"],
            type=click.IntRange(1, MAX_MESSAGES),
            metavar="N",
            help="Messages a second (default: as fast as possible).",
        ),
    ],
    help="""Send messages to a peer as fast as possible, or at a --rate. Measures how many a second reach the peer's
    journal, and the time of each until its delivery is known here. At the end the peer's daemon counts them: exit 0 if
    none is lost or duplicated, else 1.

    The messages are real: they stay in both journals, and readers at the peer see them.

    With --rate, the time of each message starts at its scheduled moment, so a stall counts for all messages that were
    due in it. Without --rate, it starts at the write to the daemon, so it measures the length of the queue rather
    than the speed of the link.

    The peer must be connected and run chatd. If the link breaks, the command continues after it is back. --timeout
    ends it with 124 and prints the results so far.""",
    epilog="PEER is a slot, HOST:PORT, a name, or a node id or its beginning. For the round trip alone: chatctl ping.",
)
