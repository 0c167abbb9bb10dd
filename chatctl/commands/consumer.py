"""`chatctl consumer`: what can be done with one named reader."""

import click

from chatctl.cli.verb import Verb, common
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


def remove(app: "App", name: str) -> None:
    """Forget it, and say where it was."""
    found = app.call("consumer.remove", {"consumer": name})
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(inline(f"removed: {found.get('consumer')}, which was at {found.get('position')}"))


command = click.Group(
    "consumer",
    params=common(),
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
