"""Fixtures of the end-to-end tests: `two_nodes` and its like, the real nc, and a Docker engine."""

import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.harness.processes import Node, Processes, processing

MakeNode = Callable[..., Node]
TwoNodes = Callable[..., tuple[Node, Node]]


@pytest.fixture
def processes() -> Iterator[Processes]:
    """The nodes of the test; each that ran is checked at the end."""
    with processing() as nodes:
        yield nodes


@pytest.fixture
def node(processes: Processes) -> MakeNode:
    """Make a node, not started yet: `node("alice", FLAGS…)`."""
    return processes.node


@pytest.fixture
def two_nodes(processes: Processes) -> TwoNodes:
    """`a, b = two_nodes()`: alice and bob, connected unless `connected=False`; each is the other's slot 0."""
    return processes.two_nodes


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
