"""`chatctl bench`: the messages it sends, the measurements, and the report."""

import json
import os
import pty
import signal
import threading
import time
from typing import Any

import pytest

from chatctl.commands.bench import load_generator
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import BOB, FakeDaemon, FakeSession, Refusal, in_turn, refusing
from tests.harness.fake_peer import FakePeer, at_call, peer_event, receipt
from tests.harness.until import until

WINDOW = 50


def test_every_message_is_sent_and_the_numbers_are_told(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)
    ran = chatctl("bench", "bob", "--messages", "500")
    assert (ran.status, ran.err) == (0, "")
    speed, delivered, verdict = ran.out.splitlines()
    assert speed.startswith("500 messages of 100 bytes to bob in ")
    assert speed.endswith("B/s")
    assert delivered.startswith("delivered: median ")
    assert [word.split()[0] for word in delivered.split(", ")[1:]] == ["p99", "max"]
    assert verdict == "lost 0, duplicated 0"
    assert len(far.texts) == len(set(far.texts)) == 500
    assert {len(text.encode()) for text in far.texts} == {100}
    assert [int(text[:8]) for text in far.texts] == list(range(500))
    assert daemon.params("tally") == [{"peer": 0, "first": "aaaaaaaa:101", "last": "aaaaaaaa:600"}]


def test_json_is_one_object(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon)
    ran = chatctl("--json", "bench", "bob", "--messages", "20", "--size", "8")
    (record,) = ran.records
    assert ran.status == 0
    told = {"peer": BOB, "messages": 20, "size": 8, "rate": None, "sent": 20, "delivered": 20, "given_up": 0}
    assert told.items() <= record.items()
    assert {"lost": 0, "duplicated": 0, "link_lost": 0}.items() <= record.items()
    assert 0 < record["min_ms"] <= record["median_ms"] <= record["p99_ms"] <= record["max_ms"]
    assert record["max_ms"] <= record["elapsed_s"] * 1000 + 1
    assert record["messages_per_s"] == pytest.approx(20 / record["elapsed_s"], rel=0.01)
    assert record["bytes_per_s"] == pytest.approx(8 * record["messages_per_s"], rel=0.01)


def test_what_no_receipt_has_told_is_waited_for(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon, every=1000)
    ran = chatctl("--json", "bench", "bob", "--messages", "300")
    assert ran.records[0]["delivered"] == 300
    assert daemon.params("wait")[-1] == {"for": "delivered", "id": "aaaaaaaa:400"}


def test_receipts_are_enough_where_nobody_answers_a_wait(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon)
    daemon.on["wait"] = lambda session, params: None
    assert chatctl("--json", "bench", "bob", "--messages", "300").records[0]["delivered"] == 300


def test_a_peer_that_is_away_gets_one_message_at_most_refused(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)
    far.refusals[1] = Refusal("peer_offline", 301, "bob is not connected")
    ran = chatctl("bench", "bob")
    assert ran.status == 1
    assert ran.err.startswith("chatctl: bob is not connected: 0 of 10000 messages delivered, 0/s")
    assert len(ran.err.splitlines()) == 1
    (asked,) = daemon.params("send")
    assert asked["queue"] is False


def test_only_the_first_message_is_refused_where_the_peer_is_away(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon)
    chatctl("bench", "bob", "--messages", "50")
    assert ["queue" in params for params in daemon.params("send")] == [True] + [False] * 49


@pytest.mark.parametrize(
    ("handler", "status"),
    [
        (refusing("conflict", 501, "bob is a plain peer: it answers no ping"), 6),
        (refusing("peer_offline", 301, "bob is not connected"), 1),
        (refusing("unknown_peer"), 4),
        (refusing("unknown_method", -32601), 1),
    ],
)
def test_a_peer_that_answers_no_ping_is_sent_nothing(
    daemon: FakeDaemon, chatctl: Chatctl, handler: Any, status: int
) -> None:
    FakePeer(daemon)
    daemon.on["ping"] = handler
    ran = chatctl("bench", "bob")
    assert (ran.status, ran.out) == (status, "")
    assert daemon.params("send") == []


def test_a_room_is_refused(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ran = chatctl("bench", "lobby@bob")
    assert ran.status == 2
    assert "nobody acknowledges" in ran.err
    assert daemon.requests == []


@pytest.mark.parametrize(
    "words",
    [["--messages", "0"], ["--messages", "10000001"], ["--size", "7"], ["--size", "2000000"], ["--rate", "0"]],
)
def test_numbers_that_make_no_sense_are_refused(daemon: FakeDaemon, chatctl: Chatctl, words: list[str]) -> None:
    assert chatctl("bench", "bob", *words).status == 2
    assert daemon.requests == []


def test_a_message_that_the_peer_does_not_have_is_lost(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon).lost = 2
    ran = chatctl("bench", "bob", "--messages", "50")
    assert (ran.status, ran.out.splitlines()[-1]) == (1, "lost 2, duplicated 0")


def test_a_message_that_the_peer_has_twice_is_duplicated(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon).duplicated = 3
    ran = chatctl("bench", "bob", "--messages", "50")
    assert (ran.status, ran.out.splitlines()[-1]) == (1, "lost 0, duplicated 3")


def test_messages_of_others_do_not_hide_a_lost_one(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)

    def another(session: FakeSession) -> None:
        far.foreign, far.seq = 1, far.seq + 1

    daemon.on["send"] = at_call(far.send, 20, another)
    assert chatctl("bench", "bob", "--messages", "50").status == 0
    assert daemon.params("history")[0]["from"] == {"position": "aaaaaaaa:100"}
    again = FakePeer(daemon)
    again.lost = 1

    def once_more(session: FakeSession) -> None:
        again.foreign, again.seq = 1, again.seq + 1

    daemon.on["send"] = at_call(again.send, 20, once_more)
    ran = chatctl("bench", "bob", "--messages", "50")
    assert (ran.status, ran.out.splitlines()[-1]) == (1, "lost 1, duplicated 0")


def test_the_count_is_taken_once_the_peer_is_back(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)
    daemon.on["tally"] = in_turn(refusing("peer_offline", 301), far.tally)
    assert chatctl("bench", "bob", "--messages", "5").status == 0
    assert daemon.params("wait")[-1] == {"for": "peer", "peer": 0}


def test_more_than_a_daemon_counts_at_a_time_is_counted_in_parts(
    daemon: FakeDaemon, chatctl: Chatctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatctl.commands.bench.verb.TALLY_POSITIONS", 20)
    FakePeer(daemon)
    counted = refusing("unknown_method")
    daemon.on["tally"] = in_turn(*[{"messages": n, "distinct": n} for n in (20, 20, 10)], counted)
    assert chatctl("bench", "bob", "--messages", "50").status == 0
    ranges = [(params["first"], params["last"]) for params in daemon.params("tally")]
    assert ranges == [(f"aaaaaaaa:{a}", f"aaaaaaaa:{b}") for a, b in ((101, 120), (121, 140), (141, 150))]


def test_what_a_full_outbox_does_not_take_comes_again(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)
    far.refusals.update({number: Refusal("outbox_full", 302, "too much waits") for number in (5, 6, 9)})
    ran = chatctl("--json", "bench", "bob", "--messages", "40")
    assert ran.status == 0
    assert ran.records[0]["sent"] == 40
    assert sorted(int(text[:8]) for text in far.texts) == list(range(40))
    assert ran.records[0]["max_ms"] >= 250  # it counts from when it was due


def test_any_other_refusal_ends_it_with_what_was_measured(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)
    far.refusals[4] = Refusal("storage_full", 506, "the disk is full", "make room")
    ran = chatctl("bench", "bob", "--messages", "40")
    assert (ran.status, ran.out) == (5, "")
    assert ran.err.startswith("chatctl: the disk is full: ")
    assert " of 40 messages delivered, " in ran.err
    assert ran.err.endswith("(make room)\n")


def test_a_message_that_was_taken_back_is_not_lost_but_told(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)
    far.given_up.add(110)

    def cancel(session: FakeSession) -> None:
        session.add_events(peer_event("receipt", state="cancelled", through=None, id="aaaaaaaa:110"))

    daemon.on["send"] = at_call(far.send, 10, cancel)
    ran = chatctl("bench", "bob", "--messages", "10")
    assert ran.status == 1
    assert ran.out.splitlines()[-2:] == ["given up 1 (cancelled, expired or rejected)", "lost 0, duplicated 0"]


def test_a_link_that_breaks_is_told_and_the_bench_goes_on(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)

    def breaks(session: FakeSession) -> None:
        session.add_events(peer_event("peer.down", address="10.0.0.2:7420", reason="reset", unsent=0))

    daemon.on["send"] = at_call(far.send, 10, breaks)
    ran = chatctl("bench", "bob", "--messages", "30")
    assert ran.status == 0
    assert ran.out.splitlines()[-2:] == ["the link was lost 1 time", "lost 0, duplicated 0"]


def test_no_more_is_under_way_than_an_outbox_holds(
    daemon: FakeDaemon, chatctl: Chatctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_generator.WINDOW < 10_000
    monkeypatch.setattr(load_generator, "WINDOW", WINDOW)
    FakePeer(daemon).silent = True
    ran = chatctl("--json", "bench", "bob", "--messages", "1000", "--timeout", "1s")
    assert ran.status == 124
    assert len(daemon.params("send")) == WINDOW
    assert ran.error["kind"] == "timeout"
    told: dict[str, Any] = json.loads(ran.err)["error"]
    assert (told["sent"], told["delivered"], told["lost"], told["median_ms"]) == (WINDOW, 0, None, None)


def test_the_time_that_is_over_is_124_with_what_was_measured_on_one_line(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)

    def stall(session: FakeSession) -> None:
        far.silent = True

    daemon.on["send"] = at_call(far.send, 10, stall)
    ran = chatctl("bench", "bob", "--messages", "30", "--timeout", "500ms")
    assert (ran.status, ran.out) == (124, "")
    assert ran.err.startswith("chatctl: not done in time: 10 of 30 messages delivered, ")
    assert ", median " in ran.err
    assert len(ran.err.splitlines()) == 1


def test_the_time_is_over_also_while_all_goes_well(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon)
    ran = chatctl("bench", "bob", "--messages", "10000000", "--timeout", "300ms")
    assert (ran.status, ran.out) == (124, "")
    assert len(daemon.params("send")) > 1


def test_with_a_rate_a_stall_counts_for_all_that_was_due_meanwhile(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)

    def stall(session: FakeSession, params: dict[str, Any]) -> Any:
        if not far.texts:
            time.sleep(0.3)
        return far.send(session, params)

    daemon.on["send"] = stall
    (record,) = chatctl("--json", "bench", "bob", "--messages", "40", "--rate", "200").records
    assert record["max_ms"] >= 300
    assert 100 < record["median_ms"] < record["max_ms"]  # all of them were due in the stall


def test_a_rate_is_kept(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    FakePeer(daemon)
    (record,) = chatctl("--json", "bench", "bob", "--messages", "20", "--rate", "100").records
    assert record["rate"] == 100
    assert record["elapsed_s"] >= 0.19


def test_an_interrupt_shows_what_was_measured(daemon: FakeDaemon, start: Start) -> None:
    far, stalled = FakePeer(daemon), threading.Event()

    def stall(session: FakeSession) -> None:
        far.silent = True
        stalled.set()

    daemon.on["send"] = at_call(far.send, 10, stall)
    process = start("--json", "bench", "bob", "--messages", "30")
    assert stalled.wait(20)
    until(lambda: len(daemon.params("send")) == 30)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    record = json.loads(out)
    assert (record["messages"], record["lost"], record["duplicated"]) == (30, None, None)
    assert record["delivered"] <= 10


def test_a_terminal_is_shown_progress_and_nobody_else(daemon: FakeDaemon, start: Start) -> None:
    far = FakePeer(daemon)
    ours, theirs = pty.openpty()
    process = start("bench", "bob", "--messages", "2000", stderr=theirs)
    os.close(theirs)
    out, _ = process.communicate(timeout=20)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert process.returncode == 0
    assert " of 2,000  " in shown
    assert shown.endswith("\r\x1b[K")
    assert len(out.splitlines()) == 3
    assert len(far.texts) == 2000


def test_json_shows_no_progress_on_a_terminal(daemon: FakeDaemon, start: Start) -> None:
    FakePeer(daemon)
    ours, theirs = pty.openpty()
    process = start("--json", "bench", "bob", "--messages", "200", stderr=theirs)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    os.write(theirs, b"end")
    os.close(theirs)
    assert os.read(ours, 1 << 16) == b"end"
    os.close(ours)
    assert json.loads(out)["delivered"] == 200


def test_a_daemon_that_ends_meanwhile_is_3_with_what_was_measured(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)

    def die(session: FakeSession) -> None:
        session.ends_after_reply = True

    daemon.on["send"] = at_call(far.send, 10, die)
    ran = chatctl("bench", "bob", "--messages", "30")
    assert ran.status == 3
    assert " of 30 messages delivered" in ran.err


def test_a_daemon_that_writes_its_answers_in_another_way_is_understood(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    far = FakePeer(daemon)

    def other(session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        return {"more": 1, **far.send(session, params)}

    daemon.on["send"] = other
    assert chatctl("--json", "bench", "bob", "--messages", "30").records[0]["delivered"] == 30


def test_a_receipt_for_more_than_was_answered_is_not_lost(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    """A receipt may arrive before the answer to the `send` of its message."""
    far = FakePeer(daemon, every=1000)
    daemon.on["wait"] = lambda session, params: None

    def early(session: FakeSession, params: dict[str, Any]) -> Any:
        session.send_events(receipt(f"aaaaaaaa:{far.seq + 1}"))
        return far.send(session, params)

    daemon.on["send"] = early
    assert chatctl("--json", "bench", "bob", "--messages", "30").records[0]["delivered"] == 30
