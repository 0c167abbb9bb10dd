"""Durations (`200ms`, `5s`, `2m`, `1h`, bare seconds) and points in time (RFC 3339, or a duration ago)."""

import time

import click

_UNITS = (("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0))
_LONGEST_S = 10 * 365 * 86400.0
_DURATIONS = "write 200ms, 5s, 2m, 1h or bare seconds"
_MOMENTS = "write a duration ago (10m) or RFC 3339 (2026-11-21T03:00:00Z)"


def seconds(text: str) -> float:
    """A duration. Raises ValueError with the reason."""
    number, factor = text, 1.0
    for unit, worth in _UNITS:
        if text.endswith(unit):
            number, factor = text[: -len(unit)], worth
            break
    if not number or set(number) - set("0123456789."):
        raise ValueError(f"{text!r} is no duration: {_DURATIONS}")
    try:
        value = float(number) * factor
    except ValueError:
        raise ValueError(f"{text!r} is no duration: {_DURATIONS}") from None
    if value > _LONGEST_S:
        raise ValueError(f"{text!r} is too long")
    return value


def moment(text: str) -> str:
    """A point in time, as RFC 3339 in UTC with milliseconds. Raises ValueError with the reason."""
    if "T" not in text and "t" not in text:
        try:
            return _stamp(time.time() - seconds(text))
        except ValueError:
            raise ValueError(f"{text!r} is no point in time: {_MOMENTS}") from None
    from datetime import datetime

    try:
        point = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"{text!r} is no point in time: {_MOMENTS}") from None
    if point.tzinfo is None:
        raise ValueError(f"{text!r} does not say its zone: end it with Z or +01:00")
    return _stamp(point.timestamp())


def _stamp(point: float) -> str:
    millis = int(point * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(millis // 1000))}.{millis % 1000:03d}Z"


def duration_option(text: str) -> float:
    """`seconds` for click."""
    try:
        return seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment_option(text: str) -> str:
    """`moment` for click."""
    try:
        return moment(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
