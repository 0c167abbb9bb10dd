"""`chatctl send` as a whole process, beside a Python that imports what every such script imports."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.nodes import chatctl, pair
from bench.process import PATIENCE_S
from bench.result import Beside, Result

RUNS = 41
TARGET = 2.5


def run() -> list[Result]:
    """In turns."""
    with pair() as (alice, _):
        send = [*chatctl(), "--socket", str(alice.socket), "send", "0", "hi"]
        script = [sys.executable, "-c", "import socket, json"]
        _timed(send)
        _timed(script)
        ours, theirs = [], []
        for _ in range(RUNS):
            ours.append(_timed(send))
            theirs.append(_timed(script))
    middle, beside = statistics.median(ours), statistics.median(theirs)
    ratio = middle / beside
    result = Result(
        "start",
        "`chatctl send` as a whole process, median",
        f"{middle:.1f} ms",
        f"at most {TARGET} : 1",
        ratio <= TARGET,
        (Beside('`python -c "import socket, json"`', f"{beside:.1f} ms", f"{ratio:.2f} : 1"),),
        (f"{RUNS} runs each, in turns",),
    )
    return [result]


def _timed(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(
        command, cwd=Path.home(), env=_environment(), stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE_S
    )
    return (time.perf_counter() - begun) * 1000


def _environment() -> dict[str, str]:
    """That of any user: no settings of ours, and Python keeps the bytecode that the first start has made."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHATD_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept
