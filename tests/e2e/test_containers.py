"""The real containers on a real engine: build, line, exec, limits, stop, scale."""

import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.harness.compose import ROOM, Compose
from tests.harness.until import PATIENCE_S

pytestmark = [pytest.mark.long, pytest.mark.deadline(300)]

STOP_S = 5.0


@pytest.fixture(scope="module")
def compose(engine: None) -> Iterator[Compose]:
    """alice, bob and carol, built, started and healthy."""
    made = Compose()
    try:
        made("build")
        made("up", "-d", "--wait")
        made.ctl("alice", "wait", "peer", "bob", "--timeout", "60s")
        made.ctl("carol", "wait", "peer", "bob", "--timeout", "60s")
        yield made
    finally:
        made.remove()


def test_they_are_connected_in_a_line(compose: Compose) -> None:
    names = {
        service: sorted(peer["name"] for peer in compose.ctl(service, "list")["peers"])
        for service in ("alice", "bob", "carol")
    }
    assert names == {"alice": ["bob"], "bob": ["alice", "carol"], "carol": ["bob"]}


def test_what_alice_sends_bob_shows(compose: Compose) -> None:
    sent = compose.ctl("alice", "send", "bob", "hi")
    (message,) = compose.events("bob", "tail", "-n", "1", "--count", "1", "--timeout", "30s")
    assert (message["text"], message["peer"]["name"]) == ("hi", "alice")
    assert message["global_id"] == f"{message['peer']['node']}/{sent['id']}"


def test_a_plain_program_of_the_host_can_talk_to_a_container(compose: Compose) -> None:
    address = compose.exec("carol", "chatctl", "myip").strip()
    with socket.create_connection((address, 7420)) as stranger:
        stranger.sendall(b"hello from the host\n")
        (message,) = compose.events("carol", "tail", "-n", "1", "--count", "1", "--timeout", "30s")
        assert (message["text"], message["peer"]["kind"]) == ("hello from the host", "plain")
        compose.ctl("carol", "send", str(message["peer"]["slot"]), "hello yourself")
        assert stranger.recv(100) == b"hello yourself\n"


def test_the_container_may_do_nothing_that_chatd_does_not_need(compose: Compose) -> None:
    for container in compose.containers():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert (host["PidsLimit"], host["Memory"]) == (128, 256 << 20)
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert compose.exec("alice", "id", "-u").strip() == "10001"
    assert compose.exec("alice", "stat", "-c", "%u %a", "/var/lib/chatd", "/run/chatd").split() == ["10001", "700"] * 2
    assert compose.exec("alice", "sh", "-c", "touch /opt/chatd/x 2>/dev/null || echo refused").strip() == "refused"
    assert compose.exec("alice", "sh", "-c", "command -v cc gcc || echo none").strip() == "none"


def test_a_link_can_be_made_slow_without_privileges_and_mended(compose: Compose) -> None:
    compose.ctl("alice", "link", "bob", "--delay", "100ms")
    *_, slow = compose.events("alice", "ping", "bob", "-c", "3", "-i", "100ms")
    compose.ctl("alice", "link", "bob", "--heal")
    *_, mended = compose.events("alice", "ping", "bob", "-c", "10", "-i", "100ms")
    assert mended["min_ms"] < 200 <= slow["min_ms"]


def test_a_restarted_container_is_the_same_node_with_the_same_history(compose: Compose) -> None:
    node = compose.ctl("bob", "whoami")["node"]
    history = compose.events("bob", "history")
    compose("restart", "bob")
    compose("up", "-d", "--wait")
    assert compose.ctl("bob", "whoami")["node"] == node
    assert compose.events("bob", "history") == history
    compose.ctl("bob", "wait", "peers", "2", "--timeout", "60s")


def test_ten_more_connect_to_alice(compose: Compose) -> None:
    compose("up", "-d", "--wait", "--scale", "node=10")
    compose.ctl("alice", "wait", "peers", "11", "--timeout", "120s")
    peers = compose.ctl("alice", "list")["peers"]
    assert len({peer["node"] for peer in peers if peer["state"] == "up"}) == 11
    states = {
        mount["Name"]
        for container in compose.containers()
        for mount in container["Mounts"]
        if mount["Destination"] == "/var/lib/chatd"
    }
    assert len(states) == 13
    compose("rm", "--stop", "--force", "--volumes", "node")


def test_nc_on_the_host_is_in_a_room_with_another_container(compose: Compose, nc: str) -> None:
    assert {container["Config"]["Hostname"] for container in compose.containers()} == {"alice", "bob", "carol"}
    compose(*ROOM, "up", "-d", "--wait", "hall", "guest")
    compose.ctl("guest", "wait", "peer", "hall", "--timeout", "60s")
    compose.ctl("guest", "room", "join", "lobby@hall")
    where = str(compose.published("hall", 1234))
    with subprocess.Popen(
        [nc, "-N", "127.0.0.1", where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as jane:
        assert jane.stdin is not None
        assert jane.stdout is not None
        jane.stdin.write("jane\n")
        jane.stdin.flush()
        assert jane.stdout.readline().startswith("Welcome to this chatroom, jane!")
        jane.stdin.write("hello from the host\n")
        jane.stdin.flush()
        (message,) = compose.events("guest", "tail", "lobby@hall", "-n", "1", "--count", "1", "--timeout", "30s")
        assert (message["text"], message["nick"], message["room"]) == ("hello from the host", "jane", "lobby@hall")
        compose.ctl("guest", "say", "lobby", "hello", "yourself")
        assert jane.stdout.readline() == "<guest> hello yourself\n"
        jane.stdin.close()
        assert jane.wait(PATIENCE_S) == 0
    compose(*ROOM, "rm", "--stop", "--force", "--volumes", "hall", "guest")


def test_all_stop_cleanly_within_five_seconds(compose: Compose) -> None:
    compose("up", "-d", "--wait")
    compose.ctl("bob", "wait", "peers", "2", "--timeout", "60s")
    began = time.monotonic()
    compose("stop")
    took = time.monotonic() - began
    assert {container["Name"]: container["State"]["ExitCode"] for container in compose.containers()} == {
        f"/{compose.project}-{service}-1": 0 for service in ("alice", "bob", "carol")
    }
    assert took < STOP_S
    compose("up", "-d", "--wait")
