"""The fixtures of the core, and of a node behind a control socket."""

from tests.harness.fixtures import client, core, journal, path, short_path, stand, stores, world

__all__ = ["client", "core", "journal", "path", "short_path", "stand", "stores", "world"]
