"""Whole nodes, with the checks of tests/harness/network.py at the end of every test."""

from tests.harness.fixtures import network, three_nodes, two_nodes

__all__ = ["network", "three_nodes", "two_nodes"]
