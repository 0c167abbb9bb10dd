"""Fixtures of chatctl's tests: a fake daemon, and chatctl in this process or in its own."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chatctl.__main__ import run
from tests.harness.fake_daemon import FakeDaemon


class Ran(NamedTuple):
    """Exit status and output of one run."""

    status: int
    out: str
    err: str

    @property
    def records(self) -> list[Any]:
        """The lines of stdout as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, str]:
        """The error that `--json` printed."""
        error: dict[str, str] = json.loads(self.err)["error"]
        return error


Chatctl = Callable[..., Ran]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def socket_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Socket of the fake daemon, and the one that chatctl uses."""
    path = str(tmp_path / "chatd.sock")
    for name in [name for name in os.environ if name.startswith("CHATD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CHATD_SOCKET", path)
    return path


@pytest.fixture
def daemon(socket_path: str) -> Iterator[FakeDaemon]:
    """A daemon that answers every method with an empty result unless `on` has a handler."""
    fake = FakeDaemon(socket_path)
    yield fake
    fake.stop()


@pytest.fixture
def chatctl(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Chatctl:
    """Runs one command line in this process, with `stdin` on a pipe. Stdout is not a terminal."""

    def call(*argv: str, stdin: str = "") -> Ran:
        theirs, ours = os.pipe()
        os.write(ours, stdin.encode(errors="surrogateescape"))
        os.close(ours)
        with open(theirs, encoding="utf-8") as lines, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", lines)
            status = run(["--connect-timeout", "40ms", *argv])
        captured = capfd.readouterr()
        return Ran(status, captured.out, captured.err)

    return call


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts one command line in its own process, with pipes; `before` is code to run first. Killed at the end."""
    with contextlib.ExitStack() as stack:

        def popen(*argv: str | bytes, before: str = "", **options: Any) -> "subprocess.Popen[str]":
            given: dict[str, Any] = {
                "stdin": subprocess.PIPE,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
            }
            program = ["-c", f"{before}; from chatctl.__main__ import main; main()"] if before else ["-m", "chatctl"]
            process = subprocess.Popen([sys.executable, *program, *argv], **{**given, **options})
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield popen
