"""The bots of examples/, as they are, killed and started again: every message is answered once, and in order."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import TwoNodes
from tests.harness.children import ROOT
from tests.harness.processes import Node, environment
from tests.harness.until import PATIENCE_S, until

PYTHON = [sys.executable, "examples/echo_bot.py"]
QUICK = ("--redial-min", "20ms", "--redial-max", "200ms")
Pair = tuple[Node, Node]
SHELL = ["sh", "examples/echo_bot.sh"]


class Bot:
    """One example beside the daemon of a node, with all its processes in a group of their own."""

    def __init__(self, node: Node, command: list[str]) -> None:
        self.node = node
        self.command = command
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it reads."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = environment(self.node.folder, CHATD_SOCKET=str(self.node.socket), PYTHONPATH=str(ROOT), PATH=path)
        with (self.node.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=ROOT, env=own, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        until(lambda: self.consumer.get("held"))

    @property
    def consumer(self) -> dict[str, object]:
        """What the daemon knows of it."""
        found = [one for one in self.node.ask("consumers")["consumers"] if one["name"] == "echo-bot"]
        return found[0] if found else {}

    def kill(self) -> None:
        """End all of it at once."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


@pytest.fixture
def pair(two_nodes: TwoNodes) -> Pair:
    return two_nodes(*QUICK)


@pytest.fixture
def bot(pair: Pair) -> Iterator[Callable[[list[str]], Bot]]:
    """Starts an example at bob's; alice reads the answers as `checker`."""
    alice, bob = pair
    alice.output("tail", "--as", "checker", "--count", "0")
    made: list[Bot] = []

    def make(command: list[str]) -> Bot:
        made.append(Bot(bob, command))
        made[-1].start()
        return made[-1]

    yield make
    for each in made:
        each.kill()


def _send(alice: Node, numbers: range) -> list[str]:
    """Send them to bob; their ids."""
    return alice.output("send", "bob", "-", stdin="".join(f"-{number} 'n\n" for number in numbers)).split()


def _answers(alice: Node, count: int) -> list[tuple[str, str]]:
    """The next answers: to which id, and the text."""
    events = alice.events("tail", "--as", "checker", "--count", str(count), "--timeout", f"{PATIENCE_S}s")
    return [(event["re"], event["text"]) for event in events]


def _nothing_is_left(alice: Node, bot: Bot) -> None:
    """Everything is done, and no answer is behind the last one."""
    until(lambda: bot.consumer["lag"] == 0)
    bot.node.drained()
    (checker,) = alice.ask("consumers")["consumers"]
    assert checker["lag"] == 0


@pytest.mark.deadline(120)
@pytest.mark.parametrize(("command", "count"), [pytest.param(PYTHON, 50, marks=pytest.mark.long), (SHELL, 4)])
def test_a_bot_that_is_killed_again_and_again_answers_every_message_once(
    pair: Pair, bot: Callable[[list[str]], Bot], command: list[str], count: int
) -> None:
    alice, _ = pair
    echo = bot(command)
    sent: list[str] = []
    got: list[tuple[str, str]] = []
    for number in range(3):
        sent += _send(alice, range(number * count, (number + 1) * count))
        got += _answers(alice, count // 2)
        echo.kill()
        echo.start()
    got += _answers(alice, 3 * count - len(got))
    assert got == [(id_, f"-{number} 'n") for number, id_ in enumerate(sent)]
    _nothing_is_left(alice, echo)


@pytest.mark.deadline(120)
@pytest.mark.parametrize("command", [PYTHON, pytest.param(SHELL, marks=pytest.mark.long)])
def test_a_bot_outlives_its_daemon(pair: Pair, bot: Callable[[list[str]], Bot], command: list[str]) -> None:
    alice, bob = pair
    echo = bot(command)
    bob.ask("room.host", room="lobby")
    alice.ask("room.join", room="lobby@bob")
    alice.ask("room.say", room="lobby", text="not for a bot")
    sent = _send(alice, range(3))
    got = _answers(alice, 1)
    bob.kill()
    sent += _send(alice, range(3, 6))
    bob.start()
    got += _answers(alice, 5)
    assert got == [(id_, f"-{number} 'n") for number, id_ in enumerate(sent)]
    _nothing_is_left(alice, echo)
    assert echo.process is not None
    assert echo.process.poll() is None
