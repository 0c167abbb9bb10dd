"""`tail --exec`: runs a command for each message, one at a time, and retries it until it exits 0.

Knows processes and signals; acknowledges nothing. At an interrupt the command may finish first: the terminal has sent
SIGINT to it too, and a command that still exits 0 has processed its message.
"""

import os
import signal
import subprocess

from chatctl.rpc.positions import is_gap
from chatctl.text.format import event_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from chatctl.text.output import Output

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
MAX_VARIABLE_BYTES = 100 * 1024  # the kernel refuses to start a program with a variable of 128 KiB
NOT_STARTED, SIGNALLED = 126, 128  # exit statuses as in a shell
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class CommandRunner:
    """Runs `command` with /bin/sh for each message. Ends after `limit` messages, and with `strict` after a gap."""

    def __init__(self, out: "Output", command: str, limit: int | None, *, strict: bool) -> None:
        self.count = 0  # processed messages
        self.stopped_at_gap = False
        self._out = out
        self._command = command
        self._limit = limit
        self._strict = strict
        self._child: subprocess.Popen[bytes] | None = None
        self._signal = 0  # the last one received while the command ran
        self._signal_count = 0

    @property
    def is_finished(self) -> bool:
        return self.count == self._limit or self.stopped_at_gap

    @property
    def signalled(self) -> bool:
        """Whether SIGINT or SIGTERM came while the command ran."""
        return self._signal != 0

    def raise_signal(self) -> None:
        """Deliver the signal that came while the command ran."""
        if self._signal:
            signal.raise_signal(self._signal)

    def process(self, event: bytes, message: "dict[str, Any]", path: str, pause: "Callable[[float], None]") -> None:
        """Run the command until it exits 0, with `pause` between two attempts. Gaps are only reported."""
        if is_gap(event):
            self._out.note(event_line(message))
            self.stopped_at_gap = self._strict
        if message.get("type") != "message":
            return
        variables, position = environment(message, path), message.get("position")
        seconds = FIRST_PAUSE_S
        while status := self._run_once(event, variables):
            self.raise_signal()
            self._out.note(f"chatctl: the command ended with {status} for {position}; again in {seconds:g} s")
            pause(seconds)
            seconds = min(2 * seconds, LONGEST_PAUSE_S)
        self.count += 1

    def _run_once(self, event: bytes, variables: dict[bytes, bytes]) -> int:
        """Return the exit status of one attempt; 128 plus the number for a command that a signal ended."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        with os.fdopen(os.memfd_create("message"), "w+b") as stdin:
            stdin.write(event + b"\n")
            stdin.seek(0)
            try:
                for number in SIGNALS:
                    if before[number] is not signal.SIG_IGN:
                        signal.signal(number, self._on_signal)
                self._child = subprocess.Popen(["/bin/sh", "-c", self._command], stdin=stdin, env=variables)
                self._forward_signal()  # one may have come before the start
                status = self._child.wait()
            except OSError as error:  # e.g. too many processes
                self._out.note(f"chatctl: the command cannot be started: {error.strerror}")
                return NOT_STARTED
            finally:
                self._child = None
                for number, handler in before.items():
                    signal.signal(number, handler)
        return SIGNALLED - status if status < 0 else status

    def _on_signal(self, number: int, _frame: "FrameType | None") -> None:
        self._signal = number
        self._signal_count += 1
        self._forward_signal()

    def _forward_signal(self) -> None:
        """Send SIGTERM to the command, except for the first SIGINT: the terminal sends that to the command itself."""
        if self._child is not None and (self._signal == signal.SIGTERM or self._signal_count > 1):
            self._child.send_signal(signal.SIGTERM)


def environment(message: "dict[str, Any]", path: str) -> dict[bytes, bytes]:
    """Our environment with the MSG_ variables. A text that is too long for a variable is on stdin only."""
    peer = message.get("peer") or {}
    given = {
        "CHATD_SOCKET": path,
        "MSG_ID": message.get("id"),
        "MSG_GLOBAL_ID": message.get("global_id"),
        "MSG_POSITION": message.get("position"),
        "MSG_AT": message.get("at"),
        "MSG_PEER": peer.get("name"),
        "MSG_SLOT": peer.get("slot"),
        "MSG_RE": message.get("re"),
        "MSG_ROOM": message.get("room"),
        "MSG_NICK": message.get("nick"),
        "MSG_TO": message.get("to"),
        "MSG_TEXT": message.get("text"),
    }
    variables = {name: value for name, value in os.environb.items() if not name.startswith(b"MSG_")}
    for name, value in given.items():
        data = b"" if value is None else os.fsencode(str(value)) if name == "CHATD_SOCKET" else _utf8(value)
        if len(data) <= MAX_VARIABLE_BYTES and b"\0" not in data:
            variables[name.encode()] = data
    return variables


def _utf8(value: object) -> bytes:
    return str(value).encode(errors="replace")
