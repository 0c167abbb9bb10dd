"""Small file systems and a process without privileges, for tests that need root, as in CI."""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

NOBODY = 65534


def needs_root() -> None:
    if os.getuid() != 0:
        pytest.skip("only root can mount file systems and give up privileges")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up root's privileges for the time of the block."""
    needs_root()
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)  # the real one too: `os.access` asks for that
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@contextmanager
def public_directory() -> Iterator[Path]:
    """A directory of root that all users can reach."""
    needs_root()
    with TemporaryDirectory(prefix="chatd-test-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


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
