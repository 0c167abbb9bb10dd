"""Children: processes of chatd and chatctl that a test runs, started by the launcher of this test process.

`Child` has what `subprocess.Popen` has for a process that is signalled and waited for.
"""

import atexit
import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).parent.parent.parent


class Running(Protocol):
    """A process, started in one way or another."""

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...


class Child:
    """One process. `streams` are the descriptors of its standard input, output and error."""

    def __init__(
        self,
        module: str,
        argv: Sequence[str],
        *,
        streams: tuple[int, int, int],
        env: Mapping[str, str],
        files: int | None = None,
    ) -> None:
        self._argv = [module, *argv]
        self._pipe, theirs = os.pipe()
        self._status: int | None = None
        request = {"module": module, "argv": list(argv), "env": dict(env), "cwd": str(ROOT), "files": files}
        try:
            socket.send_fds(_launcher(), [json.dumps(request).encode()], [*streams, theirs])
        finally:
            os.close(theirs)
        self._said = b""
        self.pid = int(self._line())

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; None while it runs."""
        if self._status is None and select.select([self._pipe], [], [], 0)[0]:
            self._status = int(self._line())
            os.close(self._pipe)
        return self._status

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended. Raises subprocess.TimeoutExpired."""
        if self._status is None:
            select.select([self._pipe], [], [], timeout)
        status = self.poll()
        if status is None:
            raise subprocess.TimeoutExpired(self._argv, timeout or 0.0)
        return status

    def send_signal(self, sig: int) -> None:
        """Nothing happens if it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def _line(self) -> bytes:
        while b"\n" not in self._said:
            data = os.read(self._pipe, 100)
            assert data, "the launcher has ended"
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line


@cache
def _launcher() -> socket.socket:
    """Where processes are asked for; the launcher ends with this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PYTHON"))}
    with theirs:
        words = [sys.executable, "-m", "tests.harness.launcher"]
        process = subprocess.Popen(words, cwd=ROOT, env=kept, stdin=theirs.fileno())

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours
