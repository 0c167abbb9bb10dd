"""Back-off, exactly: what is drawn, from where to where."""

from random import Random

import pytest

from chatd.net.backoff import Backoff


class Draws(Random):
    """Notes the ranges that are drawn from, and gives the top of each."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: list[tuple[float, float]] = []

    def uniform(self, a: float, b: float) -> float:
        self.ranges.append((a, b))
        return b


def test_the_ceiling_doubles_from_the_least_to_the_most_and_stays_there() -> None:
    draws = Draws()
    backoff = Backoff(0.5, 30.0, draws)
    waits = [backoff.next() for _ in range(9)]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert draws.ranges == [(0, wait) for wait in waits]


def test_reset_starts_anew() -> None:
    backoff = Backoff(0.5, 30.0, Draws())
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert [backoff.next(), backoff.next()] == [0.5, 1]


def test_a_most_below_the_least_is_the_least() -> None:
    backoff = Backoff(5.0, 1.0, Draws())
    assert [backoff.next(), backoff.next()] == [5.0, 5.0]


@pytest.mark.parametrize("seed", range(5))
def test_every_wait_lies_between_nothing_and_its_ceiling(seed: int) -> None:
    backoff = Backoff(0.5, 4.0, Random(seed))
    for ceiling in (0.5, 1, 2, 4, 4):
        assert 0 <= backoff.next() <= ceiling


def test_the_same_seed_waits_the_same() -> None:
    one, other = (Backoff(0.5, 30.0, Random(7)) for _ in range(2))
    assert [one.next() for _ in range(20)] == [other.next() for _ in range(20)]
