"""One session on the control socket: requests out, replies and events in. The Unix socket dance is here alone.

Knows JSON-RPC and lines; knows no verb and prints nothing. Everything that goes wrong is a `Failure`; a session that
the daemon ended is `SessionEnded`. Deadlines are values of `time.monotonic`, None is for ever.
"""

import contextlib
import json
import os
import socket
import stat
import time
from errno import EACCES, EAGAIN, ECONNREFUSED, ENOENT, EPERM

from chatctl.errors import Failure, SessionEnded, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

READ_BYTES = 256 * 1024
RETRY_S = 0.02  # a daemon that is starting is found soon, at the price of 50 connects a second
LAST_WORDS = ("session_evicted", "rate_limited", "forbidden", "internal_error")  # with which the daemon ends a session
NO_SOCKET = "move it away: a running daemon makes its socket there within 30 s, else start one with: chatd"
FORBIDDEN_S = 2.0  # a daemon that is starting may not have given the socket to its group yet
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Session:
    """A session with the daemon at `path`. Owns its socket until `close`.

    `attended`: what comes is for stdout, and waiting for it is a BrokenPipeError when the reader of stdout has gone.
    """

    def __init__(self, sock: socket.socket, path: str, *, attended: bool = False) -> None:
        self.sock = sock
        self.path = path
        self._attended = attended
        self._rest = b""
        self._last = b""  # the last line that came
        self._asked = 0

    def close(self) -> None:
        """End the session."""
        self.sock.close()

    def alive(self) -> bool:
        """Whether the daemon still keeps it, for all that is known."""
        try:
            self.sock.settimeout(0)
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def interrupt(self) -> None:
        """End the session under a thread that waits on it."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def ask(self, method: str, params: "Mapping[str, object]") -> int:
        """Send one request without waiting for its reply; the id to match it with."""
        self.write(self.encode(method, params))
        return self._asked

    def encode(self, method: str, params: "Mapping[str, object]") -> bytes:
        """One request line, with the next id. Refuses what was not UTF-8: Python has such bytes as lone surrogates."""
        self._asked += 1
        line = _encode({"jsonrpc": "2.0", "id": self._asked, "method": method, "params": params}) + "\n"
        try:
            return line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) & 0xFF
            raise Failure("bad_text", f"an argument of {method} is not valid UTF-8 (byte 0x{byte:02x})") from None

    def write(self, data: bytes) -> None:
        """Send whole lines. When the daemon has ended the session, `lines` says why: it may have told the reason."""
        with contextlib.suppress(OSError):
            self.sock.settimeout(None)
            self.sock.sendall(data)

    def lines(self, deadline: float | None = None) -> list[bytes]:
        """The lines that the next data completes, without their ends; may be none."""
        if self._attended:
            from chatctl.rpc import hangup

            hangup.wait(self.sock, deadline)
        try:
            self.sock.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
            data = self.sock.recv(READ_BYTES)
        except TimeoutError:
            raise Failure("timeout", "the daemon has not answered in time") from None
        except OSError:  # reset: what had come before was read
            data = b""
        if not data:
            raise self._end()
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._last = whole[-1] if whole else self._last
        return whole

    def _end(self) -> Failure:
        """Why the daemon has ended the session: its last line may say so, in an error without an id."""
        message = parse(self._last) if self._last else {}
        if message.get("id", self) is None and "error" in message:
            failure = refusal(message["error"])
            if failure.kind in LAST_WORDS:
                return failure
        return SessionEnded()

    def reply(self, number: int, deadline: float | None = None) -> "tuple[dict[str, Any], list[bytes]]":
        """The result of request `number`, and the lines that came behind it. Raises its refusal."""
        while True:
            lines = self.lines(deadline)
            for index, line in enumerate(lines):
                message = parse(line)
                if message.get("id") == number and "method" not in message:
                    return result(message), lines[index + 1 :]
                if message.get("id", number) is None and "error" in message:
                    raise refusal(message["error"])

    def call(self, method: str, params: "Mapping[str, object]", deadline: float | None = None) -> "dict[str, Any]":
        """Ask and wait for the result. For sessions without subscriptions: events are dropped."""
        return self.reply(self.ask(method, params), deadline)[0]


def open_session(paths: "Sequence[str]", patience: float, *, attended: bool = False) -> Session:
    """A session with the first of `paths` where a daemon answers; tried again for `patience` seconds."""
    started = time.monotonic()
    while True:
        failures: list[tuple[str, OSError]] = []
        for path in paths:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                sock.settimeout(0)  # a blocking one would wait for good where nothing is accepted
                sock.connect(path)
            except OSError as error:
                sock.close()
                failures.append((path, error))
            else:
                return Session(sock, path, attended=attended)
        waited = time.monotonic() - started
        forbidden = any(error.errno in (EACCES, EPERM) for _, error in failures)
        if waited >= (min(patience, FORBIDDEN_S) if forbidden else patience) or not failures:
            raise _unreachable(failures)
        if attended:
            from chatctl.rpc import hangup

            hangup.wait(None, time.monotonic() + RETRY_S)
        else:
            time.sleep(RETRY_S)


def parse(line: bytes) -> "dict[str, Any]":
    """One message of the daemon."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Failure("internal_error", "this is not chatd's language", "does the socket belong to another program?")
    return message


def result(message: "dict[str, Any]") -> "dict[str, Any]":
    """The result of a reply. Raises its refusal."""
    if "error" in message:
        raise refusal(message["error"])
    found = message.get("result")
    return found if isinstance(found, dict) else {}


def _unreachable(failures: list[tuple[str, OSError]]) -> Failure:
    """Why there is no session: what a person can do something about comes first."""
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
    """Whether a socket is at the path; also true where that cannot be told."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return True
