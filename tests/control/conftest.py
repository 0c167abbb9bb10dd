"""The fixtures of the control socket: a node behind one, and a client of it."""

from tests.harness.fixtures import client, short_path, stand

__all__ = ["client", "short_path", "stand"]
