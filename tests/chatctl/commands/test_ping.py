"""`chatctl ping`: its requests, the line for each answer, and the summary."""

import signal
import time
from typing import Any

import pytest

from chatctl.commands.ping import MAX_OPEN
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import BOB, FakeDaemon, FakeSession, Refusal, evicting, in_turn, refusing

PINGED = {"peer": BOB, "rtt_ms": 0.412, "clock_ms": -0.1}
LATE = refusing("timeout", 502, "bob has not answered within 5 s")
AWAY = refusing("peer_offline", 301, "bob is not connected (reset)")
QUICK = ("-i", "1ms")


def test_each_answer_is_a_line_and_the_sum_comes_last(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = in_turn({**PINGED, "rtt_ms": 0.31}, {**PINGED, "rtt_ms": 12.44}, {**PINGED, "rtt_ms": 0.9})
    ran = chatctl("ping", "bob", "-c", "3", *QUICK)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "answer from bob (k3v9abcd): seq=1 time=0.31 ms",
        "answer from bob (k3v9abcd): seq=2 time=12.4 ms",
        "answer from bob (k3v9abcd): seq=3 time=0.90 ms",
        "3 sent, 3 answered, 0% lost, min/median/p99/max 0.31/0.90/12.4/12.4 ms",
    ]
    assert daemon.params("ping") == [{"peer": "bob", "timeout": 5.0}] * 3


def test_json_is_an_object_for_each_answer_and_one_for_the_sum(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = in_turn(PINGED, LATE)
    ran = chatctl("--json", "ping", "bob", "-c", "2", *QUICK)
    times = dict.fromkeys(("min_ms", "median_ms", "p99_ms", "max_ms"), 0.412)
    assert ran.records == [
        {"seq": 1, **PINGED},
        {"seq": 2, "error": {"kind": "timeout", "message": "bob has not answered within 5 s"}},
        {"peer": BOB, "sent": 2, "answered": 1, "lost": 1, **times},
    ]
    assert ran.status == 0


def test_no_answer_at_all_is_1(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = LATE
    ran = chatctl("ping", "bob", "-c", "2", "-W", "100ms", *QUICK)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out == "no answer: seq=1\nno answer: seq=2\n2 sent, 0 answered, 100% lost\n"
    assert daemon.params("ping")[0]["timeout"] == 0.1
    assert chatctl("--json", "ping", "bob", "-c", "1").records[-1] == {
        "peer": None,
        "sent": 1,
        "answered": 0,
        "lost": 1,
        **dict.fromkeys(("min_ms", "median_ms", "p99_ms", "max_ms")),
    }


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (AWAY, 1),
        (refusing("unknown_peer"), 4),
        (refusing("conflict", 501, "bob is a plain peer: it answers no ping"), 6),
    ],
)
def test_what_is_wrong_with_the_first_is_told_at_once(
    daemon: FakeDaemon, chatctl: Chatctl, handler: Any, status: int
) -> None:
    daemon.on["ping"] = handler
    ran = chatctl("ping", "bob", *QUICK)
    assert (ran.status, ran.out) == (status, "")
    assert len(ran.err.splitlines()) == 1


def test_a_peer_that_goes_meanwhile_is_lost_and_asked_again(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = in_turn(PINGED, AWAY, PINGED)
    ran = chatctl("ping", "bob", "-c", "3", "-i", "0")
    assert ran.status == 0
    assert ran.out.splitlines()[1:] == [
        "no answer: seq=2 (bob is not connected (reset))",
        "answer from bob (k3v9abcd): seq=3 time=0.41 ms",
        "3 sent, 2 answered, 33% lost, min/median/p99/max 0.41/0.41/0.41/0.41 ms",
    ]


def test_a_peer_that_is_forgotten_meanwhile_ends_it_behind_the_sum(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = in_turn(PINGED, refusing("unknown_peer"))
    ran = chatctl("ping", "bob", "-i", "0")
    assert ran.status == 4
    assert ran.out.splitlines()[-1].startswith("2 sent, 1 answered, 50% lost")


def test_with_interval_0_one_is_under_way_at_a_time(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def silent(session: FakeSession, params: dict[str, Any]) -> None:
        return None

    daemon.on["ping"] = silent
    assert chatctl("ping", "bob", "-i", "0", "--timeout", "200ms").status == 124
    assert len(daemon.params("ping")) == 1


def test_pings_that_are_not_answered_do_not_pile_up(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def silent(session: FakeSession, params: dict[str, Any]) -> None:
        return None

    daemon.on["ping"] = silent
    ran = chatctl("ping", "bob", *QUICK, "--timeout", "1s")
    assert len(daemon.params("ping")) == MAX_OPEN
    assert ran.status == 124
    assert ran.out == f"{MAX_OPEN} sent, 0 answered, 100% lost\n"
    assert ran.err == f"chatctl: 0 of {MAX_OPEN} pings were answered in time\n"


def test_the_interval_lies_between_two_of_them(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = PINGED
    began = time.monotonic()
    assert chatctl("ping", "bob", "-c", "3", "-i", "50ms").status == 0
    assert time.monotonic() - began >= 0.1


def test_an_interrupt_shows_the_sum(daemon: FakeDaemon, start: Start) -> None:
    daemon.on["ping"] = PINGED
    process = start("ping", "bob", "-i", "1h")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("answer from bob")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert out == "1 sent, 1 answered, 0% lost, min/median/p99/max 0.41/0.41/0.41/0.41 ms\n"


def test_an_interrupt_before_any_answer_is_1(daemon: FakeDaemon, start: Start) -> None:
    def late(session: FakeSession, params: dict[str, Any]) -> None:
        if len(daemon.params("ping")) == 1:
            raise Refusal("timeout", 502)

    daemon.on["ping"] = late
    process = start("ping", "bob", *QUICK)
    assert process.stdout is not None
    assert process.stdout.readline() == "no answer: seq=1\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 1


def test_a_name_of_a_peer_cannot_write_on_the_terminal(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = {**PINGED, "peer": {**BOB, "name": "b\x1b[2J"}}
    assert "\x1b" not in chatctl("ping", "bob", "-c", "1").out


@pytest.mark.parametrize("words", [["-c", "0"], ["-i", "x"], ["-W", "-1"], ["--count"]])
def test_what_makes_no_sense_is_a_usage_error(daemon: FakeDaemon, chatctl: Chatctl, words: list[str]) -> None:
    assert chatctl("ping", "bob", *words).status == 2
    assert daemon.requests == []


def test_a_daemon_that_ends_meanwhile_is_3_behind_the_sum(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    def die(session: FakeSession, params: dict[str, Any]) -> None:
        session.ends_after_reply = True

    daemon.on["ping"] = in_turn(PINGED, die)
    ran = chatctl("ping", "bob", "-i", "0")
    assert ran.status == 3
    assert ran.out.splitlines()[-1].startswith("2 sent, 1 answered")


def test_an_eviction_between_two_pings_is_not_noticed(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["ping"] = in_turn(PINGED, evicting, PINGED)
    ran = chatctl("ping", "bob", "-c", "3", "-i", "0")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].startswith("3 sent, 3 answered, 0% lost")
