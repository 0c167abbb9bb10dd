"""`chatctl send`: text, options, and the lines of stdin."""

import os
import pty
import socket
from typing import Any

import pytest

from chatctl.cli.pipeline import WINDOW
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import BOB, FakeDaemon, FakeSession, Refusal, evicting, in_turn

SENT = {"id": "aaaaaaaa:7", "state": "queued", "peer": BOB}


class Counter:
    """A handler that accepts every message except those with a refused text."""

    def __init__(self, *refused: str) -> None:
        self.count = 0
        self.refused = refused

    def __call__(self, session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        if params["text"] in self.refused:
            raise Refusal("bad_text", 306, "the text is empty")
        self.count += 1
        return {**SENT, "id": f"aaaaaaaa:{self.count}"}


@pytest.mark.parametrize(
    ("argv", "peer", "text"),
    [
        (["0", "hi"], "0", "hi"),
        (["bob", "hi", "there"], "bob", "hi there"),
        (["0", "it", "is", "-5", "C"], "0", "it is -5 C"),
        (["0", "read", "--help", "first"], "0", "read --help first"),
        (["0", "hi", "--json"], "0", "hi --json"),
        (["0", "a", "--", "b"], "0", "a -- b"),
        (["0", "--", "-5"], "0", "-5"),
        (["--", "0", "-5"], "0", "-5"),
        (["0", "--", "-"], "0", "-"),
        (["0", "-", "x"], "0", "- x"),
        (["0", "x", "-"], "0", "x -"),
        (["--timeout", "5", "0", "--timeout", "hi"], "0", None),
        (["--timeout", "5", "0", "hi"], "0", "hi"),
        (["0", "--timeout=5s", "hi"], "0", "hi"),
        (["0", "two  spaces", " kept "], "0", "two  spaces  kept "),
    ],
)
def test_every_word_from_the_first_of_the_text_on_is_text(
    daemon: FakeDaemon, chatctl: Chatctl, argv: list[str], peer: str, text: str | None
) -> None:
    daemon.on["send"] = SENT
    ran = chatctl("send", *argv)
    if text is None:
        assert ran.status == 2
        assert daemon.requests == []
    else:
        assert ran.status == 0
        assert daemon.params("send") == [{"peer": peer, "text": text}]


def test_an_option_before_the_text_is_an_option(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = SENT
    assert chatctl("send", "0", "--json", "hi").records == [SENT]
    assert chatctl("send", "--json", "0", "hi").records == [SENT]
    assert chatctl("--json", "send", "0", "hi").records == [SENT]


def test_an_option_behind_the_text_is_sent_with_it_and_that_is_said(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = SENT
    ran = chatctl("send", "0", "hi", "--wait", "sent")
    assert (ran.status, daemon.params("send")) == (0, [{"peer": "0", "text": "hi --wait sent"}])
    assert ran.err == "--wait stands behind the text and is part of it: options come before the text\n"
    assert chatctl("send", "0", "--", "hi", "--wait", "sent").err == ""
    assert chatctl("send", "0", "it", "is", "-5", "--really").err == ""


def test_a_text_that_looks_like_an_option_needs_the_dashes(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ran = chatctl("send", "0", "-5")
    assert ran.status == 2
    assert len(ran.err.splitlines()) == 1
    assert daemon.requests == []


def test_the_id_is_printed_when_stdout_is_no_terminal(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = SENT
    assert chatctl("send", "0", "hi").out == "aaaaaaaa:7\n"


def test_a_terminal_is_told_the_sum_of_the_lines(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["send"] = SENT
    ours, theirs = pty.openpty()
    process = start("send", "0", "-", stdout=theirs)
    os.close(theirs)
    process.communicate("one\ntwo\n", timeout=20)
    assert os.read(ours, 1000) == b"sent 2 messages to bob\r\n"
    os.close(ours)


def test_bytes_that_are_not_utf8_are_refused_before_they_are_sent(daemon: FakeDaemon, start: Start) -> None:
    process = start("send", "0", b"ab\xff")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert err == "chatctl: the text is not valid UTF-8 (byte 0xff at character 3)\n"
    assert daemon.requests == []


def test_a_daemon_that_ends_before_it_answers_leaves_the_outcome_unknown(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["send"] = die
    ran = chatctl("--json", "send", "0", "hi")
    assert (ran.status, ran.error["kind"]) == (1, "outcome_unknown")


def test_each_line_of_stdin_is_a_message(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = Counter()
    ran = chatctl("send", "bob", "-", stdin="one\ntwo -5\r\nlast, without an end")
    assert ran == (0, "aaaaaaaa:1\naaaaaaaa:2\naaaaaaaa:3\n", "")
    assert [params["text"] for params in daemon.params("send")] == ["one", "two -5", "last, without an end"]
    assert len(daemon.sessions) == 1


def test_lines_are_sent_as_they_come_and_not_at_the_end(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["send"] = Counter()
    process = start("send", "bob", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    for number in (1, 2):
        process.stdin.write("x\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"aaaaaaaa:{number}\n"
    process.stdin.close()
    assert process.wait(20) == 0


def test_thousands_of_lines_arrive_in_order(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["send"] = Counter()
    process = start("--json", "send", "bob", "-")
    out, _ = process.communicate("".join(f"line {n}\n" for n in range(5000)), timeout=25)
    assert process.returncode == 0
    assert out.count("\n") == 5000
    assert [params["text"] for params in daemon.params("send")] == [f"line {n}" for n in range(5000)]


def test_many_lines_are_under_way_at_once_but_no_more_than_the_window(socket_path: str, start: Start) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen()
        process = start("send", "bob", "-")
        assert process.stdin is not None
        process.stdin.write("x\n" * 5000)
        process.stdin.flush()
        session, _ = listener.accept()
        with session:
            data = b""
            while data.count(b"\n") < WINDOW:
                data += session.recv(65536)
            session.settimeout(0.2)
            with pytest.raises(TimeoutError):
                session.recv(1)
            assert data.count(b"\n") == WINDOW
    assert process.wait(20) == 1


def test_the_first_refused_line_ends_it_with_its_number(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = Counter("")
    ran = chatctl("send", "bob", "-", stdin="one\ntwo\n\nfour\n")
    assert ran.status == 2
    assert ran.err.startswith("chatctl: line 3: the text is empty")
    assert "1 of the lines behind it were on their way" in ran.err
    assert ran.out == "aaaaaaaa:1\naaaaaaaa:2\naaaaaaaa:3\n"


def test_a_refused_line_keeps_the_rest_from_being_sent(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["send"] = Counter("bad")
    process = start("send", "bob", "-")
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write("bad\n")
    process.stdin.flush()
    assert process.wait(20) == 2
    assert process.stderr.read().startswith("chatctl: line 1: ")
    assert len(daemon.requests) == 1


def test_a_line_that_is_not_utf8_ends_it_with_its_number(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = Counter()
    ran = chatctl("send", "bob", "-", stdin="one\ntwo\n\udcff\nfour\n")
    assert (ran.status, ran.err) == (2, "chatctl: line 3 is not valid UTF-8\n")
    assert len(daemon.requests) == 2
    assert ran.out.count("\n") == 2


def test_a_daemon_that_ends_names_the_lines_that_are_unknown(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["send"] = in_turn(SENT, die)
    ran = chatctl("send", "bob", "-", stdin="one\ntwo\nthree\n")
    assert ran.status == 1
    assert "before it answered lines 2 to 3" in ran.err


def test_a_reader_of_the_ids_that_leaves_does_not_stop_the_lines(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["send"] = Counter()
    process = start("send", "bob", "-")
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.close()
    process.stdin.write("one\n")
    process.stdin.flush()
    process.stdin.write("two\nthree\n")
    process.stdin.close()
    assert process.wait(20) == 0
    assert len(daemon.requests) == 3


def test_stdin_that_stays_silent_ends_by_the_timeout(daemon: FakeDaemon, start: Start) -> None:
    process = start("send", "--timeout", "100ms", "bob", "-")
    assert process.wait(20) == 124


def test_an_empty_stdin_sends_nothing(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("send", "bob", "-", stdin="") == (0, "", "")
    assert daemon.requests == []


def test_lines_that_come_after_an_eviction_go_on_a_new_session(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["send"] = SENT
    process = start("send", "bob", "-")
    assert process.stdin is not None
    assert process.stdout is not None
    for text in ("one", "two"):
        process.stdin.write(f"{text}\n")
        process.stdin.flush()
        assert process.stdout.readline()
        daemon.sessions[-1].evict()
    assert process.communicate("three\n", timeout=20)[1] == ""
    assert process.returncode == 0
    assert [params["text"] for params in daemon.params("send")] == ["one", "two", "three"]


def test_lines_that_crossed_an_eviction_are_sent_again_in_their_order(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = in_turn(SENT, evicting, SENT)
    ran = chatctl("send", "bob", "-", stdin="".join(f"{number}\n" for number in range(5)))
    assert (ran.status, ran.err, len(ran.out.splitlines())) == (0, "", 5)
    texts = [params["text"] for params in daemon.params("send")]
    assert texts == ["0", "1", "1", "2", "3", "4"]


def test_a_session_that_is_refused_before_a_line_came_says_why(daemon: FakeDaemon, start: Start) -> None:
    daemon.refusal = Refusal("rate_limited", 402, "all 256 sessions are taken")
    process = start("send", "bob", "-")
    assert process.wait(20) == 5
    assert process.stderr is not None
    assert process.stderr.read() == "chatctl: all 256 sessions are taken\n"
