"""`chatctl shutdown`: stop the daemon, and wait until it has ended the session."""

from chatctl.session import SessionEnded
from chatctl.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App

HELP = "Stop the daemon: it closes all connections and ends. Done when it has ended."


def run(app: "App") -> None:
    """Stop it. A session that ends, with or without an answer, is what was asked for."""
    session = app.session
    found: dict[str, object] = {}
    try:
        found = app.call("shutdown")
        while True:
            session.lines(app.deadline)
    except SessionEnded:
        pass
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line("stopped")


command = Verb("shutdown", run, help=HELP)
