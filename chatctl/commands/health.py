"""`chatctl health`: the daemon's state as an exit status, for HEALTHCHECK and monitoring."""

from chatctl.cli.verb import App, Verb
from chatctl.errors import DONE, FAILED
from chatctl.text.sanitize import inline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def run(app: App) -> int:
    result = app.call("health")
    healthy = bool(result.get("healthy"))
    if app.out.json:
        app.out.result(result)
    else:
        lines = ["healthy" if healthy else _joined(result.get("problems")) or "unhealthy"]
        if result.get("warnings"):
            lines.append(f"warning: {_joined(result.get('warnings'))}")
        app.out.line("\n".join(inline(line) for line in lines))
    return DONE if healthy else FAILED


def _joined(lines: "list[Any] | None") -> str:
    return "; ".join(str(line) for line in lines or [])


command = Verb(
    "health",
    run,
    help="Check the daemon. Exit 0 if it is healthy, 1 if it reports a problem, 3 if it is not "
    "running. Warnings do not count.",
)
