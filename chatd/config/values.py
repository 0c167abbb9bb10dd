"""Kinds of values of settings: how each is parsed, limited and shown.

Values are always parsed from text, so that flags, variables and keys of the configuration file agree. A `Kind` raises
ValueError, or InvalidValue with a better message; the caller adds the source of the value.
"""

import difflib
import grp
import math
import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from chatd import paths
from chatd.formats import DECIDING_PREFIX, ID_CHARACTER, NODE_ID_LENGTH

Number = TypeVar("Number", int, float)

DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:e-?\d+)?(ms|s|m|h)?", re.ASCII)
DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
SIZE = re.compile(r"(\d+)(B|KiB|MiB|GiB)?", re.ASCII)
SIZE_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
HOST = re.compile(r"(?!-)[\w.-]{1,253}")
ID_PREFIX = re.compile(rf"{ID_CHARACTER}{{{DECIDING_PREFIX},{NODE_ID_LENGTH}}}")
PORT = re.compile(r"[0-9]{1,5}")
DIALECTS = ("address", "name")
YES, NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


class InvalidValue(ValueError):
    """A value is not valid; the message replaces the one made of the kind's `allowed`."""


class Kind(msgspec.Struct, frozen=True):
    """One kind of value. For a list, `parse`, `show` and `example` are about one element."""

    metavar: str
    allowed: str  # completes "(use …)"
    parse: Callable[[str], object]
    show: Callable[[object], str] = str
    many: bool = False
    joins: str = ""  # of a list: an element with this prefix continues the previous one
    switch: bool = False  # yes or no: the flag needs no value; the file may have true and false
    tables: Callable[[Mapping[str, object]], list[str]] | None = None  # of a list: the texts of tables in the file
    example: str = ""  # a valid value, for settings that are empty by default

    def split(self, text: str) -> list[str]:
        """The elements of a comma-separated list."""
        elements: list[str] = []
        for part in filter(None, map(str.strip, text.split(","))):
            if self.joins and elements and part.startswith(self.joins):
                elements[-1] += f",{part}"
            else:
                elements.append(part)
        return elements


class RoomPort(NamedTuple):
    """A room port: its address, its room and the dialect of its clients."""

    host: str
    port: int
    room: str
    dialect: str


def parse_duration(text: str) -> float:
    """Seconds of `200ms`, `5s`, `2m`, `1h` or bare seconds. Raises ValueError."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no duration")
    unit = match[2] or ""
    seconds = float(text.removesuffix(unit)) * DURATION_UNITS.get(unit, 1.0)
    if not math.isfinite(seconds):
        raise ValueError(f"{text!r} is too long")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as exactly this duration."""
    for unit in ("h", "m"):
        if seconds and seconds % DURATION_UNITS[unit] == 0:
            return f"{int(seconds / DURATION_UNITS[unit])}{unit}"
    milliseconds = f"{seconds * 1000:.15g}ms"
    if 0 < seconds < 1 and parse_duration(milliseconds) == seconds:
        return milliseconds
    return f"{float(seconds)!r}".removesuffix(".0") + "s"


def parse_yes_no(text: str) -> bool:
    """Yes, true, on, 1, or no, false, off, 0, in any case. Raises ValueError."""
    if text.lower() not in YES + NO:
        raise ValueError(f"{text!r} is neither yes nor no")
    return text.lower() in YES


def format_yes_no(value: object) -> str:
    return "yes" if value else "no"


def parse_size(text: str) -> int:
    """Bytes of `65536`, `64KiB`, `8MiB` or `1GiB`. Raises ValueError."""
    match = SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size")
    return int(match[1]) * SIZE_UNITS[match[2] or "B"]


def format_size(size: int) -> str:
    """The shortest text that `parse_size` reads as this size."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % SIZE_UNITS[unit] == 0:
            return f"{size // SIZE_UNITS[unit]}{unit}"
    return str(size)


def parse_address(text: str, *, lowest_port: int = 1) -> tuple[str, int]:
    """Host and port of `HOST[:PORT]`, `[V6][:PORT]` or a bare IPv6 address. Raises ValueError.

    A host of digits only is rejected: `7420` is a port without its host far more often than the address 0.0.28.252.
    """
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        is_valid = bracket and _is_v6(host) and (not rest or rest.startswith(":"))
        port = rest[1:] if rest else str(paths.DEFAULT_PORT)
    elif text.count(":") > 1:
        host, port, is_valid = text, str(paths.DEFAULT_PORT), _is_v6(text)
    else:
        host, colon, rest = text.partition(":")
        port = rest if colon else str(paths.DEFAULT_PORT)
        is_valid = HOST.fullmatch(host) is not None and not host.isdigit()
    if not is_valid or not PORT.fullmatch(port) or not lowest_port <= int(port) <= 65535:
        raise ValueError(f"{text!r} is no address: expected HOST[:PORT], PORT {lowest_port} to 65535")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """`HOST:PORT`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_room_port(text: str) -> RoomPort:
    """Parse `HOST:PORT=ROOM,dialect=DIALECT`. Raises ValueError."""
    endpoint, _, option = text.partition(",")
    address, _, room = map(str.strip, endpoint.partition("="))
    word, _, dialect = map(str.strip, option.partition("="))
    host, port = parse_address(address, lowest_port=0)
    has_port = format_address(host, port) == address  # the default port was not added
    if not has_port or not paths.valid_name(room) or word != "dialect" or dialect not in DIALECTS:
        raise ValueError(f"{text!r} is no room port")
    return RoomPort(host, port, room, dialect)


def format_room_port(port: RoomPort) -> str:
    """The text that `parse_room_port` reads as this port."""
    return f"{format_address(port.host, port.port)}={port.room},dialect={port.dialect}"


def _is_v6(host: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return False
    return True


def is_ip(text: str) -> bool:
    """Whether a resolver reads the host as an IP address, e.g. `10.0.0.1`, `127.1`, `0x7f.1`, `::1`."""
    try:
        socket.inet_aton(text)
    except (OSError, ValueError):
        return _is_v6(text)
    return True


def count(low: int, high: int, *, zero: str = "") -> Kind:
    """Whole numbers; `zero` explains 0 if that has a special meaning."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit():
            raise ValueError
        return _within(int(text), low, high)

    return Kind("N", f"a whole number from {low} to {high}{f' ({zero})' if zero else ''}", parse)


def size(low: int, high: int) -> Kind:
    """Numbers of bytes."""

    def show(value: object) -> str:
        assert isinstance(value, int)
        return format_size(value)

    allowed = f"a size from {format_size(low)} to {format_size(high)}, in bytes or like 64KiB, 8MiB, 1GiB"
    return Kind("SIZE", allowed, lambda text: _within(parse_size(text), low, high), show)


def duration(low: float, high: float) -> Kind:
    """Spans of time in seconds."""

    def show(value: object) -> str:
        assert isinstance(value, float)
        return format_duration(value)

    allowed = (
        f"a duration from {format_duration(low)} to {format_duration(high)}, like 200ms, 5s, 2m, 1h or bare seconds"
    )
    return Kind("TIME", allowed, lambda text: _within(parse_duration(text), low, high), show)


def choice(*words: str) -> Kind:
    """One word of a few."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Kind("|".join(words), f"{', '.join(words[:-1])} or {words[-1]}", parse)


def addresses(*, lowest_port: int) -> Kind:
    """Lists of addresses, each with its port."""

    def parse(text: str) -> str:
        return format_address(*parse_address(text, lowest_port=lowest_port))

    allowed = (
        f"addresses HOST[:PORT], comma-separated, PORT {lowest_port} to 65535 (IPv6 as [::1]:{paths.DEFAULT_PORT})"
    )
    return Kind("HOST[:PORT],…", allowed, parse, many=True, example=f"10.0.0.2:{paths.DEFAULT_PORT}")


def nearest(word: str, known: Iterable[str], *, otherwise: str = " (see chatd --help)") -> str:
    """A hint for an unknown word: the most similar known one, else `otherwise`."""
    matches = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {matches[0]}?)" if matches else otherwise


def _within(value: Number, low: Number, high: Number) -> Number:
    if not low <= value <= high:
        raise ValueError
    return value


def _name(text: str) -> str:
    if not paths.valid_name(text):
        raise ValueError
    return text


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError
    return os.path.abspath(text)


def _node_id(text: str) -> str:
    if not ID_PREFIX.fullmatch(text):
        raise ValueError
    return text


def _group(text: str) -> str:
    try:
        if text.isdigit():
            grp.getgrgid(int(text))
        elif text:  # empty: no group
            grp.getgrnam(text)
    except (KeyError, OverflowError):
        raise ValueError from None
    return text


def _room_port(text: str) -> str:
    return format_room_port(parse_room_port(text))


YES_NO = Kind("[=no]", "yes or no", parse_yes_no, format_yes_no, switch=True)
NAME = Kind("NAME", paths.NAME_RULE, _name)
PATH = Kind("PATH", "a path", _path)
NODE_IDS = Kind(
    "ID,…",
    "node ids, or their first 16 characters or more (a-z 2-7), comma-separated",
    _node_id,
    many=True,
    example="q7x2mfkab4cdefgh",
)
GROUP = Kind("GROUP", "the name or number of a group of this machine", _group, example="users")
ROOM_PORTS = Kind(
    "HOST:PORT=ROOM,dialect=…",
    "HOST:PORT=ROOM,dialect=address or HOST:PORT=ROOM,dialect=name, several with commas between",
    _room_port,
    many=True,
    joins="dialect=",
    example="0.0.0.0:1234=lobby,dialect=name",
)
