"""Where everything that chatctl says goes: data to stdout, the rest to stderr. The only place that prints.

`--json` is the contract: one object to a line. Human output may change. A reader of stdout that went away is
`BrokenPipeError` here, and a quiet end in `__main__`.
"""

import contextlib
import json
import os
import sys
from errno import ECONNRESET, EIO

from chatctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_BLANK, _GAP = "-", "  "
READER_GONE = (EIO, ECONNRESET)


class Output:
    """What one run of chatctl, or one console, writes to."""

    def __init__(self) -> None:
        self.json = False

    @property
    def on_terminal(self) -> bool:
        """Whether a person looks at stdout."""
        return sys.stdout.isatty()

    def result(self, record: object) -> None:
        """One object of `--json`."""
        self.results([record])

    def results(self, records: "Iterable[object]") -> None:
        """Objects of `--json`, flushed together."""
        self.documents(_encode(record).encode(errors="backslashreplace") for record in records)

    def documents(self, lines: "Iterable[bytes]") -> None:
        """Objects of `--json` that are encoded already, flushed together. A terminal gets them with escapes."""
        data = b"".join([b"%b\n" % line for line in lines])
        if self.on_terminal:
            from chatctl.text import sanitize

            text = data.decode(errors="replace")
            data = "\n".join(sanitize.encoded(line) for line in text.split("\n")).encode()
        with _reader():
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def line(self, text: str) -> None:
        """A line, or several, for people. The caller has made what came from peers harmless."""
        with _reader():
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def entries(self, texts: "Iterable[str]") -> None:
        """Entries of a stream, for people. A terminal would break a long one anywhere, and what follows could pass for
        another entry: there it is folded, and indented."""
        if self.on_terminal:
            from shutil import get_terminal_size

            columns = get_terminal_size().columns
            texts = [fold(line, columns) for text in texts for line in text.split("\n")]
        self.line("\n".join(texts))

    def note(self, text: str) -> None:
        """Something that is not data: to stderr, and not under `--json`."""
        if not self.json:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def progress(self, text: str) -> None:
        """A line on stderr that the next one replaces, where a person looks at it; an empty one takes it away."""
        if not self.json and sys.stderr.isatty():
            from shutil import get_terminal_size

            sys.stderr.write(f"\r{text[: get_terminal_size().columns - 1]}\x1b[K")
            sys.stderr.flush()

    def failure(self, failure: errors.Failure) -> None:
        """The one line on stderr that a failed verb ends with."""
        from chatctl.text import sanitize

        if self.json:
            told = {"kind": failure.kind, "message": failure.message, "hint": failure.hint, **failure.details}
            sys.stderr.write(json.dumps({"error": told}) + "\n")
        else:
            hint = f" ({sanitize.inline(failure.hint)})" if failure.hint else ""
            sys.stderr.write(f"chatctl: {sanitize.inline(failure.message)}{hint}\n")
        sys.stderr.flush()

    def paint(self, text: str, *colours: str) -> str:
        """`text` in colours, where stdout is a terminal and NO_COLOR is not set."""
        if not self.on_terminal or os.environ.get("NO_COLOR"):
            return text
        return f"\x1b[{';'.join(_COLOURS[colour] for colour in colours)}m{text}\x1b[0m"


@contextlib.contextmanager
def _reader() -> "Iterator[None]":
    """Turns what a socket or a terminal says when its reader has gone into what a pipe says."""
    try:
        yield
    except OSError as error:
        if error.errno in READER_GONE:
            raise BrokenPipeError from None
        raise


def table(head: "Sequence[str]", rows: "Iterable[Sequence[object]]") -> list[str]:
    """Aligned lines, the head first. None is shown as a dash; every cell is made harmless."""
    from chatctl.text import sanitize

    cells = [list(head)] + [[_BLANK if cell is None else sanitize.inline(str(cell)) for cell in row] for row in rows]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(head))]
    return [
        _GAP.join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]


def fold(line: str, columns: int) -> str:
    """`line` in pieces of at most `columns`, each but the first indented."""
    from chatctl.text.sanitize import INDENT

    if columns <= 2 * len(INDENT) or _width(line) <= columns:
        return line
    pieces, start, taken = [], 0, 0
    for at, character in enumerate(line):
        width = _width(character)
        if taken + width > columns:
            pieces.append(line[start:at])
            start, taken = at, len(INDENT)
        taken += width
    return f"\n{INDENT}".join([*pieces, line[start:]])


def _width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def short(node: object) -> str:
    """A node id as people see it: the first 8 characters."""
    return str(node)[:8]
