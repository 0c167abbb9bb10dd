"""`chatctl myport`: the port to give to others."""

from chatctl.sanitize import inline
from chatctl.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App


def run(app: "App") -> None:
    """Show it."""
    found = app.call("myport")
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(inline(str(found.get("port"))))


command = Verb("myport", run, help="The port of the daemon's first listener.")
