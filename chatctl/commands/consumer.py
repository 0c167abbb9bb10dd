"""`chatctl consumer`: manages one consumer; `chatctl consumers` lists all of them."""

import click

from chatctl.cli.verb import App, Family, Verb
from chatctl.text.sanitize import inline


def remove(app: App, name: str) -> None:
    result = app.call("consumer.remove", {"consumer": name})
    if app.out.json:
        app.out.result(result)
    else:
        app.out.line(inline(f"removed: {result.get('consumer')}, which was at {result.get('position')}"))


command = Family(
    "consumer",
    help="Manage a named reader; chatctl consumers lists them.",
    commands={
        "remove": Verb(
            "remove",
            remove,
            [click.Argument(["name"])],
            help="Delete a named reader and its position. The next `tail --as` with this name starts anew.",
        ),
    },
)
