"""`chatctl consumers`: the named readers and their positions."""

from chatctl.cli.verb import App, Verb
from chatctl.text.format import local_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HEAD = ("NAME", "POSITION", "LAG", "HELD", "LAST SEEN")


def run(app: App) -> None:
    result = app.call("consumers")
    if app.out.json:
        app.out.result(result)
        return
    consumers = result.get("consumers") or []
    if not consumers:
        app.out.note("no consumers")
        return
    app.out.table(HEAD, [_row(consumer) for consumer in consumers])


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
    help="List the named readers that `tail --as` created: the position that each has acknowledged, "
    "its lag in events, whether it is in use, and when it was last used.",
)
