"""Values that users type: durations, points in time, rates and shares.

For example `200ms`, `5s`, `2m`, `1h` or bare seconds; RFC 3339 or a duration ago; `64k` or `512kbit`; `5%` or `0.05`.
Each parser raises ValueError with the reason; its `_option` twin is the type of a click option.
"""

import time

import click

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Value = TypeVar("Value")

_UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))
_LONGEST_S = 10 * 365 * 86400.0
_DURATIONS = "write 200ms, 5s, 2m, 1h or bare seconds"
_RATES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_BIT_RATES = {"bit": 1 / 8, "kbit": 1e3 / 8, "mbit": 1e6 / 8, "gbit": 1e9 / 8}  # as tc(8) has them, in any case
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FASTEST = 1e12
_MOMENTS = "write a duration ago (10m) or RFC 3339 (2026-11-21T03:00:00Z)"


def parse_duration(text: str) -> float:
    """Seconds, e.g. 0.2 for `200ms`."""
    number, factor = text, 1.0
    for unit, worth in _UNITS:
        if text.endswith(unit):
            number, factor = text[: -len(unit)], worth
            break
    value = _parse_number(number)
    if value is None:
        raise ValueError(f"{text!r} is no duration: {_DURATIONS}")
    if value * factor > _LONGEST_S:
        raise ValueError(f"{text!r} is too long")
    return value * factor


def parse_rate(text: str) -> int:
    """Bytes per second, e.g. 64000 for `64k` or `512kbit`."""
    number = text.rstrip(_LETTERS)
    unit = text[len(number) :]
    factor = _RATES.get(unit) or _BIT_RATES.get(unit.lower())
    value = _parse_number(number)
    if factor is None or value is None:
        raise ValueError(f"{text!r} is no rate: write bytes a second (64k, 64KiB, 1M) or bits (512kbit)")
    if value * factor > _FASTEST:
        raise ValueError(f"{text!r} is too much")
    return round(value * factor)


def parse_share(text: str) -> float:
    """A number from 0 to below 1, e.g. 0.05 for `5%`."""
    value = _parse_number(text.removesuffix("%"))
    if value is None:
        raise ValueError(f"{text!r} is no share: write 5% or 0.05")
    value = value / 100 if text.endswith("%") else value
    if value >= 1:
        raise ValueError(f"{text!r} is not less than 100%; --cut lets nothing through")
    return value


def _parse_number(text: str) -> float | None:
    """Parse a decimal number without sign and exponent; None for anything else."""
    if not text or set(text) - set("0123456789."):
        return None
    try:
        return float(text)
    except ValueError:
        return None


def parse_moment(text: str) -> str:
    """RFC 3339 in UTC with milliseconds, e.g. `2026-11-21T03:00:00.000Z`."""
    if "T" not in text and "t" not in text:
        try:
            return _format_utc(time.time() - parse_duration(text))
        except ValueError:
            raise ValueError(f"{text!r} is no point in time: {_MOMENTS}") from None
    from datetime import datetime

    try:
        point = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"{text!r} is no point in time: {_MOMENTS}") from None
    if point.tzinfo is None:
        raise ValueError(f"{text!r} does not say its zone: end it with Z or +01:00")
    return _format_utc(point.timestamp())


def _format_utc(point: float) -> str:
    millis = int(point * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(millis // 1000))}.{millis % 1000:03d}Z"


def _option_type(parse: "Callable[[str], Value]") -> "Callable[[str], Value]":
    """Convert ValueError to the error that click prints with the name of the option."""

    def convert(text: str) -> "Value":
        try:
            return parse(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    return convert


duration_option = _option_type(parse_duration)
moment_option = _option_type(parse_moment)
rate_option = _option_type(parse_rate)
share_option = _option_type(parse_share)
