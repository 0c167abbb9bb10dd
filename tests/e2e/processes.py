"""Real nodes: one `Node` is a chatd process with directories of its own, and the chatctl that drives it.

Nothing here sleeps: a node is ready when `chatctl wait ready` says so, and output is awaited by reading it.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.harness.ports import free_port

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent.parent
PATIENCE_S = 60  # a loaded machine is slow; what hangs is ended all the same
SIGNALS_QUIET = (0, -signal.SIGKILL)


class Failed(Exception):
    """A chatctl that ended with another exit status than 0; `error` is what `--json` says about it."""

    def __init__(self, status: int, stderr: str) -> None:
        super().__init__(f"exit status {status}: {stderr.strip()}")
        self.status = status
        self.stderr = stderr

    @property
    def error(self) -> Json:
        """The error object on stderr."""
        found: Json = json.loads(self.stderr)["error"]
        return found


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a fresh user has: no settings, every directory below `folder`.

    Nor is it measured for coverage, which would double the time of every start, for lines that other tests run.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHATD_", "XDG_", "COVERAGE_"))}
    own = {"HOME": folder, "XDG_RUNTIME_DIR": folder, "XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder}
    return {**kept, **{name: str(path) for name, path in own.items()}, "NO_COLOR": "1", **more}


class Node:
    """One node. Its files are in a short path of their own: the socket's has to fit into 103 bytes."""

    def __init__(self, name: str, *flags: str) -> None:
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="chatd-e2e-"))
        self.socket = self.folder / "control.sock"
        self.state = self.folder / "state"
        self.port = free_port()
        self.flags = flags
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *flags: str) -> list[str]:
        """The command line of its daemon."""
        own = ["--node", self.name, "--listen", f"127.0.0.1:{self.port}"]
        own += ["--socket", str(self.socket), "--state", str(self.state)]
        return [sys.executable, "-m", "chatd", *own, *self.flags, *flags]

    def start(self, *flags: str) -> "Node":
        """Start the daemon and wait until it is ready."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(*flags), cwd=ROOT, env=environment(self.folder), stdin=subprocess.DEVNULL, stderr=log
            )
        for _ in range(PATIENCE_S // 2):
            try:
                self.ctl("wait", "ready", "--timeout", "2s")
                return self
            except Failed:
                if self.process.poll() is not None:
                    break
        raise AssertionError(f"{self.name} did not start:\n{self.log}")

    def run(self, *flags: str) -> tuple[int, list[str]]:
        """Run a daemon that is not expected to stay: its exit status and the lines of its stderr."""
        done = subprocess.run(
            self.command(*flags),
            cwd=ROOT,
            env=environment(self.folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return done.returncode, done.stderr.splitlines()

    def argv(self, *words: str) -> list[str]:
        """The command line of a chatctl for this node."""
        return [sys.executable, "-m", "chatctl", "--socket", str(self.socket), *words]

    def client(self, *words: str) -> "subprocess.Popen[str]":
        """A chatctl that stays, with pipes at both ends."""
        return subprocess.Popen(
            self.argv(*words),
            cwd=ROOT,
            env=environment(self.folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def output(self, *words: str, stdin: str = "") -> str:
        """What a chatctl prints. Raises Failed."""
        done = subprocess.run(
            self.argv(*words),
            cwd=ROOT,
            env=environment(self.folder),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        if done.returncode != 0:
            raise Failed(done.returncode, done.stderr)
        return done.stdout

    def ctl(self, *words: str, stdin: str = "") -> Json:
        """The one object that `chatctl --json VERB …` prints. Raises Failed."""
        found: Json = json.loads(self.output("--json", *words, stdin=stdin))
        return found

    def events(self, *words: str) -> list[Json]:
        """The objects that `chatctl --json tail …` or `history …` prints. Raises Failed."""
        return [json.loads(line) for line in self.output("--json", *words).splitlines()]

    def inbox(self, count: int) -> list[Json]:
        """The first `count` messages that are there or still come."""
        return self.events("tail", "-n", str(count), "--count", str(count), "--timeout", f"{PATIENCE_S}s")

    def until(self, kind: str) -> Json:
        """The first event of that type, there already or awaited."""
        with self.client("--json", "tail", "--since", "1h", "--events") as tail:
            assert tail.stdout is not None
            for line in tail.stdout:
                event: Json = json.loads(line)
                if event["type"] == kind:
                    tail.terminate()
                    return event
        raise AssertionError(f"{self.name}: no {kind}")

    def peers(self) -> list[Json]:
        """What `list --all` says."""
        found: list[Json] = self.ctl("list", "--all")["peers"]
        return found

    @property
    def log(self) -> str:
        """Everything that its daemons have logged."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def signal(self, number: int) -> None:
        """Send the daemon a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        """The daemon's exit status, once it has ended."""
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """What a power cut does to a process."""
        self.signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def finish(self) -> None:
        """The end of every test: the daemon stops cleanly, leaves no socket, and its journal is whole."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        status = self.wait()
        assert status in SIGNALS_QUIET, f"{self.name} exited with {status}\n{self.log}"
        assert "Traceback" not in self.log
        if status == 0:
            assert not self.socket.exists()
        for database in self.state.glob("*.db"):
            with sqlite3.connect(database) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            connection.close()

    def remove(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)
