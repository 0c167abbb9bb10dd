"""Durations and points in time."""

import time
from datetime import datetime

import pytest

from chatctl.values import moment, seconds
from tests.chatctl.conftest import Chatctl


@pytest.mark.parametrize(
    ("text", "value"), [("200ms", 0.2), ("5s", 5), ("2m", 120), ("1h", 3600), ("7", 7), ("1.5", 1.5), ("0", 0)]
)
def test_a_duration_is_a_number_with_its_unit(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "s", "5 s", "-5", "5d", "inf", "nan", "1e3", "1_0", "٣", "1.2.3", "9" * 30])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no duration|is too long"):
        seconds(text)


def test_a_point_in_time_is_a_while_ago_or_rfc_3339() -> None:
    assert moment("2026-11-21T03:00:00Z") == "2026-11-21T03:00:00.000Z"
    assert moment("2026-11-21T04:00:00.25+01:00") == "2026-11-21T03:00:00.250Z"
    before = time.time() - 600
    assert before - 1 < datetime.fromisoformat(moment("10m")).timestamp() < time.time() - 599


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-21", "2026-11-21T03:00:00", "2026-13-41T03:00:00Z"])
def test_anything_else_is_no_point_in_time(text: str) -> None:
    with pytest.raises(ValueError, match=r"no point in time|its zone"):
        moment(text)


@pytest.mark.parametrize(
    "argv", [["--timeout", "soon", "status"], ["status", "--timeout", "soon"], ["history", "--since", "soon"]]
)
def test_a_bad_one_on_the_command_line_is_2_with_the_reason(chatctl: Chatctl, argv: list[str]) -> None:
    ran = chatctl(*argv)
    assert ran.status == 2
    assert "'soon' is no " in ran.err
