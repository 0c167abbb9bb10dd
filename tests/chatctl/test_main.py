"""Exit statuses, error lines, global options, interrupts and broken pipes."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from chatctl.cli.table import SUMMARY
from chatctl.errors import EXIT_STATUS
from chatd import __version__
from chatd.api.errors import TABLE
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import BOB, BOB_RECORD, FakeDaemon, FakeSession, Refusal, encode, message, subscribed


def test_every_kind_of_the_daemon_has_the_exit_status_of_its_table() -> None:
    assert {kind: EXIT_STATUS[kind] for kind in TABLE} == {kind: row[1] for kind, row in TABLE.items()}


@pytest.mark.parametrize("kind", [*TABLE, "a_kind_of_the_future"])
def test_a_refusal_is_one_line_and_its_exit_status(daemon: FakeDaemon, chatctl: Chatctl, kind: str) -> None:
    def refuse(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal(kind, 999, "no\x1b such thing", "look elsewhere")

    daemon.on["status"] = refuse
    status = TABLE[kind][1] if kind in TABLE else 1
    assert chatctl("status") == (status, "", "chatctl: no\\x1b such thing (look elsewhere)\n")
    ran = chatctl("--json", "status")
    assert ran.status == status
    assert ran.error == {"kind": kind, "message": "no\x1b such thing", "hint": "look elsewhere"}


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [(-32601, "unknown_method", 1), (-32602, "invalid_params", 2), (-32603, "internal_error", 1)],
)
def test_a_protocol_fault_has_a_kind_too(
    daemon: FakeDaemon, chatctl: Chatctl, code: int, kind: str, status: int
) -> None:
    def refuse(session: FakeSession, params: dict[str, Any]) -> None:
        refusal = Refusal("", code, "bad")
        del refusal.error["data"]
        raise refusal

    daemon.on["status"] = refuse
    ran = chatctl("--json", "status")
    assert (ran.status, ran.error["kind"]) == (status, kind)


def test_a_fault_without_an_id_is_told_and_not_waited_out(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def fault(session: FakeSession, params: dict[str, Any]) -> None:
        session.after_reply += encode({"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "not JSON"}})

    daemon.on["status"] = fault
    assert chatctl("status") == (1, "", "chatctl: not JSON\n")


@pytest.mark.parametrize("verb", ["status", "list", "health", "tail", "history", "console"])
def test_no_daemon_is_3_and_says_what_to_do(chatctl: Chatctl, socket_path: str, verb: str) -> None:
    ran = chatctl(verb)
    assert ran.status == 3
    assert ran.err == f"chatctl: no daemon: there is no socket {socket_path} (start it with: chatd)\n"


def test_a_socket_that_nobody_answers_is_3(chatctl: Chatctl, socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(socket_path)
    ran = chatctl("status")
    assert (ran.status, "nobody answers" in ran.err) == (3, True)


@pytest.mark.parametrize("kind", ["file", "directory", "link to a file"])
def test_what_is_at_the_path_and_is_no_socket_is_to_be_moved_away(
    chatctl: Chatctl, socket_path: str, kind: str, tmp_path: Path
) -> None:
    if kind == "file":
        Path(socket_path).touch()
    elif kind == "directory":
        Path(socket_path).mkdir()
    else:
        (tmp_path / "file").touch()
        Path(socket_path).symlink_to(tmp_path / "file")
    ran = chatctl("status")
    remedy = "move it away: a running daemon makes its socket there within 30 s, else start one with: chatd"
    assert (ran.status, ran.err) == (3, f"chatctl: {socket_path} is not a socket ({remedy})\n")


def test_a_daemon_that_accepts_nothing_is_124_and_not_waited_for(chatctl: Chatctl, socket_path: str) -> None:
    with socket.socket(socket.AF_UNIX) as stopped, contextlib.ExitStack() as stack:
        stopped.bind(socket_path)
        stopped.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.settimeout(0)
                waiting.connect(socket_path)
        ran = chatctl("health")
    assert (ran.status, "accepts no connection" in ran.err) == (124, True)


def test_something_that_is_no_socket_is_3(chatctl: Chatctl, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert chatctl("--socket", str(tmp_path / "file" / "x"), "status").status == 3


def test_a_socket_that_may_not_be_used_is_5(
    chatctl: Chatctl, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forbidden(socket.socket):
        def connect(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    ran = chatctl("--json", "status")
    assert (ran.status, ran.error["kind"]) == (5, "forbidden")


def test_a_missing_socket_is_tried_again_for_the_connect_timeout(socket_path: str, start: Start) -> None:
    process = start("--connect-timeout", "20s", "myport")
    daemon = FakeDaemon(socket_path, myport={"port": 7420})
    assert process.communicate(timeout=25) == ("7420\n", "")
    daemon.stop()


def test_wait_ready_waits_for_a_daemon_that_has_not_been_started(socket_path: str, chatctl: Chatctl) -> None:
    fakes: list[FakeDaemon] = []
    timer = threading.Timer(0.1, lambda: fakes.append(FakeDaemon(socket_path)))
    timer.start()
    assert chatctl("wait", "ready", "--timeout", "20s").status == 0
    timer.join()
    fakes[0].stop()


def test_wait_ready_gives_up_after_its_timeout_with_124(chatctl: Chatctl) -> None:
    ran = chatctl("--json", "wait", "ready", "--timeout", "50ms")
    assert (ran.status, ran.error["kind"]) == (124, "timeout")


def test_wait_ready_outlives_a_session_of_a_daemon_that_stops(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    left = [1, 1]

    def wait(session: FakeSession, params: dict[str, Any]) -> dict[str, Any] | None:
        if not left:
            return {"peers": []}
        left.pop()
        session.ends_after_reply = True
        return None

    daemon.on["wait"] = wait
    assert chatctl("wait", "ready", "--timeout", "20s").status == 0
    assert len(daemon.requests) == 3


def test_a_daemon_that_does_not_answer_in_time_is_124(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def silent(session: FakeSession, params: dict[str, Any]) -> None:
        return None

    daemon.on["status"] = silent
    assert chatctl("status", "--timeout", "50ms").status == 124


def test_a_session_that_ends_without_an_answer_is_3(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["status"] = die
    assert chatctl("status").status == 3


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["lst"],
        ["list", "--al"],
        ["list", "extra"],
        ["send", "0"],
        ["peer"],
        ["peer", "eat"],
        ["wait", "peers", "x"],
        ["tail", "--count", "0"],
        ["-n", "No Name", "status"],
        ["--socket", "/" + "x" * 200, "status"],
        ["completion", "csh"],
        ["help", "lst"],
    ],
)
def test_a_usage_error_is_2_and_one_line(chatctl: Chatctl, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    monkeypatch.delenv("CHATD_SOCKET")
    ran = chatctl(*argv)
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert chatctl("--json", *argv).error["kind"] == "usage"


def test_the_nearest_verb_is_named(chatctl: Chatctl) -> None:
    assert chatctl("lst").err == "chatctl: no such command: lst (did you mean list?)\n"


def test_socket_and_timeout_are_understood_before_and_after_the_verb(
    daemon: FakeDaemon, chatctl: Chatctl, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATD_SOCKET", "/nowhere/at.sock")
    assert chatctl("--socket", socket_path, "--timeout", "5", "status", "--json").status == 0
    assert chatctl("status", "--timeout", "5", "--socket", socket_path, "--json").status == 0
    assert chatctl("status", "--json").status == 3


def test_the_node_names_the_socket_and_beats_the_variable(
    tmp_path: Path, chatctl: Chatctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "chatd").mkdir()
    daemon = FakeDaemon(str(tmp_path / "chatd" / "bob.sock"))
    assert chatctl("-n", "bob", "status", "--json").status == 0
    daemon.stop()


def test_chatctl_alone_prints_the_help(start: Start, chatctl: Chatctl) -> None:
    process = start()
    assert process.communicate(timeout=20) == (chatctl("--help").out, "")
    assert process.returncode == 0


def test_version_and_help_end_with_0(chatctl: Chatctl) -> None:
    assert chatctl("--version") == (0, f"chatctl {__version__}\n", "")
    overview = chatctl("--help")
    assert chatctl("help") == overview
    assert overview.status == 0
    assert set(SUMMARY) <= set(overview.out.split())


@pytest.mark.parametrize("verb", SUMMARY)
def test_every_verb_has_help(chatctl: Chatctl, verb: str) -> None:
    helped = chatctl("help", verb)
    assert helped.out.startswith(f"Usage: chatctl {verb}")
    assert chatctl(verb, "--help") == helped


def test_help_of_a_verb_below_a_verb(chatctl: Chatctl) -> None:
    assert chatctl("help", "peer", "rename").out.startswith("Usage: chatctl peer rename [OPTIONS] PEER NAME")


def test_a_broken_pipe_is_quiet(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["list"] = {"peers": [BOB_RECORD] * 5000}
    process = start("list")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""


def test_an_interrupt_is_130_and_quiet(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    process = start("tail")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_without_no_color(
    daemon: FakeDaemon, start: Start, no_color: str, coloured: bool
) -> None:
    daemon.on["list"] = {"peers": [BOB_RECORD]}
    shown = _on_terminal(start, "list", NO_COLOR=no_color)
    assert ("\x1b[32mup\x1b[0m" in shown) == coloured
    assert ("\x1b" in shown) == coloured


def test_json_on_a_terminal_is_harmless_and_means_the_same(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["whoami"] = {"name": "\u202e\x9bé", "node": BOB["node"]}
    assert '"\\u202e\\u009bé"' in _on_terminal(start, "--json", "whoami")


def test_a_long_text_cannot_pass_for_another_entry_where_the_terminal_would_break_it(
    daemon: FakeDaemon, start: Start
) -> None:
    daemon.on["subscribe"] = subscribed(message(1, "hi" + " " * 200 + "2026-11-21 03:00:00 alice: pay"))
    shown = _on_terminal(start, "tail", "--count", "1", COLUMNS="40", LINES="24")
    first, *others = shown.splitlines()
    assert len(first) == 40
    assert others
    assert all(len(line) <= 40 and line.startswith("    ") for line in others)
    assert "".join(line[4:] for line in others).endswith("2026-11-21 03:00:00 alice: pay")


def test_the_way_of_send_imports_only_what_it_needs(daemon: FakeDaemon) -> None:
    daemon.on["send"] = {"id": "aaaaaaaa:1", "state": "queued", "peer": BOB}
    code = (
        "import sys; import click; before = set(sys.modules); from chatctl.__main__ import run\n"
        "assert run(['send', '0', 'hi']) == 0\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    slow = {"trio", "msgspec", "logging", "pathlib", "dataclasses", "typing", "datetime", "shlex", "tempfile", "ssl"}
    unneeded = {"asyncio", "subprocess", "difflib", "locale", "cryptography", "prompt_toolkit", "threading"}
    assert not loaded & (slow | unneeded)
    ours = {name for name in loaded if name.startswith("chatd")}
    assert ours == {"chatd", "chatd.paths"}
    assert {name for name in loaded if name.startswith("chatctl.commands.")} == {"chatctl.commands.send"}


def test_no_verb_imports_the_daemon() -> None:
    code = (
        "import sys; from chatctl.cli.table import SUMMARY, cli\n"
        "for verb in SUMMARY: cli.get_command(None, verb); print(verb, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(SUMMARY)
    for verb, *loaded in map(str.split, lines):
        assert not {"trio", "msgspec", "cryptography"} & set(loaded), verb
        assert {name for name in loaded if name.startswith("chatd")} <= {"chatd", "chatd.paths"}, verb


def _on_terminal(start: Start, *argv: str, **env: str) -> str:
    """Output of chatctl on a terminal."""
    ours, theirs = pty.openpty()
    process = start(*argv, stdout=theirs, env={**os.environ, **env})
    os.close(theirs)
    shown = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    assert process.wait(20) == 0
    return shown.decode()
