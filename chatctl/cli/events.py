"""Shows events, and counts them: for `tail` and `history`, which take the same options."""

import json

import click

from chatctl.errors import Failure
from chatctl.rpc.positions import is_gap
from chatctl.text.format import event_line
from chatctl.text.template import FIELDS, Template
from chatctl.text.values import moment_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from chatctl.cli.app import App

EPILOG = f"Fields of TEMPLATE: {' '.join(FIELDS)}."


class Show:
    """Writes events in the form that was asked for (`line` where none was): at most `limit`; `strict`: up to a gap."""

    def __init__(
        self,
        app: "App",
        template: str | None,
        limit: int | None = None,
        line: "Callable[[Mapping[str, Any]], str]" = event_line,
        *,
        strict: bool = False,
    ) -> None:
        if template is not None and app.out.json:
            raise Failure("usage", "--format and --json exclude each other")
        self._out = app.out
        self._line = line if template is None else _parsed(template).line
        self._limit = limit
        self._strict = strict
        self.count = 0
        self.gap = False  # one was shown, and it is to be the end

    @property
    def full(self) -> bool:
        """Whether there is nothing more to show."""
        return self.count == self._limit or self.gap

    def raw(self, events: list[bytes]) -> list[bytes]:
        """Show events as they came; gives those that were shown."""
        events = events[: self._room(events, is_gap)]
        if self._out.json:
            self._out.documents(events)
        elif events:
            self._out.entries([self._line(json.loads(event)) for event in events])
        self.count += len(events)
        return events

    def decoded(self, events: "Sequence[Mapping[str, Any]]") -> None:
        """Show events of a page."""
        events = events[: self._room(events, lambda event: event.get("type") == "gap")]
        if self._out.json:
            self._out.results(events)
        elif events:
            self._out.entries([self._line(event) for event in events])
        self.count += len(events)

    def _room(self, events: "Sequence[Any]", missing: "Callable[[Any], bool]") -> int:
        """How many of them are to be shown."""
        room = len(events) if self._limit is None else min(self._limit - self.count, len(events))
        if self._strict:
            for index in range(room):
                if missing(events[index]):
                    self.gap = True
                    return index + 1
        return room


def _parsed(template: str) -> Template:
    try:
        return Template(template)
    except ValueError as error:
        raise Failure("usage", f"--format: {error}", "see chatctl tail --help") from None


def matching(peer: str | None, everything: bool, *, inbound: bool = False) -> dict[str, object]:
    """The filter of the daemon. Gaps match always. No peer has an at sign in its name."""
    match: dict[str, object] = {} if everything else {"types": ["message"]}
    if inbound and not everything:
        match["direction"] = "in"
    return match if peer is None else {**match, "room" if "@" in peer else "peer": peer}


def beginning(since: str | None, position: str | None, last: int | None) -> dict[str, object] | None:
    """Where to start: the one that was given, or None. More than one is a usage error."""
    given: dict[str, object] = {"since": since, "position": position, "last": last}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        raise Failure("usage", "-n, --since and --from exclude each other")
    return given or None


def options() -> list[click.Parameter]:
    """What `tail` and `history` have in common."""
    return [
        click.Argument(["peer"], required=False, metavar="[PEER|ROOM]"),
        click.Option(["--since"], type=moment_option, metavar="TIME", help="Start there: a duration ago, or RFC 3339."),
        click.Option(["--from", "position"], metavar="POSITION", help="Start behind it."),
        click.Option(["--events", "everything"], is_flag=True, help="Not only messages."),
        click.Option(["--format", "template"], metavar="TEMPLATE", help="'{at} {peer} {text}': one line for each."),
    ]
