"""Nodes in part: their parts as the program builds them, of which nothing runs, or only the journal and the links."""

import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import trio

from chatd.config.settings import Config
from chatd.journal.store import Store
from chatd.node import JOURNAL_FILE, Node
from chatd.peers.identity import Identity, prepare_state_dir
from chatd.runtime import Runtime
from tests.harness.places import directory_for_files


def config_of(state: str = "/none", **settings: Any) -> Config:
    """The settings of a test node."""
    given = {"node": "alice", "name": "alice", "socket": "/none", "state": state, "listen": ["127.0.0.1:0"]}
    return msgspec.convert(given | settings, Config)


def build_node(config: Config, runtime: Runtime, node_id: str, now: float | None = None) -> Node:
    """All parts over the journal of its state directory, for a node id that stands for no key. The caller closes it.

    `now` is the time of trio's clock, for callers outside of a run.
    """
    store = Store(os.path.join(config.state, JOURNAL_FILE))
    nothing = cast(ssl.SSLContext, None)  # links that are not there prove nothing
    began = trio.current_time() if now is None else now
    try:
        return Node(config, runtime, Identity(node_id, nothing, nothing), store, began)
    except BaseException:
        store.close()
        raise


@asynccontextmanager
async def linking(runtime: Runtime | None = None, **settings: Any) -> AsyncIterator[Node]:
    """A node of which the journal and the links run; at the end it has no link and no watcher."""
    with tempfile.TemporaryDirectory(prefix="chatd-", dir=directory_for_files()) as directory:
        config = config_of(directory, **settings)
        prepare_state_dir(config.state)
        node = await Node.open(config, runtime or Runtime())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.journal.run)
            await nursery.start(node.links.run)
            yield node
            await node.links.goodbye()
            await node.journal.settled()
            nursery.cancel_scope.cancel()
        assert not node.registry.all_links()
        assert not node.journal._watchers
        node.close()
