"""Fixtures of the core: a journal in a temporary directory, and the core on it."""

from tests.harness.fixtures import core, journal, path, stores, world

__all__ = ["core", "journal", "path", "stores", "world"]
