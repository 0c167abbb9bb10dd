"""A node without its network side: real journal, registry, trust and chat behind a real control socket."""

import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import trio

from chatd.api.events import Message
from chatd.api.network import Topology, TopologyLink, TopologyNode
from chatd.control.server import ControlServer
from chatd.journal.batch import Batch
from chatd.journal.store import Store
from chatd.peers.peer import Peer
from chatd.peers.registry import Registry
from chatd.runtime import Runtime
from tests.harness.linked_node import build_node, config_of
from tests.harness.parts import FakeLink as AnyLink

NODE_ID = "k3v" + "a" * 49
BOB_ID = "b" * 52


class Refused(Exception):
    """The node answered with an error."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data: dict[str, Any] = error["data"]

    @property
    def kind(self) -> str:
        return str(self.data["kind"])


class FakeLink(AnyLink):
    """A link without a socket, that we have dialed."""

    def __init__(self, direction: str = "out", address: str = "127.0.0.1:7421") -> None:
        super().__init__(direction, address)

    def enqueue(self, seq: int, text: str, batch: Batch) -> None:
        self.waiting += 1


class FakeDialer:
    """Records the arguments of `connect`, which returns when `let_go` is set; dials nothing."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.asked: list[tuple[Any, ...]] = []
        self.let_go = trio.Event()
        self.failure: Exception | None = None

    async def connect(
        self,
        host: str,
        port: int,
        *,
        plain: bool,
        keep: bool,
        timeout: float | None,
        dialect: str | None,
        nick: str | None,
    ) -> Peer:
        self.asked.append(("connect", host, port, plain, keep, timeout, dialect, nick))
        await self.let_go.wait()
        if self.failure is not None:
            raise self.failure
        return self._registry.find("bob")

    async def terminate(self, peer: Peer) -> int:
        self.asked.append(("terminate", peer.name))
        await trio.lowlevel.checkpoint()
        return 3


class FakeExplorer:
    """Reports alice and bob, and a link between them in the state that a test sets; records the arguments."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float]] = []
        self.state = "up"

    async def explore(self, hops: int, timeout: float, enough: Callable[[Topology], bool] | None = None) -> Topology:
        await trio.lowlevel.checkpoint()
        self.asked.append((hops, timeout))
        alice = TopologyNode(NODE_ID, "alice", "answered", 0, 0, [TopologyLink(BOB_ID, "bob", self.state, 0.5)])
        bob = TopologyNode(BOB_ID, "bob", "answered", 1, 2, [TopologyLink(NODE_ID, "alice", self.state, 0.5)])
        found = Topology([alice, bob], True, 1.0)
        assert enough is None or isinstance(enough(found), bool)
        return found


class Client:
    """The client side of one session."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.events: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self._held = b""
        self._id = 0

    async def line(self) -> dict[str, Any] | None:
        """The next line; None at the end."""
        while b"\n" not in self._held:
            data = await self.stream.receive_some(65536)
            if not data:
                assert not self._held
                return None
            self._held += data
        line, _, self._held = self._held.partition(b"\n")
        return cast("dict[str, Any]", json.loads(line))

    async def lines(self, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for _ in range(count):
            line = await self.line()
            assert line is not None, found
            found.append(line)
        return found

    async def write(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def post(self, method: str, **params: Any) -> int:
        """Send a request without waiting for the response; returns its id."""
        self._id += 1
        await self.write(request(method, self._id, **params))
        return self._id

    async def answer(self, id_: Any) -> dict[str, Any]:
        """The response with that id; earlier notifications are kept."""
        while True:
            line = await self.line()
            assert line is not None, "the session has ended"
            if "method" in line:
                kept = self.events if line["method"] == "event" else self.ended
                kept.append(line["params"])
                continue
            assert line["id"] == id_
            return line

    async def ask(self, method: str, **params: Any) -> Any:
        """The result of a request. Raises Refused."""
        return result_of(await self.answer(await self.post(method, **params)))

    async def event(self) -> dict[str, Any]:
        """The next event, as the parameters of its notification."""
        if self.events:
            return self.events.pop(0)
        line = await self.line()
        assert line is not None, "the session has ended"
        assert line["method"] == "event", line
        return cast("dict[str, Any]", line["params"])


def request(method: str, id_: Any = None, **params: Any) -> bytes:
    """A request as a line; without an id a notification. `from_` stands for `from`, `for_` for `for`."""
    named = {name.rstrip("_"): value for name, value in params.items()}
    body: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": named}
    if id_ is not None:
        body["id"] = id_
    return json.dumps(body).encode() + b"\n"


def result_of(line: Mapping[str, Any]) -> Any:
    """The result in a response. Raises Refused."""
    if "error" in line:
        raise Refused(line["error"])
    return line["result"]


class Stand:
    """A node with its control server, whose dialer and explorer are fakes."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        self.config = config_of(str(directory), **{"socket": str(directory / "s"), **settings})
        self.runtime = Runtime()
        self.node = node = build_node(self.config, self.runtime, NODE_ID)
        self.store, self.journal, self.registry, self.chat = node.journal.store, node.journal, node.registry, node.chat
        self.hosted_rooms, self.joined_rooms, self.posting = node.hosted_rooms, node.joined_rooms, node.posting
        self.consumers, self.trust, self.faults = node.consumers, node.trust, node.faults
        self.dialer, self.explorer = FakeDialer(self.registry), FakeExplorer()
        self.stops: list[str] = []
        self._replace_what_is_not_there(node)
        self.server = ControlServer(node)
        self.bob = self.registry.native(BOB_ID, "bob", "127.0.0.1:7421")
        self.registry.link_up(self.bob, FakeLink())

    def _replace_what_is_not_there(self, node: Any) -> None:
        node.dialer, node.explorer = self.dialer, self.explorer
        node.listener = SimpleNamespace(addresses=["127.0.0.1:7420"], is_full=False, close=lambda: None)
        node.room_ports = SimpleNamespace(addresses=["127.0.0.1:1234"], close=lambda: None)
        node.version = "0.0"
        node.request_stop = self.stops.append

    async def connect(self) -> Client:
        return Client(await trio.open_unix_socket(self.config.socket))

    async def say(self, *texts: str, peer: Peer | None = None) -> list[str]:
        """Commit inbound messages; returns their positions."""
        messages, batch = [], Batch()
        for text in texts:
            who = peer or self.bob
            messages.append(Message(direction="in", peer=who.ref, text=text))
            batch = self.journal.append(messages[-1], who.stream_id, "in")
        await batch.wait()
        return [message.position for message in messages]

    def check_nothing_is_left(self) -> None:
        assert not os.path.exists(self.config.socket)
        assert not self.server._sessions
        assert not self.journal._watchers

    @contextmanager
    def holding_commits(self) -> Iterator["HeldStore"]:
        """Commits wait until `release`, at the latest at the end of the block."""
        held = HeldStore(self.store)
        try:
            yield held
        finally:
            held.release()


class HeldStore:
    """A disk whose writes wait, or fail."""

    def __init__(self, store: Store) -> None:
        self._write = store.write
        self._let_go = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        store.write = self._wait  # type: ignore[method-assign]
        self.failure: Exception | None = None

    def _wait(self, batch: Batch) -> None:
        trio.from_thread.run(self._let_go.wait, trio_token=self._token)
        if self.failure is not None:
            raise self.failure
        self._write(batch)

    def release(self) -> None:
        self._let_go.set()


@asynccontextmanager
async def standing(directory: Path, **settings: Any) -> AsyncIterator[Stand]:
    """A node that serves its control socket; at the end nothing of it is left."""
    stand = Stand(directory, **settings)
    async with trio.open_nursery() as core:
        core.start_soon(stand.journal.run)
        await core.start(stand.node.links.run)
        await stand.journal.settled()
        await stand.server.bind()
        async with trio.open_nursery() as nursery:
            await nursery.start(stand.server.serve)
            yield stand
            nursery.cancel_scope.cancel()
        stand.check_nothing_is_left()
        core.cancel_scope.cancel()
    stand.node.close()
