"""A verb that waits ends when the reader of its stdout has gone: a pipe, a socket or a terminal."""

import math
import os
import pty
import socket
import subprocess
import time
from collections.abc import Callable

import pytest

from chatctl.rpc import hangup
from tests.chatctl.conftest import Start
from tests.harness.fake_daemon import LOBBY, FakeDaemon, acked, subscribed
from tests.harness.until import until

PATIENCE_S = 20
IDLE_S = 0.1  # one that does not watch its stdout, but writes to it or ends by itself, has done so then
Ends = tuple[int, int]


def pipe() -> Ends:
    return os.pipe()


def socketpair() -> Ends:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def terminal() -> Ends:
    return pty.openpty()


def silent(session: object, params: object) -> None:
    """A handler that sends no reply."""


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon without events and messages."""
    daemon.on.update(
        {"subscribe": subscribed(), "ack": acked, "wait": silent, "ask": silent, "history": {"events": []}}
    )
    return daemon


@pytest.mark.parametrize(
    ("argv", "ends"),
    [
        ("tail", pipe),
        ("tail", socketpair),
        ("tail", terminal),
        ("--json tail bob", pipe),
        ("tail --as bot", pipe),
        ("tail --exec true", pipe),
        ("tail --timeout 1h", pipe),
        ("wait peer bob", pipe),
        ("wait outbox-empty", pipe),
        ("ask bob well?", pipe),
        ("console", pipe),
        ("console", terminal),
    ],
)
def test_an_idle_verb_ends_when_the_reader_of_its_stdout_has_gone(
    daemon: FakeDaemon, start: Start, argv: str, ends: Callable[[], Ends]
) -> None:
    ours, theirs = ends()
    process = start(*argv.split(), stdout=theirs)
    os.close(theirs)
    until(lambda: daemon.requests)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(IDLE_S)
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("argv", [("tail",), ("tail", "--as", "bot"), ("wait", "ready")], ids=" ".join)
def test_it_ends_also_while_it_waits_for_a_daemon(socket_path: str, start: Start, argv: tuple[str, ...]) -> None:
    ours, theirs = os.pipe()
    process = start("--connect-timeout", "1h", *argv, stdout=theirs)
    os.close(theirs)
    if argv[0] == "tail":
        daemon = FakeDaemon(socket_path, subscribe=subscribed())
        until(lambda: daemon.answered)
        os.unlink(socket_path)
        daemon.stop()
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0


def test_a_console_in_a_room_leaves_it(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["room.topic"] = {"room": {**LOBBY, "nick": None}}
    daemon.on["room.join"] = {"room": LOBBY}
    daemon.on["status"] = {"journal": {"position": "aaaaaaaa:1"}}
    process = start("console", "--room", "lobby@alice")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("CONNECT\n")
    process.stdin.flush()
    assert process.stdout.readline() == "-Connection Established-\n"
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 0
    until(lambda: daemon.params("room.leave"))  # the console does not wait for the answer
    assert daemon.params("room.leave") == [{"room": "lobby@alice"}]


def test_it_waits_until_its_time_is_over_or_there_is_data() -> None:
    began = time.monotonic()
    hangup.wait(None, began + 0.05)
    assert time.monotonic() >= began + 0.05
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"x")
        for until in (None, began + 10_000_000, math.inf):  # seconds; 2**31 ms are the most that poll takes
            hangup.wait(ours, until)
