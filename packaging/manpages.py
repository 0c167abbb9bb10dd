"""Man pages: chatctl(1), one for each verb, chatd(1) and chatd.toml(5), all made from what `--help` prints.

Called by hatch_build.py when a wheel is built. It imports chatd and chatctl, which need click and msgspec for that,
and knows nothing of hatchling. A page is dated by SOURCE_DATE_EPOCH, else today.
"""

import inspect
import os
import re
import textwrap
import time
from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from itertools import starmap

import click

COLUMNS = 78  # of a line of roff; mandoc complains about more than 80 bytes
SPECIAL = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"}
TOML = """\
Settings of one chatd node. chatd reads the first of these files that exists; \
NODE is what -n or CHATD_NODE says, else `default`. --config names another file. chatd --print-config \
prints a commented file with every setting and its default.

A variable CHATD_NAME beats the file, and a flag beats both. chatd --check-config shows the value of \
each setting and where it comes from. An unknown key or an invalid value is an error, exit status 2.

Texts, durations (TIME, e.g. "5s") and sizes (SIZE, e.g. "64KiB") are TOML strings; lists are TOML arrays."""
TOML_EXAMPLE = (
    'name = "alice"',
    'listen = ["10.0.0.1:7420"]',
    'peers = ["10.0.0.2:7420", "10.0.0.3:7420"]',
    'plain = "off"',
    'retain_age = "168h"',
)
PLACES = ("/etc/chatd/NODE.toml", "~/.config/chatd/NODE.toml")


def escape(words: str) -> str:
    """Text without any meaning to roff, in ASCII."""
    return "".join(SPECIAL.get(each) or (each if each.isascii() else rf"\[u{ord(each):04X}]") for each in words)


def filled(words: str) -> str:
    """A paragraph, in lines that are no requests."""
    lines = textwrap.wrap(escape(words), COLUMNS, break_long_words=False, break_on_hyphens=False)
    return "".join(f"{_shielded(line)}\n" for line in lines)


def unfilled(lines: Iterable[str]) -> str:
    """Lines that stay as they are, e.g. commands to type."""
    return ".RS 4\n.nf\n" + "".join(f"{_shielded(escape(line))}\n" for line in lines) + ".fi\n.RE\n"


def paragraphs(words: str) -> str:
    """Paragraphs as in click's help: one that begins with a line `\\b` keeps its lines."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(words))
    return ".PP\n".join(
        unfilled(textwrap.dedent(block).splitlines()[1:]) if block.startswith("\b") else filled(block)
        for block in blocks
    )


def entry(term: str, words: str) -> str:
    """An entry of a list: options and verbs bold, what stands for a value in italics."""
    styled = (
        rf"\fB{escape(word)}\fR" if index == 0 or word.startswith("-") else rf"\fI{escape(word)}\fR"
        for index, word in enumerate(term.split())
    )
    return f".TP\n{_shielded(' '.join(styled))}\n{filled(words)}"


def heading(name: str) -> str:
    return f".SH {escape(name.upper())}\n"


def subheading(name: str) -> str:
    return f".SS {escape(name.rstrip(':'))}\n"


def _shielded(line: str) -> str:
    return rf"\&{line}" if line.startswith(".") else line


def page(name: str, section: int, summary: str, body: str, others: Iterable[str]) -> tuple[str, str]:
    """The name of a page's file and its roff."""
    from chatd import __version__

    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    title = f'.TH {escape(name.upper())} {section} {date} "chatd {__version__}" "chatd manual"\n'
    start = title + heading("name") + filled(f"{name} - {summary.removesuffix('.')}")
    return f"{name}.{section}", start + body + heading("see also") + filled(", ".join(others))


class RoffFormatter(click.HelpFormatter):
    """Writes roff where click's own formatter writes columns. Text outside of sections is description, later notes."""

    def __init__(self) -> None:
        super().__init__()
        self._headings = iter(["DESCRIPTION"])
        self._in_section = False

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:  # noqa: ARG002 - click's
        self.write(f"{heading('synopsis')}\\fB{escape(prog)}\\fR\n{filled(args)}")

    def write_heading(self, heading_: str) -> None:
        self.write(heading(heading_))

    def write_paragraph(self) -> None:
        """A heading begins a paragraph anyway."""

    def write_text(self, text: str) -> None:
        if not self._in_section:
            self.write_heading(next(self._headings, "NOTES"))
        self.write(paragraphs(text))

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 0, col_spacing: int = 0) -> None:  # noqa: ARG002
        self.write("".join(entry(term, words) for term, words in rows))

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        self.write_heading(name)
        self._in_section = True
        yield
        self._in_section = False


def command_pages(context: click.Context, summary: str, parents: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """The page of a command of chatctl, and those of the commands below it."""
    from chatctl.cli.table import SUMMARY

    command, name = context.command, context.command_path.replace(" ", "-")
    formatter, others = RoffFormatter(), [f"{parent}(1)" for parent in parents]
    command.format_help(context, formatter)
    below = (*parents, name)
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            short = SUMMARY[each] if not parents else found.get_short_help_str(200)
            yield from command_pages(click.Context(found, info_name=each, parent=context), short, below)
            others.append(f"{name}-{each}(1)")
    yield page(name, 1, summary, formatter.getvalue(), [*others, "chatd(1)"])


def entries(lines: Iterable[str]) -> list[tuple[str, str]]:
    """The flags in an indented block of `chatd --help`, each with its help."""
    found: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("   "):
            term, words = found[-1]
            found[-1] = term, f"{words} {line.strip()}".strip()
        else:
            term, _, words = line.strip().partition("  ")
            found.append((term, words.strip()))
    return found


def daemon_page(usage: str) -> tuple[str, str]:
    """chatd(1), from the text of `chatd --help`."""
    synopsis, *blocks = usage.strip("\n").split("\n\n")
    roff = [heading("synopsis"), filled(synopsis.removeprefix("usage: ")), heading("description")]
    examples: list[str] = []
    for block in blocks:
        title, *lines = block.splitlines()
        if title == "Examples:":
            examples = [heading("examples"), unfilled(line.removeprefix("  ") for line in lines)]
        elif title.startswith("  -"):
            roff += [heading("options"), *starmap(entry, entries([title, *lines])), heading("settings")]
        elif lines and lines[0].startswith("  -"):
            roff += [subheading(title), *starmap(entry, entries(lines))]
        else:
            roff += [".PP\n" * (not roff[-1].startswith(".SH")), filled(block)]
    return page(
        "chatd", 1, "A headless peer-to-peer chat daemon", "".join(roff + examples), ["chatctl(1)", "chatd.toml(5)"]
    )


def settings_page(usage: str, keys: Container[str]) -> tuple[str, str]:
    """chatd.toml(5), from the text of `chatd --help`; `keys` are those that a file may have."""
    roff = [heading("synopsis"), unfilled(PLACES), heading("description"), paragraphs(TOML), heading("settings")]
    for title, *lines in (block.splitlines() for block in usage.split("\n\n")):
        if lines and lines[0].startswith("  -") and not title.startswith("  "):
            named = [(key_of(flag), words) for flag, words in entries(lines)]
            roff += [subheading(title), *(entry(*each) for each in named if each[0].split()[0] in keys)]
    roff += [heading("examples"), unfilled(TOML_EXAMPLE)]
    return page("chatd.toml", 5, "Settings of a chatd node", "".join(roff), ["chatd(1)"])


def key_of(term: str) -> str:
    """The key of a flag in a file, and its values: `--log-level LEVEL` is `log_level LEVEL`."""
    flag, _, value = term.partition("--")[2].partition(" ")
    switch = "[=no]"
    return f"{flag.removesuffix(switch).replace('-', '_')} {'true|false' if flag.endswith(switch) else value}"


def pages() -> Iterator[tuple[str, str]]:
    """Every page: the name of its file, and its roff."""
    from chatctl.cli.table import cli
    from chatd.config.flags import usage
    from chatd.config.loading import NOT_IN_FILES
    from chatd.config.settings import SETTINGS

    yield from command_pages(click.Context(cli, info_name="chatctl"), "Control chatd, the headless chat daemon")
    yield daemon_page(usage())
    yield settings_page(usage(), SETTINGS.keys() - NOT_IN_FILES)
