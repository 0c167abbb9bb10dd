"""What of chatd and trio is another thing for nodes in memory: the schedule, the control socket, the keys.

`in_memory` replaces them for the time of one `trio.run` on a mock clock; the same seed gives the same run.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import cast
from unittest.mock import patch

import trio
from trio._core import _run as trio_run

from chatd import daemon
from chatd.control import unix
from chatd.control.server import ControlServer
from chatd.peers import certificate
from tests.harness.memory import identities
from tests.harness.memory.network import Connection, MemorySocket, MemoryStream
from tests.harness.memory.pipes import Wire
from tests.harness.memory.runtime import MemoryRuntime

LOCAL_S = 0.0001  # from a client to its daemon: whoever asks again and again lets time pass
LOCAL_WINDOW = 16 * 1024  # bytes between a client and its daemon


class MemoryControlServer(ControlServer):
    """The real one, whose clients come through the door of its runtime."""

    @property
    def _world(self) -> MemoryRuntime:
        return cast(MemoryRuntime, self._node.runtime)

    async def bind(self) -> str:
        """The door is there already."""
        await trio.lowlevel.checkpoint()
        return "control"

    async def serve(self, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """As the real one, without a file."""
        self._listener = door = cast(trio.SocketListener, self._world.door)
        self._world.served.set()
        try:
            await self._serve("control", task_status)
        finally:
            door.socket.close()

    def _refusal(self, sock: trio.socket.SocketType, short: bool) -> None:
        """Everybody here is the same user."""


class MemoryHangups(unix.Hangups):
    """Those of sockets in memory."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Nothing to watch."""
        task_status.started()
        await trio.sleep_forever()

    async def wait(self, sock: trio.socket.SocketType) -> None:
        """Until the other end is closed for good."""
        await cast(MemorySocket, sock).hung_up()


@contextmanager
def in_memory(seed: int) -> Iterator[None]:
    """Nodes that run in the block are in memory; the seed is that of trio's scheduler."""
    with ExitStack() as stack:
        for owner, name, new in (
            (daemon, "ControlServer", MemoryControlServer),
            (certificate, "make", identities.Maker()),
            (unix, "Hangups", MemoryHangups),
            (trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        ):
            stack.enter_context(patch.object(owner, name, new))
        trio_run._r.seed(seed)
        yield


def open_session(runtime: MemoryRuntime, random: Random) -> MemoryStream:
    """The client's end of a new connection to the control socket of a daemon that serves."""
    wire = Wire(random, LOCAL_S)
    wire.window = LOCAL_WINDOW
    connection = Connection(wire, ("client", 0), ("control", 0))
    runtime.door.offer(connection.accepted)
    return connection.dialed
