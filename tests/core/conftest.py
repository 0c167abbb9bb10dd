from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatd.core.journal import Journal
from tests.core.parts import Core, World, open_journal, running, standing


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
