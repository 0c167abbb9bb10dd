"""A full disk on the receiver: nothing is taken that cannot be kept, and it comes when there is room.

The disk is a real, small one in the long tests (that takes root); else the database is told to stop growing, which
is the same to whoever writes to it.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.client import Refused
from tests.harness.network import LiveNode, Network

DISK_BYTES = 16 << 20
MOST_PAGES = 1 << 30


class PageLimit:
    """The database of a node is not let grow."""

    path = ""

    async def fill(self, node: LiveNode) -> None:
        """No page more."""
        pages = node.node.journal.store.query("PRAGMA page_count")[0][0]
        await self._limit(node, pages)

    async def make_room(self, node: LiveNode) -> None:
        """As many as it likes."""
        await self._limit(node, MOST_PAGES)

    async def _limit(self, node: LiveNode, pages: int) -> None:
        journal = node.node.journal
        await journal.ask(lambda store: store.query(f"PRAGMA max_page_count = {pages}"))


class SmallDisk:
    """A file system of a few MiB."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._filler = os.path.join(path, "filler")

    async def fill(self, node: LiveNode) -> None:
        """Take all room that is left."""
        self._fill()

    def _fill(self) -> None:
        with open(self._filler, "wb", buffering=0) as file:
            for size in (65536, 512):
                try:
                    while file.write(b"x" * size):
                        continue
                except OSError:
                    continue

    async def make_room(self, node: LiveNode) -> None:
        """Give it back."""
        os.unlink(self._filler)


Disk = PageLimit | SmallDisk


@pytest.fixture(params=["pages", pytest.param("tmpfs", marks=pytest.mark.long)])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    if request.param == "pages":
        yield PageLimit()
        return
    path = str(tmp_path / "disk")
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", path], check=True)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


async def on_disk(network: Network, disk: Disk) -> tuple[LiveNode, LiveNode]:
    """alice, connected to bob, whose state is on that disk."""
    a, b = network.node("alice"), network.node("bob")
    if disk.path:
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
    await disk.fill(b)
    texts = [f"{number:5} " + "x" * 200 for number in range(3000)]
    await a.client.send_many("bob", texts)
    assert (await downs.next())["reason"] == "peer's disk is full"
    assert (await a.peer("bob"))["queued"] > 0
    await disk.make_room(b)
    assert await inbox.texts(3000) == texts
    await a.drained("bob")
    assert await b.texts() == texts
    assert not (await b.ask("status"))["journal"]["full"]


async def test_a_full_node_refuses_to_send_and_still_reads_what_it_has(network: Network, disk: Disk) -> None:
    a, b = await on_disk(network, disk)
    await b.send("alice", "before")
    await disk.fill(b)
    kinds: set[str] = set()
    while "storage_full" not in kinds:
        try:
            await b.send("alice", "x" * 1000)
        except Refused as refused:
            kinds.add(refused.kind)
    assert kinds == {"storage_full"}
    assert (await b.ask("status"))["journal"]["full"]
    assert "before" in await b.texts("out")
    await disk.make_room(b)
    inbox = await a.feed(types=["message"])
    await b.send("alice", "after")
    await inbox.until("message", text="after")
