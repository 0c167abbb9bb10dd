"""The thread of a console that shows what happens, on a session of its own.

A daemon that is gone is said once, and followed again when it is back. When the reader of stdout has gone, the main
thread may be waiting for input: it gets the signal that a terminal sends when it is closed.
"""

import json
import signal
import threading

from chatctl.errors import Failure
from chatctl.rpc.follower import Follower

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chatctl.cli.app import App

RETRY_S = 1.0


class Watcher:
    """Hands events from `start` on to `show`, in the thread. `lost` is called when the room they are of is unknown."""

    def __init__(
        self,
        app: "App",
        show: "Callable[[list[dict[str, object]]], None]",
        start: object = "now",
        match: "Mapping[str, object] | None" = None,
        lost: "Callable[[], None] | None" = None,
    ) -> None:
        self._app = app.twin()
        self._show = show
        self._lost = lost
        self._leaving = threading.Event()
        self._follower = Follower(self._app, start, match or {})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Show events from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._leaving.set()
        self._follower.stop()
        self._thread.join(RETRY_S)
        self._app.close()

    def _run(self) -> None:
        said = False
        while not self._leaving.is_set():
            try:
                for events in self._follower.batches():
                    said = False
                    self._show([json.loads(event) for event in events])
            except BrokenPipeError:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)
                return
            except Failure as failure:
                if self._leaving.is_set():
                    return
                if failure.kind == "unknown_room" and self._lost is not None:
                    self._lost()
                    return
                if not said:
                    self._app.out.failure(failure)
                said = failure.kind == "no_daemon"
                if failure.kind == "cursor_gone":
                    self._follower.skip()
            self._leaving.wait(RETRY_S)
