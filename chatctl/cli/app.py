"""What one run of chatctl knows: the global options, the session, the output. Every verb is given it."""

import os
import time

from chatctl.errors import Failure, SessionEvicted
from chatctl.rpc.session import Session, open_session
from chatctl.text.output import Output
from chatd import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CONNECT_TIMEOUT_S = 2.0
TRIES = 3  # a new session is not idle: more than two have a reason that asking again does not change
GRACE_S = 2.0  # where the daemon keeps the time, its answer is worth waiting for


class App:
    """The global options with what belongs to them. The session is opened when it is first used."""

    def __init__(self) -> None:
        self.node: str | None = None
        self.socket: str | None = None
        self.timeout: float | None = None
        self.connect_timeout = CONNECT_TIMEOUT_S
        self.deadline: float | None = None
        self.out = Output()
        self.attended = False  # the verb waits, and ends when the reader of stdout has gone
        self._session: Session | None = None

    def begin(self) -> None:
        """A verb starts: so does its `--timeout`."""
        self.deadline = None if self.timeout is None else time.monotonic() + self.timeout

    def open(self, patience: float | None = None) -> Session:
        """A session of the caller's own."""
        try:
            candidates = paths.socket_candidates(self.node, self.socket, os.environ, os.getuid())
        except paths.PathError as error:
            raise Failure("usage", str(error)) from None
        seconds = self.patience() if patience is None else patience
        return open_session(candidates, seconds, attended=self.attended)

    def attend(self) -> None:
        """The verb waits for something to show: it ends with BrokenPipeError when the reader of stdout has gone."""
        self.attended = True
        self.close()  # another session is, too

    def patience(self) -> float:
        """How long a missing socket is tried again."""
        left = self.left()
        return self.connect_timeout if left is None else min(self.connect_timeout, left)

    def left(self) -> float | None:
        """What remains of `--timeout`."""
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)

    @property
    def session(self) -> Session:
        """The session for requests; `close` ends it."""
        if self._session is None:
            self._session = self.open()
        return self._session

    def refresh(self) -> None:
        """Drop a session that the daemon has ended: what is asked next goes to the daemon that is there now."""
        if self._session is not None and not self._session.alive():
            self.close()

    def close(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def call(
        self, method: str, params: "Mapping[str, object] | None" = None, deadline: float | None = None
    ) -> "dict[str, Any]":
        """The result of one method, within `--timeout`. After a failure of the session the next call opens another.

        A request that crossed the end of an idle session was not read: it is asked again.
        """
        for left in reversed(range(TRIES)):
            try:
                return self.session.call(method, params or {}, deadline or self.deadline)
            except SessionEvicted:
                self.close()
                if not left:
                    raise
            except Failure as failure:
                if failure.kind in ("no_daemon", "timeout", "internal_error", "rate_limited"):
                    self.close()
                raise
        raise AssertionError("the last try returns or raises")

    def call_timed(self, method: str, params: "Mapping[str, object]") -> "dict[str, Any]":
        """`call` for a method that takes `timeout` itself, so that the daemon's answer says what went wrong."""
        left = self.left()
        if left is None:
            return self.call(method, params)
        return self.call(method, {**params, "timeout": round(max(left, 0.001), 3)}, time.monotonic() + left + GRACE_S)

    def reach(self, patience: float) -> None:
        """Open the session with a patience of its own."""
        self.close()
        self._session = self.open(patience)

    def interrupt(self) -> None:
        """Wake whoever waits on the session in another thread: for it, the session has ended."""
        if self._session is not None:
            self._session.interrupt()

    def twin(self) -> "App":
        """Another App with the same daemon and output, and a session of its own."""
        other = App()
        other.node, other.socket, other.connect_timeout = self.node, self.socket, self.connect_timeout
        other.out, other.attended = self.out, self.attended
        return other
