"""`send PEER -` and `say ROOM -`: sends each line of stdin as a message, with many requests open.

At most WINDOW requests are unanswered, so that a refusal soon stops the rest and replies never pile up. Imported by
`sending` only when stdin is read.
"""

import os
import select
import sys
from collections import deque

from chatctl.cli.verb import App
from chatctl.errors import Failure, SessionEnded, SessionEvicted, refusal
from chatctl.rpc.session import parse_message, result_of
from chatctl.text.output import recipient_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

WINDOW = 1000
READ_BYTES = 64 * 1024


class Pipeline:
    """The lines of one stdin on one session. Replies come in the order of the lines."""

    def __init__(self, app: App, method: str, params: "Mapping[str, object]") -> None:
        self._app = app
        self._session = app.session
        self._method = method
        self._params = params
        self._source = sys.stdin.fileno()
        self._unsent: deque[bytes] = deque()
        self._unanswered: deque[bytes] = deque()
        self._partial_line = b""
        self._at_end = False
        self._sent = self._answered = 0
        self._failure: Failure | None = None
        self._refused = False
        self._accepted_after_refusal = 0  # lines that were under way when an earlier one was refused
        self._prints_ids = True
        self._recipient = str(params.get("room") or params.get("peer"))

    def send_all(self) -> None:
        """Send until stdin ends or a line is refused, then wait for the replies that are missing."""
        try:
            self._send_unsent()
            while not self._is_finished():
                try:
                    self._wait_and_process()
                except SessionEvicted:  # the daemon read none of the unanswered requests
                    self._resend_unanswered()
                self._send_unsent()
        except SessionEnded as ended:
            self._failure = self._failure or self._session_failure(ended)
        self._report()

    def _resend_unanswered(self) -> None:
        """Open a new session and put the unanswered lines before the unsent ones."""
        self._app.close()
        self._session = self._app.session
        self._unsent.extendleft(reversed(self._unanswered))
        self._unanswered.clear()
        self._sent = self._answered

    def _is_finished(self) -> bool:
        nothing_to_send = self._failure is not None or (self._at_end and not self._unsent)
        return nothing_to_send and self._answered == self._sent

    def _send_unsent(self) -> None:
        """Send as many lines as the window allows, in one write."""
        requests = []
        while self._unsent and self._failure is None and self._sent - self._answered < WINDOW:
            try:
                line = self._unsent.popleft()
                text = line.removesuffix(b"\r").decode()
            except UnicodeDecodeError:
                self._failure = Failure("bad_text", f"line {self._sent + 1} is not valid UTF-8")
                break
            requests.append(self._session.encode_request(self._method, {**self._params, "text": text}))
            self._unanswered.append(line)
            self._sent += 1
        if requests:
            self._session.write(b"".join(requests))

    def _wait_and_process(self) -> None:
        """Wait for lines or replies, and process them."""
        replies = self._session.sock.fileno()
        wants_lines = not self._unsent and not self._at_end and self._failure is None
        sources = [replies, self._source] if wants_lines else [replies]
        ready, _, _ = select.select(sources, [], [], self._app.time_left())
        if not ready:
            raise Failure("timeout", f"{self._answered} of {self._sent} lines were answered in time")
        if replies in ready:
            self._read_replies()
        if self._source in ready:
            self._read_stdin()

    def _read_replies(self) -> None:
        """Process replies. Prints the results even when the last line ends the session."""
        results: list[dict[str, Any]] = []
        try:
            for line in self._session.read_lines():
                self._process_reply(line, results)
        finally:
            self._print_ids(results)

    def _read_stdin(self) -> None:
        data = os.read(self._source, READ_BYTES)
        *whole, self._partial_line = (self._partial_line + data).split(b"\n")
        self._unsent += whole
        if not data:
            self._at_end = True
            if self._partial_line:
                self._unsent.append(self._partial_line)

    def _process_reply(self, line: bytes, results: "list[dict[str, Any]]") -> None:
        """Append the result in one reply. Replies after a refusal count too: their lines were under way."""
        message = parse_message(line)
        if not self._unanswered and "error" in message:
            raise refusal(message["error"])  # of the session
        try:
            sent = result_of(message)
        except SessionEvicted:
            raise
        except Failure as failure:
            self._count_answer()
            if self._failure is None:
                where = f"line {self._answered}"
                self._failure = Failure(failure.kind, f"{where}: {failure.message}", failure.hint, failure.details)
                self._refused = True
        else:
            self._count_answer()
            self._accepted_after_refusal += self._refused
            results.append(sent)

    def _count_answer(self) -> None:
        self._answered += 1
        self._unanswered.popleft()

    def _print_ids(self, results: "list[dict[str, Any]]") -> None:
        """Print the ids unless stdout is a terminal, which gets one line at the end."""
        out = self._app.out
        if results:
            self._recipient = recipient_name(results[-1])
        if not results or not self._prints_ids:
            return
        try:
            if out.json:
                out.results(results)
            elif not out.on_terminal:
                out.line("\n".join(str(sent.get("id")) for sent in results))
        except BrokenPipeError:  # the reader of the ids has gone; the lines are sent all the same
            self._prints_ids = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def _report(self) -> None:
        failure = self._failure
        if failure is not None:
            if self._accepted_after_refusal:
                later = f"{self._accepted_after_refusal} of the lines behind it were on their way, and are sent"
                failure.hint = f"{failure.hint}; {later}" if failure.hint else later
            raise failure
        if self._app.out.on_terminal and not self._app.out.json:
            from chatctl.text import sanitize

            plural = "" if self._sent == 1 else "s"
            self._app.out.line(f"sent {self._sent} message{plural} to {sanitize.inline(self._recipient)}")

    def _session_failure(self, ended: SessionEnded) -> Failure:
        if self._answered == self._sent:
            return ended
        lines = f"lines {self._answered + 1} to {self._sent}"
        hint = "chatctl history shows what it has"
        return Failure("outcome_unknown", f"the daemon ended before it answered {lines}", hint)
