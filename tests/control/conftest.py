"""A node behind a control socket, in a directory whose name is short enough for one."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.harness.control_node import Client, Stand, standing


@pytest.fixture
def short_path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="chatd-test-") as directory:
        yield Path(directory)


@pytest.fixture
async def stand(request: pytest.FixtureRequest, short_path: Path) -> AsyncIterator[Stand]:
    """Settings are given by `@pytest.mark.parametrize("stand", [{…}], indirect=True)`."""
    async with standing(short_path, **getattr(request, "param", {})) as served:
        yield served


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[Client]:
    connected = await stand.connect()
    async with connected.stream:
        yield connected
