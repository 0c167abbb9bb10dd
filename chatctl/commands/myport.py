"""`chatctl myport`: the port to give to others."""

from chatctl.cli.verb import Verb
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


def run(app: "App") -> None:
    """Show it."""
    found = app.call("myport")
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(inline(str(found.get("port"))))


command = Verb("myport", run, help="The port of the daemon's first listener.")
