"""`chatctl shutdown`: stop the daemon, and wait until it has ended the session."""

from chatctl.cli.verb import Verb
from chatctl.errors import Failure, SessionEnded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from chatctl.cli.app import App

HELP = "Stop the daemon: it closes all connections and ends. Done when it has ended."
TRIES = 5  # with a daemon that ends the session without an answer and is still there


def run(app: "App") -> None:
    """Stop it. Done is what the daemon has confirmed, or a daemon that is gone."""
    found = _stop(app)
    if app.out.json:
        app.out.result(found)
    else:
        app.out.line("stopped")


def _stop(app: "App") -> "dict[str, Any]":
    for left in reversed(range(TRIES)):
        try:
            found = _ask(app)
        except SessionEnded:
            if _is_gone(app):
                return {}
            if not left:
                raise
        else:
            _wait(app)
            return found
    raise AssertionError("the last try returns or raises")


def _ask(app: "App") -> "dict[str, Any]":
    """The answer. A daemon that is stopping already will do what was asked, too."""
    try:
        return app.call("shutdown")
    except Failure as failure:
        if failure.kind != "shutting_down":
            raise
        return {}


def _wait(app: "App") -> None:
    """Until the daemon has ended the session."""
    session = app.session
    try:
        while True:
            session.lines(app.deadline)
    except SessionEnded:
        return


def _is_gone(app: "App") -> bool:
    """Whether no daemon can be reached. Otherwise there is a new session."""
    try:
        app.reach(0.0)
    except Failure as failure:
        if failure.kind != "no_daemon":
            raise
        return True
    return False


command = Verb("shutdown", run, help=HELP)
