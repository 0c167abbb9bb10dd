"""`two_nodes` and its like; every test that uses one ends with the checks of nodes.py."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.integration.nodes import LiveNode, Network, networking

TwoNodes = Callable[..., Awaitable[tuple[LiveNode, LiveNode]]]
ThreeNodes = Callable[..., Awaitable[tuple[LiveNode, LiveNode, LiveNode]]]


@pytest.fixture
async def network() -> AsyncIterator[Network]:
    """The nodes of the test."""
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
