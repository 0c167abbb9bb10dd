"""Power: a file system of its own for one node, and what is left of it when the power fails.

The file system is ext4 in an image behind a loop device. What a node has synced is in the image, what it has only
written is in the kernel's memory; a copy of the image, made while the node is stopped, is what a power cut leaves.
Root only, as CI is; every mount and its loop device are gone when the block ends.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.victims import Victim

IMAGE_BYTES = 64 << 20
COMMAND_S = 30
STOP_S = 10.0
POLL_S = 0.002
# Nothing is written for the node by the file system's own timer: what the copy has, the node has asked for.
OPTIONS = "loop,commit=300,noatime"


class Disk:
    """The state directory of a node on an image."""

    def __init__(self, folder: Path) -> None:
        self._images = [folder / "image-a", folder / "image-b"]
        self.point = folder / "disk"
        self.state = self.point / "state"
        self.point.mkdir()
        with self._images[0].open("wb") as image:
            image.truncate(IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", str(self._images[0]))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", OPTIONS, str(self._images[0]), str(self.point))

    def cut(self, victim: Victim) -> None:
        """The power fails: the node is gone, and of its disk only what had reached it is there."""
        stop(victim)
        present, copy = self._images
        shutil.copyfile(present, copy)
        victim.kill()
        self.remove()
        self._images.reverse()
        self._mount()

    def remove(self) -> None:
        """Unmount; the loop device goes with it."""
        _run("umount", str(self.point))


def stop(victim: Victim) -> None:
    """SIGSTOP, and wait until every thread has come out of the kernel: a sync that was begun ends before."""
    victim.signal(signal.SIGSTOP)
    deadline = time.monotonic() + STOP_S
    while set(_states(victim.pid)) != {"T"}:
        assert time.monotonic() < deadline, f"{victim.name} does not stop"
        time.sleep(POLL_S)


def _states(pid: int) -> Iterator[str]:
    for thread in os.listdir(f"/proc/{pid}/task"):
        yield Path(f"/proc/{pid}/task/{thread}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


@contextmanager
def disk_of(victim: Victim) -> Iterator[Disk]:
    """A disk for the state of a node that has not been started. It is killed before the disk goes."""
    disk = Disk(victim.folder)
    try:
        victim.state = disk.state
        yield disk
    finally:
        if victim.running:
            victim.kill()
        if os.path.ismount(disk.point):
            disk.remove()


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
