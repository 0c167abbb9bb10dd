"""A node that has no file descriptor left: it refuses politely, says so, answers operators, and recovers."""

import resource
import socket
from contextlib import ExitStack

import pytest

from tests.e2e.conftest import MakeNode
from tests.harness.ports import free_port
from tests.harness.processes import Failed, Node
from tests.harness.until import PATIENCE_S, until

FILES = 120


@pytest.fixture
def small(node: MakeNode) -> Node:
    """It is started with a limit of FILES files."""
    made = node("small", "--max-links", "1000", "--plain", "on")
    made.files = FILES
    return made.start()


@pytest.fixture
def cramped(node: MakeNode) -> Node:
    """It has the limit only once it runs, so it accepts more links than it has files for."""
    redialing = ("--peers", f"127.0.0.1:{free_port()}", "--redial-min", "20ms", "--redial-max", "50ms")
    room_port = ("--room-port", "127.0.0.1:0=lobby,dialect=name")
    made = node("cramped", "--max-links", "1000", "--plain", "on", *room_port, *redialing, hasty=True).start()
    resource.prlimit(made.pid, resource.RLIMIT_NOFILE, (FILES, FILES))
    return made


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def is_refused(port: int) -> None:
    """A client of that port that says something gets a FIN: no byte and no reset."""
    with dial(port) as client:
        client.sendall(b"hello\n" * 100)
        assert client.recv(100) == b""
        client.sendall(b"more\n")  # for a moment it is read


def wait_up(node: Node, count: int) -> None:
    """Until so many have come up, or one was refused."""
    until(lambda: node.log.count(" connected (") == count or "out of file descriptors" in node.log)


def fill(node: Node, stack: ExitStack) -> None:
    """Connect, one client after the other, until one is refused."""
    for count in range(1, FILES):
        stack.enter_context(dial(node.port)).sendall(b"hi\n")
        wait_up(node, count)
        if "out of file descriptors" in node.log:
            return
    raise AssertionError("it has descriptors for all")


def test_without_descriptors_a_node_refuses_answers_operators_and_recovers(cramped: Node) -> None:
    room_port = int(cramped.ask("status")["room_ports"][0].rpartition(":")[2])
    with ExitStack() as stack:
        fill(cramped, stack)
        for _ in range(3):
            is_refused(cramped.port)
            is_refused(room_port)
            with pytest.raises(Failed, match="out of file descriptors") as failed:
                cramped.ctl("list")
            assert (failed.value.status, failed.value.error["kind"]) == (5, "rate_limited")
            assert not cramped.ask("health")["healthy"]
            assert cramped.ask("status")["name"] == "cramped"
        assert cramped.log.count("connections cannot be accepted: out of file descriptors") == 1
    until(lambda: cramped.ask("health")["healthy"])
    before = cramped.log.count(" connected (")
    with dial(cramped.port) as client:
        client.sendall(b"hi\n")
        until(lambda: cramped.log.count(" connected (") > before)
        assert cramped.ask("list")["peers"]


def test_without_descriptors_a_node_can_be_stopped(cramped: Node) -> None:
    with ExitStack() as stack:
        fill(cramped, stack)
        assert cramped.output("exit") == "stopped\n"
        cramped.ends()


def test_a_node_takes_as_many_links_as_its_limit_of_files_allows_and_says_so(small: Node) -> None:
    (warning,) = [line for line in small.log.splitlines() if "max_links" in line]
    assert f"max_links lowered from 1000 to 12: the limit of open files is {FILES} " in warning
    with ExitStack() as stack:
        for count in range(1, 13):
            stack.enter_context(dial(small.port)).sendall(b"hi\n")
            wait_up(small, count)
        is_refused(small.port)
        assert small.output("health").startswith("healthy\nwarning: max_links is reached: 12 links were accepted")
    assert "out of file descriptors" not in small.log


@pytest.mark.parametrize("files", [7, 9, 12, 16, 22, 33])
def test_a_limit_of_files_that_is_too_low_for_a_node_is_refused_in_one_line(node: MakeNode, files: int) -> None:
    tiny = node("tiny")
    tiny.files = files
    remedy = "raise it with ulimit -n 65536 or LimitNOFILE=65536"
    told = f"chatd: the limit of open files is {files}, but this node needs at least 34 ({remedy})"
    assert tiny.run() == (2, [told])
    assert not tiny.state.exists()


@pytest.mark.parametrize(("files", "room_ports"), [(34, 0), (43, 1), (44, 2)])
def test_a_node_with_just_enough_files_has_room_for_a_link_and_a_client(
    node: MakeNode, files: int, room_ports: int
) -> None:
    tiny = node("tiny")
    flags = [word for number in range(room_ports) for word in ("--room-port", f"127.0.0.1:0=r{number},dialect=name")]
    tiny.files = files - 1
    status, lines = tiny.run(*flags)
    assert (status, len(lines), f"needs at least {files}" in lines[0]) == (2, 1, True)
    tiny.files = files
    tiny.start("--plain", "on", *flags)
    with dial(tiny.port) as peer:
        peer.sendall(b"hi\n")
        until(lambda: " connected (" in tiny.log)
        assert tiny.ask("list")["peers"]
    assert "out of file descriptors" not in tiny.log
