"""Process: a program of this package that runs beside the benchmark, and what a process costs.

It says lines of JSON on stdout, its result last, and starts with its measured part when it is told to `go`.
"""

import json
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).parent.parent
PATIENCE_S = 30  # until something answers
LONGEST_S = 180  # for anything that is measured


class Process:
    """Ends with its `with` block."""

    def __init__(self, module: str, *args: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *args],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=raise_file_limit,
        )
        self.pid = self._process.pid

    def __enter__(self) -> "Process":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def said(self) -> Any:
        """Its next line; a program that ends without one, or is at it for too long, has failed."""
        assert self._process.stdout is not None
        end = threading.Timer(LONGEST_S, self._process.kill)
        end.start()
        line = self._process.stdout.readline()
        end.cancel()
        if not line:
            raise SystemExit(f"a program of the benchmark has failed: {self._process.args!r}")
        return json.loads(line)

    def go(self) -> None:
        """Begin with what is measured."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()


def say(what: Any) -> None:
    """The other side of `said`."""
    print(json.dumps(what), flush=True)


def await_go() -> None:
    """The other side of `go`."""
    if not sys.stdin.readline():
        raise SystemExit("nobody is measuring")


def raise_file_limit() -> None:
    """As many open files as this user may have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_seconds(pid: int) -> float:
    """What a process has used up to now, all its threads, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_bytes(pid: int) -> int:
    """The most physical memory that a process ever had, all that it shares included."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, size = line.partition(":")
        if name == "VmHWM":
            return int(size.split()[0]) * 1024
    raise SystemExit("this kernel does not tell how much memory a process took")


def forget_peak(pid: int) -> None:
    """Let `peak_bytes` count from now on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")


def resident_bytes(pid: int) -> int:
    """The memory of a process that is in use, its share of what it shares."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
        name, _, size = line.partition(":")
        if name == "Pss":
            return int(size.split()[0]) * 1024
    raise SystemExit("this kernel does not tell how much memory a process takes")
