"""What `send`, `reply` and `ask` share: options, waiting, and the report of the outcome."""

import os
import pty
from typing import Any

import pytest

from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import BOB, FakeDaemon, FakeSession, message, refusing

SENT = {"id": "aaaaaaaa:7", "state": "queued", "peer": BOB}
ANSWER = message(9, "yes", re="aaaaaaaa:7")
ASKED = {"id": "aaaaaaaa:7", "answer": ANSWER}
ARROWS = [("send", "peer"), ("reply", "id"), ("ask", "peer")]


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on["send"] = daemon.on["reply"] = SENT
    daemon.on["ask"] = ASKED
    return daemon


@pytest.mark.parametrize(("verb", "first"), ARROWS)
def test_options_stand_before_and_after_the_first_word_and_end_with_the_text(
    daemon: FakeDaemon, chatctl: Chatctl, verb: str, first: str
) -> None:
    assert chatctl(verb, "--ttl", "5m", "x", "--key", "k", "--no-queue", "it", "is", "--ttl", "-5").status == 0
    assert daemon.params(verb) == [{first: "x", "text": "it is --ttl -5", "ttl": 300, "key": "k", "queue": False}]


@pytest.mark.parametrize(("verb", "first"), ARROWS)
def test_without_options_nothing_is_asked_for(daemon: FakeDaemon, chatctl: Chatctl, verb: str, first: str) -> None:
    assert chatctl(verb, "x", "hi").status == 0
    assert daemon.params(verb) == [{first: "x", "text": "hi"}]


@pytest.mark.parametrize(("verb", "first"), ARROWS)
def test_bytes_that_are_not_utf8_are_refused_wherever_they_are(
    daemon: FakeDaemon, chatctl: Chatctl, verb: str, first: str
) -> None:
    for argv in ([verb, "\udcff", "hi"], [verb, "x", "\udcff"], [verb, "--key", "\udcff", "x", "hi"]):
        ran = chatctl(*argv)
        assert (ran.status, "is not valid UTF-8" in ran.err) == (2, True)
    assert daemon.requests == []


@pytest.mark.parametrize("verb", ["reply", "ask"])
def test_who_waits_for_an_answer_does_not_read_stdin(daemon: FakeDaemon, chatctl: Chatctl, verb: str) -> None:
    assert chatctl(verb, "x", "-").err == "chatctl: only send and say read stdin (write -- - to say a dash)\n"
    assert daemon.requests == []
    assert chatctl(verb, "x", "--", "-").status == 0
    assert daemon.params(verb)[0]["text"] == "-"


@pytest.mark.parametrize("verb", ["send", "reply"])
def test_with_wait_the_daemon_keeps_the_time(daemon: FakeDaemon, chatctl: Chatctl, verb: str) -> None:
    assert chatctl(verb, "--wait", "delivered", "--timeout", "5s", "x", "hi").out == "aaaaaaaa:7\n"
    (params,) = daemon.params(verb)
    assert params["wait"] == "delivered"
    assert 4 < params["timeout"] <= 5


@pytest.mark.parametrize("argv", [["--wait", "read", "0", "hi"], ["--wait"], ["--ttl", "soon", "0", "hi"]])
def test_a_bad_option_is_a_usage_error(daemon: FakeDaemon, chatctl: Chatctl, argv: list[str]) -> None:
    assert chatctl("send", *argv).status == 2
    assert daemon.requests == []


@pytest.mark.parametrize("verb", ["send", "reply"])
def test_what_does_not_come_in_time_is_124_and_its_id_is_told_all_the_same(
    daemon: FakeDaemon, chatctl: Chatctl, verb: str
) -> None:
    daemon.on[verb] = refusing("timeout", 502, "not delivered in time", id="aaaaaaaa:7", state="queued")
    ran = chatctl(verb, "--wait", "delivered", "--timeout", "5", "x", "hi")
    assert (ran.status, ran.out) == (124, "aaaaaaaa:7\n")
    assert "it stays queued: chatctl msg aaaaaaaa:7" in ran.err
    ran = chatctl("--json", verb, "--wait", "delivered", "--timeout", "5", "x", "hi")
    assert (ran.status, ran.out) == (124, "")
    assert ran.error["id"] == "aaaaaaaa:7"
    assert ran.error["state"] == "queued"


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [("expired", 304, 1), ("rejected", 305, 5), ("conflict", 501, 6), ("peer_offline", 301, 1)],
)
def test_a_message_that_comes_to_nothing_is_told_with_its_id(
    daemon: FakeDaemon, chatctl: Chatctl, kind: str, code: int, status: int
) -> None:
    daemon.on["send"] = refusing(kind, code, id="aaaaaaaa:7")
    assert chatctl("send", "--wait", "sent", "0", "hi")[:2] == (status, "aaaaaaaa:7\n")


def test_a_refusal_without_an_id_prints_nothing(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["send"] = refusing("peer_offline", 301)
    assert chatctl("send", "--no-queue", "0", "hi").out == ""


def test_with_a_key_a_lost_answer_is_no_riddle(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["send"] = die
    assert "chatctl history" in chatctl("send", "0", "hi").err
    ran = chatctl("send", "--key", "k", "0", "hi")
    assert (ran.status, "with the same --key it is safe to try again" in ran.err) == (1, True)


@pytest.mark.parametrize("option", [["--wait", "sent"], ["--key", "k"]])
def test_lines_of_stdin_are_not_waited_for_and_have_no_key(
    daemon: FakeDaemon, chatctl: Chatctl, option: list[str]
) -> None:
    ran = chatctl("send", *option, "0", "-", stdin="one\n")
    assert (ran.status, "for one message" in ran.err) == (2, True)
    assert daemon.requests == []


def test_lines_of_stdin_take_the_other_options(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("send", "--ttl", "5", "--no-queue", "0", "-", stdin="one\ntwo\n").status == 0
    given = {"peer": "0", "ttl": 5, "queue": False}
    assert daemon.params("send") == [{**given, "text": "one"}, {**given, "text": "two"}]


def test_the_answer_is_printed_as_it_was_said(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("ask", "bob", "well?") == (0, "yes\n", "")
    assert chatctl("--json", "ask", "bob", "well?").records == [ANSWER]
    daemon.on["ask"] = {**ASKED, "answer": message(9, "two\n lines\u202e")}
    assert chatctl("ask", "bob", "well?").out == "two\n lines\u202e\n"


def test_no_answer_in_time_is_124_and_no_answer(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ask"] = refusing("timeout", 502, "bob has not answered", id="aaaaaaaa:7")
    ran = chatctl("ask", "--timeout", "5", "bob", "well?")
    assert (ran.status, ran.out) == (124, "")
    assert 4 < daemon.params("ask")[0]["timeout"] <= 5


@pytest.mark.parametrize(
    ("on", "told"),
    [
        ({"wait": {"peers": []}}, b"delivered to bob\r\n"),
        ({"wait": refusing("timeout", 502), "msg": {"message": {"state": "sent"}}}, b"sent to bob\r\n"),
        (
            {"wait": refusing("timeout", 502), "msg": {"message": {"state": "queued"}}},
            b"queued for bob: aaaaaaaa:7\r\n",
        ),
        (
            {"wait": refusing("conflict", 501), "msg": {"message": {"state": "failed"}}},
            b"failed for bob: aaaaaaaa:7\r\n",
        ),
        ({"wait": refusing("timeout", 502), "msg": refusing("no_daemon", 999)}, b"queued for bob: aaaaaaaa:7\r\n"),
    ],
)
def test_a_terminal_is_told_what_became_of_it(
    daemon: FakeDaemon, start: Start, on: dict[str, Any], told: bytes
) -> None:
    daemon.on.update(on)
    assert _on_terminal(start, "send", "0", "hi") == told


def test_a_terminal_is_told_what_it_waited_for(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["send"] = {**SENT, "state": "delivered"}
    assert _on_terminal(start, "send", "--wait", "delivered", "0", "hi") == b"delivered to bob\r\n"
    assert daemon.params("wait") == []


def test_an_answer_on_a_terminal_is_harmless(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["ask"] = {**ASKED, "answer": message(9, "two\nlines\x1b[2J")}
    assert _on_terminal(start, "ask", "0", "hi") == b"two\r\n    lines\\x1b[2J\r\n"


def _on_terminal(start: Start, *argv: str) -> bytes:
    ours, theirs = pty.openpty()
    process = start(*argv, stdout=theirs)
    os.close(theirs)
    assert process.wait(20) == 0
    shown = os.read(ours, 1000)
    os.close(ours)
    return shown
