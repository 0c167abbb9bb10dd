"""`chatctl health`: the daemon's state as an exit status, for HEALTHCHECK and monitors."""

from chatctl.errors import DONE, FAILED
from chatctl.sanitize import inline
from chatctl.verb import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from chatctl.app import App


def run(app: "App") -> int:
    """Say it, and end with 0 or 1."""
    found = app.call("health")
    healthy = bool(found.get("healthy"))
    if app.out.json:
        app.out.result(found)
    elif healthy:
        app.out.line("healthy")
    else:
        problems = "; ".join(str(problem) for problem in found.get("problems") or []) or "unhealthy"
        app.out.line(inline(problems))
    return DONE if healthy else FAILED


command = Verb(
    "health", run, help="Exit 0 when the daemon is well, 1 when it says that it is not, 3 when there is none."
)
