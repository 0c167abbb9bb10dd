"""`tail --exec`: a command for each message, one at a time, again until it ends with 0.

Knows processes and signals; acknowledges nothing. An interrupt lets the command end first: the terminal has sent it to
the command, too, and what it has done shall count.
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
LONGEST_VARIABLE = 100 * 1024  # the kernel refuses a program with one of 128 KiB
NOT_STARTED, SIGNALLED = 126, 128  # as a shell tells it
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Runner:
    """Runs `command` with /bin/sh for each message: at most `limit`; `strict`: up to a gap."""

    def __init__(self, out: "Output", command: str, limit: int | None, *, strict: bool) -> None:
        self.count = 0  # of the messages that are done
        self.gap = False  # there was one, and it is to be the end
        self._out = out
        self._command = command
        self._limit = limit
        self._strict = strict
        self._child: subprocess.Popen[bytes] | None = None
        self._signal = 0  # what we were sent while the command ran
        self._signals = 0  # how often

    @property
    def full(self) -> bool:
        """Whether there is nothing more to do."""
        return self.count == self._limit or self.gap

    @property
    def leaving(self) -> bool:
        """Whether we were told to end, while the command ran."""
        return self._signal != 0

    def leave(self) -> None:
        """Do what the signal says that came while the command ran."""
        if self._signal:
            signal.raise_signal(self._signal)

    def do(self, event: bytes, message: "dict[str, Any]", path: str, pause: "Callable[[float], None]") -> None:
        """Do one event, however often it takes, with `pause` between two tries. What is no message is at most told."""
        if is_gap(event):
            self._out.note(event_line(message))
            self.gap = self._strict
        if message.get("type") != "message":
            return
        variables, position = environment(message, path), message.get("position")
        seconds = FIRST_PAUSE_S
        while status := self._run(event, variables):
            self.leave()
            self._out.note(f"chatctl: the command ended with {status} for {position}; again in {seconds:g} s")
            pause(seconds)
            seconds = min(2 * seconds, LONGEST_PAUSE_S)
        self.count += 1

    def _run(self, event: bytes, variables: dict[bytes, bytes]) -> int:
        """The exit status of one try; of one that a signal ended, 128 and its number."""
        before = {number: signal.getsignal(number) for number in SIGNALS}
        with os.fdopen(os.memfd_create("message"), "w+b") as stdin:
            stdin.write(event + b"\n")
            stdin.seek(0)
            try:
                for number in SIGNALS:
                    if before[number] is not signal.SIG_IGN:
                        signal.signal(number, self._stop)
                self._child = subprocess.Popen(["/bin/sh", "-c", self._command], stdin=stdin, env=variables)
                self._hand_on()  # what came before there was a child
                status = self._child.wait()
            except OSError as error:  # no process to be had at the moment
                self._out.note(f"chatctl: the command cannot be started: {error.strerror}")
                return NOT_STARTED
            finally:
                self._child = None
                for number, handler in before.items():
                    signal.signal(number, handler)
        return SIGNALLED - status if status < 0 else status

    def _stop(self, number: int, _frame: "FrameType | None") -> None:
        self._signal = number
        self._signals += 1
        self._hand_on()

    def _hand_on(self) -> None:
        """SIGINT for the first time is for the command, too; anything else we have to tell it."""
        if self._child is not None and (self._signal == signal.SIGTERM or self._signals > 1):
            self._child.send_signal(signal.SIGTERM)


def environment(message: "dict[str, Any]", path: str) -> dict[bytes, bytes]:
    """Ours, with what the command has to know. A text that no variable can hold is on stdin only."""
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
        if len(data) <= LONGEST_VARIABLE and b"\0" not in data:
            variables[name.encode()] = data
    return variables


def _utf8(value: object) -> bytes:
    return str(value).encode(errors="replace")
