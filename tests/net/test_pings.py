"""Pings: tokens, round trips and clocks, on a mock clock."""

from random import Random

import pytest
import trio
import trio.testing

from chatd.net.pings import OPEN, Pings

WALL = 1_800_000_000.0


class Wall:
    """Our wall clock: it goes with trio's."""

    def __call__(self) -> float:
        return WALL + trio.current_time()


@pytest.fixture
def pings() -> Pings:
    return Pings(Random(1), Wall())


async def test_a_question_is_due_once_and_its_pong_gives_the_round_trip(
    pings: Pings, mock_clock: trio.testing.MockClock
) -> None:
    asked = pings.queue()
    (token,) = pings.take_due()
    assert pings.take_due() == []
    mock_clock.jump(0.25)
    assert not asked.answered.is_set()
    assert pings.record_pong(token) == 250.0
    assert asked.answered.is_set()
    assert asked.rtt_s == 0.25


async def test_a_pong_that_nobody_asked_for_or_a_second_one_tells_nothing(pings: Pings) -> None:
    pings.queue()
    (token,) = pings.take_due()
    assert pings.record_pong(token + 1) is None
    assert pings.record_pong(token) is not None
    assert pings.record_pong(token) is None


async def test_pongs_may_come_in_any_order(pings: Pings, mock_clock: trio.testing.MockClock) -> None:
    first = pings.queue()
    mock_clock.jump(1)
    second = pings.queue()
    tokens = pings.take_due()
    mock_clock.jump(1)
    assert pings.record_pong(tokens[1]) == 1000.0
    assert (first.answered.is_set(), second.answered.is_set()) == (False, True)
    assert pings.record_pong(tokens[0]) == 2000.0


async def test_of_too_many_open_questions_the_oldest_is_given_up(pings: Pings) -> None:
    asked = [pings.queue() for _ in range(OPEN + 2)]
    tokens = pings.take_due()
    assert [pings.record_pong(token) is None for token in tokens] == [True, True] + [False] * OPEN
    assert [one.answered.is_set() for one in asked] == [False, False] + [True] * OPEN


async def test_the_time_of_the_last_question_is_kept(pings: Pings, mock_clock: trio.testing.MockClock) -> None:
    mock_clock.jump(5)
    pings.queue()
    mock_clock.jump(5)
    assert pings.last_queued_at == trio.current_time() - 5


async def test_tokens_fit_the_wire(pings: Pings) -> None:
    for _ in range(100):
        pings.queue()
    assert all(0 <= token < 2**63 for token in pings.take_due())


@pytest.mark.parametrize("ahead", [0.0, 3.5, -120.0])
@pytest.mark.parametrize("there", [0.0, 0.1, 0.2, 0.4])
async def test_the_clock_of_the_peer_is_found_within_half_of_the_round_trip(
    pings: Pings, mock_clock: trio.testing.MockClock, ahead: float, there: float
) -> None:
    asked = pings.queue()
    (token,) = pings.take_due()
    mock_clock.jump(there)  # the way there, of 0.4 s for both
    theirs = Wall()() + ahead
    mock_clock.jump(0.4 - there)
    pings.record_pong(token, theirs)
    assert asked.clock_s is not None
    assert asked.clock_s - ahead == pytest.approx(there - 0.2, abs=1e-6)
    assert abs(asked.clock_s - ahead) <= asked.rtt_s / 2 + 1e-6


async def test_of_a_peer_that_does_not_say_the_time_the_clock_is_not_known(pings: Pings) -> None:
    asked = pings.queue()
    (token,) = pings.take_due()
    pings.record_pong(token)
    assert asked.answered.is_set()
    assert asked.clock_s is None
