"""`chatctl myip`: the address to give to others."""

from chatctl.sanitize import inline
from chatctl.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App


def run(app: "App") -> None:
    """Show it."""
    found = app.call("myip")
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(inline(str(found.get("ip"))))


command = Verb("myip", run, help="The address of this machine that others can reach; --json tells all of them.")
