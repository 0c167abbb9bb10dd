"""The real nc, in both directions."""

import subprocess

from tests.e2e.conftest import MakeNode
from tests.harness.ports import free_port
from tests.harness.until import PATIENCE_S


def test_nc_connects_and_both_sides_talk(node: MakeNode, nc: str) -> None:
    alice = node("alice").start()
    with subprocess.Popen(
        [nc, "-N", "127.0.0.1", str(alice.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        peer.stdin.write("hello from nc\n")
        peer.stdin.flush()
        (message,) = alice.inbox(1)
        assert message["text"] == "hello from nc"
        assert message["global_id"] is None
        assert message["peer"]["kind"] == "plain"
        alice.send(message["peer"]["slot"], "hello nc")
        assert peer.stdout.readline() == "hello nc\n"
        peer.stdin.close()
        assert peer.wait(PATIENCE_S) == 0
    assert alice.until("peer.down")["reason"].endswith("closed by peer")


def test_we_connect_to_a_listening_nc_and_both_sides_talk(node: MakeNode, nc: str) -> None:
    alice, port = node("alice").start(), free_port()
    with subprocess.Popen(
        [nc, "-lv", "127.0.0.1", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        assert peer.stderr is not None
        assert peer.stderr.readline().startswith("Listening")
        record = alice.connect(port, plain=True)
        assert (record["kind"], record["state"], record["direction"]) == ("plain", "up", "out")
        alice.send(record["slot"], "hello nc")
        assert peer.stdout.readline() == "hello nc\n"
        peer.stdin.write("hello chatd\n")
        peer.stdin.flush()
        assert alice.inbox(2)[-1]["text"] == "hello chatd"
        alice.ask("terminate", peer=record["slot"])
        assert peer.wait(PATIENCE_S) == 0
    assert alice.ask("list")["peers"] == []
