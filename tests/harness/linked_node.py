"""A node without its control socket and listeners: journal, registry, trust, chat and links, all real."""

import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import trio

from chatd.config.settings import Config
from chatd.journal.journal import Journal
from chatd.journal.store import Store
from chatd.messages.chat import Chat
from chatd.messages.consumers import Consumers
from chatd.net.links import Links
from chatd.peers.identity import load_or_create, prepare_state_dir
from chatd.peers.registry import Registry
from chatd.peers.trust import Trust
from chatd.rooms.router import RoomRouter
from chatd.runtime import Runtime


def config_of(state: str = "/none", **settings: Any) -> Config:
    """The settings of a test node."""
    given = {"node": "alice", "name": "alice", "socket": "/none", "state": state, "listen": ["127.0.0.1:0"]}
    return msgspec.convert(given | settings, Config)


def parts_of(config: Config, runtime: Runtime) -> Links:
    """What links share, put together (blocking)."""
    prepare_state_dir(config.state)
    identity = load_or_create(config.state)
    store = Store(os.path.join(config.state, "journal.db"))
    journal = Journal(store, runtime, pending_bytes=config.journal_pending_bytes, tail_bytes=config.tail_bytes)
    registry = Registry(journal, runtime, identity.node, config.name, config.known)
    trust = Trust(config.trust, config.known, registry)
    exchange = RoomRouter(config, identity.node, journal, registry)
    return Links(
        config,
        runtime,
        identity,
        journal,
        registry,
        trust,
        Chat(
            config,
            identity.node,
            journal,
            registry,
            runtime,
            trio.current_time(),
            exchange.hosted_rooms.release_intervals,
        ),
        exchange,
        Consumers(journal, runtime, config.consumers),
    )


@asynccontextmanager
async def linking(runtime: Runtime | None = None, **settings: Any) -> AsyncIterator[Links]:
    """Running links; at the end none of them is left."""
    with tempfile.TemporaryDirectory(prefix="chatd-") as directory:
        links = parts_of(config_of(directory, **settings), runtime or Runtime())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(links.journal.run)
            await nursery.start(links.run)
            yield links
            await links.goodbye()
            await links.journal.settled()
            nursery.cancel_scope.cancel()
        assert not links.registry.all_links()
        assert not links.journal._watchers
        links.journal.close()


async def loopback() -> tuple[trio.SocketStream, trio.SocketStream]:
    """Both ends of one real TCP connection: accepted, dialed."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        theirs = await trio.open_tcp_stream("127.0.0.1", listener.socket.getsockname()[1])
        return await listener.accept(), theirs
