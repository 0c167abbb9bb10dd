"""`chatctl consumer`: manages one consumer; `chatctl consumers` lists all of them."""

import click

from chatctl.cli.verb import App, Verb, common_options
from chatctl.text.sanitize import inline


def remove(app: App, name: str) -> None:
    result = app.call("consumer.remove", {"consumer": name})
    if app.out.json:
        app.out.result(result)
    else:
        app.out.line(inline(f"removed: {result.get('consumer')}, which was at {result.get('position')}"))


command = click.Group(
    "consumer",
    params=common_options(),
    add_help_option=False,
    no_args_is_help=False,
    help="Manage a named reader; chatctl consumers lists them.",
    commands={
        "remove": Verb(
            "remove",
            remove,
            [click.Argument(["name"])],
            help="Forget a consumer and its position. The next tail --as of that name begins anew.",
        ),
    },
)
