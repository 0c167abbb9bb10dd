"""Log lines on standard error: text for a person at a terminal, one JSON object per line for everything else.

A log call passes its values as one mapping, and its text names those that it shows:
`log.info("peer %(peer)s connected (%(address)s)", fields)`. All values are fields of the JSON object. A `peer` with a
`node` is shown as `bob (k3v9abcd)`. A record is always one line: peers choose names and texts, and must not be able to
forge lines or control a terminal. Writing never blocks: if standard error is closed or its pipe is full, lines are
dropped and counted. Set up by `__main__` alone.
"""

import json
import logging
import os
import select
import time
import traceback
import unicodedata
from collections.abc import Mapping

PIECE = 4096  # bytes that a ready pipe accepts without blocking (PIPE_BUF)
# Control, format (e.g. right-to-left overrides), unassigned, private and surrogate characters, line separators.
UNSAFE = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"))
SHORT_ID = 8  # characters of a node id that are shown


def setup(level: str, format: str, descriptor: int = 2) -> None:  # noqa: A002
    """Log records of chatd from `level` up to `descriptor` as "text" or "json". "auto": text if that is a terminal."""
    text = format == "text" or (format == "auto" and os.isatty(descriptor))
    handler = LineHandler(descriptor)
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    logging.raiseExceptions = False  # the daemon outlives its log
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("chatd").setLevel(level.upper())


def harmless(text: str) -> str:
    r"""Escape line breaks and terminal controls, e.g. `\n`, `\x1b`, `\u202e`.

    Stricter than chatctl/text/sanitize.py: joiners are escaped too, since a name must not look like another one.
    """
    if text.isprintable():
        return text
    return "".join(_escape(c) if unicodedata.category(c) in UNSAFE else c for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    return record.args if isinstance(record.args, Mapping) else {}


def _message(record: logging.LogRecord) -> str:
    fields = _fields(record)
    if "peer" in fields and "node" in fields:
        return str(record.msg) % {**fields, "peer": f"{fields['peer']} ({str(fields['node'])[:SHORT_ID]})"}
    return record.getMessage()


def _traceback(record: logging.LogRecord) -> str:
    return "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""


class TextFormatter(logging.Formatter):
    """`07:25:01.042 warning peers     the message`; a traceback follows, each of its lines marked with `|`."""

    def format(self, record: logging.LogRecord) -> str:
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        name = record.name.removeprefix("chatd.")
        line = harmless(f"{record.levelname.lower():7} {name:9} {_message(record)}")
        trace = "".join(f"\n  | {harmless(traceback_line)}" for traceback_line in _traceback(record).splitlines())
        return f"{clock}.{int(record.msecs):03d} {line}{trace}"


class JsonFormatter(logging.Formatter):
    """`{"ts", "level", "logger", "msg"}`, the fields of the record, and a traceback as `exc`. ASCII only."""

    def format(self, record: logging.LogRecord) -> str:
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields: dict[str, object] = {
            "ts": f"{second}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": _message(record),
        }
        for key, value in _fields(record).items():
            fields.setdefault(key, value)
        trace = _traceback(record)
        if trace:
            fields["exc"] = trace
        return json.dumps(fields, default=str, separators=(",", ":"))


class LineHandler(logging.Handler):
    """Writes lines to a descriptor without blocking; reports how many were lost once it is writable again."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        self._lost = 0
        self._torn = False  # the last line was written in part

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, or count it as lost. Never raises, never blocks."""
        try:
            line = self.format(record)
            if self._lost and self._write(self.format(self._report())):
                self._lost = 0
            if self._lost or not self._write(line):
                self._lost += 1
        except Exception:  # noqa: BLE001  (a bad log call or a failing descriptor must not reach the caller)
            self._lost += 1

    def _report(self) -> logging.LogRecord:
        text = "log lines lost because standard error was not writable: %(lines)d"
        return logging.LogRecord("chatd.logs", logging.WARNING, "", 0, text, ({"lines": self._lost},), None)

    def _write(self, line: str) -> bool:
        """Write as much of the line as the descriptor accepts now; return whether that was the whole line."""
        data = (("\n" if self._torn else "") + line + "\n").encode(errors="backslashreplace")
        done = 0
        while done < len(data) and self._ready():
            done += os.write(self._descriptor, data[done : done + PIECE])
        if done:
            self._torn = done < len(data)
        return done == len(data)

    def _ready(self) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(0))
