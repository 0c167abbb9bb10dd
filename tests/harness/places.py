"""Where the nodes of a test are: on the loopback address and in real time, or in memory and on the mock clock.

`run_in_memory` stands in for `trio.run`; in it `dial`, `listen` and the nodes of `network.py` are in memory. A run in
memory is the same every time: its schedule, what nodes draw, their keys. What waits there costs no time.
"""

from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar, cast

import trio
from trio.testing import MockClock

from chatd.config.values import parse_address
from chatd.control import unix
from chatd.runtime import Runtime
from tests.harness.memory.network import MemoryNetwork
from tests.harness.memory.runtime import MemoryRuntime
from tests.harness.memory.world import in_memory, open_session
from tests.harness.ports import free_port

T = TypeVar("T")
HOST = "127.0.0.1"
SHARED_MEMORY = Path("/dev/shm")  # where a file system is in memory, if anywhere: a sync costs nothing there
SEED = 1
FIRST_PORT = 20000  # of nodes in memory


def directory_for_files() -> str | None:
    """The folder for temporary directories that are best in memory; None: the usual one."""
    return str(SHARED_MEMORY) if SHARED_MEMORY.is_dir() else None


class Place(Protocol):
    """Where nodes run and listen."""

    def new_port(self) -> int:
        """A port that nothing listens on."""

    def new_runtime(self) -> "ServedRuntime":
        """The world of one run of one daemon."""

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        """Raises OSError."""

    async def listen(self, port: int) -> trio.SocketListener:
        """Raises OSError. 0: a free port."""

    async def open_session(self, runtime: Runtime, path: str) -> trio.SocketStream:
        """A connection to the control socket of a daemon that serves. Raises OSError."""


class ServedRuntime(Protocol):
    """A Runtime that notes when clients can connect."""

    served: trio.Event


class LoopbackRuntime(Runtime):
    """The real world; it notes when clients can connect."""

    def __init__(self) -> None:
        super().__init__()
        self.served = trio.Event()

    async def in_thread(self, function: Callable[..., T], *args: object) -> T:
        result = await super().in_thread(function, *args)
        if function is cast(object, unix.bind):
            self.served.set()
        return result


class Loopback:
    """Real sockets, real time."""

    def new_port(self) -> int:
        return free_port()

    def new_runtime(self) -> LoopbackRuntime:
        return LoopbackRuntime()

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        return await trio.open_tcp_stream(host, port)

    async def listen(self, port: int) -> trio.SocketListener:
        (listener,) = await trio.open_tcp_listeners(port, host=HOST)
        return listener

    async def open_session(self, runtime: Runtime, path: str) -> trio.SocketStream:
        return await trio.open_unix_socket(path)


class Memory:
    """A network in memory, whose nodes all have the loopback address."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._ports = count(FIRST_PORT)
        self.network = MemoryNetwork(self._random)

    def new_port(self) -> int:
        return next(self._ports)

    def new_runtime(self) -> MemoryRuntime:
        return MemoryRuntime(HOST, Random(self._random.getrandbits(64)), self.network)

    async def dial(self, host: str, port: int) -> trio.SocketStream:
        return cast(trio.SocketStream, await self.network.dial(HOST, host, port))

    async def listen(self, port: int) -> trio.SocketListener:
        await trio.lowlevel.checkpoint()
        return cast(trio.SocketListener, self.network.listen(HOST, port or self.new_port()))

    async def open_session(self, runtime: Runtime, path: str) -> trio.SocketStream:
        await trio.lowlevel.checkpoint()
        world = cast(MemoryRuntime, runtime)
        if world.door.socket.closed:
            raise ConnectionRefusedError
        return cast(trio.SocketStream, open_session(world, self._random))


PLACE = trio.lowlevel.RunVar[Place]("place", Loopback())


def run_in_memory(
    body: Callable[[], Awaitable[T]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """`trio.run` for nodes in memory; the clock is a mock clock in any case."""

    async def main() -> T:
        PLACE.set(Memory(SEED))
        return await body()

    with in_memory(SEED):
        return trio.run(main, clock=clock or MockClock(autojump_threshold=0), instruments=instruments)


async def dial(address: str) -> trio.SocketStream:
    """Connect to `HOST:PORT`. Raises OSError."""
    return await PLACE.get().dial(*parse_address(address))


async def listen(port: int = 0) -> trio.SocketListener:
    """Listen on that port, or on a free one. Raises OSError."""
    return await PLACE.get().listen(port)


def address_of(listener: trio.SocketListener) -> str:
    """Its `HOST:PORT`."""
    return f"{HOST}:{listener.socket.getsockname()[1]}"
