"""Options, the daemon's filter, and the printing of events: shared by `tail` and `history`."""

import json

import click

from chatctl.cli.verb import App
from chatctl.errors import Failure
from chatctl.rpc.positions import is_gap
from chatctl.text.format import event_line
from chatctl.text.template import FIELDS, Template
from chatctl.text.values import moment_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

EPILOG = f"Fields of TEMPLATE: {' '.join(FIELDS)}."


class EventPrinter:
    """Prints events by `template`, or with `line` where none was given.

    Stops after `limit` events, and with `strict` after a gap.
    """

    def __init__(
        self,
        app: App,
        template: str | None,
        limit: int | None = None,
        line: "Callable[[Mapping[str, Any]], str]" = event_line,
        *,
        strict: bool = False,
    ) -> None:
        if template is not None and app.out.json:
            raise Failure("usage", "--format and --json exclude each other")
        self._out = app.out
        self._line = line if template is None else _parse_template(template).line
        self._limit = limit
        self._strict = strict
        self.count = 0
        self.stopped_at_gap = False

    @property
    def is_finished(self) -> bool:
        return self.count == self._limit or self.stopped_at_gap

    def print_encoded(self, events: list[bytes]) -> list[bytes]:
        """Print events that are still JSON; return those that were printed."""
        events = events[: self._printable(events, is_gap)]
        if self._out.json:
            self._out.documents(events)
        elif events:
            self._out.entries([self._line(json.loads(event)) for event in events])
        self.count += len(events)
        return events

    def print_decoded(self, events: "Sequence[Mapping[str, Any]]") -> None:
        events = events[: self._printable(events, lambda event: event.get("type") == "gap")]
        if self._out.json:
            self._out.results(events)
        elif events:
            self._out.entries([self._line(event) for event in events])
        self.count += len(events)

    def _printable(self, events: "Sequence[Any]", is_gap: "Callable[[Any], bool]") -> int:
        """Number of events up to the limit, or up to and including the first gap if `strict`."""
        count = len(events) if self._limit is None else min(self._limit - self.count, len(events))
        if self._strict:
            for index in range(count):
                if is_gap(events[index]):
                    self.stopped_at_gap = True
                    return index + 1
        return count


def _parse_template(template: str) -> Template:
    try:
        return Template(template)
    except ValueError as error:
        raise Failure("usage", f"--format: {error}", "see chatctl tail --help") from None


def event_filter(peer: str | None, everything: bool, *, inbound: bool = False) -> dict[str, object]:
    """Filter for the daemon; gaps always match. A `peer` with an at sign is a room: peer names contain none."""
    match: dict[str, object] = {} if everything else {"types": ["message"]}
    if inbound and not everything:
        match["direction"] = "in"
    return match if peer is None else {**match, "room" if "@" in peer else "peer": peer}


def start_position(since: str | None, position: str | None, last: int | None) -> dict[str, object] | None:
    """Parameter `from` for the one option that was given, or None. Raises Failure for more than one."""
    given: dict[str, object] = {"since": since, "position": position, "last": last}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        raise Failure("usage", "-n, --since and --from exclude each other")
    return given or None


def event_options() -> list[click.Parameter]:
    return [
        click.Argument(["peer"], required=False, metavar="[PEER|ROOM]"),
        click.Option(
            ["--since"], type=moment_option, metavar="TIME", help="Start at TIME: a duration ago, or RFC 3339."
        ),
        click.Option(["--from", "position"], metavar="POSITION", help="Start after POSITION."),
        click.Option(["--events", "everything"], is_flag=True, help="Print all events, not only messages."),
        click.Option(
            ["--format", "template"], metavar="TEMPLATE", help="Print one line for each, e.g. '{at} {peer} {text}'."
        ),
    ]
