"""Nodes: real chatd processes on loopback in temporary directories, and a bare client of their control sockets."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.process import PATIENCE_S, ROOT, raise_file_limit

Json = dict[str, Any]


class Control:
    """A session on a control socket, one request at a time."""

    def __init__(self, path: Path) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(path))
        self._input = self.sock.makefile("rb")

    def request(self, method: str, **params: object) -> Json:
        """The result."""
        self.sock.sendall(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n")
        answer = self.line()
        if "error" in answer:
            raise SystemExit(f"{method}: {answer['error']}")
        result: Json = answer["result"]
        return result

    def raw(self) -> bytes:
        """The next answer or event."""
        line = self._input.readline()
        if not line:
            raise SystemExit("the node has closed the session")
        return line

    def line(self) -> Json:
        """The same, decoded."""
        found: Json = json.loads(self.raw())
        return found

    def close(self) -> None:
        """End the session."""
        self._input.close()
        self.sock.close()


class Node:
    """One chatd."""

    def __init__(self, name: str, folder: Path, *flags: str) -> None:
        self.name = name
        self.socket = folder / f"{name}.sock"
        self._log = folder / f"{name}.log"
        self._command = [sys.executable, "-m", "chatd", "--node", name, "--listen", "127.0.0.1:0", "--log-level"]
        self._command += ["warning", "--socket", str(self.socket), "--state", str(folder / name), *flags]

    def start(self) -> float:
        """Returns when it is ready, with the seconds that this took."""
        begun = time.monotonic()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHATD_")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=kept, stdin=subprocess.DEVNULL, stderr=log, preexec_fn=raise_file_limit
            )
        self.pid = self._process.pid
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > begun + PATIENCE_S:
                raise SystemExit(f"{self.name} did not start:\n{self._log.read_text(encoding='utf-8')}")
            time.sleep(0.002)
        return time.monotonic() - begun

    def _ready(self) -> bool:
        try:
            session = self.control()
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        session.request("wait", **{"for": "ready"})
        session.close()
        return True

    def control(self) -> Control:
        """A new session."""
        return Control(self.socket)

    @property
    def port(self) -> int:
        """Its peer port."""
        session = self.control()
        port: int = session.request("myport")["port"]
        session.close()
        return port

    def kill(self) -> None:
        """As kill -9 does."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """In order, else at once."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.kill()


def chatctl() -> list[str]:
    """The command as a user has it: the script beside the interpreter, where it is installed."""
    script = Path(sys.executable).parent / "chatctl"
    return [str(script)] if script.exists() else [sys.executable, "-m", "chatctl"]


@contextmanager
def folder() -> Iterator[Path]:
    """A short path, for sockets and state; gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="chatd-bench-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@contextmanager
def nodes(*names: str, flags: tuple[str, ...] = ()) -> Iterator[list[Node]]:
    """Running nodes that do not know each other."""
    running: list[Node] = []
    with folder() as path:
        try:
            for name in names:
                running.append(Node(name, path, *flags))
                running[-1].start()
            yield running
        finally:
            for node in running:
                node.stop()


@contextmanager
def pair() -> Iterator[tuple[Node, Node]]:
    """Two connected nodes; each is slot 0 for the other."""
    with nodes("alice", "bob") as (alice, bob):
        session = alice.control()
        session.request("connect", host="127.0.0.1", port=bob.port)
        session.close()
        session = bob.control()
        session.request("wait", **{"for": "peers", "count": 1})
        session.close()
        yield alice, bob
