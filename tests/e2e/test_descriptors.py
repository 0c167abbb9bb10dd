"""A node that has no file descriptor left: it refuses politely, says so, answers operators, and recovers."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.processes import PATIENCE_S, Failed, Node
from tests.harness.ports import free_port

FILES = 120
LIMIT = (FILES, FILES)


class Cramped(Node):
    """A node that may open FILES files."""

    def limit(self) -> None:
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, LIMIT)


class Small(Node):
    """A node that is started with a limit, FILES."""

    files = FILES

    def command(self, *flags: str) -> list[str]:
        return ["/bin/sh", "-c", f'ulimit -n {self.files}; exec "$@"', "sh", *super().command(*flags)]


@pytest.fixture
def small() -> Iterator[Small]:
    node = Small("small", "--max-links", "1000", "--plain", "on")
    try:
        node.start()
        yield node
        node.finish()
    finally:
        node.remove()


@pytest.fixture
def tiny() -> Iterator[Small]:
    node = Small("tiny")
    try:
        yield node
        node.finish()
    finally:
        node.remove()


@pytest.fixture
def cramped() -> Iterator[Cramped]:
    redialing = ("--peers", f"127.0.0.1:{free_port()}", "--redial-min", "20ms", "--redial-max", "50ms")
    room_port = ("--room-port", "127.0.0.1:0=lobby,dialect=name")
    node = Cramped("cramped", "--max-links", "1000", "--plain", "on", *room_port, *redialing)
    try:
        node.start()
        node.limit()
        yield node
        node.finish()
    finally:
        node.remove()


def until(what: Any) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def refused(port: int) -> bool:
    """Whether a client of that port that says something gets a FIN: no byte and no reset. False: it is taken."""
    with dial(port) as client:
        client.settimeout(3)
        client.sendall(b"hello\n" * 100)
        try:
            assert client.recv(100) == b""
            client.sendall(b"more\n")  # for a moment it is read
        except TimeoutError:
            return False
        return True


def health(node: Node) -> "tuple[int, str]":
    try:
        return 0, node.output("health")
    except Failed as failed:
        return failed.status, failed.stderr


def fill(node: Node, stack: ExitStack) -> None:
    """Connect, one client after the other, until one is refused."""
    for count in range(1, FILES):
        stack.enter_context(dial(node.port)).sendall(b"hi\n")
        until(lambda count=count: node.log.count(" is up ") == count or "out of file descriptors" in node.log)
        if "out of file descriptors" in node.log:
            return
    raise AssertionError("it has descriptors for all")


def test_without_descriptors_a_node_refuses_answers_operators_and_recovers(cramped: Cramped) -> None:
    room_port = int(cramped.ctl("status")["room_ports"][0].rpartition(":")[2])
    with ExitStack() as stack:
        fill(cramped, stack)
        for _ in range(3):
            assert refused(cramped.port)
            assert refused(room_port)
            with pytest.raises(Failed, match="out of file descriptors") as failed:
                cramped.ctl("list")
            assert (failed.value.status, failed.value.error["kind"]) == (5, "rate_limited")
            status, _ = health(cramped)
            assert status == 1
            assert cramped.ctl("status")["name"] == "cramped"
        assert cramped.log.count("out of file descriptors") == 1
        assert "Traceback" not in cramped.log
    until(lambda: health(cramped)[0] == 0)
    assert not refused(cramped.port), cramped.log[-3000:]
    assert cramped.ctl("list")["peers"]


def test_without_descriptors_a_node_can_be_stopped(cramped: Cramped) -> None:
    with ExitStack() as stack:
        fill(cramped, stack)
        assert cramped.output("exit") == "stopped\n"
        assert cramped.wait() == 0


def test_a_node_takes_as_many_links_as_its_limit_of_files_allows_and_says_so(small: Small) -> None:
    (warning,) = [line for line in small.log.splitlines() if "max_links" in line]
    assert f"max_links is 1000, but the limit of open files is {FILES}: only 12 links fit" in warning
    with ExitStack() as stack:
        for count in range(1, 13):
            stack.enter_context(dial(small.port)).sendall(b"hi\n")
            until(lambda count=count: small.log.count(" is up ") == count)
        assert refused(small.port)
        status, told = health(small)
        assert status == 0
        assert told.startswith("healthy\nwarning: max_links is reached: 12 links were accepted")
    assert "out of file descriptors" not in small.log


@pytest.mark.parametrize("files", [7, 9, 12, 16, 22, 33])
def test_a_limit_of_files_that_is_too_low_for_a_node_is_refused_in_one_line(tiny: Small, files: int) -> None:
    tiny.files = files
    remedy = "raise ulimit -n or LimitNOFILE"
    told = f"chatd: the limit of open files is {files}, but this node needs at least 34 ({remedy})"
    assert tiny.run() == (2, [told])
    assert not tiny.state.exists()


@pytest.mark.parametrize(("files", "room_ports"), [(34, 0), (43, 1), (44, 2)])
def test_a_node_with_just_enough_files_has_room_for_a_link_and_a_client(
    tiny: Small, files: int, room_ports: int
) -> None:
    flags = [word for number in range(room_ports) for word in ("--room-port", f"127.0.0.1:0=r{number},dialect=name")]
    tiny.files = files - 1
    status, lines = tiny.run(*flags)
    assert (status, len(lines), f"needs at least {files}" in lines[0]) == (2, 1, True)
    tiny.files = files
    tiny.start("--plain", "on", *flags)
    with dial(tiny.port) as peer:
        peer.sendall(b"hi\n")
        until(lambda: " is up " in tiny.log)
        assert tiny.ctl("list")["peers"]
    assert "out of file descriptors" not in tiny.log
