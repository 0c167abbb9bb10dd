"""`tail --exec`: the command's input, its retries, and how it ends."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from chatctl.commands.tail import command_runner
from chatctl.commands.tail.command_runner import MAX_VARIABLE_BYTES, CommandRunner, environment
from chatctl.errors import Failure
from chatctl.text.output import Output
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import (
    BOB,
    FakeDaemon,
    FakeSession,
    Refusal,
    acked,
    encode,
    in_turn,
    message,
    room_message,
    subscribed,
)
from tests.harness.until import until

GAP = {
    "type": "gap",
    "position": "aaaaaaaa:5",
    "at": "2026-11-21T03:00:00.000Z",
    "peer": None,
    "after": None,
    "through": "aaaaaaaa:5",
}


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on["ack"] = acked
    daemon.on["history"] = {"events": [], "next": None}
    return daemon


def positions(daemon: FakeDaemon) -> list[str]:
    """Acknowledged positions, in order."""
    return [params["position"] for params in daemon.params("ack")]


def test_the_command_gets_the_message_on_stdin_and_in_variables(
    daemon: FakeDaemon, chatctl: Chatctl, socket_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MSG_TEXT_OF_OLD", "x")
    found = message(7, "two\nlines 'é' $HOME", re="aaaaaaaa:3", global_id="k3v9/bbbbbbbb:9")
    daemon.on["subscribe"] = subscribed(found)
    ran = chatctl("tail", "--as", "bot", "--count", "1", "--exec", 'cat; env -0 | grep -za "^MSG_\\|^CHATD_SOCKET"')
    stdin, _, rest = ran.out.partition("\n")
    assert (ran.status, json.loads(stdin)) == (0, found)
    assert dict(line.split("=", 1) for line in rest.split("\0") if line) == {
        "CHATD_SOCKET": socket_path,
        "MSG_ID": "aaaaaaaa:7",
        "MSG_GLOBAL_ID": "k3v9/bbbbbbbb:9",
        "MSG_POSITION": "aaaaaaaa:7",
        "MSG_AT": found["at"],
        "MSG_PEER": "bob",
        "MSG_SLOT": "0",
        "MSG_RE": "aaaaaaaa:3",
        "MSG_ROOM": "",
        "MSG_NICK": "",
        "MSG_TO": "",
        "MSG_TEXT": found["text"],
    }
    assert daemon.params("subscribe")[0]["window"] == 16
    assert positions(daemon) == ["aaaaaaaa:7"]


def test_a_message_of_a_plain_peer_has_no_global_id() -> None:
    plain = {**BOB, "name": "10.0.0.9:5000", "kind": "plain", "node": None}
    found = environment(message(7, global_id=None, peer=plain), "/s")
    assert (found[b"MSG_ID"], found[b"MSG_GLOBAL_ID"]) == (b"aaaaaaaa:7", b"")
    assert (found[b"MSG_ID"], found[b"MSG_PEER"], found[b"MSG_RE"]) == (b"aaaaaaaa:7", b"10.0.0.9:5000", b"")


def test_the_command_is_told_the_room_and_who_said_it_there() -> None:
    found = environment(room_message(7, to="bob"), "/x.sock")
    told = [found[name] for name in (b"MSG_ROOM", b"MSG_NICK", b"MSG_TO", b"MSG_SLOT")]
    assert told == [b"lobby@alice", b"jane", b"bob", b""]


@pytest.mark.parametrize("text", ["x" * (MAX_VARIABLE_BYTES + 1), "é" * MAX_VARIABLE_BYTES, "a\0b"])
def test_a_text_that_no_variable_can_hold_is_on_stdin_only(daemon: FakeDaemon, chatctl: Chatctl, text: str) -> None:
    daemon.on["subscribe"] = subscribed(message(1, text))
    ran = chatctl("tail", "--count", "1", "--exec", 'test -z "${MSG_TEXT+set}" && cat')
    assert (ran.status, ran.records[0]["text"]) == (0, text)


def test_a_text_up_to_the_limit_is_in_its_variable(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1, "x" * MAX_VARIABLE_BYTES))
    assert chatctl("tail", "--count", "1", "--exec", "echo ${#MSG_TEXT}").out == f"{MAX_VARIABLE_BYTES}\n"


def test_a_command_that_does_not_read_its_stdin_is_fine(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1, "x" * 3_000_000))
    assert chatctl("tail", "--count", "1", "--exec", "true").status == 0


def test_it_is_run_again_until_it_ends_with_0_and_in_order(
    daemon: FakeDaemon, chatctl: Chatctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_runner, "FIRST_PAUSE_S", 0.01)
    daemon.on["subscribe"] = subscribed(message(1), message(2))
    log = tmp_path / "log"
    command = f'echo "$MSG_POSITION" >> {log}; test "$(wc -l < {log})" -ge 3'
    ran = chatctl("tail", "--as", "bot", "--count", "2", "--exec", command)
    assert ran.status == 0
    assert log.read_text().split() == ["aaaaaaaa:1"] * 3 + ["aaaaaaaa:2"]
    assert ran.err.splitlines() == [
        "chatctl: the command ended with 1 for aaaaaaaa:1; again in 0.01 s",
        "chatctl: the command ended with 1 for aaaaaaaa:1; again in 0.02 s",
    ]
    assert positions(daemon)[-1] == "aaaaaaaa:2"


def test_pauses_double_up_to_the_longest() -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            raise Failure("timeout", "enough")

    with pytest.raises(Failure):
        CommandRunner(Output(), "exit 3", None, strict=False).process(b"{}", message(1), "/s", pause)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_a_command_ended_by_a_signal_is_told_as_a_shell_does(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    ran = chatctl("tail", "--timeout", "100ms", "--exec", "kill -9 $$")
    assert (ran.status, ran.err.splitlines()[0][:40]) == (124, "chatctl: the command ended with 137 for ")
    assert "0 done in time" in ran.err


def test_a_command_that_cannot_be_started_is_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    def pause(seconds: float) -> None:
        raise Failure("timeout", "enough")

    runner = CommandRunner(Output(), "x" * 3_000_000, None, strict=False)  # over ARG_MAX
    with pytest.raises(Failure):
        runner.process(b"{}", message(1), "/s", pause)
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith("chatctl: the command cannot be started: ")
    assert second == "chatctl: the command ended with 126 for aaaaaaaa:1; again in 0.5 s"


def test_without_a_name_it_has_no_memory(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    assert chatctl("tail", "--count", "1", "--exec", "true").status == 0
    assert daemon.params("subscribe") == [{"from": "now", "filter": {"types": ["message"], "direction": "in"}}]
    assert positions(daemon) == []


def test_what_is_no_message_is_passed_over(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    up = {**GAP, "type": "peer.up"}
    daemon.on["subscribe"] = subscribed(up, message(6))
    ran = chatctl("tail", "--as", "bot", "--count", "1", "--exec", "echo $MSG_POSITION")
    assert (ran.out, ran.err) == ("aaaaaaaa:6\n", "")


def test_a_gap_is_told_and_ends_a_strict_one_with_7(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(GAP, message(6))
    ran = chatctl("tail", "--as", "bot", "--count", "1", "--exec", "echo $MSG_POSITION")
    assert (ran.status, ran.out, "are missing" in ran.err) == (0, "aaaaaaaa:6\n", True)
    ran = chatctl("tail", "--as", "bot", "--strict", "--exec", "echo $MSG_POSITION")
    assert (ran.status, ran.out) == (7, "")
    assert positions(daemon)[-1] == "aaaaaaaa:5"


def test_no_follow_does_what_there_is_and_ends(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["history"] = {"events": [message(2)], "next": None}
    daemon.on["subscribe"] = subscribed(message(1), message(2), message(3))
    ran = chatctl("tail", "--since", "1h", "--no-follow", "--exec", "echo $MSG_POSITION")
    assert (ran.status, ran.out) == (0, "aaaaaaaa:1\naaaaaaaa:2\n")


def test_when_the_reader_of_stdout_has_gone_what_was_done_is_acknowledged_and_it_ends(
    daemon: FakeDaemon, start: Start
) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    ours, theirs = os.pipe()
    process = start("tail", "--as", "bot", "--exec", "true", stdout=theirs)
    os.close(theirs)
    until(lambda: positions(daemon))
    os.close(ours)
    assert process.wait(20) == 0
    assert positions(daemon) == ["aaaaaaaa:1"]


def test_between_two_tries_the_end_of_stdout_is_noticed(daemon: FakeDaemon, start: Start, tmp_path: Path) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    for name in ([], ["--as", "bot"]):
        ours, theirs = os.pipe()
        process = start("tail", *name, "--exec", f"echo >> {tmp_path}/tries; false", stdout=theirs)
        os.close(theirs)
        until((tmp_path / "tries").exists)
        os.close(ours)
        assert process.wait(20) == 0
        (tmp_path / "tries").unlink()
    assert positions(daemon) == []


def test_a_session_that_was_lost_while_the_command_ran_runs_nothing_twice(
    daemon: FakeDaemon, chatctl: Chatctl, tmp_path: Path
) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["subscribe"] = in_turn(subscribed(message(1), message(2)), subscribed(message(1), message(2), message(3)))
    daemon.on["ack"] = in_turn(die, acked)
    ran = chatctl("tail", "--as", "bot", "--count", "3", "--exec", "echo $MSG_POSITION")
    assert (ran.status, ran.out) == (0, "aaaaaaaa:1\naaaaaaaa:2\naaaaaaaa:3\n")
    assert daemon.params("subscribe")[1]["from"] == {"position": "aaaaaaaa:2"}
    assert positions(daemon)[-1] == "aaaaaaaa:3"


def test_a_pause_notices_that_somebody_has_taken_over(daemon: FakeDaemon, start: Start) -> None:
    error = {"code": 501, "message": "taken", "data": {"kind": "conflict", "reason": "taken_over"}}
    ended = {"jsonrpc": "2.0", "method": "ended", "params": {"subscription": 1, "error": error}}

    daemon.on["subscribe"] = subscribed(message(1))
    process = start("tail", "--as", "bot", "--exec", "false")
    assert process.stderr is not None
    process.stderr.readline()
    daemon.sessions[0].sock.sendall(encode(ended))
    assert process.wait(20) == 6


def test_a_pause_notices_that_the_journal_is_another_one(daemon: FakeDaemon, start: Start) -> None:
    def gone(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal("cursor_gone", 504)

    daemon.on["subscribe"] = subscribed(message(1), end=True)
    daemon.on["history"] = gone
    assert start("tail", "--as", "bot", "--exec", "false").wait(20) == 7


def test_an_interrupt_lets_the_command_end_and_counts_what_it_has_done(
    daemon: FakeDaemon, start: Start, tmp_path: Path
) -> None:
    daemon.on["subscribe"] = subscribed(message(1), message(2))
    go, began = tmp_path / "go", tmp_path / "began"
    os.mkfifo(go)
    command = f"trap '' INT; touch {began}; cat {go} > {tmp_path}/done"
    process = start("tail", "--as", "bot", "--exec", command, start_new_session=True)
    until(began.exists)
    os.killpg(process.pid, signal.SIGINT)
    go.write_text("x")
    assert process.wait(20) == 130
    assert (tmp_path / "done").read_text() == "x"
    assert positions(daemon) == ["aaaaaaaa:1"]


def test_a_command_that_the_interrupt_ended_is_not_acknowledged(
    daemon: FakeDaemon, start: Start, tmp_path: Path
) -> None:
    daemon.on["subscribe"] = subscribed(message(1), message(2))
    began = tmp_path / "began"
    # No child but the last: a shell that is interrupted while one ends by itself goes on.
    process = start("tail", "--as", "bot", "--exec", f": > {began}; exec sleep 60", start_new_session=True)
    until(began.exists)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(20) == 130
    assert positions(daemon) == []


def test_a_second_interrupt_ends_a_command_that_did_not_hear_the_first(
    daemon: FakeDaemon, start: Start, tmp_path: Path
) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    began = tmp_path / "began"
    process = start("tail", "--as", "bot", "--exec", f"touch {began}; exec sleep 60")
    until(began.exists)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)  # two at once would be one
    assert process.wait(20) == 130
    assert positions(daemon) == []


def test_a_termination_is_handed_on_to_the_command(daemon: FakeDaemon, start: Start, tmp_path: Path) -> None:
    daemon.on["subscribe"] = subscribed(message(1), message(2))
    began = tmp_path / "began"
    command = f"trap 'kill $!; exit 0' TERM; touch {began}; sleep 60 & wait"
    process = start("tail", "--as", "bot", "--exec", command)
    until(began.exists)
    process.terminate()
    assert process.wait(20) == -signal.SIGTERM
    assert positions(daemon) == ["aaaaaaaa:1"]
