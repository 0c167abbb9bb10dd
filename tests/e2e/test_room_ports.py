"""Rooms through the real nc: line by line, and again after the daemon was killed."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.conftest import MakeNode
from tests.harness.ports import free_port
from tests.harness.processes import Node
from tests.harness.until import PATIENCE_S


@contextmanager
def an_nc(path: str, port: int, name: str) -> Iterator["subprocess.Popen[str]"]:
    """An nc in the room, once it was welcomed."""
    with subprocess.Popen(
        [path, "-N", "127.0.0.1", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as client:
        say(client, name)
        assert hear(client) == f"Welcome to this chatroom, {name}! Type '*help' to see more options.\n"
        try:
            yield client
        finally:
            client.kill()


def say(client: "subprocess.Popen[str]", line: str) -> None:
    assert client.stdin is not None
    client.stdin.write(line + "\n")
    client.stdin.flush()


def hear(client: "subprocess.Popen[str]") -> str:
    assert client.stdout is not None
    return client.stdout.readline()


def hosting(node: MakeNode) -> tuple[Node, int]:
    """alice, with a room port."""
    port = free_port()
    return node("alice", "--room-port", f"127.0.0.1:{port}=lobby,dialect=name").start(), port


def test_two_ncs_and_a_shell_talk_line_by_line(node: MakeNode, nc: str) -> None:
    alice, port = hosting(node)
    with an_nc(nc, port, "bob") as bob, an_nc(nc, port, "carol") as carol:
        say(bob, "hello")
        assert hear(carol) == "<bob> hello\n"
        say(carol, "@bob psst")
        assert hear(bob) == "<carol> (Private Message) psst\n"
        say(carol, "*users")
        assert [hear(carol) for _ in range(3)] == ["User List:\n", "[1] bob\n", "[2] carol\n"]
        alice.ask("room.host", room="lobby", nick="alice")
        alice.ask("room.say", room="lobby", text="good evening")
        assert hear(bob) == hear(carol) == "<alice> good evening\n"
        assert carol.stdin is not None
        carol.stdin.close()
        assert carol.wait(PATIENCE_S) == 0
    texts = [(message["nick"], message["text"]) for message in alice.history(room="lobby")]
    assert texts == [("bob", "hello"), ("carol", "psst"), ("alice", "good evening")]


def test_after_a_kill_the_room_is_there_again_with_what_was_said(node: MakeNode, nc: str) -> None:
    alice, port = hosting(node)
    with an_nc(nc, port, "bob") as bob, an_nc(nc, port, "carol") as carol:
        say(bob, "before")
        assert hear(carol) == "<bob> before\n"
        alice.kill()
        assert carol.stdin is not None
        carol.stdin.close()  # nc itself stays until then
        assert hear(carol) == ""
    alice.start()
    with an_nc(nc, port, "bob") as bob, an_nc(nc, port, "carol") as carol:
        say(carol, "behind")
        assert hear(bob) == "<carol> behind\n"
    assert alice.texts(room="lobby") == ["before", "behind"]


def test_a_stopping_daemon_does_not_wait_for_members(node: MakeNode, nc: str) -> None:
    alice, port = hosting(node)
    with an_nc(nc, port, "bob") as bob:
        alice.stop()
        assert hear(bob) == ""


def test_a_room_port_that_is_taken_or_told_wrongly_is_one_clear_line(node: MakeNode) -> None:
    _, port = hosting(node)
    taken = f"127.0.0.1:{port}=lobby,dialect=name"
    status, lines = node("bob").run("--room-port", taken)
    assert status == 5
    assert f"cannot listen on 127.0.0.1:{port}" in lines[-1]
    assert "--room-port" in lines[-1]
    status, lines = node("carol").run("--room-port", "127.0.0.1:1=lobby")
    assert status == 2
    assert "dialect=address" in lines[-1]
    assert "dialect=name" in lines[-1]
