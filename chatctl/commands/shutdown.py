"""`chatctl shutdown`: stops the daemon and waits until it has ended the session."""

from chatctl.cli.verb import App, Verb
from chatctl.errors import Failure, SessionEnded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

HELP = "Stop the daemon and wait until it has exited. It closes all connections."
TRIES = 5  # for a daemon that ends the session without an answer and still runs


def run(app: App) -> None:
    """Done when the daemon has confirmed the request, or when it can no longer be reached."""
    result = _stop(app)
    if app.out.json:
        app.out.result(result)
    else:
        app.out.line("stopped")


def _stop(app: App) -> "dict[str, Any]":
    for left in reversed(range(TRIES)):
        try:
            result = _request(app)
        except SessionEnded:
            if _is_gone(app):
                return {}
            if not left:
                raise
        else:
            _wait_for_end(app)
            return result
    raise AssertionError("the last try returns or raises")


def _request(app: App) -> "dict[str, Any]":
    """A daemon that is already shutting down counts as success."""
    try:
        return app.call("shutdown")
    except Failure as failure:
        if failure.kind != "shutting_down":
            raise
        return {}


def _wait_for_end(app: App) -> None:
    session = app.session
    try:
        while True:
            session.read_lines(app.deadline)
    except SessionEnded:
        return


def _is_gone(app: App) -> bool:
    """Whether no daemon can be reached. If one can, `app` has a new session."""
    try:
        app.connect(0.0)
    except Failure as failure:
        if failure.kind != "no_daemon":
            raise
        return True
    return False


command = Verb("shutdown", run, help=HELP)
