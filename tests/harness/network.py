"""Nodes in this process: `chatd.daemon.run` with directories of their own, in memory or on loopback (places.py).

A `Network` owns the nodes of one test. When it ends, every node is asked to stop, and what checks.py promises is
looked at. Tests say `a, b = await two_nodes()`; tests that want other nodes start them with `network.node(...)`.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from typing import Any, cast

import msgspec
import trio

from chatd.config.settings import Config
from chatd.config.values import parse_address
from chatd.daemon import LOCK_FILE
from chatd.node import JOURNAL_FILE, Node
from chatd.sync import Waker
from tests.harness import checks
from tests.harness.client import Client, Feed, Hung
from tests.harness.daemons import DaemonRun
from tests.harness.places import HOST, PLACE, directory_for_files

NAMES = ("alice", "bob", "carol", "dave")
QUICK = {"redial_min": 0.02, "redial_max": 0.3}  # tests redial often and wait for it


class LiveNode:
    """One node, running or not. Its address stays the same over restarts."""

    def __init__(self, nursery: trio.Nursery, name: str, directory: str, settings: dict[str, Any]) -> None:
        self.name = name
        self.directory = directory
        self.socket = os.path.join(directory, "s")
        self.state = os.path.join(directory, "state")
        self.settings: dict[str, Any] = {"listen": [f"{HOST}:{PLACE.get().new_port()}"], **QUICK, **settings}
        self.loses_events = False  # its disk is full at times
        self.address = ""
        self.id = ""
        self.client: Client
        self.runtime: Any  # of the newest start, as `run`
        self.run: DaemonRun | None = None
        self._nursery = nursery

    @property
    def config(self) -> Config:
        given = {"node": self.name, "name": self.name, "socket": self.socket, "state": self.state}
        return msgspec.convert(given | self.settings, Config)

    @property
    def database(self) -> str:
        return os.path.join(self.state, JOURNAL_FILE)

    @property
    def port(self) -> int:
        return parse_address(self.address)[1]

    @property
    def running(self) -> bool:
        return self.run is not None and self.run.running

    @property
    def node(self) -> Node:
        """The parts of the newest run."""
        assert self.run is not None
        assert self.run.node is not None
        return self.run.node

    async def start(self, **settings: Any) -> None:
        """Start it (again), with what changes, and a session on it."""
        assert not self.running
        if self.address:
            self.settings["listen"] = [self.address]
        self.settings |= settings
        self.runtime = PLACE.get().new_runtime()
        self.run = DaemonRun(self.config, self.runtime)
        self._nursery.start_soon(self._live, self.run, self.runtime.served)
        await self.runtime.served.wait()
        try:
            self.client = await self.new_client()
            status = await self.client.ask("status")
        except (OSError, Hung):
            await self.exited()
            raise
        self.address, self.id = status["listen"][0], status["node"]

    async def _live(self, run: DaemonRun, served: trio.Event) -> None:
        await run.run()
        served.set()  # `start` goes on, and says why there is no daemon

    async def stop(self) -> None:
        """Ask it to stop; it does, in time."""
        with trio.move_on_after(checks.EXIT_S) as scope:
            with suppress(Hung):  # it has ended by itself: `exited` says whether that was all right
                await self.client.ask("shutdown")
            await self.exited()
        assert not scope.cancelled_caught, f"{self.name} did not stop within {checks.EXIT_S:g} s"

    async def exited(self) -> None:
        """Wait until it has ended, by itself or by `stop`."""
        failure = await self._end()
        assert failure is None, f"{self.name} ended with {failure!r}"

    async def failed(self) -> BaseException:
        """Wait until it has ended by itself; with what."""
        failure = await self._end()
        assert failure is not None, f"{self.name} ended without a failure"
        return failure

    async def _end(self) -> BaseException | None:
        """Wait for its end; what it ended with is told once."""
        assert self.run is not None
        await self.run.exited.wait()
        failure, self.run.failure = self.run.failure, None
        return failure

    async def kill(self) -> None:
        """End it without a word to any peer or client."""
        assert self.run is not None
        self.run.kill()
        await self.exited()

    async def restart(self, **settings: Any) -> None:
        """Stop and start."""
        await self.stop()
        await self.start(**settings)

    # -- verbs

    async def ask(self, method: str, **params: Any) -> Any:
        """A request on its session."""
        return await self.client.ask(method, **params)

    async def connect(self, other: "LiveNode | str", **params: Any) -> dict[str, Any]:
        """`connect` to a node or an address; its record."""
        host, port = parse_address(other if isinstance(other, str) else other.address)
        return cast("dict[str, Any]", (await self.ask("connect", host=host, port=port, **params))["peer"])

    async def send(self, peer: "LiveNode | int | str", text: str, **options: Any) -> str:
        """`send`; the message's id."""
        to = peer.name if isinstance(peer, LiveNode) else peer
        return cast(str, (await self.ask("send", peer=to, text=text, **options))["id"])

    async def states(self, *ids: str) -> list[str]:
        """The states that messages have now."""
        return [(await self.ask("msg", id=id_))["message"]["state"] for id_ in ids]

    async def drained(self, peer: str) -> None:
        """Wait until nothing is owed to that peer, and that is on disk."""
        await self.ask("wait", for_="outbox-empty", peer=peer)
        self.node.journal.flush()
        await self.node.journal.responds()

    async def committed_until(self, done: Callable[[], Awaitable[bool]]) -> None:
        """Wait until that holds; it is looked at now, and after each commit."""
        journal, waker = self.node.journal, Waker()
        journal.watch(waker)
        try:
            while not await done():
                await waker.wait()
        finally:
            journal.unwatch(waker)

    async def feed(self, from_: object = "now", **filter_: object) -> Feed:
        """A subscription on a session of its own; `now` is behind everything that was appended."""
        await self.node.journal.settled()
        return await (await self.new_client()).subscribe(from_, **filter_)

    async def new_client(self) -> Client:
        """One more session. Raises OSError."""
        client = Client(await self.open_session())
        self._nursery.start_soon(client.run)
        return client

    async def open_session(self) -> trio.SocketStream:
        """A connection to its control socket. Raises OSError."""
        return await PLACE.get().open_session(self.runtime, self.socket)

    async def peers(self) -> list[dict[str, Any]]:
        """`list --all`."""
        return cast("list[dict[str, Any]]", (await self.ask("list", all=True))["peers"])

    async def peer(self, name: str) -> dict[str, Any]:
        """The peer with that name."""
        (found,) = [peer for peer in await self.peers() if peer["name"] == name]
        return found

    async def wait_state(self, name: str, state: str, **match: object) -> dict[str, Any]:
        """The peer of that name, once its state (and other fields) are these."""
        changed = self.node.registry.changed
        while True:
            for record in self.node.registry.records():
                fields = msgspec.to_builtins(record)
                if record.name == name and record.state == state and match.items() <= fields.items():
                    return cast("dict[str, Any]", fields)
            await changed.wait()

    async def up(self, *others: "LiveNode") -> None:
        """Wait until it has a link to each of them."""
        for other in others:
            await self.wait_state(other.name, "up")

    async def settled(self, *others: "LiveNode") -> None:
        """Wait until it has exactly one link to each of them, an open one, and none to anybody else."""
        registry = self.node.registry
        while sorted((peer.name, [link.reason for link in peer.links]) for peer in registry.up()) != sorted(
            (other.name, [None]) for other in others
        ):
            await registry.changed.wait()

    async def history(self, **filter_: object) -> list[dict[str, Any]]:
        """Every event that it appended so far, and that matches."""
        events: list[dict[str, Any]] = []
        await self.node.journal.settled()
        start: object = "start"
        while start is not None:
            page = await self.ask("history", from_=start, n=100000, filter=filter_)
            events += page["events"]
            start = {"position": page["next"]} if page["next"] else None
        return events

    async def texts(self, direction: str = "in") -> list[str]:
        """The texts in its journal."""
        events = await self.history(types=["message"], direction=direction)
        return [event["text"] for event in events if event["type"] == "message"]  # a gap is always shown


class Network:
    """The nodes of one test."""

    def __init__(self, nursery: trio.Nursery, directory: str) -> None:
        self.nodes: list[LiveNode] = []
        self.directory = directory
        self.nursery = nursery

    def node(self, name: str, **settings: Any) -> LiveNode:
        """A node that does not run yet."""
        directory = os.path.join(self.directory, name)
        os.mkdir(directory)
        node = LiveNode(self.nursery, name, directory, settings)
        self.nodes.append(node)
        return node

    async def start(self, count: int, *, connected: bool = True, **settings: Any) -> list[LiveNode]:
        """Running nodes, each connected to the one before it. Settings are for all."""
        nodes = [self.node(name, **settings) for name in NAMES[:count]]
        for node in nodes:
            await node.start()
        if connected:
            for left, right in pairwise(nodes):
                await left.connect(right)
                await right.up(left)
        return nodes

    async def two_nodes(self, *, connected: bool = True, **settings: Any) -> tuple[LiveNode, LiveNode]:
        """alice, who has connected to bob, and bob."""
        a, b = await self.start(2, connected=connected, **settings)
        return a, b

    async def three_nodes(self, *, connected: bool = True, **settings: Any) -> tuple[LiveNode, LiveNode, LiveNode]:
        """alice, bob and carol in a line."""
        a, b, c = await self.start(3, connected=connected, **settings)
        return a, b, c

    async def stop(self) -> None:
        """Ask all nodes to stop, all at once; none of them is left."""
        async with trio.open_nursery() as nursery:
            for node in self.nodes:
                if node.running:
                    nursery.start_soon(node.stop)

    def check(self) -> None:
        """What is left of nodes that have ended."""
        checks.no_task()
        for node in self.nodes:
            if not node.address:
                continue  # never started
            checks.no_socket(node.socket)
            checks.unlocked(os.path.join(node.state, LOCK_FILE))
            checks.no_open_peer(node.node.registry.records())
            checks.sound_database(node.database)
            checks.told_its_end(node.database, whole=not node.loses_events)


@asynccontextmanager
async def networking(make: "Callable[[trio.Nursery, str], Network]" = Network) -> AsyncIterator[Network]:
    """A network, with the checks at its end; a test that has failed already is not checked."""
    directory = tempfile.mkdtemp(prefix="chatd-", dir=directory_for_files())
    log, records = logging.getLogger("chatd"), checks.Records()
    log.addHandler(records)
    log.setLevel(logging.DEBUG)
    try:
        async with trio.open_nursery() as nursery:
            network = make(nursery, directory)
            try:
                yield network
                await network.stop()
            finally:
                nursery.cancel_scope.cancel()
        network.check()
        checks.no_traceback(records.records)
    finally:
        log.removeHandler(records)
        log.setLevel(logging.NOTSET)
        shutil.rmtree(directory)


TwoNodes = Callable[..., Awaitable[tuple[LiveNode, LiveNode]]]
ThreeNodes = Callable[..., Awaitable[tuple[LiveNode, LiveNode, LiveNode]]]
