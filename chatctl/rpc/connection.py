"""The daemon that one run of chatctl talks to: finds its socket, opens sessions, keeps `--timeout`.

Knows no verb and prints nothing. Used by the verbs (through `App`), by `Follower` and by `chatctl.client`.
Deadlines are values of `time.monotonic`, None means no limit.
"""

import os
import socket
import stat
import time
from errno import EACCES, EAGAIN, ECONNREFUSED, ENOENT, EPERM

from chatctl.errors import Failure, SessionEvicted
from chatctl.rpc.session import ControlSession
from chatd import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

CONNECT_TIMEOUT_S = 2.0
RETRY_S = 0.02  # finds a starting daemon soon, at the price of 50 connects a second
TRIES = 3  # a new session is not idle: a third eviction has a reason that another request does not change
GRACE_S = 2.0  # where the daemon applies the timeout itself, its answer is worth waiting for
FORBIDDEN_S = 2.0  # a starting daemon may not have given the socket to its group yet
NO_SOCKET = "move it away: a running daemon makes its socket there within 30 s, else start one with: chatd"


class Connection:
    """Opens a session when it is first used, and another one after the daemon ended it."""

    def __init__(self) -> None:
        self.node: str | None = None
        self.socket: str | None = None
        self.timeout: float | None = None
        self.connect_timeout = CONNECT_TIMEOUT_S
        self.deadline: float | None = None
        self.watches_stdout = False
        self._session: ControlSession | None = None

    @property
    def session(self) -> ControlSession:
        if self._session is None:
            self._session = self.open_session()
        return self._session

    def start_clock(self) -> None:
        """Start `timeout`: from here on `deadline` counts."""
        self.deadline = None if self.timeout is None else time.monotonic() + self.timeout

    def time_left(self) -> float | None:
        """Seconds until the deadline, e.g. 4.2; 0.0 after it, None without one."""
        return None if self.deadline is None else max(self.deadline - time.monotonic(), 0.0)

    def connect_patience(self) -> float:
        """Seconds for which a missing socket is retried."""
        left = self.time_left()
        return self.connect_timeout if left is None else min(self.connect_timeout, left)

    def watch_stdout(self) -> None:
        """Make every wait raise BrokenPipeError when the reader of stdout has gone, e.g. in `chatctl tail | head`."""
        self.watches_stdout = True
        self.close()  # an open session does not watch stdout

    def open_session(self, patience: float | None = None) -> ControlSession:
        """Return a new session that the caller closes."""
        try:
            candidates = paths.socket_candidates(self.node, self.socket, os.environ, os.getuid())
        except paths.PathError as error:
            raise Failure("usage", str(error)) from None
        seconds = self.connect_patience() if patience is None else patience
        return _open_first(candidates, seconds, watches_stdout=self.watches_stdout)

    def connect(self, patience: float) -> None:
        """Replace the session by a new one, retrying a missing socket for `patience` seconds."""
        self.close()
        self._session = self.open_session(patience)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def drop_dead_session(self) -> None:
        """Close the session if the daemon has ended it, so that the next request goes to the present daemon."""
        if self._session is not None and not self._session.is_alive():
            self.close()

    def interrupt(self) -> None:
        """Wake a thread that waits on the session: to it the session has ended."""
        if self._session is not None:
            self._session.interrupt()

    def clone(self) -> "Connection":
        """Return another connection to the same daemon, with a session of its own."""
        other = Connection()
        other.node, other.socket, other.connect_timeout = self.node, self.socket, self.connect_timeout
        other.watches_stdout = self.watches_stdout
        return other

    def call(
        self, method: str, params: "Mapping[str, object] | None" = None, deadline: float | None = None
    ) -> "dict[str, Any]":
        """Return the result of one method, within `--timeout`. After a session failure the next call opens another.

        A request that crossed the eviction of an idle session was not read, so it is sent again.
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

    def call_with_timeout(self, method: str, params: "Mapping[str, object]") -> "dict[str, Any]":
        """`call` for a method with a `timeout` parameter, so that the daemon's answer says what went wrong."""
        left = self.time_left()
        if left is None:
            return self.call(method, params)
        return self.call(method, {**params, "timeout": round(max(left, 0.001), 3)}, time.monotonic() + left + GRACE_S)


def _open_first(paths: "Sequence[str]", patience: float, *, watches_stdout: bool) -> ControlSession:
    """Open a session at the first of `paths` where a daemon answers; retried for `patience` seconds."""
    started = time.monotonic()
    while True:
        failures: list[tuple[str, OSError]] = []
        for path in paths:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(0)  # a blocking connect never returns where the backlog is full
                sock.connect(path)
            except OSError as error:
                sock.close()
                failures.append((path, error))
            else:
                return ControlSession(sock, path, watches_stdout=watches_stdout)
        waited = time.monotonic() - started
        forbidden = any(error.errno in (EACCES, EPERM) for _, error in failures)
        if waited >= (min(patience, FORBIDDEN_S) if forbidden else patience) or not failures:
            raise _unreachable(failures)
        if watches_stdout:
            from chatctl.rpc import hangup

            hangup.wait(None, time.monotonic() + RETRY_S)
        else:
            time.sleep(RETRY_S)


def _unreachable(failures: list[tuple[str, OSError]]) -> Failure:
    """Say why no session could be opened: a cause that the user can remove comes first."""
    for path, error in failures:
        if error.errno in (EACCES, EPERM):
            return Failure("forbidden", f"no permission to use {path}", "run as its owner, or see chatd --socket-group")
    for path, error in failures:
        if error.errno == EAGAIN:
            return Failure("timeout", f"the daemon at {path} accepts no connection", "is it stopped, or overloaded?")
        if error.errno == ECONNREFUSED and not _is_socket(path):
            return Failure("no_daemon", f"{path} is not a socket", NO_SOCKET)
        if error.errno == ECONNREFUSED:
            return Failure("no_daemon", f"nobody answers at {path}", "it is left over; start the daemon with: chatd")
        if error.errno != ENOENT:
            return Failure(
                "no_daemon", f"{path}: {(error.strerror or str(error)).lower()}", "start the daemon with: chatd"
            )
    places = " or ".join(path for path, _ in failures) or "a directory that can be trusted"
    return Failure("no_daemon", f"no daemon: there is no socket {places}", "start it with: chatd")


def _is_socket(path: str) -> bool:
    """Also true where the file cannot be examined."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True
