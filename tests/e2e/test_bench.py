"""`chatctl bench` and `chatctl ping` between real daemons."""

import json
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.e2e.conftest import MakeNode, TwoNodes
from tests.harness.processes import Failed
from tests.harness.until import PATIENCE_S

AWAY_S = 0.2


def finished(bench: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a `bench --json` says at its end, which is a good one."""
    out, err = bench.communicate(timeout=PATIENCE_S)
    assert bench.returncode == 0, err
    record: dict[str, Any] = json.loads(out)
    return record


def test_every_message_of_a_bench_arrives_once_and_is_there_to_be_read(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    record = alice.ctl("bench", "bob", "--messages", "1000")
    assert (record["sent"], record["delivered"], record["lost"], record["duplicated"]) == (1000, 1000, 0, 0)
    assert record["peer"]["node"] == bob.ask("whoami")["node"]
    assert 0 < record["min_ms"] <= record["median_ms"] <= record["p99_ms"] <= record["max_ms"]
    assert record["max_ms"] <= record["elapsed_s"] * 1000 + 1
    found = bob.texts()
    assert [int(text[:8]) for text in found] == list(range(1000))
    assert {len(text) for text in found} == {100}


@pytest.mark.long
def test_a_rate_is_kept_and_no_message_waits_for_the_next_commit_to_be_told(two_nodes: TwoNodes) -> None:
    alice, _ = two_nodes()
    record = alice.ctl("bench", "bob", "--messages", "30", "--rate", "15")
    assert record["elapsed_s"] >= 29 / 15
    assert record["lost"] == 0
    assert record["min_ms"] < 50  # a receipt alone would be written down after that time


def test_a_peer_that_dies_in_the_middle_gets_the_rest_when_it_is_back(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    with alice.client("--json", "bench", "bob", "--messages", "2000", "--rate", "1000") as bench:
        bob.inbox(100)
        bob.kill()
        time.sleep(AWAY_S)
        bob.start()
        record = finished(bench)
    assert record["link_lost"] >= 1
    assert (record["delivered"], record["lost"], record["duplicated"]) == (2000, 0, 0)
    assert record["max_ms"] > AWAY_S * 1000
    assert [int(text[:8]) for text in bob.texts()] == list(range(2000))


@pytest.mark.long
def test_what_others_send_meanwhile_is_neither_lost_nor_twice(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    with alice.client("--json", "bench", "bob", "--messages", "1000", "--rate", "500") as bench:
        bob.inbox(10)
        for number in range(5):
            alice.send(bob, f"in between {number}")
        record = finished(bench)
    assert (record["sent"], record["lost"], record["duplicated"]) == (1000, 0, 0)


@pytest.mark.long
def test_an_outbox_that_is_small_slows_it_down_and_refuses_nothing(node: MakeNode) -> None:
    alice, bob = node("alice", "--outbox-messages", "50").start(), node("bob").start()
    alice.connect(bob)
    record = alice.ctl("bench", "bob", "--messages", "2000")
    assert (record["delivered"], record["lost"], record["duplicated"]) == (2000, 0, 0)


@pytest.mark.long
def test_the_time_that_is_over_leaves_what_was_accepted_to_arrive(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    with pytest.raises(Failed) as caught:
        alice.ctl("bench", "bob", "--messages", "10000", "--rate", "100", "--timeout", "700ms")
    assert caught.value.status == 124
    told = caught.value.error
    assert told["delivered"] <= told["sent"] < 100
    assert told["lost"] is None
    alice.drained()
    assert len(bob.texts()) >= told["sent"]


def test_a_ping_is_answered_by_the_other_daemon_and_lost_while_it_is_stopped(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    assert [line.split(":")[0] for line in alice.output("ping", "bob", "-c", "2", "-i", "10ms").splitlines()][:2] == [
        f"answer from bob ({bob.ask('whoami')['node'][:8]})"
    ] * 2
    bob.signal(signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(Failed) as caught:
        alice.output("ping", "bob", "-c", "1", "-W", "200ms")
    assert caught.value.status == 1
    assert time.monotonic() - begun < PATIENCE_S / 2
    bob.signal(signal.SIGCONT)
    *answers, total = alice.events("ping", "bob", "-c", "3", "-i", "0")
    assert [answer["seq"] for answer in answers] == [1, 2, 3]
    assert (total["sent"], total["answered"], total["lost"]) == (3, 3, 0)


@pytest.mark.long
def test_a_silent_line_counts_for_all_that_was_due_meanwhile(node: MakeNode) -> None:
    alice, bob = node("alice", "--allow-faults").start(), node("bob").start()
    alice.connect(bob)
    with alice.client("--json", "bench", "bob", "--messages", "1500", "--rate", "500") as bench:
        bob.inbox(50)
        alice.ask("link", peer="bob", cut=True, for_=1.5)
        record = finished(bench)
    assert (record["lost"], record["duplicated"], record["link_lost"]) == (0, 0, 0)
    assert record["max_ms"] >= 1400
    assert record["p99_ms"] >= 1200  # not the few alone that were under way when it fell silent
