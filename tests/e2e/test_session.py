"""Two nodes and a shell: what a person does with chatctl, with real processes."""

import json
import signal

import pytest

from tests.e2e.conftest import MakeNode
from tests.e2e.processes import Failed, Node

Pair = tuple[Node, Node]


def test_two_nodes_talk(node: MakeNode) -> None:
    alice, bob = node("alice").start(), node("bob").start()
    peer = alice.ctl("connect", "127.0.0.1", str(bob.port))["peer"]
    assert peer["slot"] == 0
    assert peer["name"] == "bob"
    assert peer["kind"] == "native"
    assert peer["state"] == "up"
    assert peer["node"] == bob.ctl("whoami")["node"]

    sent = alice.ctl("send", "0", "hi")
    assert sent["peer"]["name"] == "bob"
    (message,) = bob.inbox(1)
    assert message["type"] == "message"
    assert message["direction"] == "in"
    assert message["text"] == "hi"
    assert message["global_id"] == f"{message['peer']['node']}/{sent['id']}"
    assert message["peer"]["name"] == "alice"
    assert message["peer"]["node"] == alice.ctl("whoami")["node"]


def test_tail_shows_what_was_and_follows(pair: Pair) -> None:
    alice, bob = pair
    alice.ctl("send", "bob", "before")
    bob.inbox(1)
    with bob.client("--json", "tail", "-n", "10", "--count", "3") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["text"] == "before"
        alice.ctl("send", "bob", "it", "is", "-5", "C")
        assert json.loads(tail.stdout.readline())["text"] == "it is -5 C"
        bob.ctl("send", "alice", "so it is")
        reply = json.loads(tail.stdout.readline())
        assert (reply["direction"], reply["text"]) == ("out", "so it is")
        assert tail.wait() == 0


def test_a_thousand_lines_from_stdin_arrive_once_and_in_order(pair: Pair) -> None:
    alice, bob = pair
    lines = [str(number) for number in range(1, 1001)]
    alice.output("send", "0", "-", stdin="".join(f"{line}\n" for line in lines))
    assert [event["text"] for event in bob.inbox(1000)] == lines
    assert [event["text"] for event in bob.events("history", "-n", "2000")] == lines


def test_a_terminated_link_stays_down_on_both_sides(pair: Pair) -> None:
    alice, bob = pair
    alice.ctl("terminate", "bob")
    (peer,) = alice.peers()
    assert (peer["state"], peer["reason"]) == ("down", "terminated")
    assert bob.until("peer.down")["peer"]["name"] == "alice"
    with pytest.raises(Failed) as failed:
        alice.ctl("send", "0", "anybody there?")
    assert failed.value.status == 1
    assert failed.value.error["kind"] == "peer_offline"


def test_the_exit_status_says_what_went_wrong(node: MakeNode) -> None:
    alone = node("alone").start()
    me = str(alone.port)
    for status, kind, words in (
        (4, "unknown_peer", ("send", "7", "hi")),
        (6, "conflict", ("connect", "127.0.0.1", me)),
        (1, "connect_failed", ("connect", "127.0.0.1", "1")),
        (124, "timeout", ("wait", "peers", "1", "--timeout", "200ms")),
    ):
        with pytest.raises(Failed) as failed:
            alone.ctl(*words)
        assert (failed.value.status, failed.value.error["kind"]) == (status, kind), words
    with pytest.raises(Failed) as failed:
        alone.output("conect")
    assert failed.value.status == 2
    assert "connect" in failed.value.stderr


def test_without_a_daemon_the_exit_status_is_3(node: MakeNode) -> None:
    nobody = node("nobody")
    with pytest.raises(Failed) as failed:
        nobody.output("--connect-timeout", "100ms", "list")
    assert failed.value.status == 3
    assert len(failed.value.stderr.splitlines()) == 1


def test_wait_answers_when_a_peer_comes(node: MakeNode) -> None:
    alice, bob = node("alice").start(), node("bob")
    with alice.client("--json", "wait", "peer", "bob", "--timeout", "60s") as waiting:
        bob.start("--peers", f"127.0.0.1:{alice.port}")
        assert waiting.wait() == 0
    assert [peer["name"] for peer in alice.peers()] == ["bob"]


def test_exit_stops_the_daemon(node: MakeNode) -> None:
    alone = node("alone").start()
    alone.output("exit")
    assert alone.wait() == 0


def test_a_tail_ends_with_3_when_its_daemon_stops(node: MakeNode) -> None:
    alone = node("alone").start()
    with alone.client("--connect-timeout", "100ms", "--json", "tail", "--since", "1h", "--events") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["type"] == "daemon.start"
        alone.signal(signal.SIGTERM)
        assert json.loads(tail.stdout.readline())["type"] == "daemon.stop"
        assert tail.wait() == 3
    assert alone.wait() == 0


def test_a_tail_goes_on_with_the_next_message_after_a_restart(pair: Pair) -> None:
    alice, bob = pair
    with bob.client("--connect-timeout", "60s", "--json", "tail", "-n", "1") as tail:
        assert tail.stdout is not None
        alice.ctl("send", "bob", "one")
        assert json.loads(tail.stdout.readline())["text"] == "one"
        bob.signal(signal.SIGTERM)
        assert bob.wait() == 0
        bob.start()
        bob.ctl("wait", "peers", "1", "--timeout", "60s")
        alice.ctl("wait", "peer", "bob", "--timeout", "60s")
        alice.ctl("send", "bob", "two")
        assert json.loads(tail.stdout.readline())["text"] == "two"
        tail.terminate()
