"""Room servers of others, made of plain sockets: what a real process says to them, however it ends."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import MakeNode
from tests.harness.client import Refused
from tests.harness.processes import Failed, Node
from tests.harness.until import PATIENCE_S

EXIT_S = 5.0


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """It listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE_S)
        yield listener


def joined(server: socket.socket, node: Node, *flags: str) -> socket.socket:
    """The server's end of what `chatctl connect` makes."""
    node.output("connect", "127.0.0.1", str(server.getsockname()[1]), *flags)
    client, _ = server.accept()
    client.settimeout(PATIENCE_S)
    return client


def test_a_node_talks_in_a_room_by_the_nick_that_it_is_given(node: MakeNode, server: socket.socket) -> None:
    alice = node("alice").start()
    with joined(server, alice, "--dialect", "name", "--nick", "jane", "--keep") as room:
        assert room.recv(2048) == b"jane"
        room.sendall(b"Welcome to this chatroom, jane!\n")
        (record,) = alice.ask("list")["peers"]
        assert (record["kind"], record["dialect"], record["desired"]) == ("plain", "name", True)
        alice.send(0, "@joe psst")
        assert room.recv(2048) == b"@joe psst\n"
        with pytest.raises(Refused) as refused:
            alice.send(0, "*exit")
        assert "chatctl terminate" in refused.value.data["hint"]
        alice.kill()
    alice.start()
    with server.accept()[0] as room:
        assert room.recv(2048) == b"jane"
        alice.kill()  # an orderly stop would wait for the server to close


def test_a_process_that_is_killed_resets_an_address_server(node: MakeNode, server: socket.socket) -> None:
    alice = node("alice").start()
    with joined(server, alice, "--dialect", "address") as room:
        alice.send(0, "hello")
        assert room.recv(1024) == b"hello"
        alice.kill()
        with pytest.raises(ConnectionResetError):
            room.recv(1024)


@pytest.mark.parametrize(("dialect", "farewell"), [("address", b"QUIT"), ("name", b"*exit\n")])
def test_a_node_exits_in_time_also_when_the_server_never_closes(
    node: MakeNode, server: socket.socket, dialect: str, farewell: bytes
) -> None:
    alice = node("alice").start()
    with joined(server, alice, "--dialect", dialect) as room:
        if dialect == "name":
            assert room.recv(2048) == b"alice"
            room.sendall(b"Welcome")
            alice.inbox(1)
        began = time.monotonic()
        alice.stop()
        assert time.monotonic() - began < EXIT_S
        assert room.recv(2048) == farewell


def test_what_no_room_server_could_be_told_is_a_usage_error(node: MakeNode) -> None:
    alice = node("alice").start()
    for words, says in (
        (["--nick", "jane"], "dialect"),
        (["--dialect", "address", "--nick", "jane"], "leave it out"),
        (["--dialect", "name", "--nick", "two words"], "without blanks"),
        (["--dialect", "irc"], "'address', 'name'"),
    ):
        with pytest.raises(Failed) as refused:
            alice.output("connect", "127.0.0.1", "9", *words)
        assert refused.value.status == 2
        assert says in refused.value.stderr


def test_a_server_that_resets_is_come_back_to(node: MakeNode, server: socket.socket) -> None:
    alice = node("alice", "--redial-min", "20ms").start()
    with joined(server, alice, "--dialect", "name", "--keep") as room:
        assert room.recv(2048) == b"alice"
        room.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert alice.until("peer.down")["reason"] == "reset"
    with server.accept()[0] as room:
        assert room.recv(2048) == b"alice"
        alice.kill()
