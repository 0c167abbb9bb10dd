"""Small file systems for tests, which need root, as in CI."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def needs_root() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can mount file systems and give up privileges")


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, timeout=20)


@contextmanager
def small_disk(path: Path, size: str = "1m") -> Iterator[Path]:
    """A file system in memory with that size."""
    needs_root()
    path.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True, timeout=20)


def remount(path: Path, option: str) -> None:
    """`ro` or `rw`; nothing on it may be open for writing."""
    _mount("-o", f"remount,{option}", str(path))


def fill(path: Path) -> Path:
    """Fill the disk to the last byte; returns the file that fills it."""
    ballast = path / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while file.write(b"x" * size):
                    continue
            except OSError:
                continue
    return ballast


@contextmanager
def no_growth_of(path: Path) -> Iterator[None]:
    """Limit files of this process to the length of that one: a longer write is an I/O error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
