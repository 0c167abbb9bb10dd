"""The only place of chatctl that prints: data to stdout, everything else to stderr.

`--json` is the stable format: one object per line. Output for people may change. A reader of stdout that has gone is
a BrokenPipeError here, and a quiet exit in `__main__`.
"""

import contextlib
import json
import os
import sys
from errno import ECONNRESET, EIO

from chatctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_BLANK, _GAP = "-", "  "
READER_GONE = (EIO, ECONNRESET)


class Output:
    def __init__(self) -> None:
        self.json = False

    @property
    def on_terminal(self) -> bool:
        return sys.stdout.isatty()

    def result(self, record: object) -> None:
        """Print one object for `--json`."""
        self.results([record])

    def results(self, records: "Iterable[object]") -> None:
        """Print objects for `--json`, flushed together."""
        self.documents(_encode(record).encode(errors="backslashreplace") for record in records)

    def documents(self, lines: "Iterable[bytes]") -> None:
        """Print encoded objects for `--json`, flushed together. On a terminal they are escaped."""
        data = b"".join([b"%b\n" % line for line in lines])
        if self.on_terminal:
            from chatctl.text import sanitize

            text = data.decode(errors="replace")
            data = "\n".join(sanitize.encoded(line) for line in text.split("\n")).encode()
        with _broken_pipe():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def line(self, text: str) -> None:
        """Print one or more lines for people. The caller has escaped text from peers."""
        with _broken_pipe():
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def entries(self, texts: "Iterable[str]") -> None:
        """Print entries of a stream for people.

        A terminal wraps a long line anywhere, and the rest could pass for another entry. So it is folded and indented.
        """
        if self.on_terminal:
            from shutil import get_terminal_size

            columns = get_terminal_size().columns
            texts = [fold(line, columns) for text in texts for line in text.split("\n")]
        self.line("\n".join(texts))

    def table(self, head: "Sequence[str]", rows: "Iterable[Sequence[object]]") -> None:
        """Print a table for people, with a bold head."""
        first, *lines = table(head, rows)
        self.line("\n".join([self.paint(first, "bold"), *lines]))

    def note(self, text: str) -> None:
        """Print a remark to stderr, unless `--json` was given."""
        if not self.json:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def progress(self, text: str) -> None:
        """Replace the last line of a terminal on stderr by `text`, or erase it for an empty `text`."""
        if not self.json and sys.stderr.isatty():
            from shutil import get_terminal_size

            sys.stderr.write(f"\r{text[: get_terminal_size().columns - 1]}\x1b[K")
            sys.stderr.flush()

    def failure(self, failure: errors.Failure) -> None:
        """Print a failure to stderr as one line."""
        from chatctl.text import sanitize

        if self.json:
            record = {"kind": failure.kind, "message": failure.message, "hint": failure.hint, **failure.details}
            sys.stderr.write(json.dumps({"error": record}) + "\n")
        else:
            hint = f" ({sanitize.inline(failure.hint)})" if failure.hint else ""
            sys.stderr.write(f"chatctl: {sanitize.inline(failure.message)}{hint}\n")
        sys.stderr.flush()

    def paint(self, text: str, *colours: str) -> str:
        """Colour `text` if stdout is a terminal and NO_COLOR is not set."""
        if not self.on_terminal or os.environ.get("NO_COLOR"):
            return text
        return f"\x1b[{';'.join(_COLOURS[colour] for colour in colours)}m{text}\x1b[0m"


@contextlib.contextmanager
def _broken_pipe() -> "Iterator[None]":
    """Raise BrokenPipeError also for a socket or terminal whose reader has gone."""
    try:
        yield
    except OSError as error:
        if error.errno in READER_GONE:
            raise BrokenPipeError from None
        raise


def table(head: "Sequence[str]", rows: "Iterable[Sequence[object]]") -> list[str]:
    """Return aligned lines, the head first. None is shown as a dash, and every cell is escaped."""
    from chatctl.text import sanitize

    cells = [list(head)] + [[_BLANK if cell is None else sanitize.inline(str(cell)) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(head))]
    return [
        _GAP.join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def fold(line: str, columns: int) -> str:
    """Break `line` into pieces of at most `columns`, each but the first indented."""
    from chatctl.text.sanitize import INDENT

    if columns <= 2 * len(INDENT) or _width(line) <= columns:
        return line
    pieces, start, used = [], 0, 0
    for at, character in enumerate(line):
        width = _width(character)
        if used + width > columns:
            pieces.append(line[start:at])
            start, used = at, len(INDENT)
        used += width
    return f"\n{INDENT}".join([*pieces, line[start:]])


def _width(text: str) -> int:
    """Width of `text` in terminal columns."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def short(node: object) -> str:
    """First 8 characters of a node id."""
    return str(node)[:8]


def recipient_name(sent: "Mapping[str, Any]") -> str:
    """Room or peer in the result of a method that sends, e.g. `lobby@alice` or `bob`."""
    peer = sent.get("peer")
    return str(sent.get("room") or (peer.get("name") if isinstance(peer, dict) else "?"))
