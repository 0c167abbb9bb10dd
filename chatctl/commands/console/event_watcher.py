"""The thread in which a console receives events, on a connection of its own.

An unreachable daemon is reported once and followed again when it is back. When the reader of stdout has gone, the main
thread may be waiting for input: it is sent SIGHUP, as by a terminal that closes. Used by both kinds of console.
"""

import json
import signal
import threading

from chatctl.cli.verb import App
from chatctl.errors import Failure
from chatctl.rpc.follower import Follower

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RETRY_S = 1.0


class EventWatcher:
    """Calls `on_events`, and `on_unknown_room` if the daemon does not know the room in `match`; both in the thread."""

    def __init__(
        self,
        app: App,
        on_events: "Callable[[list[dict[str, object]]], None]",
        start: object = "now",
        match: "Mapping[str, object] | None" = None,
        on_unknown_room: "Callable[[], None] | None" = None,
    ) -> None:
        self._out = app.out
        self._connection = app.clone()
        self._on_events = on_events
        self._on_unknown_room = on_unknown_room
        self._stopping = threading.Event()
        self._follower = Follower(self._connection, start, match or {})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._follower.stop()
        self._thread.join(RETRY_S)
        self._connection.close()

    def _run(self) -> None:
        reported = False
        while not self._stopping.is_set():
            try:
                for events in self._follower.batches():
                    reported = False
                    self._on_events([json.loads(event) for event in events])
            except BrokenPipeError:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGHUP)
                return
            except Failure as failure:
                if self._stopping.is_set():
                    return
                if failure.kind == "unknown_room" and self._on_unknown_room is not None:
                    self._on_unknown_room()
                    return
                if not reported:
                    self._out.failure(failure)
                reported = failure.kind == "no_daemon"
                if failure.kind == "cursor_gone":
                    self._follower.restart_from_now()
            self._stopping.wait(RETRY_S)
