"""Prints a configuration as a TOML file that `--config` reads: `--print-config` and `--check-config`.

Prints values in the units that the settings accept (`720h`, `8MiB`). Reads nothing. Called by `__main__`.
"""

import json
import textwrap
from collections.abc import Iterator

from chatd.config.loading import NOT_IN_FILES, Loaded
from chatd.config.settings import GROUPS, SETTINGS

WIDTH = 80
VALUES = 60  # columns that values take at most before the origins
HEADER = """\
# Settings of the chatd node "{node}".
#
# Save this file in one of these places, or pass its path with --config:
#   /etc/chatd/{node}.toml
#   ~/.config/chatd/{node}.toml
# To check it, run: chatd -n {node} --check-config
#
# A line like #trust = "open" shows a default. To change a setting, remove its
# "#" and edit the value. Flags (--trust) and variables (CHATD_TRUST) override
# the file.
#
# TIME: "200ms", "5s", "2m", "1h" or seconds. SIZE: "64KiB", "8MiB" or bytes.
# node and config select this file: set them with a flag or a variable.
"""
FOOTER = """
# Faults of a link can also be a table for each peer, instead of link_faults
# above. TOML tables must be at the end of the file.
#   [link_faults.bob]
#   delay = "200ms"
#   out.loss = "5%"
"""


def template(loaded: Loaded) -> str:
    """A commented file of all settings. Defaults are commented out, so as printed it changes only what was given."""
    lines = HEADER.format(node=loaded.config.node).splitlines()
    for group in GROUPS:
        lines += ["", f"## {group}"]
        for name, setting in SETTINGS.items():
            if setting.group == group and name not in NOT_IN_FILES:
                lines += ["", *_entry(loaded, name)]
    return "\n".join(lines) + "\n" + FOOTER


def describe(loaded: Loaded) -> str:
    """One line for each setting: its value and its source. What cannot be in a file is commented out."""
    lines = [(_line(loaded, name, hidden=name in NOT_IN_FILES), loaded.origins[name]) for name in SETTINGS]
    width = min(max(len(text) for text, _ in lines), VALUES)
    return "".join(f"{text:{width}}  # {_printable(origin)}\n" for text, origin in lines)


def toml(name: str, value: object) -> str:
    """The value of a setting as TOML: with its unit, as a number, `true` or `false`, or a list."""
    show = SETTINGS[name].kind.show
    if isinstance(value, list):
        return f"[{', '.join(_quoted(show(element)) for element in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    text = show(value)
    return text if isinstance(value, int) and text.isdigit() else _quoted(text)


def _entry(loaded: Loaded, name: str) -> Iterator[str]:
    """The explanation of a setting, an example where the default shows none, and its line."""
    setting = SETTINGS[name]
    choices = f" ({setting.kind.allowed})" if "|" in setting.kind.metavar else ""
    text = f"{setting.help[0].upper()}{setting.help[1:]}{choices}."
    yield from textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
    if setting.kind.example and not getattr(loaded.config, name):
        example = [setting.kind.example] if setting.kind.many else setting.kind.example
        yield f"# Example: {name} = {json.dumps(example)}"
    yield _line(loaded, name, hidden=loaded.origins[name] == "default")


def _line(loaded: Loaded, name: str, *, hidden: bool) -> str:
    text = f"{name} = {toml(name, getattr(loaded.config, name))}"
    return f"#{text}" if hidden or not _is_unicode(text) else text


def _quoted(text: str) -> str:
    """A TOML string. It is a JSON string, but TOML wants DEL escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_unicode(text: str) -> bool:
    """Whether the text can be in a TOML file; a path that is not UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(text: str) -> str:
    """The text on one line: a path may contain a line break, which would end the comment."""
    return text if text.isprintable() else text.encode("unicode_escape").decode()
