"""The command line of the daemon: parses flags and formats `--help`, both from the table of settings.

Knows no other source of settings. Called by `__main__` and `loading.py`.
"""

import textwrap
from collections.abc import Iterator, Sequence

import msgspec

from chatd.config.settings import GROUPS, SETTINGS, Config, ConfigError
from chatd.config.values import YES, nearest

FLAGS = {f"--{name.replace('_', '-')}": name for name in SETTINGS} | {"-n": "node", "--peer": "peers"}
ACTIONS = {"-h": "help", "--help": "help", "--version": "version"}
ACTIONS |= {"--check-config": "check", "--print-config": "print"}
WIDTH = 80
COLUMN = 32
INTRODUCTION = """\
usage: chatd [-n NODE] [FLAG VALUE]…

Run a chat node in the foreground, until SIGTERM, SIGINT or `chatctl shutdown`.

Examples:
  chatd                                     run the node "default" on port 7420
  chatd -n bob --listen 127.0.0.1:7421      run a second node on this machine
  chatd --print-config > chatd.toml         create a configuration file
  chatd --config chatd.toml                 run a node with it

  -h, --help                    show this help
  --version                     show the version
  --print-config                print a commented configuration file with every
                                setting and its default
  --check-config                check the configuration; print each setting and
                                its source (exit status 2 if one is not valid)

Each setting is a flag (--log-level), an environment variable (CHATD_LOG_LEVEL)
and a key of a TOML file (log_level). Flags override variables, variables
override the file. The file is /etc/chatd/NODE.toml or, if that does not exist,
~/.config/chatd/NODE.toml.
Lists are comma-separated, or the flag is repeated. TIME: 200ms, 5s, 2m, 1h or
seconds. SIZE: 64KiB, 8MiB or bytes."""


class Flags(msgspec.Struct):
    """The parsed command line: the action, and the texts of each given setting, in order."""

    action: str = "run"  # "run" | "check" | "print" | "help" | "version"
    texts: dict[str, list[str]] = {}

    def last(self, name: str) -> str | None:
        """The last text of a setting, which counts if it has a single value; None if it is not given."""
        return self.texts[name][-1] if name in self.texts else None


def parse_flags(argv: Sequence[str]) -> Flags:
    """Parse the command line. `--help` and `--version` win over later errors. Raises ConfigError."""
    flags, words = Flags(), iter(argv)
    for word in words:
        flag, equals, text = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
        if word in ACTIONS:
            flags.action = ACTIONS[word]
            if flags.action in ("help", "version"):
                break
        elif not word.startswith("-") or word == "-":
            raise ConfigError(f"unexpected argument {word!r} (chatd takes only flags: see chatd --help)")
        elif flag not in FLAGS:
            raise ConfigError(f"{flag if equals else word}: unknown flag{nearest(flag, [*FLAGS, *ACTIONS])}")
        else:
            value = text if equals or text else _value(flag, words)
            if value is None:
                raise ConfigError(f"{flag} needs a value (use {SETTINGS[FLAGS[flag]].kind.allowed})")
            flags.texts.setdefault(FLAGS[flag], []).append(value)
    return flags


def _value(flag: str, words: Iterator[str]) -> str | None:
    """The value of a flag without `=`: yes for a switch, else the next word."""
    return YES[0] if SETTINGS[FLAGS[flag]].kind.switch else next(words, None)


def flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def usage() -> str:
    """The text of `--help`: every setting with flag, help and default, at most WIDTH columns."""
    lines = [*INTRODUCTION.splitlines()]
    for group in GROUPS:
        lines += ["", f"{group}:"]
        for name in (name for name, setting in SETTINGS.items() if setting.group == group):
            lines += _help_lines(name)
    return "\n".join(lines) + "\n"


def _help_lines(name: str) -> list[str]:
    kind = SETTINGS[name].kind
    flag = f"  {'-n, ' if name == 'node' else ''}{flag_of(name)}{'' if kind.switch else ' '}{kind.metavar}"
    default = _default(name)
    text = f"{SETTINGS[name].help}{f' (default: {default})' if default else ''}"
    wrapped = textwrap.wrap(text, WIDTH - COLUMN, break_long_words=False, break_on_hyphens=False)
    first = [f"{flag:{COLUMN}}{wrapped.pop(0)}"] if len(flag) < COLUMN else [flag]
    return first + [" " * COLUMN + line for line in wrapped]


def _default(name: str) -> str:
    """The default as text for a flag; empty if it is computed or empty."""
    field = next(field for field in msgspec.structs.fields(Config) if field.name == name)
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    values = value if isinstance(value, list) else [] if value is msgspec.NODEFAULT else [value]
    return ",".join(SETTINGS[name].kind.show(each) for each in values)
