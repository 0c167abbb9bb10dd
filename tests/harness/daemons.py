"""DaemonRun: one run of `chatd.daemon.run` in this process, for every kind of test that has whole nodes in it."""

import trio

from chatd import daemon
from chatd.config.settings import Config
from chatd.node import Node
from chatd.runtime import Runtime


class DaemonRun:
    """From its start to its end. `node` is there once its parts are built, `failure` is what it ended with."""

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self.node: Node | None = None
        self.failure: BaseException | None = None
        self.exited = trio.Event()
        self._config, self._runtime = config, runtime
        self._scope = trio.CancelScope()

    @property
    def running(self) -> bool:
        return not self.exited.is_set()

    async def run(self) -> None:
        """Runs until it is stopped, killed, or ends by itself; never raises what the daemon ended with."""
        try:
            with self._scope:
                await daemon.run(self._config, self._runtime, self._opened)
        except Exception as error:  # noqa: BLE001  (the test asks for it)
            self.failure = error
        finally:
            self.exited.set()

    def _opened(self, node: Node) -> None:
        self.node = node

    def kill(self) -> None:
        """End it without a word to any peer or client."""
        self._scope.cancel()
