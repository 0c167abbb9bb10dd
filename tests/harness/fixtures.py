import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from chatd.journal.journal import Journal
from chatd.journal.store import Store
from tests.harness import control_node
from tests.harness.control_node import Client, Stand
from tests.harness.network import Network, ThreeNodes, TwoNodes, networking
from tests.harness.parts import FILE, Core, World, open_journal, running, standing
from tests.harness.places import directory_for_files


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
    """The core of a node on a new journal."""
    async with standing(tmp_path) as stood:
        yield stood


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the test's journal."""
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


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="chatd-test-", dir=directory_for_files()) as directory:
        yield Path(directory)


@pytest.fixture
async def stand(request: pytest.FixtureRequest, short_path: Path) -> AsyncIterator[Stand]:
    """Settings are given by `@pytest.mark.parametrize("stand", [{…}], indirect=True)`."""
    async with control_node.standing(short_path, **getattr(request, "param", {})) as served:
        yield served


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[Client]:
    connected = await stand.connect()
    async with connected.stream:
        yield connected


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """The nodes of the test: in memory, or on loopback if the test or its module is marked so."""
    async with networking() as nodes:
        yield nodes


@pytest.fixture
def two_nodes(network: Network) -> TwoNodes:
    """`a, b = await two_nodes()`: alice and bob, connected unless `connected=False`; settings as keywords."""
    return network.two_nodes


@pytest.fixture
def three_nodes(network: Network) -> ThreeNodes:
    """alice, bob and carol, in a line."""
    return network.three_nodes
