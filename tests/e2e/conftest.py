"""Fixtures of the end-to-end tests: nodes that are checked and removed at the end, and the real nc."""

import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.e2e.processes import Node

MakeNode = Callable[..., Node]


@pytest.fixture
def node() -> Iterator[MakeNode]:
    """Make a node, not started yet; at the end of the test each one that was started must stop cleanly."""
    made: list[Node] = []

    def make(name: str, *flags: str) -> Node:
        made.append(Node(name, *flags))
        return made[-1]

    try:
        yield make
        for each in made:
            each.finish()
    finally:
        for each in made:
            each.remove()


@pytest.fixture
def pair(node: MakeNode) -> tuple[Node, Node]:
    """Two nodes that run, alice connected with bob; each is the other's slot 0."""
    alice, bob = node("alice").start(), node("bob").start()
    alice.ctl("connect", "127.0.0.1", str(bob.port))
    return alice, bob


@pytest.fixture
def nc() -> str:
    """The path of the real nc."""
    path = shutil.which("nc")
    if path is None:
        pytest.skip("nc is not installed")
    return path


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine that runs."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine is running")
