"""Two nodes and a shell: what a person does with chatctl, with real processes."""

import json
import signal

import pytest

from tests.e2e.conftest import MakeNode, TwoNodes
from tests.harness.client import Refused
from tests.harness.processes import Failed


def test_two_nodes_talk(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes(connected=False, fresh=True)
    peer = alice.ctl("connect", "127.0.0.1", str(bob.port))["peer"]
    assert peer["slot"] == 0
    assert peer["name"] == "bob"
    assert peer["kind"] == "native"
    assert peer["state"] == "up"
    assert peer["node"] == bob.ctl("whoami")["node"]

    sent = alice.ctl("send", "0", "hi")
    assert sent["peer"]["name"] == "bob"
    (message,) = bob.events("tail", "-n", "1", "--count", "1")
    assert message["type"] == "message"
    assert message["direction"] == "in"
    assert message["text"] == "hi"
    assert message["global_id"] == f"{message['peer']['node']}/{sent['id']}"
    assert message["peer"]["name"] == "alice"
    assert message["peer"]["node"] == alice.ctl("whoami")["node"]


def test_tail_shows_what_was_and_follows(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    alice.send(bob, "before")
    bob.inbox(1)
    with bob.client("--json", "tail", "-n", "10", "--count", "3") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["text"] == "before"
        alice.ctl("send", "bob", "it", "is", "-5", "C")
        assert json.loads(tail.stdout.readline())["text"] == "it is -5 C"
        bob.send(alice, "so it is")
        reply = json.loads(tail.stdout.readline())
        assert (reply["direction"], reply["text"]) == ("out", "so it is")
        assert tail.wait() == 0


def test_a_thousand_lines_from_stdin_arrive_once_and_in_order(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    lines = [str(number) for number in range(1, 1001)]
    alice.output("send", "0", "-", stdin="".join(f"{line}\n" for line in lines))
    assert [event["text"] for event in bob.inbox(1000)] == lines
    assert bob.texts() == lines


def test_a_terminated_link_stays_down_on_both_sides(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    alice.ask("terminate", peer="bob")
    (peer,) = alice.peers()
    assert (peer["state"], peer["reason"]) == ("down", "terminated")
    assert bob.until("peer.down")["peer"]["name"] == "alice"
    with pytest.raises(Refused) as refused:
        alice.send(0, "anybody there?")
    assert refused.value.kind == "peer_offline"


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


def test_wait_answers_when_a_peer_comes(node: MakeNode) -> None:
    alice, bob = node("alice").start(), node("bob")
    bob.dials(alice)
    with alice.client("--json", "wait", "peer", "bob", "--timeout", "60s") as waiting:
        bob.start()
        assert waiting.wait() == 0
    assert [peer["name"] for peer in alice.peers()] == ["bob"]


def test_a_tail_ends_with_3_when_its_daemon_stops(node: MakeNode) -> None:
    alone = node("alone").start()
    with alone.client("--connect-timeout", "100ms", "--json", "tail", "--since", "1h", "--events") as tail:
        assert tail.stdout is not None
        assert json.loads(tail.stdout.readline())["type"] == "daemon.start"
        alone.signal(signal.SIGTERM)
        assert json.loads(tail.stdout.readline())["type"] == "daemon.stop"
        assert tail.wait() == 3
    alone.ends()


def test_a_tail_goes_on_with_the_next_message_after_a_restart(two_nodes: TwoNodes) -> None:
    alice, bob = two_nodes()
    with bob.client("--connect-timeout", "60s", "--json", "tail", "-n", "1") as tail:
        assert tail.stdout is not None
        alice.send(bob, "one")
        assert json.loads(tail.stdout.readline())["text"] == "one"
        bob.stop()
        bob.start()
        alice.send(bob, "two")
        assert json.loads(tail.stdout.readline())["text"] == "two"
        tail.terminate()
