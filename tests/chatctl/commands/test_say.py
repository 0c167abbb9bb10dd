"""`chatctl say` and its second name `room say`: the text, the request and the report."""

import os
import pty
from typing import Any

import pytest

from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import HERE, FakeDaemon, FakeSession, refusing

SAID = {"id": "aaaaaaaa:7", "state": "queued", "peer": HERE, "room": "lobby@alice"}
BOTH: list[list[str]] = [["say"], ["room", "say"]]


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on["room.say"] = SAID
    return daemon


@pytest.mark.parametrize("verb", BOTH)
@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["hi", "there", "-5", "--json"], "hi there -5 --json"),
        (["@jane", "hi"], "@jane hi"),
        (["--", "-", "x"], "- x"),
        (["two  spaces"], "two  spaces"),
    ],
)
def test_every_word_from_the_first_of_the_text_on_is_text(
    daemon: FakeDaemon, chatctl: Chatctl, verb: list[str], words: list[str], text: str
) -> None:
    assert chatctl(*verb, "lobby", *words)[:2] == (0, "aaaaaaaa:7\n")
    assert daemon.requests == [("room.say", {"room": "lobby", "text": text})]


@pytest.mark.parametrize("verb", BOTH)
def test_options_stand_before_the_text(daemon: FakeDaemon, chatctl: Chatctl, verb: list[str]) -> None:
    assert chatctl(*verb, "--wait", "delivered", "lobby", "--timeout", "5", "--json", "hi").records == [SAID]
    (params,) = daemon.params("room.say")
    assert 4 < params.pop("timeout") <= 5
    assert params == {"room": "lobby", "text": "hi", "wait": "delivered"}


@pytest.mark.parametrize("verb", BOTH)
def test_each_line_of_stdin_is_said(daemon: FakeDaemon, chatctl: Chatctl, verb: list[str]) -> None:
    assert chatctl(*verb, "lobby", "-", stdin="one\n@jane two\n") == (0, "aaaaaaaa:7\n" * 2, "")
    assert [params["text"] for params in daemon.params("room.say")] == ["one", "@jane two"]


def test_lines_are_not_waited_for(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ran = chatctl("say", "--wait", "sent", "lobby", "-")
    assert (ran.status, "for one message" in ran.err) == (2, True)
    assert daemon.requests == []


@pytest.mark.parametrize("argv", [["say"], ["say", "lobby"], ["say", "--wait", "read", "lobby", "hi"]])
def test_a_usage_error_says_nothing(daemon: FakeDaemon, chatctl: Chatctl, argv: list[str]) -> None:
    assert chatctl(*argv).status == 2
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("kind", "status"), [("unknown_room", 4), ("unknown_peer", 4), ("bad_text", 2), ("rejected", 5), ("forbidden", 5)]
)
def test_a_refusal_has_the_exit_status_of_its_kind(
    daemon: FakeDaemon, chatctl: Chatctl, kind: str, status: int
) -> None:
    daemon.on["room.say"] = refusing(kind)
    assert chatctl("say", "lobby", "hi") == (status, "", "chatctl: refused\n")


def test_bytes_that_are_not_utf8_are_refused_wherever_they_are(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    for words in (["\udcff", "hi"], ["lobby", "\udcff"]):
        ran = chatctl("say", *words)
        assert (ran.status, "is not valid UTF-8" in ran.err) == (2, True)
    assert daemon.requests == []


def test_a_daemon_that_ends_before_it_answers_leaves_the_outcome_unknown(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["room.say"] = die
    ran = chatctl("--json", "say", "lobby", "hi")
    assert (ran.status, ran.error["kind"]) == (1, "outcome_unknown")


@pytest.mark.parametrize(
    ("words", "lines", "told"),
    [(["hi"], "", b"delivered to lobby@alice\r\n"), (["-"], "a\nb\n", b"sent 2 messages to lobby@alice\r\n")],
)
def test_a_terminal_is_told_in_which_room(
    daemon: FakeDaemon, start: Start, words: list[str], lines: str, told: bytes
) -> None:
    daemon.on["wait"] = {"peers": []}
    ours, theirs = pty.openpty()
    process = start("say", "lobby", *words, stdout=theirs)
    os.close(theirs)
    process.communicate(lines, timeout=20)
    assert os.read(ours, 1000) == told
    os.close(ours)
