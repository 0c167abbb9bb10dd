"""`chatctl console`: plain lines, and the prompt of prompt_toolkit on a real pseudo-terminal."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chatctl.cli.verb import App
from chatctl.commands.console import verb
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import (
    BOB,
    BOB_RECORD,
    FakeDaemon,
    FakeSession,
    Refusal,
    evicting,
    in_turn,
    message,
    subscribed,
)
from tests.harness.until import until

SENT = {"id": "aaaaaaaa:7", "state": "queued", "peer": BOB}
PATIENCE_S = 20
SOON = "from chatctl.commands.console import event_watcher; event_watcher.RETRY_S = 0.05"
MOVES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x08\r]")


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on["subscribe"] = subscribed()
    daemon.on["list"] = {"peers": [BOB_RECORD]}
    daemon.on["send"] = SENT
    daemon.on["myport"] = {"port": 7420}
    return daemon


class Terminal:
    """A pseudo-terminal on which the console runs."""

    def __init__(self, process_of: Any) -> None:
        self._ours, theirs = pty.openpty()
        self.process: subprocess.Popen[str] = process_of(theirs)
        os.close(theirs)
        self.raw = ""
        self._behind = 0

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, text: str) -> None:
        """Wait until `text` appears after the text of the last call. Cursor movements are ignored."""
        deadline = time.monotonic() + PATIENCE_S
        while (found := MOVES.sub("", self.raw).find(text, self._behind)) < 0:
            ready, _, _ = select.select([self._ours], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"{text!r} was not shown, only {self.raw!r}"
            self.raw += os.read(self._ours, 65536).decode(errors="replace")
        self._behind = found + len(text)

    def close(self) -> None:
        os.close(self._ours)


@pytest.fixture
def terminal(daemon: FakeDaemon, start: Start) -> Iterator[Terminal]:
    env = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    made = Terminal(lambda tty: start("console", stdin=tty, stdout=tty, stderr=tty, env=env))
    yield made
    made.close()


def test_it_takes_lines_where_there_is_no_terminal(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ran = chatctl("console", stdin="list\nmyport\n")
    assert (ran.status, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["SLOT", "0", "7420"]


def test_exit_leaves_the_console_and_not_the_daemon(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("console", stdin="exit\nmyport\n") == (0, "", "")
    assert [method for method, _ in daemon.requests] == ["subscribe"]


def test_errors_are_shown_and_do_not_end_it(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def unknown(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal("unknown_peer", 201, "no peer 9", "see list")

    daemon.on["terminate"] = unknown
    lines = [
        "terminate 9",
        "dance",
        "connect",
        "send 0",
        "list --nothing",
        "connect a:b",
        "",
        "send 0 \udcff",
        "myport",
    ]
    ran = chatctl("console", stdin="\n".join(lines))
    assert (ran.status, ran.out) == (0, "7420\n")
    shown = ran.err.splitlines()
    assert shown[0] == "chatctl: no peer 9 (see list)"
    assert shown[1] == "chatctl: no such command: dance (try help)"
    assert len(shown) == 7


def test_help_lists_the_eight_original_commands_and_those_for_messages(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    words = [line.split()[0] for line in chatctl("console", stdin="help\n").out.splitlines()]
    assert words[:7] == ["help", "myip", "myport", "connect", "list", "terminate", "send"]
    assert words[7:] == ["ask", "reply", "msg", "cancel", "exit"]


def test_messages_are_asked_answered_and_taken_back(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ask"] = {"id": "aaaaaaaa:7", "answer": message(9, "well  enough")}
    daemon.on["reply"] = SENT
    daemon.on["cancel"] = {"id": "aaaaaaaa:7", "state": "cancelled"}
    daemon.on["msg"] = {"message": message(7, "hi", "out", state="cancelled")}
    lines = "ask bob how  are you\nreply aaaaaaaa:9 -  good\ncancel aaaaaaaa:7\nmsg aaaaaaaa:7\n"
    ran = chatctl("console", stdin=lines)
    assert ran.err == ""
    answer, number, cancelled, found, names = ran.out.splitlines()
    assert (answer, number, cancelled) == ("well  enough", "aaaaaaaa:7", "cancelled")
    assert found.endswith("-> bob: hi  [cancelled]")
    assert names == "  id aaaaaaaa:7"
    assert daemon.params("ask") == [{"peer": "bob", "text": "how  are you"}]
    assert daemon.params("reply") == [{"id": "aaaaaaaa:9", "text": "-  good"}]


@pytest.mark.parametrize(
    ("line", "text"),
    [("send 0 hi   there -5", "hi   there -5"), ("  send 0 -", "-"), ("send 0 --json x", "--json x")],
)
def test_a_message_is_sent_as_it_was_typed(daemon: FakeDaemon, chatctl: Chatctl, line: str, text: str) -> None:
    chatctl("console", stdin=line + "\n")
    assert daemon.params("send") == [{"peer": "0", "text": text}]


def test_options_of_one_command_are_not_those_of_the_next(
    daemon: FakeDaemon, socket_path: str, capfd: pytest.CaptureFixture[str]
) -> None:
    app = App()
    assert verb.execute(app, "myport --json --timeout 1ms")
    assert verb.execute(app, "myport")
    assert not verb.execute(app, "exit")
    app.close()
    assert capfd.readouterr().out.splitlines()[-1] == "7420"
    assert app.timeout is None


def test_what_happens_is_shown_but_for_what_was_typed_here(daemon: FakeDaemon, start: Start) -> None:
    process = start("console")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("myport\n")
    process.stdin.flush()
    assert process.stdout.readline() == "7420\n"
    up = {"type": "peer.up", "position": "a:3", "at": "2026-11-21T03:00:00.000Z", "peer": BOB, "address": "x:1"}
    daemon.sessions[0].send_events(message(1, "mine", "out"), message(2, "h\x1bi"), up)
    assert process.stdout.readline().endswith(" bob: h\\x1bi\n")
    assert process.stdout.readline().endswith(" * bob is connected (x:1)\n")
    process.stdin.close()
    assert process.wait(20) == 0


def test_a_daemon_that_goes_is_told_once_and_followed_when_it_is_back(socket_path: str, start: Start) -> None:
    first = FakeDaemon(socket_path, subscribe=subscribed(message(1, "one")))
    process = start("--connect-timeout", "20ms", "console", before=SOON)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().endswith("one\n")
    os.unlink(socket_path)
    first.stop()
    assert "no daemon" in process.stderr.readline()
    process.stdin.write("myport\n")
    process.stdin.flush()
    assert "no daemon" in process.stderr.readline()
    second = FakeDaemon(socket_path, subscribe=subscribed(message(2, "two")))
    assert process.stdout.readline().endswith("two\n")
    assert second.params("subscribe")[0]["from"] == {"position": "aaaaaaaa:1"}
    process.stdin.close()
    assert process.wait(20) == 0
    second.stop()


def test_a_position_that_is_gone_is_told_and_the_console_goes_on_from_now(daemon: FakeDaemon, start: Start) -> None:
    def gone(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal("cursor_gone", 504, "the journal is another one")

    daemon.on["subscribe"] = in_turn(subscribed(message(1), end=True), gone, subscribed(message(2, "two")))
    process = start("console", before=SOON)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    assert process.stderr.readline() == "chatctl: the journal is another one\n"
    assert process.stdout.readline().endswith("two\n")
    assert [params["from"] for params in daemon.params("subscribe")] == ["now", {"position": "aaaaaaaa:1"}, "now"]


def test_a_command_after_a_restart_finds_the_new_daemon(socket_path: str, capfd: pytest.CaptureFixture[str]) -> None:
    app = App()
    app.connect_timeout = 0.0
    for port in (1, 2):
        daemon = FakeDaemon(socket_path, myport={"port": port})
        verb.execute(app, "myport")
        os.unlink(socket_path)
        daemon.stop()
        verb.execute(app, "myport")
    app.close()
    assert capfd.readouterr().out == "1\n2\n"


def test_json_is_not_for_the_console(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("console", "--json").status == 2


def test_a_message_appears_above_the_half_typed_line(daemon: FakeDaemon, terminal: Terminal) -> None:
    terminal.until(">")
    terminal.type("mypo")
    terminal.until("mypo")
    daemon.sessions[0].send_events(message(1, "hello \x1b[2J"))
    terminal.until("hello \\x1b[2J")
    terminal.until("mypo")  # the line is drawn again below the message
    terminal.type("rt\r")
    terminal.until("7420")
    assert "\x1b[2J" not in terminal.raw
    terminal.type("exit\r")
    assert terminal.process.wait(20) == 0


def test_ctrl_c_clears_the_line_and_ctrl_d_leaves(daemon: FakeDaemon, terminal: Terminal) -> None:
    terminal.until(">")
    terminal.type("nonsense\x03")
    terminal.until(">")
    terminal.type("myport\r")
    terminal.until("7420")
    terminal.until(">")
    terminal.type("\x04")
    assert terminal.process.wait(20) == 0
    assert "nonsense" not in [method for method, _ in daemon.requests]


def test_a_command_under_way_is_left_by_ctrl_c(daemon: FakeDaemon, terminal: Terminal) -> None:
    def silent(session: FakeSession, params: dict[str, Any]) -> None:
        daemon.on["myport"] = {"port": 7420}

    daemon.on["myport"] = silent
    terminal.until(">")
    terminal.type("myport\r")
    until(lambda: daemon.params("myport"))
    terminal.process.send_signal(2)
    terminal.type("myport\r")
    terminal.until("7420")


def test_a_command_after_an_eviction_is_done_on_a_new_session(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["myport"] = in_turn({"port": 1}, evicting, {"port": 2})
    assert chatctl("console", stdin="myport\nmyport\nexit\n") == (0, "1\n2\n", "")
