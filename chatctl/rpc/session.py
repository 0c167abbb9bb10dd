"""One session on the control socket: requests out, replies and events in.

Knows JSON-RPC and lines; knows no verb and prints nothing. Used by `Connection` and by the verbs that keep several
requests open. Every error is a `Failure`; a session that the daemon ended is `SessionEnded`. Deadlines are values of
`time.monotonic`, None means no limit.
"""

import contextlib
import json
import socket
import time

from chatctl.errors import Failure, SessionEnded, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

READ_BYTES = 256 * 1024
ENDING_KINDS = ("session_evicted", "rate_limited", "forbidden", "internal_error")  # errors that end a session
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ControlSession:
    """A session with the daemon at `path`. Owns its socket until `close`.

    `watches_stdout`: waiting raises BrokenPipeError when the reader of stdout has gone.
    """

    def __init__(self, sock: socket.socket, path: str, *, watches_stdout: bool = False) -> None:
        self.sock = sock
        self.path = path
        self._watches_stdout = watches_stdout
        self._partial_line = b""
        self._last_line = b""
        self._last_id = 0

    def close(self) -> None:
        self.sock.close()

    def is_alive(self) -> bool:
        """False once the daemon's end of the session has been received."""
        try:
            self.sock.settimeout(0)
            return self.sock.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def interrupt(self) -> None:
        """End the session while another thread waits on it."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def send_request(self, method: str, params: "Mapping[str, object]") -> int:
        """Send one request without waiting for its reply; return the id of that reply."""
        self.write(self.encode_request(method, params))
        return self._last_id

    def encode_request(self, method: str, params: "Mapping[str, object]") -> bytes:
        """One request line with the next id. Raises Failure for lone surrogates: bytes in argv that are not UTF-8."""
        self._last_id += 1
        line = _encode({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}) + "\n"
        try:
            return line.encode()
        except UnicodeEncodeError as error:
            byte = ord(line[error.start]) & 0xFF
            raise Failure("bad_text", f"an argument of {method} is not valid UTF-8 (byte 0x{byte:02x})") from None

    def write(self, data: bytes) -> None:
        """Send whole lines. Never raises for an ended session: `read_lines` then raises with the daemon's reason."""
        with contextlib.suppress(OSError):
            self.sock.settimeout(None)
            self.sock.sendall(data)

    def read_lines(self, deadline: float | None = None) -> list[bytes]:
        """Receive once and return the completed lines without their ends, possibly none."""
        if self._watches_stdout:
            from chatctl.rpc import hangup

            hangup.wait(self.sock, deadline)
        try:
            self.sock.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
            data = self.sock.recv(READ_BYTES)
        except TimeoutError:
            raise Failure("timeout", "the daemon has not answered in time") from None
        except OSError:  # reset: everything before it has been read
            data = b""
        if not data:
            raise self._end_reason()
        *whole, self._partial_line = (self._partial_line + data).split(b"\n")
        self._last_line = whole[-1] if whole else self._last_line
        return whole

    def _end_reason(self) -> Failure:
        """The daemon may have said in its last line why it ends the session: an error without an id."""
        message = parse_message(self._last_line) if self._last_line else {}
        if message.get("id", self) is None and "error" in message:
            failure = refusal(message["error"])
            if failure.kind in ENDING_KINDS:
                return failure
        return SessionEnded()

    def read_reply(self, number: int, deadline: float | None = None) -> "tuple[dict[str, Any], list[bytes]]":
        """Return the result of request `number`, and the lines after it. Raises Failure if it was refused."""
        while True:
            lines = self.read_lines(deadline)
            for index, line in enumerate(lines):
                message = parse_message(line)
                if message.get("id") == number and "method" not in message:
                    return result_of(message), lines[index + 1 :]
                if message.get("id", number) is None and "error" in message:
                    raise refusal(message["error"])

    def call(self, method: str, params: "Mapping[str, object]", deadline: float | None = None) -> "dict[str, Any]":
        """Send a request and return its result. Drops events, so not for sessions with subscriptions."""
        return self.read_reply(self.send_request(method, params), deadline)[0]


def parse_message(line: bytes) -> "dict[str, Any]":
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise Failure("internal_error", "this is not chatd's language", "does the socket belong to another program?")
    return message


def result_of(reply: "dict[str, Any]") -> "dict[str, Any]":
    """Return the result in a reply. Raises Failure for an error."""
    if "error" in reply:
        raise refusal(reply["error"])
    result = reply.get("result")
    return result if isinstance(result, dict) else {}
