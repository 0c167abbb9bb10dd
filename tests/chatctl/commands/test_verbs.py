"""The verbs with a single request: the request, the output for people, and `--json`."""

import os
from typing import Any

import pytest

from tests.chatctl.conftest import Chatctl
from tests.harness.fake_daemon import BOB, BOB_RECORD, FakeDaemon, FakeSession, Refusal, message

STATUS: dict[str, Any] = {
    "node": BOB["node"],
    "name": "alice",
    "epoch": "aaaaaaaa",
    "version": "0.1.0",
    "pid": 7,
    "listen": ["0.0.0.0:7420", "[::]:7420"],
    "socket": "/run/chatd/default.sock",
    "state": "/var/lib/chatd/default",
    "uptime_s": 7384.2,
    "security": "anyone may talk",
    "trust": "open",
    "plain": "loopback",
    "peers": {"up": 2, "dialing": 0, "down": 1, "pending": 0},
    "sessions": 1,
    "journal": {"path": "x", "synchronous": "full", "schema": 1, "position": "a:9", "bytes": 20480, "full": True},
}
CONSUMER: dict[str, Any] = {
    "name": "bot",
    "position": "aaaaaaaa:7",
    "lag": 3,
    "held": True,
    "last_seen": "2026-11-21T03:00:00.000Z",
    "filter": {},
}
QUESTIONS: list[tuple[list[str], str, dict[str, object], dict[str, object], str]] = [
    (["whoami"], "whoami", {}, {"name": "alice", "node": "k3v9"}, "alice k3v9\n"),
    (["myip"], "myip", {}, {"ip": "10.0.0.1", "all": ["10.0.0.1"]}, "10.0.0.1\n"),
    (["myport"], "myport", {}, {"port": 7420}, "7420\n"),
    (["health"], "health", {}, {"healthy": True, "problems": []}, "healthy\n"),
    (
        ["connect", "10.0.0.2"],
        "connect",
        {"host": "10.0.0.2", "port": 7420, "plain": False, "keep": False},
        {"peer": BOB_RECORD},
        "connected: slot 0, bob, node k3v9abcd (10.0.0.2:7420)\n",
    ),
    (
        ["connect", "h", "7421", "--plain", "--keep"],
        "connect",
        {"host": "h", "port": 7421, "plain": True, "keep": True},
        {"peer": {**BOB_RECORD, "kind": "plain", "node": None}},
        "connected: slot 0, bob, plain (10.0.0.2:7420)\n",
    ),
    (
        ["connect", "h:1234", "--dialect", "name", "--nick", "jane"],
        "connect",
        {"host": "h", "port": 1234, "plain": False, "keep": False, "dialect": "name", "nick": "jane"},
        {"peer": {**BOB_RECORD, "kind": "plain", "node": None, "dialect": "name"}},
        "connected: slot 0, bob, room server, dialect name (10.0.0.2:7420)\n",
    ),
    (
        ["terminate", "bob"],
        "terminate",
        {"peer": "bob"},
        {"peer": BOB_RECORD, "queued": 3},
        "terminated: slot 0, bob, node k3v9abcd (10.0.0.2:7420); not delivered: 3\n",
    ),
    (["peer", "accept", "0"], "peer.accept", {"peer": "0"}, {"peer": BOB_RECORD}, "accepted: slot 0, bob"),
    (["peer", "deny", "0"], "peer.deny", {"peer": "0"}, {"peer": BOB_RECORD}, "denied: slot 0, bob"),
    (["peer", "forget", "0"], "peer.forget", {"peer": "0"}, {"peer": BOB_RECORD}, "forgotten: slot 0, bob"),
    (
        ["peer", "rename", "0", "bob"],
        "peer.rename",
        {"peer": "0", "name": "bob"},
        {"peer": BOB_RECORD},
        "renamed: slot 0, bob",
    ),
    (["wait", "peer", "bob"], "wait", {"for": "peer", "peer": "bob"}, {"peers": [BOB_RECORD]}, "up: slot 0, bob"),
    (["wait", "peers", "1"], "wait", {"for": "peers", "count": 1}, {"peers": [BOB_RECORD]}, "up: slot 0, bob"),
    (["wait", "ready"], "wait", {"for": "ready"}, {"peers": []}, "ready\n"),
    (
        ["wait", "delivered", "aaaaaaaa:7"],
        "wait",
        {"for": "delivered", "id": "aaaaaaaa:7"},
        {"peers": [BOB_RECORD]},
        "delivered: slot 0, bob",
    ),
    (["wait", "outbox-empty"], "wait", {"for": "outbox-empty"}, {"peers": []}, "nothing is owed\n"),
    (
        ["wait", "outbox-empty", "bob"],
        "wait",
        {"for": "outbox-empty", "peer": "bob"},
        {"peers": [BOB_RECORD]},
        "nothing is owed: slot 0, bob",
    ),
    (["cancel", "a:7"], "cancel", {"id": "a:7"}, {"id": "a:7", "state": "cancelled"}, "cancelled\n"),
    (
        ["ack", "bot", "aaaaaaaa:7"],
        "ack",
        {"consumer": "bot", "position": "aaaaaaaa:7"},
        {"consumer": "bot", "position": "aaaaaaaa:9"},
        "bot is at aaaaaaaa:9\n",
    ),
    (
        ["consumers"],
        "consumers",
        {},
        {"consumers": [CONSUMER]},
        "NAME  POSITION    LAG  HELD  LAST SEEN\nbot   aaaaaaaa:7",
    ),
    (
        ["consumer", "remove", "bot"],
        "consumer.remove",
        {"consumer": "bot"},
        {"consumer": "bot", "position": "aaaaaaaa:7"},
        "removed: bot, which was at aaaaaaaa:7\n",
    ),
    (["list", "--all"], "list", {"all": True}, {"peers": [BOB_RECORD]}, "SLOT  NAME"),
    (["status"], "status", {}, STATUS, "node      alice (k3v9abcd)\n"),
]


@pytest.mark.parametrize(("argv", "method", "params", "result", "shown"), QUESTIONS)
def test_a_verb_asks_its_method_and_shows_the_result(
    daemon: FakeDaemon,
    chatctl: Chatctl,
    argv: list[str],
    method: str,
    params: dict[str, object],
    result: dict[str, object],
    shown: str,
) -> None:
    daemon.on[method] = result
    ran = chatctl(*argv)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(shown)
    assert daemon.requests == [(method, params)]
    assert chatctl("--json", *argv).records == [result]
    assert chatctl(*argv[:1], "--json", *argv[1:]).records == [result]
    assert chatctl(*argv, "--json").records == [result]


def test_the_list_is_aligned_and_harmless(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    long = {**BOB_RECORD, "slot": 12, "name": "wide名前\x1b", "address": None, "state": "down", "reason": "reset"}
    daemon.on["list"] = {"peers": [BOB_RECORD, {**long, "queued": 12, "desired": False}]}
    lines = chatctl("list").out.splitlines()
    assert lines[0] == "SLOT  NAME          ADDRESS        DIR  STATE         SINCE                QUEUED  WISH"
    assert lines[1].startswith("0     bob           10.0.0.2:7420  out  up            2026-11-2")
    assert lines[2].startswith("12    wide名前\\x1b  -              out  down (reset)  2026-11-2")
    assert [line.split()[-2:] for line in lines[1:]] == [["-", "yes"], ["12", "-"]]


def test_an_empty_list_is_no_data(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["list"] = {"peers": []}
    assert chatctl("list") == (0, "", "no peers\n")


def test_status_tells_the_things_that_matter(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["status"] = STATUS
    told = chatctl("status").out
    assert "up 2h 3m" in told
    assert "2 up, 0 dialing, 1 down, 0 pending" in told
    assert "20.0 KiB — FULL" in told


def test_status_tells_what_is_owed_and_how_far_back_history_goes(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    more = {"oldest": None, "owed": 1, "owed_bytes": 2048}
    daemon.on["status"] = {**STATUS, "journal": {**STATUS["journal"], **more}}
    told = chatctl("status").out
    assert "1 message, 2.0 KiB" in told
    assert "history   complete" in told
    daemon.on["status"] = {**STATUS, "journal": {**STATUS["journal"], **more, "oldest": "aaaaaaaa:5"}}
    assert "everything behind aaaaaaaa:5" in chatctl("status").out


def test_a_cancelled_message_that_the_peer_may_have_is_1_and_says_so(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["cancel"] = {"id": "a:7", "state": "sent"}
    ran = chatctl("cancel", "a:7")
    assert (ran.status, ran.out) == (1, "")
    assert "it is not sent again (chatctl msg a:7 says what became of it)" in ran.err
    assert chatctl("--json", "cancel", "a:7")[:2] == (1, '{"id":"a:7","state":"sent"}\n')


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (message(7, "hi\x1b"), "bob: hi\\x1b\n  id aaaaaaaa:7"),
        (message(7, "hi", "out", state="delivered"), "-> bob: hi  [delivered]\n  id aaaaaaaa:7"),
        (
            message(7, "hi", "out", state="queued", global_id="k3v9/bbbbbbbb:7"),
            "-> bob: hi  [queued]\n  id aaaaaaaa:7, global id k3v9/bbbbbbbb:7",
        ),
    ],
)
def test_a_message_is_shown_with_its_state_and_its_ids(
    daemon: FakeDaemon, chatctl: Chatctl, found: dict[str, Any], shown: str
) -> None:
    daemon.on["msg"] = {"message": found}
    ran = chatctl("msg", "aaaaaaaa:7")
    assert ran.out.split(" ", 2)[2] == shown + "\n"
    assert daemon.params("msg") == [{"id": "aaaaaaaa:7"}]
    assert chatctl("--json", "msg", "aaaaaaaa:7").records == [found]


@pytest.mark.parametrize(
    "argv",
    [
        ("msg", "\udcffa"),
        ("history", "\udcffa"),
        ("tail", "--as", "\udcffa"),
        ("wait", "peer", "\udcffa"),
        ("room", "join", "\udcffa"),
    ],
)
def test_an_argument_that_is_not_utf_8_is_bad_input(
    daemon: FakeDaemon, chatctl: Chatctl, argv: tuple[str, ...]
) -> None:
    ran = chatctl(*argv)
    assert ran.status == 2
    assert ran.err.startswith("chatctl: an argument of ")
    assert ran.err.endswith(" is not valid UTF-8 (byte 0xff)\n")


def test_no_consumers_are_no_data(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["consumers"] = {"consumers": []}
    assert chatctl("consumers") == (0, "", "no consumers\n")


def test_health_is_1_when_the_daemon_is_not_well(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["health"] = {"healthy": False, "problems": ["the disk is full"]}
    assert chatctl("health") == (1, "the disk is full\n", "")
    assert chatctl("--json", "health").status == 1


@pytest.mark.parametrize(
    ("words", "host", "port"),
    [
        (["h:1"], "h", 1),
        (["h", "1"], "h", 1),
        (["[::1]:1"], "::1", 1),
        (["[::1]"], "::1", 7420),
        (["[::1]", "1"], "::1", 1),
        (["fe80::1"], "fe80::1", 7420),
        (["fe80::1", "65535"], "fe80::1", 65535),
    ],
)
def test_an_address_is_a_host_and_a_port(
    daemon: FakeDaemon, chatctl: Chatctl, words: list[str], host: str, port: int
) -> None:
    chatctl("connect", *words)
    assert [(params["host"], params["port"]) for params in daemon.params("connect")] == [(host, port)]


@pytest.mark.parametrize(
    "words", [["h:0"], ["h:65536"], ["h:x"], ["h:"], ["h:1", "1"], [":1"], [""], ["[::1"], ["[::1]x"], ["h", "9" * 30]]
)
def test_anything_else_is_no_address(daemon: FakeDaemon, chatctl: Chatctl, words: list[str]) -> None:
    assert chatctl("connect", *words).status == 2
    assert daemon.requests == []


@pytest.mark.parametrize(
    "argv",
    [
        ["connect", "h"],
        ["wait", "peer", "bob"],
        ["wait", "ready"],
        ["wait", "delivered", "a:7"],
        ["wait", "outbox-empty"],
    ],
)
def test_verbs_that_wait_let_the_daemon_keep_the_time(daemon: FakeDaemon, chatctl: Chatctl, argv: list[str]) -> None:
    def late(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal("timeout", 502, "bob is not up")

    daemon.on["connect"] = daemon.on["wait"] = late
    ran = chatctl(*argv, "--timeout", "5s")
    assert (ran.status, ran.err) == (124, "chatctl: bob is not up\n")
    assert 4 < daemon.requests[0][1]["timeout"] <= 5


@pytest.mark.parametrize("verb", ["shutdown", "exit"])
def test_stopping_is_done_when_the_session_has_ended(daemon: FakeDaemon, chatctl: Chatctl, verb: str) -> None:
    def stop(session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        session.ends_after_reply = True
        return {}

    daemon.on["shutdown"] = stop
    assert chatctl(verb) == (0, "stopped\n", "")
    assert chatctl("--json", verb).records == [{}]


def test_a_daemon_that_ends_without_an_answer_and_is_gone_has_stopped(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def stop(session: FakeSession, params: dict[str, Any]) -> None:
        os.unlink(daemon.path)
        session.ends_after_reply = True

    daemon.on["shutdown"] = stop
    assert chatctl("exit") == (0, "stopped\n", "")


def test_a_daemon_that_ends_without_an_answer_and_is_there_has_not_stopped(
    daemon: FakeDaemon, chatctl: Chatctl
) -> None:
    def hang_up(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["shutdown"] = hang_up
    ran = chatctl("exit")
    assert (ran.status, ran.out) == (3, "")


def test_a_daemon_that_is_stopping_already_is_waited_for(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def refuse(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True
        raise Refusal("shutting_down", 503)

    daemon.on["shutdown"] = refuse
    assert chatctl("exit") == (0, "stopped\n", "")


@pytest.mark.parametrize("verb", ["exit", "status", "list"])
def test_a_client_that_is_refused_is_told_why_and_nothing_has_stopped(
    daemon: FakeDaemon, chatctl: Chatctl, verb: str
) -> None:
    daemon.refusal = Refusal("rate_limited", 402, "all 256 sessions are taken", "close one")
    for _ in range(10):
        assert chatctl(verb) == (5, "", "chatctl: all 256 sessions are taken (close one)\n")


def test_warnings_of_a_healthy_daemon_are_printed_and_exit_with_0(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["health"] = {"healthy": True, "problems": [], "warnings": ["max_links is reached", "x\x1by"]}
    assert chatctl("health") == (0, "healthy\nwarning: max_links is reached; x\\x1by\n", "")
    daemon.on["health"] = {"healthy": False, "problems": ["the disk is full"], "warnings": ["max_links is reached"]}
    assert chatctl("health") == (1, "the disk is full\nwarning: max_links is reached\n", "")


def test_a_daemon_that_does_not_stop_is_a_timeout(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("exit", "--timeout", "50ms").status == 124
