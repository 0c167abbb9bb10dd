"""`send PEER -` and `say ROOM -`: each line of stdin as a message, many of them on their way at once.

At most WINDOW requests are unanswered, so that a refusal stops the rest soon and replies never pile up.
"""

import os
import select
import sys
from collections import deque

from chatctl.cli.sending import addressee
from chatctl.errors import Failure, SessionEnded, SessionEvicted, refusal
from chatctl.rpc.session import parse, result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from chatctl.cli.app import App

WINDOW = 1000
READ_BYTES = 64 * 1024


class Pipeline:
    """The lines of one stdin on one session. Replies come in the order of the lines."""

    def __init__(self, app: "App", method: str, params: "Mapping[str, object]") -> None:
        self._app = app
        self._session = app.session
        self._method = method
        self._params = params
        self._source = sys.stdin.fileno()
        self._waiting: deque[bytes] = deque()  # read and not sent
        self._unanswered: deque[bytes] = deque()  # sent
        self._rest = b""
        self._at_end = False
        self._sent = self._answered = 0
        self._failure: Failure | None = None
        self._refused = False
        self._behind = 0  # lines that were on their way when one before them was refused, and went through
        self._shown = True
        self._name = str(params.get("room") or params.get("peer"))

    def run(self) -> None:
        """Send until stdin ends or a line is refused, then collect what is still unanswered."""
        try:
            self._send()
            while not self._done():
                try:
                    self._turn()
                except SessionEvicted:  # nothing that is unanswered was read
                    self._begin_again()
                self._send()
        except SessionEnded as ended:
            self._failure = self._failure or self._lost(ended)
        self._finish()

    def _begin_again(self) -> None:
        """A new session, for what was not answered and all that follows."""
        self._app.close()
        self._session = self._app.session
        self._waiting.extendleft(reversed(self._unanswered))
        self._unanswered.clear()
        self._sent = self._answered

    def _done(self) -> bool:
        nothing_to_send = self._failure is not None or (self._at_end and not self._waiting)
        return nothing_to_send and self._answered == self._sent

    def _send(self) -> None:
        """As many waiting lines as the window takes, in one write."""
        requests = []
        while self._waiting and self._failure is None and self._sent - self._answered < WINDOW:
            try:
                line = self._waiting.popleft()
                text = line.removesuffix(b"\r").decode()
            except UnicodeDecodeError:
                self._failure = Failure("bad_text", f"line {self._sent + 1} is not valid UTF-8")
                break
            requests.append(self._session.encode(self._method, {**self._params, "text": text}))
            self._unanswered.append(line)
            self._sent += 1
        if requests:
            self._session.write(b"".join(requests))

    def _turn(self) -> None:
        """Wait for lines or replies, and take in what came."""
        replies = self._session.sock.fileno()
        wants_lines = not self._waiting and not self._at_end and self._failure is None
        ready, _, _ = select.select([replies, self._source] if wants_lines else [replies], [], [], self._app.left())
        if not ready:
            raise Failure("timeout", f"{self._answered} of {self._sent} lines were answered in time")
        if replies in ready:
            self._hear()
        if self._source in ready:
            self._read()

    def _hear(self) -> None:
        """Take in replies, and show what they say also when the last line ends the session."""
        results: list[dict[str, Any]] = []
        try:
            for line in self._session.lines():
                self._take(line, results)
        finally:
            self._show(results)

    def _read(self) -> None:
        data = os.read(self._source, READ_BYTES)
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._waiting += whole
        if not data:
            self._at_end = True
            if self._rest:
                self._waiting.append(self._rest)

    def _take(self, line: bytes, results: "list[dict[str, Any]]") -> None:
        """Add the result in one reply. Replies after a refusal count too: their lines were on their way."""
        message = parse(line)
        if not self._unanswered and "error" in message:
            raise refusal(message["error"])  # of the session
        try:
            sent = result(message)
        except SessionEvicted:
            raise
        except Failure as failure:
            self._count()
            if self._failure is None:
                where = f"line {self._answered}"
                self._failure = Failure(failure.kind, f"{where}: {failure.message}", failure.hint, failure.details)
                self._refused = True
        else:
            self._count()
            self._behind += self._refused
            results.append(sent)

    def _count(self) -> None:
        self._answered += 1
        self._unanswered.popleft()

    def _show(self, results: "list[dict[str, Any]]") -> None:
        """The ids, for a program; a person gets the sum at the end."""
        out = self._app.out
        if results:
            self._name = addressee(results[-1])
        if not results or not self._shown:
            return
        try:
            if out.json:
                out.results(results)
            elif not out.on_terminal:
                out.line("\n".join(str(sent.get("id")) for sent in results))
        except BrokenPipeError:  # nobody wants the ids; the lines are to be sent all the same
            self._shown = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def _finish(self) -> None:
        failure = self._failure
        if failure is not None:
            if self._behind:
                behind = f"{self._behind} of the lines behind it were on their way, and are sent"
                failure.hint = f"{failure.hint}; {behind}" if failure.hint else behind
            raise failure
        if self._app.out.on_terminal and not self._app.out.json:
            from chatctl.text import sanitize

            plural = "" if self._sent == 1 else "s"
            self._app.out.line(f"sent {self._sent} message{plural} to {sanitize.inline(self._name)}")

    def _lost(self, ended: SessionEnded) -> Failure:
        if self._answered == self._sent:
            return ended
        lines = f"lines {self._answered + 1} to {self._sent}"
        hint = "chatctl history shows what it has"
        return Failure("outcome_unknown", f"the daemon ended before it answered {lines}", hint)
