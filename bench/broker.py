"""Broker: a server of somebody else's that is measured beside chatd, on loopback, in a folder of the test's."""

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from bench.process import PATIENCE_S, raise_file_limit

PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"  # a server is not on every user's path


def installed(program: str) -> str | None:
    """Where it is."""
    return shutil.which(program) or shutil.which(program, path=PLACES)


def version(program: str, flag: str) -> str:
    """What it says about itself."""
    command = [installed(program) or program, flag]
    said = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[.\d]*", said.stdout + said.stderr)
    return found[0] if found else "of unknown version"


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Broker:
    """Runs as long as its `with` block. Raises SystemExit when it does not come up."""

    def __init__(self, program: str, config: list[str], port: int, log: Path) -> None:
        self.port = port
        self._program = program
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [installed(program) or program, *config],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=raise_file_limit,
            )
        self.pid = self._process.pid

    def __enter__(self) -> "Broker":
        deadline = time.monotonic() + PATIENCE_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise SystemExit(f"{self._program} did not start:\n{self._log.read_text(encoding='utf-8')}")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _stop(self) -> None:
        """At once: its folder goes with it."""
        self._process.kill()
        self._process.wait()
