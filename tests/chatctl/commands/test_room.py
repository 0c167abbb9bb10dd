"""`chatctl room`: the requests of its verbs, and the tables of rooms and members."""

from typing import Any

import pytest

from tests.chatctl.conftest import Chatctl
from tests.harness.fake_daemon import BOB, LOBBY, FakeDaemon, refusing

FOUND = {"room": LOBBY}
JANE = {"nick": "jane", "kind": "plain", "node": None, "here": False, "address": "10.0.0.9:5000"}
BOBS = {"nick": "b\x1bob", "kind": "native", "node": BOB["node"], "here": True, "address": None}
USERS = {"room": "lobby@alice", "topic": "", "users": [BOBS, JANE], "fresh": True}
CHANGES: list[tuple[list[str], str, dict[str, object], str]] = [
    (["host", "lobby"], "host", {"room": "lobby"}, "hosting: lobby@alice as bob, 3 users, topic: all things\n"),
    (["host", "lobby", "--nick", "al"], "host", {"room": "lobby", "nick": "al"}, "hosting: lobby@alice"),
    (["host", "lobby", "--no-join"], "host", {"room": "lobby", "join": False}, "hosting: lobby@alice"),
    (["join", "lobby@alice"], "join", {"room": "lobby@alice"}, "joined: lobby@alice as bob, 3 users"),
    (["join", "l@a", "--nick", "bob"], "join", {"room": "l@a", "nick": "bob"}, "joined: lobby@alice as bob"),
    (["leave", "lobby@alice"], "leave", {"room": "lobby@alice"}, "left: lobby@alice\n"),
    (["close", "lobby"], "close", {"room": "lobby"}, "closed: lobby@alice\n"),
    (["kick", "lobby", "jane"], "kick", {"room": "lobby", "nick": "jane"}, "kicked jane: lobby@alice\n"),
    (["ban", "lobby", "jane"], "ban", {"room": "lobby", "nick": "jane"}, "banned jane: lobby@alice\n"),
    (["unban", "lobby", "jane"], "unban", {"room": "lobby", "nick": "jane"}, "unbanned jane: lobby@alice\n"),
    (["topic", "lobby"], "topic", {"room": "lobby"}, "all things\n"),
]


@pytest.mark.parametrize(("argv", "method", "params", "shown"), CHANGES)
def test_a_verb_asks_its_method_and_shows_the_room(
    daemon: FakeDaemon, chatctl: Chatctl, argv: list[str], method: str, params: dict[str, object], shown: str
) -> None:
    daemon.on[f"room.{method}"] = FOUND
    ran = chatctl("room", *argv)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith(shown)
    assert daemon.requests == [(f"room.{method}", params)]
    assert chatctl("room", *argv, "--json").records == [FOUND]


def test_a_room_that_nobody_is_in_and_without_a_topic_is_told_shortly(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["room.host"] = {"room": {**LOBBY, "nick": None, "users": 1, "topic": ""}}
    assert chatctl("room", "host", "lobby", "--no-join").out == "hosting: lobby@alice, 1 user\n"


def test_a_nick_for_a_room_that_is_not_joined_is_a_usage_error(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("room", "host", "lobby", "--no-join", "--nick", "al").status == 2
    assert daemon.requests == []


@pytest.mark.parametrize(
    ("words", "text"),
    [(["all", "-5", "--json", "things"], "all -5 --json things"), ([""], ""), (["--", "-5"], "-5")],
)
def test_a_topic_is_all_the_words_and_an_empty_one_takes_it_away(
    daemon: FakeDaemon, chatctl: Chatctl, words: list[str], text: str
) -> None:
    daemon.on["room.topic"] = FOUND
    assert chatctl("room", "topic", "lobby", *words).out == "all things\n"
    assert daemon.params("room.topic") == [{"room": "lobby", "text": text}]


def test_no_topic_is_no_data(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["room.topic"] = {"room": {**LOBBY, "topic": ""}}
    assert chatctl("room", "topic", "lobby") == (0, "", "no topic\n")


def test_users_are_a_harmless_table_in_the_order_of_the_daemon(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["room.users"] = USERS
    ran = chatctl("room", "users", "lobby")
    assert ran.out.splitlines() == [
        "NICK     KIND    NODE      HERE  ADDRESS",
        "b\\x1bob  native  k3v9abcd  yes   -",
        "jane     plain   -         no    10.0.0.9:5000",
    ]
    assert ran.err == ""
    assert chatctl("--json", "room", "users", "lobby").records == [USERS]


def test_users_of_a_host_that_is_away_are_said_to_be_old(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["room.users"] = {**USERS, "fresh": False}
    assert "when the room's host was last heard of" in chatctl("room", "users", "lobby").err
    daemon.on["room.users"] = {**USERS, "users": []}
    assert chatctl("room", "users", "lobby") == (0, "", "nobody is in it\n")


def test_rooms_are_a_harmless_table(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ours = {**LOBBY, "room": "den@bob", "hosted": True, "nick": None, "topic": "", "users": 0}
    daemon.on["room.list"] = {"rooms": [{**LOBBY, "topic": "a\nb", "state": "away"}, ours]}
    assert chatctl("room", "list").out.splitlines() == [
        "ROOM         HOST      STATE  NICK  USERS  TOPIC",
        "lobby@alice  n0den0de  away   bob   3      a\\nb",
        "den@bob      here      up     -     0      -",
    ]
    assert chatctl("--json", "room", "list").records == [daemon.on["room.list"]]
    daemon.on["room.list"] = {"rooms": []}
    assert chatctl("room", "list") == (0, "", "no rooms\n")


@pytest.mark.parametrize(
    ("kind", "status"), [("unknown_room", 4), ("conflict", 6), ("bad_text", 2), ("forbidden", 5), ("rate_limited", 5)]
)
def test_a_refusal_has_the_exit_status_of_its_kind(
    daemon: FakeDaemon, chatctl: Chatctl, kind: str, status: int
) -> None:
    daemon.on["room.join"] = refusing(kind)
    assert chatctl("room", "join", "lobby@alice") == (status, "", "chatctl: refused\n")


@pytest.mark.parametrize(
    ("argv", "method", "params"),
    [
        (["room", "join", "lobby@alice"], "room.join", {"room": "lobby@alice"}),
        (["wait", "users", "lobby", "3"], "wait", {"for": "users", "room": "lobby", "count": 3}),
    ],
)
def test_the_daemon_keeps_the_time_of_what_is_waited_for(
    daemon: FakeDaemon, chatctl: Chatctl, argv: list[str], method: str, params: dict[str, object]
) -> None:
    daemon.on[method] = refusing("timeout", 502, "not in time")
    assert chatctl(*argv, "--timeout", "5s").status == 124
    (asked,) = daemon.params(method)
    assert 4 < asked.pop("timeout") <= 5
    assert asked == params


def test_so_many_are_waited_for(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["wait"] = {"peers": []}
    assert chatctl("wait", "users", "lobby", "3") == (0, "3 or more are in lobby\n", "")


@pytest.mark.parametrize("verb", ["tail", "history"])
@pytest.mark.parametrize(("word", "match"), [("lobby@alice", "room"), ("lobby", "peer")])
def test_a_word_with_an_at_sign_is_a_room_and_any_other_the_daemon_looks_up(
    daemon: FakeDaemon, chatctl: Chatctl, verb: str, word: str, match: str
) -> None:
    method = {"tail": "subscribe", "history": "history"}[verb]
    daemon.on[method] = refusing("unknown_room", 203)
    assert chatctl(verb, word).status == 4
    assert daemon.params(method)[0]["filter"] == {"types": ["message"], match: word}


def test_help_of_a_verb_of_rooms(chatctl: Chatctl) -> None:
    assert chatctl("help", "room", "say").out.startswith("Usage: chatctl room say [OPTIONS] ROOM TEXT...")
    assert chatctl("room", "topic", "--help").out.startswith("Usage: chatctl room topic [OPTIONS] ROOM [TEXT]...")
    verbs: list[Any] = chatctl("help", "room").out.split()
    assert {row[1] for row in CHANGES} | {"say", "users", "list"} <= set(verbs)
