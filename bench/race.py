"""Race: two programs of this package, one that sends and one that takes, from `go` to the end of the later one."""

from typing import Any, NamedTuple

from bench.process import Process


class Race(NamedTuple):
    """What it gave; the greatest is the best."""

    rate: float  # messages a second
    cpu: tuple[float, float]  # seconds of the two programs
    cuts: int  # how often one that takes nothing was cut off


def run(source: Process, sink: Process, count: int) -> Race:
    """Ends the benchmark where messages are missing, changed or out of order."""
    ready(sink)
    ready(source)
    sink.go()
    source.go()
    sent, taken = source.said(), sink.said()
    if not taken.get("whole", True) or sent.get("last") != taken.get("last"):
        raise SystemExit("messages are missing, or out of order")
    return Race(
        count / (max(sent["ended"], taken["ended"]) - sent["begun"]), (sent["cpu"], taken["cpu"]), taken.get("cuts", 0)
    )


def alone(process: Process, count: int) -> tuple[float, Any]:
    """The same of one program, and what it said."""
    ready(process)
    process.go()
    said = process.said()
    if not said.get("whole", True):
        raise SystemExit("messages are missing, or out of order")
    return count / (said["ended"] - said["begun"]), said


def ready(process: Process) -> None:
    """Wait until it could begin."""
    if process.said() != "ready":
        raise SystemExit("a program of the benchmark is not ready")
