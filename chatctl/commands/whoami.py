"""`chatctl whoami`: name and id of this node."""

from chatctl.cli.verb import Verb
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.cli.app import App


def run(app: "App") -> None:
    """Show both."""
    found = app.call("whoami")
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line(inline(f"{found.get('name')} {found.get('node')}"))


command = Verb("whoami", run, help="The name and the node id of this node.")
