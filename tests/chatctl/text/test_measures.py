"""Measurements: constant memory, precision of a thousandth, short texts."""

import pickle
import random

import pytest

from chatctl.text.measures import DurationHistogram, millis_text, progress_line, size_text, spread_text


def durations(*seconds: float) -> DurationHistogram:
    found = DurationHistogram()
    for one in seconds:
        found.add(one)
    return found


def test_percentiles_are_durations_that_there_were() -> None:
    found = durations(0.004, 0.001, 0.003, 0.002, 0.1)
    assert found.percentile(0) == pytest.approx(0.001, rel=1e-9)
    assert found.percentile(50) == pytest.approx(0.003, rel=0.001)
    assert found.percentile(99) == pytest.approx(0.1, rel=1e-9)
    assert found.percentile(100) == pytest.approx(0.1, rel=1e-9)


def test_of_one_duration_all_percentiles_are_that_one() -> None:
    found = durations(0.00031234)
    assert {found.percentile(share) for share in (0, 50, 99, 100)} == {0.00031234}


def test_nothing_measured_is_nothing() -> None:
    assert DurationHistogram().percentile(50) is None
    assert set(DurationHistogram().record().values()) == {None}
    assert spread_text(DurationHistogram().record()) == ""


def test_percentiles_are_right_to_a_thousandth_from_nanoseconds_to_hours() -> None:
    drawn = random.Random(7)
    values = [10 ** drawn.uniform(-8, 4) for _ in range(9999)]
    found = durations(*values)
    values.sort()
    for share in (1, 25, 50, 75, 90, 99):
        exact = values[-(-len(values) * share // 100) - 1]
        assert found.percentile(share) == pytest.approx(exact, rel=0.001, abs=1e-9)
    assert found.percentile(100) == pytest.approx(values[-1], rel=1e-9)


def test_millions_take_no_more_room_than_thousands() -> None:
    drawn = random.Random(7)
    found = DurationHistogram()
    for _ in range(100_000):
        found.add(drawn.uniform(0.001, 0.002), 100)
    assert found.count == 10_000_000
    assert len(pickle.dumps(found)) < 30_000
    assert found.percentile(50) == pytest.approx(0.0015, rel=0.01)


def test_a_clock_that_went_back_a_little_is_no_duration() -> None:
    assert durations(-0.001).percentile(50) == 0


def test_numbers_are_short_for_people() -> None:
    assert [millis_text(value) for value in (0.4149, 9.94, 12.5, 120.4)] == ["0.41", "9.9", "12.5", "120"]
    assert [size_text(count) for count in (820, 3_226_000, 12e9, 1e13)] == ["820 B", "3.2 MB", "12.0 GB", "10000.0 GB"]
    assert spread_text(durations(0.00031, 0.0004, 0.00052).record()) == "min/median/p99/max 0.31/0.40/0.52/0.52 ms"


def test_progress_is_one_line_that_never_passes_its_end() -> None:
    assert progress_line(0, 10, 0.0).startswith("[..............................]   0%  0 of 10")
    assert progress_line(5, 10, 1234.5).startswith("[###############...............]  50%  5 of 10  1,234/s")
    assert progress_line(12, 10, 1.0).startswith("[##############################] 100%")
