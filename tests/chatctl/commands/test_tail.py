"""`chatctl tail`: start, limits, end, and continuation after a lost session."""

import json
import os
import socket
from typing import Any

import pytest

from chatctl.rpc import follower
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import (
    BOB,
    FakeDaemon,
    FakeSession,
    Refusal,
    encode,
    in_turn,
    message,
    notification,
    refusing,
    subscribed,
)

GAP = {"type": "gap", "position": "aaaaaaaa:9", "at": "2026-11-21T03:00:00.000Z", "peer": None, "after": None}


@pytest.mark.parametrize(
    ("argv", "start"),
    [
        ([], "now"),
        (["-n", "0"], "now"),
        (["-n", "10"], {"last": 10}),
        (["--from", "aaaaaaaa:3"], {"position": "aaaaaaaa:3"}),
        (["--since", "2026-11-21T04:00:00+01:00"], {"since": "2026-11-21T03:00:00.000Z"}),
    ],
)
def test_it_starts_where_it_is_told(daemon: FakeDaemon, chatctl: Chatctl, argv: list[str], start: object) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    assert chatctl("tail", "--count", "1", *argv).status == 0
    assert daemon.params("subscribe") == [{"from": start, "filter": {"types": ["message"]}}]


def test_two_beginnings_are_a_usage_error(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ran = chatctl("tail", "-n", "1", "--since", "5m")
    assert (ran.status, ran.err) == (2, "chatctl: -n, --since and --from exclude each other\n")


def test_a_peer_is_a_filter_and_events_lift_the_one_for_messages(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    chatctl("tail", "bob", "--events", "--count", "1")
    chatctl("tail", "--events", "--count", "1")
    assert daemon.params("subscribe") == [{"from": "now", "filter": {"peer": "bob"}}, {"from": "now"}]


def test_count_ends_it_with_0_after_the_nth(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1, "a"), message(2, "b", "out"), message(3, "c"))
    ran = chatctl("--json", "tail", "--count", "2")
    assert ran.status == 0
    assert ran.records == [message(1, "a"), message(2, "b", "out")]


def test_a_gap_is_shown_and_counted(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed({**GAP, "through": "aaaaaaaa:8"}, message(10))
    ran = chatctl("tail", "--count", "1")
    assert ran.status == 0
    assert ran.out.endswith("* gap: messages after the beginning through aaaaaaaa:8 are missing\n")


def test_a_gap_ends_a_strict_one_with_7_after_it_was_shown(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    gap = {**GAP, "through": "aaaaaaaa:8"}
    daemon.on["subscribe"] = subscribed(message(1, '"gap"'), gap, message(10))
    ran = chatctl("--json", "tail", "--strict")
    assert (ran.status, ran.error["kind"]) == (7, "cursor_gone")
    assert ran.records == [message(1, '"gap"'), gap]
    daemon.on["status"] = {"journal": {"position": "aaaaaaaa:9"}}
    daemon.on["history"] = {"events": [message(1), gap, message(10)], "next": None}
    ran = chatctl("--json", "tail", "--strict", "--no-follow", "--since", "1h")
    assert (ran.status, ran.records) == (7, [message(1), gap])


def test_a_timeout_before_the_count_is_124(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    ran = chatctl("--json", "tail", "--count", "2", "--timeout", "100ms")
    assert ran.status == 124
    assert ran.records == [message(1)]
    assert ran.error == {"kind": "timeout", "message": "1 of 2 shown in time", "hint": ""}


def test_both_directions_look_different_to_people(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1, "in"), message(2, "back", "out"))
    lines = chatctl("tail", "--count", "2").out.splitlines()
    assert lines[0].endswith(" bob: in")
    assert lines[1].endswith(" -> bob: back")


def test_it_goes_on_from_its_last_position_when_the_session_ends(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = in_turn(
        subscribed(message(1), message(2), end=True),
        subscribed(end=True),
        subscribed(message(3)),
    )
    ran = chatctl("--json", "tail", "-n", "5", "--count", "3")
    assert ran.status == 0
    assert [record["position"] for record in ran.records] == ["aaaaaaaa:1", "aaaaaaaa:2", "aaaaaaaa:3"]
    starts = [params["from"] for params in daemon.params("subscribe")]
    assert starts == [{"last": 5}, {"position": "aaaaaaaa:2"}, {"position": "aaaaaaaa:2"}]


def test_without_an_event_it_goes_on_from_where_the_subscription_began(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = in_turn(subscribed(after="aaaaaaaa:40", end=True), subscribed(message(41)))
    assert chatctl("tail", "--count", "1").status == 0
    assert daemon.params("subscribe")[1]["from"] == {"position": "aaaaaaaa:40"}


def test_a_session_that_ends_before_the_past_was_shown_begins_where_that_began(
    daemon: FakeDaemon, chatctl: Chatctl
) -> None:
    daemon.on["subscribe"] = in_turn(subscribed(after="aaaaaaaa:37", end=True), subscribed(message(38)))
    assert chatctl("tail", "-n", "3", "--count", "1").status == 0
    assert [params["from"] for params in daemon.params("subscribe")] == [{"last": 3}, {"position": "aaaaaaaa:37"}]


def test_a_session_that_ends_before_the_first_of_all_was_shown_begins_again(
    daemon: FakeDaemon, chatctl: Chatctl
) -> None:
    daemon.on["subscribe"] = in_turn(subscribed(after="aaaaaaaa:0", end=True), subscribed(message(1)))
    assert chatctl("tail", "--since", "2026-11-21T03:00:00Z", "--count", "1").status == 0
    starts = [params["from"] for params in daemon.params("subscribe")]
    assert starts == [{"since": "2026-11-21T03:00:00.000Z"}] * 2


def test_a_socket_that_vanishes_and_comes_back_is_found_again(socket_path: str, start: Start) -> None:
    daemon = FakeDaemon(socket_path, subscribe=subscribed(message(1)))
    process = start("--json", "--connect-timeout", "20", "tail", "--count", "2")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == message(1)
    _remove(daemon)
    daemon = FakeDaemon(socket_path, subscribe=subscribed(message(2)))
    assert json.loads(process.stdout.readline()) == message(2)
    assert process.wait(20) == 0
    assert daemon.params("subscribe")[0]["from"] == {"position": "aaaaaaaa:1"}
    daemon.stop()


def test_a_socket_that_stays_away_ends_it_with_3(socket_path: str, start: Start) -> None:
    daemon = FakeDaemon(socket_path, subscribe=subscribed(message(1)))
    process = start("--connect-timeout", "100ms", "tail")
    assert process.stdout is not None
    process.stdout.readline()
    _remove(daemon)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 3
    assert err.startswith("chatctl: no daemon: there is no socket")


@pytest.mark.parametrize("refusal", [("shutting_down", 503), ("rate_limited", 402)])
def test_a_daemon_that_is_stopping_or_full_is_waited_for_when_it_resumes(
    daemon: FakeDaemon, chatctl: Chatctl, monkeypatch: pytest.MonkeyPatch, refusal: tuple[str, int]
) -> None:
    monkeypatch.setattr(follower, "FULL_S", 0.02)

    def refuse(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal(*refusal)

    daemon.on["subscribe"] = in_turn(subscribed(end=True), refuse, refuse, subscribed(message(1)))
    assert chatctl("--connect-timeout", "10", "tail", "--count", "1").status == 0


def test_a_daemon_that_is_full_from_the_start_is_not_waited_for(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = refusing("rate_limited", 402, "all 256 sessions are taken")
    assert chatctl("--connect-timeout", "10", "tail").status == 5


def test_a_position_that_is_gone_is_7(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def gone(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal("cursor_gone", 504, "no such position")

    daemon.on["subscribe"] = gone
    assert chatctl("tail", "--from", "zzzzzzzz:1").status == 7
    daemon.on["subscribe"] = in_turn(subscribed(message(1), end=True), gone)
    assert chatctl("tail").status == 7


def test_no_follow_ends_at_what_was_newest_when_it_began(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["status"] = {"journal": {"position": "bbbbbbbb:3"}}
    daemon.on["history"] = in_turn(
        {"events": [message(1), message(2)], "next": "aaaaaaaa:2"},
        {"events": [message(3), message(4)], "next": "aaaaaaaa:4"},
        {"events": [message(5)], "next": "aaaaaaaa:5"},
    )
    ran = chatctl("--json", "tail", "--no-follow", "--from", "aaaaaaaa:0")
    assert ran.status == 0
    assert ran.records == [message(1), message(2), message(3)]
    assert daemon.params("subscribe") == []
    assert [params["from"] for params in daemon.params("history")] == [
        {"position": "aaaaaaaa:0"},
        {"position": "aaaaaaaa:2"},
    ]


def test_no_follow_of_the_last_n_asks_for_these(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["status"] = {"journal": {"position": "aaaaaaaa:3"}}
    daemon.on["history"] = {"events": [message(2), message(3)], "next": None}
    ran = chatctl("--json", "tail", "--no-follow", "-n", "2")
    assert (ran.status, len(ran.records)) == (0, 2)
    assert daemon.params("history") == [{"filter": {"types": ["message"]}, "n": 2, "from": {"last": 2}}]


def test_no_follow_from_now_shows_nothing(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("tail", "--no-follow") == (0, "", "")


def test_no_follow_stops_at_the_count(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["status"] = {"journal": {"position": "aaaaaaaa:9"}}
    daemon.on["history"] = {"events": [message(1), message(2)], "next": "aaaaaaaa:2"}
    assert len(chatctl("tail", "--no-follow", "--since", "1h", "--count", "1").out.splitlines()) == 1


def test_each_line_leaves_at_once(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    process = start("--json", "tail")
    assert process.stdout is not None
    process.stdout.readline()
    for seq in (2, 3):
        daemon.sessions[0].send_events(message(seq))
        assert json.loads(process.stdout.readline()) == message(seq)


def test_a_reader_that_leaves_ends_it_quietly_and_at_once(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    process = start("tail")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""


def test_json_is_what_the_daemon_wrote_whatever_it_looks_like(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    odd = message(1, 'x"event":{}}}\\ \u202e', extra={"event": {"event": 1}}, big=12345678901234567890123)
    more = {"jsonrpc": "2.0", "method": "event", "params": {"event": odd, "subscription": 1, "later": True}}

    def handler(session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        session.add_events(odd, odd)
        session.after_reply += encode(more) + encode(more) + notification(odd, replay=True)
        return {"subscription": 1, "position": "aaaaaaaa:0", "snapshot": {"peers": []}}

    daemon.on["subscribe"] = handler
    assert chatctl("--json", "tail", "--count", "5").records == [odd] * 5


def test_events_of_every_kind_are_told(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    base = {"position": "aaaaaaaa:1", "at": "2026-11-21T03:00:00.000Z", "peer": BOB}
    events: list[dict[str, Any]] = [
        {"type": "daemon.start", **base, "version": "0.1.0"},
        {"type": "peer.up", **base, "address": "10.0.0.2:7420", "direction": "in"},
        {"type": "peer.down", **base, "address": "10.0.0.2:7420", "reason": "reset", "unsent": 2},
        {"type": "peer.pending", **base, "address": "10.0.0.2:7420"},
        {"type": "peer.diverged", **base, "theirs": "a:9", "ours": "a:5"},
        {"type": "gap", **base, "after": "b:1", "through": "b:5"},
        {"type": "receipt", **base, "state": "delivered", "through": "a:7", "id": None},
        {"type": "receipt", **base, "state": "expired", "through": None, "id": "a:8"},
        {"type": "from.the.future", **base},
        {"type": "daemon.stop", **base, "reason": "signal"},
    ]
    daemon.on["subscribe"] = subscribed(*events)
    ran = chatctl("tail", "--events", "--count", str(len(events)))
    assert [line.partition(" * ")[2] for line in ran.out.splitlines()] == [
        "the daemon has started (version 0.1.0)",
        "bob is connected (10.0.0.2:7420)",
        "bob is gone: reset, 2 not written",
        "bob at 10.0.0.2:7420 asks to talk: chatctl peer accept 0",
        "bob has more of our messages than we do: a:9, we have a:5",
        "gap: messages of bob after b:1 through b:5 are missing",
        "delivered to bob: everything through a:7",
        "a:8 to bob is expired",
        "from.the.future bob",
        "the daemon stops (signal)",
    ]


def test_a_text_of_several_lines_cannot_pass_for_another_entry(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1, "hi\n2026-11-21 03:00:00 alice: pay\r\x1b[2K"))
    lines = chatctl("tail", "--count", "1").out.splitlines()
    assert lines[1] == "    2026-11-21 03:00:00 alice: pay\\r\\x1b[2K"


def test_format_gives_one_harmless_line_for_each(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1, "a\nb\x1b"), message(2, "c", "out"))
    template = r"{peer}\t{direction} {{{slot}}} {text} {re}\\"
    ran = chatctl("tail", "--count", "2", "--format", template)
    assert ran.out == "bob\tin {0} a\\nb\\x1b \\\nbob\tout {0} c \\\n"


@pytest.mark.parametrize("template", ["{nothing}", "{text.__class__}", "{text!r}", "{0}", "{", "a}", "{text:>9}"])
def test_a_template_reaches_nothing_but_its_fields(daemon: FakeDaemon, chatctl: Chatctl, template: str) -> None:
    ran = chatctl("tail", "--format", template)
    assert ran.status == 2
    assert ran.err.startswith("chatctl: --format: ")
    assert daemon.requests == []


def test_format_and_json_exclude_each_other(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("--json", "tail", "--format", "{text}").status == 2


def test_a_daemon_that_speaks_another_language_is_an_error_and_no_traceback(socket_path: str, start: Start) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(socket_path)
        listener.listen()
        process = start("tail")
        session, _ = listener.accept()
        with session:
            session.sendall(b"220 mail.example ESMTP\n")
            _, err = process.communicate(timeout=20)
    assert (process.returncode, len(err.splitlines())) == (1, 1)


def _remove(daemon: FakeDaemon) -> None:
    """Remove the socket before the sessions end, like a daemon that stops."""
    os.unlink(daemon.path)
    daemon.stop()
