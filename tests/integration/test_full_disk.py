"""A full disk on the receiver: nothing is taken that cannot be kept, and it comes when there is room."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.client import Refused
from tests.integration.nodes import LiveNode, Network

DISK_BYTES = 16 << 20


class Disk:
    """A small file system of its own."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._filler = os.path.join(path, "filler")

    def fill(self) -> None:
        """Take all room that is left."""
        with open(self._filler, "wb", buffering=0) as file:
            for size in (65536, 512):
                try:
                    while file.write(b"x" * size):
                        continue
                except OSError:
                    continue

    def make_room(self) -> None:
        """Give it back."""
        os.unlink(self._filler)


@pytest.fixture
def disk(tmp_path: "os.PathLike[str]") -> Iterator[Disk]:
    path = os.path.join(tmp_path, "disk")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", path], check=True)
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


async def on_disk(network: Network, disk: Disk) -> tuple[LiveNode, LiveNode]:
    """alice, connected to bob, whose state is on that disk."""
    a, b = network.node("alice"), network.node("bob")
    b.state = os.path.join(disk.path, "state")
    b.loses_events = True
    await a.start()
    await b.start()
    await a.connect(b)
    await b.up(a)
    return a, b


async def test_what_a_full_receiver_cannot_keep_stays_with_the_sender_and_arrives_once_there_is_room(
    network: Network, disk: Disk
) -> None:
    a, b = await on_disk(network, disk)
    downs = await a.feed(types=["peer.down"])
    inbox = await b.feed("start", types=["message"], direction="in")
    disk.fill()
    texts = [f"{number:5} " + "x" * 200 for number in range(3000)]
    await a.client.send_many("bob", texts)
    assert (await downs.next())["reason"] == "peer's disk is full"
    assert (await a.peer("bob"))["queued"] > 0
    assert (await b.ask("status"))["journal"]["full"]
    disk.make_room()
    assert await inbox.texts(3000) == texts
    peer = a.runtime.links.registry.find("bob")
    while peer.unacked:
        await peer.acked.wait()
    assert await b.texts() == texts
    assert not (await b.ask("status"))["journal"]["full"]


async def test_a_full_node_refuses_to_send_and_still_delivers_what_it_reads(network: Network, disk: Disk) -> None:
    a, b = await on_disk(network, disk)
    await b.send("alice", "before")
    disk.fill()
    kinds: set[str] = set()
    while "storage_full" not in kinds:
        try:
            await b.send("alice", "x" * 1000)
        except Refused as refused:
            kinds.add(refused.kind)
    assert kinds == {"storage_full"}
    assert "before" in await b.texts("out")
    disk.make_room()
    inbox = await a.feed(types=["message"])
    await b.send("alice", "after")
    await inbox.until("message", text="after")
