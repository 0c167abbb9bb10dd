from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from chatd.journal.journal import Journal
from chatd.journal.store import Store
from tests.harness.parts import FILE, Core, World, open_journal, running, standing


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def journal(tmp_path: Path, world: World) -> AsyncIterator[Journal]:
    """A new journal, running."""
    async with running(open_journal(tmp_path, world)) as opened:
        yield opened


@pytest.fixture
async def core(tmp_path: Path) -> AsyncIterator[Core]:
    """A node's decisions, over a new journal."""
    async with standing(tmp_path) as stood:
        yield stood


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal of the test is."""
    return tmp_path / FILE


@pytest.fixture
def stores() -> Iterator[Callable[[Path], Store]]:
    """Opens stores; they are closed at the end."""
    opened: list[Store] = []

    def open_one(path: Path) -> Store:
        opened.append(Store(str(path)))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()
