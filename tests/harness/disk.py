"""Real file systems for tests, tiny and of their own; they need root, as CI has it."""

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
    """A file system in memory of that size."""
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
    """Use up the last byte; gives the file that holds it."""
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
    """No file of this process gets longer than that one is: writing beyond is an I/O error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
