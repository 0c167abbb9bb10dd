"""`tail --as NAME`: acknowledgements, and continuation after the session or the daemon was lost."""

import json
import os
import signal
import threading
import time
from typing import Any, cast

import pytest

from chatctl.rpc.consumer import ConsumerCursor
from chatctl.rpc.session import ControlSession
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import FakeDaemon, FakeSession, Refusal, acked, encode, in_turn, message, subscribed
from tests.harness.until import until

GAP = {
    "type": "gap",
    "position": "aaaaaaaa:5",
    "at": "2026-11-21T03:00:00.000Z",
    "peer": None,
    "after": "aaaaaaaa:0",
    "through": "aaaaaaaa:5",
}
INBOUND = {"types": ["message"], "direction": "in"}


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on["ack"] = acked
    daemon.on["history"] = {"events": [], "next": None}
    return daemon


def positions(daemon: FakeDaemon) -> list[str]:
    """Acknowledged positions, in order."""
    return [params["position"] for params in daemon.params("ack")]


def refuse(kind: str, code: int, **details: Any) -> Any:
    def handler(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal(kind, code, **details)

    return handler


@pytest.mark.parametrize(
    ("argv", "more"),
    [
        ([], {"filter": INBOUND, "window": 4096}),
        (["--out"], {"filter": {"types": ["message"]}, "window": 4096}),
        (["--events"], {"window": 4096}),
        (["bob"], {"filter": {**INBOUND, "peer": "bob"}, "window": 4096}),
        (["--takeover"], {"filter": INBOUND, "window": 4096, "takeover": True}),
        (["--ack", "manual"], {"filter": INBOUND, "window": 256}),
    ],
)
def test_it_subscribes_by_name(daemon: FakeDaemon, chatctl: Chatctl, argv: list[str], more: dict[str, Any]) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    assert chatctl("tail", "--as", "bot", "--count", "1", *argv).status == 0
    assert daemon.params("subscribe") == [{"from": "now", "as": "bot", **more}]


@pytest.mark.parametrize(
    "argv",
    [
        ["--ack", "manual"],
        ["--ack", "sometimes", "--as", "bot"],
        ["--takeover"],
        ["--count", "0"],
        ["--as", "bot", "--exec", "true", "--ack", "manual"],
        ["--exec", "true", "--format", "{text}"],
        ["--exec", "true", "--events"],
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(
    daemon: FakeDaemon, chatctl: Chatctl, argv: list[str]
) -> None:
    ran = chatctl("tail", *argv)
    assert (ran.status, len(ran.err.splitlines())) == (2, 1)
    assert daemon.requests == []


def test_count_0_makes_the_consumer_and_ends(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    assert chatctl("tail", "--as", "bot", "--count", "0") == (0, "", "")
    assert len(daemon.params("subscribe")) == 1
    assert positions(daemon) == []


def test_count_acknowledges_exactly_the_last_that_is_shown(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1), message(2), message(3), message(4))
    ran = chatctl("--json", "tail", "--as", "bot", "--count", "3")
    assert (ran.status, len(ran.records)) == (0, 3)
    assert daemon.params("ack") == [{"consumer": "bot", "position": "aaaaaaaa:3"}]


def test_it_ends_only_when_the_last_acknowledgement_is_answered(daemon: FakeDaemon, start: Start) -> None:
    held: list[tuple[FakeSession, Any]] = []

    def hold(session: FakeSession, params: dict[str, Any]) -> None:
        held.append((session, params))

    daemon.on["subscribe"] = subscribed(message(1))
    daemon.on["ack"] = hold
    process = start("tail", "--as", "bot", "--count", "1")
    assert process.stdout is not None
    process.stdout.readline()
    while not held:
        time.sleep(0.01)
    assert process.poll() is None
    held[0][0].sock.sendall(encode({"jsonrpc": "2.0", "id": 2, "result": held[0][1]}))
    assert process.wait(20) == 0


def test_one_acknowledgement_is_under_way_at_a_time_and_the_next_takes_all(daemon: FakeDaemon, start: Start) -> None:
    held: list[FakeSession] = []
    asked = threading.Event()

    def hold(session: FakeSession, params: dict[str, Any]) -> dict[str, Any] | None:
        held.append(session)
        asked.set()
        return None if len(held) == 1 else params

    daemon.on["subscribe"] = subscribed(message(1))
    daemon.on["ack"] = hold
    process = start("--json", "tail", "--as", "bot", "--count", "4")
    assert process.stdout is not None
    process.stdout.readline()
    assert asked.wait(20)
    for number in (2, 3):
        daemon.sessions[0].send_events(message(number))
        process.stdout.readline()
    assert positions(daemon) == ["aaaaaaaa:1"]
    daemon.sessions[0].sock.sendall(encode({"jsonrpc": "2.0", "id": 2, "result": {}}))
    daemon.sessions[0].send_events(message(4))
    assert process.wait(20) == 0
    assert positions(daemon)[-1] == "aaaaaaaa:4"
    assert len(positions(daemon)) <= 3


def test_manual_leaves_it_to_the_ack_verb(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1), message(2))
    assert chatctl("tail", "--as", "bot", "--ack", "manual", "--count", "2").status == 0
    assert positions(daemon) == []


def test_a_lost_session_goes_on_by_name_and_tells_again_what_was_done(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["subscribe"] = in_turn(
        subscribed(message(1), message(2)),
        subscribed(message(1), message(2), message(3)),  # the daemon has not heard what was done
    )
    daemon.on["ack"] = in_turn(die, acked)
    ran = chatctl("--json", "tail", "--as", "bot", "--takeover", "--count", "3")
    assert ran.status == 0
    assert [record["position"] for record in ran.records] == ["aaaaaaaa:1", "aaaaaaaa:2", "aaaaaaaa:3"]
    first, second = daemon.params("subscribe")
    assert (first["from"], second["from"]) == ("now", {"position": "aaaaaaaa:2"})
    assert (first["takeover"], second["as"]) == (True, "bot")
    assert "takeover" not in second
    assert positions(daemon) == ["aaaaaaaa:2", "aaaaaaaa:2", "aaaaaaaa:3"]


def test_what_is_not_acknowledged_by_hand_is_not_shown_twice_by_one_run(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = in_turn(
        subscribed(message(1), message(2), end=True), subscribed(message(1), message(2), message(3))
    )
    ran = chatctl("--json", "tail", "--as", "bot", "--ack", "manual", "--count", "3")
    assert [record["position"] for record in ran.records] == ["aaaaaaaa:1", "aaaaaaaa:2", "aaaaaaaa:3"]


def test_a_journal_that_is_another_one_when_it_resumes_is_7(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1), end=True)
    daemon.on["history"] = refuse("cursor_gone", 504)
    ran = chatctl("--json", "tail", "--as", "bot", "--ack", "manual")
    assert (ran.status, len(ran.records)) == (7, 1)
    assert daemon.params("history") == [{"from": {"position": "aaaaaaaa:1"}, "n": 0}]


def test_an_acknowledgement_that_a_stopping_daemon_refuses_is_told_to_the_next(
    daemon: FakeDaemon, chatctl: Chatctl
) -> None:
    def stopping(session: FakeSession, params: dict[str, Any]) -> None:
        session.add_events(message(2))
        session.ends_after_reply = True
        raise Refusal("shutting_down", 503)

    daemon.on["subscribe"] = in_turn(subscribed(message(1)), subscribed(message(3)))
    daemon.on["ack"] = in_turn(stopping, acked)
    ran = chatctl("--json", "tail", "--as", "bot", "--count", "3")
    assert (ran.status, len(ran.records)) == (0, 3)
    assert positions(daemon) == ["aaaaaaaa:1", "aaaaaaaa:2", "aaaaaaaa:3"]


def test_the_last_acknowledgement_finds_a_daemon_that_was_restarted(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["subscribe"] = subscribed(message(1))
    daemon.on["ack"] = in_turn(die, die, acked)
    assert chatctl("tail", "--as", "bot", "--count", "1").status == 0
    assert positions(daemon) == ["aaaaaaaa:1"] * 3
    assert len(daemon.sessions) == 3


def test_an_acknowledgement_that_is_refused_is_an_error(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    daemon.on["ack"] = refuse("storage_full", 506)
    assert chatctl("tail", "--as", "bot").status == 5
    assert chatctl("tail", "--as", "bot", "--count", "1").status == 5


def test_a_reader_that_leaves_has_had_what_was_written_before(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    process = start("--json", "tail", "--as", "bot")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == message(1)
    process.stdout.close()
    assert process.wait(20) == 0
    until(lambda: positions(daemon) == ["aaaaaaaa:1"])  # nobody waits for the answer


def test_what_stdout_did_not_take_is_not_acknowledged(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    ours, theirs = os.pipe()
    os.close(ours)
    process = start("--json", "tail", "--as", "bot", stdout=theirs)
    os.close(theirs)
    assert process.wait(20) == 0
    assert positions(daemon) == []


def test_an_interrupt_leaves_nothing_unsaid(daemon: FakeDaemon, start: Start) -> None:
    held: list[FakeSession] = []
    asked = threading.Event()

    def hold(session: FakeSession, params: dict[str, Any]) -> dict[str, Any] | None:
        held.append(session)
        asked.set()
        return None if len(held) == 1 else params

    daemon.on["subscribe"] = subscribed(message(1))
    daemon.on["ack"] = hold
    process = start("--json", "tail", "--as", "bot")
    assert process.stdout is not None
    process.stdout.readline()
    assert asked.wait(20)
    for number in (2, 3):
        daemon.sessions[0].send_events(message(number))
        process.stdout.readline()
    process.send_signal(signal.SIGINT)
    daemon.sessions[0].sock.sendall(encode({"jsonrpc": "2.0", "id": 2, "result": {}}))
    assert process.wait(20) == 130
    assert positions(daemon)[-1] in ("aaaaaaaa:2", "aaaaaaaa:3")  # it may not have come to the third


def test_a_consumer_that_is_held_is_6(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = refuse("conflict", 501, reason="consumer_busy", hint="--takeover takes it")
    assert chatctl("tail", "--as", "bot") == (6, "", "chatctl: refused (--takeover takes it)\n")


def test_a_consumer_that_was_taken_over_ends_it_with_6(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    soon = "from chatctl.rpc import follower; follower.LAST_ACK_S = 0.05"
    process = start("--json", "tail", "--as", "bot", before=soon)
    assert process.stdout is not None
    process.stdout.readline()
    error = {"code": 501, "message": "somebody else reads as bot", "data": {"kind": "conflict", "reason": "taken_over"}}
    ended = {"jsonrpc": "2.0", "method": "ended", "params": {"subscription": 1, "error": error}}
    daemon.sessions[0].sock.sendall(encode(ended))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert json.loads(err)["error"]["reason"] == "taken_over"


def test_the_filter_of_a_known_consumer_will_do_where_none_was_asked_for(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    other = refuse("conflict", 501, reason="filter")
    daemon.on["subscribe"] = in_turn(other, subscribed(message(1)))
    assert chatctl("tail", "--as", "bot", "--count", "1").status == 0
    assert daemon.params("subscribe")[1] == {"from": "now", "as": "bot", "window": 4096}
    daemon.on["subscribe"] = other
    assert chatctl("tail", "--as", "bot", "bob").status == 6


def test_a_gap_is_acknowledged_and_ends_a_strict_one_with_7(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(GAP, message(6))
    ran = chatctl("--json", "tail", "--as", "bot", "--strict")
    assert (ran.status, ran.records) == (7, [GAP])
    assert positions(daemon) == ["aaaaaaaa:5"]


def test_no_follow_ends_at_what_was_newest_for_the_consumer(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["consumers"] = {"consumers": [{"name": "bot", "filter": {"peer": "bob"}}, {"name": "b", "filter": {}}]}
    daemon.on["history"] = {"events": [message(3)], "next": None}
    daemon.on["subscribe"] = subscribed(message(1), message(3), message(4))
    ran = chatctl("--json", "tail", "--as", "bot", "--no-follow")
    assert [record["position"] for record in ran.records] == ["aaaaaaaa:1", "aaaaaaaa:3"]
    assert daemon.params("history") == [{"filter": {"peer": "bob"}, "n": 100}]
    assert positions(daemon) == ["aaaaaaaa:3"]


def test_no_follow_with_nothing_to_do_ends_at_once(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["consumers"] = {"consumers": []}
    daemon.on["subscribe"] = subscribed(after="aaaaaaaa:9")
    assert chatctl("tail", "--as", "bot", "--no-follow") == (0, "", "")
    daemon.on["history"] = {"events": [message(9)], "next": None}
    assert chatctl("tail", "--as", "bot", "--no-follow") == (0, "", "")
    assert daemon.params("history")[0] == {"filter": INBOUND, "n": 100}


def test_no_follow_ends_behind_what_was_newest_when_that_is_gone(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["history"] = {"events": [message(3)], "next": None}
    daemon.on["subscribe"] = subscribed(GAP, message(6))
    assert chatctl("--json", "tail", "--as", "bot", "--no-follow").records == [GAP]


def test_a_timeout_acknowledges_what_was_shown(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    assert chatctl("tail", "--as", "bot", "--timeout", "1s").status == 124
    assert positions(daemon) == ["aaaaaaaa:1"]


def test_an_ack_that_a_stopping_daemon_refused_is_left_for_the_next_one() -> None:
    requests: list[dict[str, Any]] = []

    class Session:
        def send_request(self, method: str, params: dict[str, Any]) -> int:
            requests.append(params)
            return len(requests)

    cursor, session = ConsumerCursor("bot", 1), cast(ControlSession, Session())
    cursor.processed = "aaaaaaaa:5"
    cursor.send_ack(session)
    assert cursor.handle_reply({"id": 1, "error": {"data": {"kind": "shutting_down"}}})
    cursor.send_ack(session)
    assert len(requests) == 1
    cursor.forget_request()
    cursor.send_ack(session)
    assert requests == [{"consumer": "bot", "position": "aaaaaaaa:5"}] * 2
