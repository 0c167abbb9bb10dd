"""`chatctl myip`: the address to give to others."""

from chatctl.cli.verb import Verb
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


def run(app: "App") -> None:
    """Show it."""
    found = app.call("myip")
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(inline(str(found.get("ip"))))


command = Verb("myip", run, help="The address of this machine that others can reach; --json tells all of them.")
