"""Durations, points in time, rates and shares."""

import time
from datetime import datetime

import pytest

from chatctl.text.values import parse_duration, parse_moment, parse_rate, parse_share
from chatd.config import link_faults
from tests.chatctl.conftest import Chatctl


@pytest.mark.parametrize(
    ("text", "value"), [("200ms", 0.2), ("5s", 5), ("2m", 120), ("1h", 3600), ("7", 7), ("1.5", 1.5), ("0", 0)]
)
def test_a_duration_is_a_number_with_its_unit(text: str, value: float) -> None:
    assert parse_duration(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "s", "5 s", "-5", "5d", "inf", "nan", "1e3", "1_0", "٣", "1.2.3", "9" * 30])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|is too long"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("0", 0), ("100", 100), ("64k", 64_000), ("64K", 64_000), ("1.5M", 1_500_000), ("1G", 1_000_000_000)),
        *(("64KiB", 65_536), ("1MiB", 1 << 20), ("512kbit", 64_000), ("512Kbit", 64_000), ("800bit", 100)),
    ],
)
def test_a_rate_is_in_bytes_or_in_bits_and_the_same_as_in_the_configuration(text: str, value: int) -> None:
    assert parse_rate(text) == link_faults.parse_rate(text) == value


@pytest.mark.parametrize("text", ["", "k", "64 k", "-5k", "64kb", "1m", "1e3", "inf", "1.2.3k", "٣", "9" * 400])
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no rate|is too much"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "value"), [("5%", 0.05), ("0.05", 0.05), ("0", 0), ("99.9%", 0.999), (".5%", 0.005)])
def test_a_share_is_a_percentage_or_a_part_and_the_same_as_in_the_configuration(text: str, value: float) -> None:
    assert parse_share(text) == link_faults.parse_share(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "%", "5 %", "-5%", "100%", "1", "nan", "5%%", "1_0", "9" * 400])
def test_anything_else_is_no_share(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no share|is not less than 100%"):
        parse_share(text)


def test_a_point_in_time_is_a_while_ago_or_rfc_3339() -> None:
    assert parse_moment("2026-11-21T03:00:00Z") == "2026-11-21T03:00:00.000Z"
    assert parse_moment("2026-11-21T04:00:00.25+01:00") == "2026-11-21T03:00:00.250Z"
    before = time.time() - 600
    assert before - 1 < datetime.fromisoformat(parse_moment("10m")).timestamp() < time.time() - 599


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-21", "2026-11-21T03:00:00", "2026-13-41T03:00:00Z"])
def test_anything_else_is_no_point_in_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"no point in time|its zone"):
        parse_moment(text)


@pytest.mark.parametrize(
    "argv", [["--timeout", "soon", "status"], ["status", "--timeout", "soon"], ["history", "--since", "soon"]]
)
def test_a_bad_one_on_the_command_line_is_2_with_the_reason(chatctl: Chatctl, argv: list[str]) -> None:
    ran = chatctl(*argv)
    assert ran.status == 2
    assert "'soon' is no " in ran.err
