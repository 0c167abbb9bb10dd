"""`chatctl consumers`: the named readers, and how far they are."""

from chatctl.cli.verb import Verb
from chatctl.text.format import local_time
from chatctl.text.output import table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App

HEAD = ("NAME", "POSITION", "LAG", "HELD", "LAST SEEN")


def run(app: "App") -> None:
    """Show the table."""
    found = app.call("consumers")
    if app.out.json:
        app.out.result(found)
        return
    consumers = found.get("consumers") or []
    if not consumers:
        app.out.note("no consumers")
        return
    head, *lines = table(HEAD, [_row(consumer) for consumer in consumers])
    app.out.line("\n".join([app.out.paint(head, "bold"), *lines]))


def _row(consumer: "dict[str, Any]") -> list[object]:
    held, seen = consumer.get("held"), consumer.get("last_seen")
    return [
        *(consumer.get(field) for field in ("name", "position", "lag")),
        "yes" if held else "no",
        seen and local_time(seen),
    ]


command = Verb(
    "consumers",
    run,
    help="The names that tail --as has made: the position that each has acknowledged, how many events it lags behind, "
    "whether somebody reads as it, and when somebody last did.",
)
