"""Pings: tokens and round trips, on a mock clock."""

from random import Random

import trio
import trio.testing

from chatd.peers.pings import OPEN, Pings


async def test_a_question_is_due_once_and_its_pong_gives_the_round_trip(mock_clock: trio.testing.MockClock) -> None:
    pings = Pings(Random(1))
    answered = pings.ask()
    (token,) = pings.take()
    assert pings.take() == []
    mock_clock.jump(0.25)
    assert not answered.is_set()
    assert pings.answered(token) == 250.0
    assert answered.is_set()


async def test_a_pong_that_nobody_asked_for_or_a_second_one_tells_nothing() -> None:
    pings = Pings(Random(1))
    pings.ask()
    (token,) = pings.take()
    assert pings.answered(token + 1) is None
    assert pings.answered(token) is not None
    assert pings.answered(token) is None


async def test_pongs_may_come_in_any_order(mock_clock: trio.testing.MockClock) -> None:
    pings = Pings(Random(1))
    first = pings.ask()
    mock_clock.jump(1)
    second = pings.ask()
    tokens = pings.take()
    mock_clock.jump(1)
    assert pings.answered(tokens[1]) == 1000.0
    assert (first.is_set(), second.is_set()) == (False, True)
    assert pings.answered(tokens[0]) == 2000.0


async def test_of_too_many_open_questions_the_oldest_is_given_up() -> None:
    pings = Pings(Random(1))
    events = [pings.ask() for _ in range(OPEN + 2)]
    tokens = pings.take()
    assert [pings.answered(token) is None for token in tokens] == [True, True] + [False] * OPEN
    assert [event.is_set() for event in events] == [False, False] + [True] * OPEN


async def test_the_time_of_the_last_question_is_kept(mock_clock: trio.testing.MockClock) -> None:
    pings = Pings(Random(1))
    mock_clock.jump(5)
    pings.ask()
    mock_clock.jump(5)
    assert pings.last_asked == trio.current_time() - 5


async def test_tokens_fit_the_wire() -> None:
    pings = Pings(Random(1))
    for _ in range(100):
        pings.ask()
    assert all(0 <= token < 2**63 for token in pings.take())
