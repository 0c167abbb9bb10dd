"""Whole nodes, and a liar among them."""

import pytest

from tests.adversary.liar import Liar
from tests.harness.fixtures import network, three_nodes, two_nodes
from tests.harness.network import Network

__all__ = ["liar", "network", "three_nodes", "two_nodes"]


@pytest.fixture
def liar(network: Network) -> Liar:
    """A liar that calls itself mallory; its lines end with the nodes of the test."""
    return Liar(network.nursery)
