"""Fault specifications as text, e.g. `bob delay=200ms out.loss=5% in.cut`.

`FAULTS` is the table: how each fault is parsed, limited and shown. Flags, variables, the configuration file and the
control methods all use it. `net/faults/` applies the faults.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from chatd.config.values import (
    InvalidValue,
    Kind,
    format_duration,
    format_size,
    format_yes_no,
    nearest,
    parse_duration,
    parse_yes_no,
)

RATE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([A-Za-z]*)", re.ASCII)
RATE_UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
BIT_UNITS = {"bit": 1 / 8, "kbit": 1e3 / 8, "mbit": 1e6 / 8, "gbit": 1e9 / 8}  # as tc(8) has them, in any case
SHARE = re.compile(r"((?:\d+(?:\.\d*)?|\.\d+)(?:e-?\d+)?)(%?)", re.ASCII)
PEER = re.compile(r"(?!\d+$)[^\s,=]{1,300}", re.ASCII)
PEER_RULE = "a name, a node id, HOST:PORT, or * for all peers without their own faults"
DIRECTIONS = ("out", "in")

Amount = float | int | bool
Changes = dict[str, Amount]


class PeerFaults(NamedTuple):
    """Faults of one peer (`*`: of all peers without their own), by fields of api.results.Impairment."""

    peer: str
    out: Changes
    in_: Changes


class FaultSpec(NamedTuple):
    """One fault: its parser (ValueError), its formatter, its bounds besides 0, and the end of "(use …)"."""

    parse: Callable[[str], Amount]
    show: Callable[[Amount], str]
    least: float
    most: float
    allowed: str

    def allows(self, amount: Amount) -> bool:
        """Whether the amount is within bounds. 0 always is: it ends the fault."""
        return not amount or self.least <= amount <= self.most


def parse_rate(text: str) -> int:
    """Bytes per second of `64k`, `1M`, `64KiB`, a bare number, or `512kbit` (bits). Raises ValueError."""
    match = RATE.fullmatch(text)
    factor = RATE_UNITS.get(match[2], BIT_UNITS.get(match[2].lower())) if match else None
    if match is None or factor is None or not math.isfinite(float(match[1])):
        raise ValueError(f"{text!r} is no rate")
    return round(float(match[1]) * factor)


def format_rate(rate: Amount) -> str:
    """The shortest text that `parse_rate` reads as this rate."""
    for unit in ("G", "M", "k"):
        if rate and rate % RATE_UNITS[unit] == 0:
            return f"{int(rate / RATE_UNITS[unit])}{unit}"
    return format_size(int(rate))


def parse_share(text: str) -> float:
    """Parse `5%` or `0.05` as a share from 0 to less than 1. Raises ValueError."""
    match = SHARE.fullmatch(text)
    share = float(match[1]) / (100 if match[2] else 1) if match else 1.0
    if share >= 1:
        raise ValueError(f"{text!r} is no share")
    return share


def format_share(share: Amount) -> str:
    """A text that `parse_share` reads as this share, in percent if that is exact."""
    percent = f"{share * 100:.12g}"
    return f"{percent}%" if float(percent) / 100 == share else repr(share)


_SPAN = "like 200ms, 5s, 2m or bare seconds"
FAULTS = {
    "delay": FaultSpec(parse_duration, format_duration, 0, 600, f"a duration from 0s to 10m, {_SPAN}"),
    "jitter": FaultSpec(parse_duration, format_duration, 0, 600, f"a duration from 0s to 10m, {_SPAN}"),
    "loss": FaultSpec(
        parse_share,
        format_share,
        0,
        math.nextafter(1, 0),
        "a share of less than 100%, like 5% or 0.05; where nothing is to get through, use cut",
    ),
    "rate": FaultSpec(
        parse_rate,
        format_rate,
        100,
        1e12,
        "bytes a second, 100 or more, like 64k, 64KiB, 1M, or bits like 512kbit; 0: no limit",
    ),
    "cut": FaultSpec(parse_yes_no, format_yes_no, 1, 1, "yes or no"),
    "flap": FaultSpec(parse_duration, format_duration, 0.05, 3600, f"a duration from 50ms to 1h, {_SPAN}; 0: not"),
}
KNOWN = ", ".join(FAULTS)
KEYS = [*FAULTS, *(f"{direction}.{name}" for direction in DIRECTIONS for name in FAULTS)]


def parse_link_faults(text: str) -> PeerFaults:
    """Parse `bob delay=200ms cut out.loss=5%`. Raises InvalidValue."""
    peer, *words = text.split() or [""]
    return _peer_faults(peer, (_entry_of_word(word) for word in words))


def format_link_faults(setting: PeerFaults) -> str:
    """The text that `parse_link_faults` reads as these faults."""
    words = [setting.peer]
    for name in FAULTS:
        out, in_ = setting.out.get(name), setting.in_.get(name)
        if out == in_:
            words += _words(name, out)
        else:
            words += _words(f"out.{name}", out) + _words(f"in.{name}", in_)
    return " ".join(words)


def texts_of_tables(table: Mapping[str, object]) -> list[str]:
    """Texts for `parse_link_faults` from TOML tables, e.g. `[link_faults.bob.out]`. Raises InvalidValue."""
    return [format_link_faults(_peer_faults(peer, _entries_of_table(peer, faults))) for peer, faults in table.items()]


def _entry_of_word(word: str) -> tuple[str, object]:
    key, equals, amount = word.partition("=")
    return key, True if key.endswith("cut") and not equals else amount


def _entries_of_table(peer: str, faults: object) -> Iterator[tuple[str, object]]:
    """Keys and values of a peer's TOML table; keys of inner tables become e.g. `out.delay`."""
    if not isinstance(faults, dict):
        raise InvalidValue(f"{peer}: {faults!r} is not a table (write [link_faults.{peer}] and then delay = '200ms')")
    for key, value in faults.items():
        if not isinstance(value, dict):
            yield key, value
        elif key in DIRECTIONS:
            yield from ((f"{key}.{name}", amount) for name, amount in value.items())
        else:
            raise InvalidValue(f"{peer}.{key} is not a direction (use out or in; write a peer with a dot in quotes)")


def _peer_faults(peer: str, entries: Iterable[tuple[str, object]]) -> PeerFaults:
    """Merge entries: a fault of one direction wins over one of both. Raises InvalidValue."""
    if not PEER.fullmatch(peer):
        raise InvalidValue(f"{peer!r} is not a valid peer (use {PEER_RULE})")
    amounts: Changes = {}
    for key, value in entries:
        if key in amounts:
            raise InvalidValue(f"{peer}.{key} is set twice (remove one)")
        amounts[key] = _amount(f"{peer}.{key}", key, value)
    if not amounts:
        raise InvalidValue(f"{peer} has no faults (write e.g. `{peer} delay=200ms loss=5%`)")
    out, in_ = ({name: amounts.get(f"{side}.{name}", amounts.get(name)) for name in FAULTS} for side in DIRECTIONS)
    return PeerFaults(peer, _without_none(out), _without_none(in_))


def _without_none(amounts: Mapping[str, Amount | None]) -> Changes:
    return {name: amount for name, amount in amounts.items() if amount is not None}


def _amount(label: str, key: str, value: object) -> Amount:
    """Parse the amount of a fault, given as text or as a TOML value. Raises InvalidValue."""
    if key not in KEYS:
        raise InvalidValue(f"{label}: unknown fault{nearest(key, KEYS, otherwise=f' (use {KNOWN})')}")
    fault = FAULTS[key.rpartition(".")[2]]
    try:
        amount = fault.parse(str(value))
        if fault.allows(amount):
            return amount
    except ValueError:
        pass
    raise InvalidValue(f"{label}: {value!r} is not valid (use {fault.allowed})")


def _words(key: str, amount: Amount | None) -> list[str]:
    """`KEY=AMOUNT` as a list; empty if the fault is not given."""
    if amount is None:
        return []
    return [key if amount is True else f"{key}={FAULTS[key.rpartition('.')[2]].show(amount)}"]


LINK_FAULTS = Kind(
    "PEER FAULT=…,…",
    "a peer and its faults, like `bob delay=200ms loss=5%`, several with commas between",
    lambda text: format_link_faults(parse_link_faults(text)),
    many=True,
    tables=texts_of_tables,
    example="bob delay=200ms loss=5%",
)
