"""Which session gets a place, without sockets."""

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.control.session_limit import EVICT_AFTER_S, RESERVED, SessionLimit


class Seat:
    """A fake session that records calls."""

    def __init__(self, *, reserved: bool = False, asked: bool = True, idle_since: float | None = None) -> None:
        self.reserved = reserved
        self.has_requested = asked
        self.idle_since = idle_since
        self.told: list[str] = []

    def dismiss(self, error: ControlError) -> None:
        self.told.append(error.kind)

    def treat_as_ordinary(self) -> None:
        self.told.append("give way")


def places_of(*seats: Seat, most: int = 2, descriptors: bool = True) -> SessionLimit[Seat]:
    places = SessionLimit[Seat](most, lambda: descriptors)
    for seat in seats:
        places.add(seat)
    return places


def reserve(asked: bool, idle_since: float | None = 0.0) -> list[Seat]:
    return [Seat(reserved=True, asked=asked, idle_since=idle_since) for _ in range(RESERVED)]


async def test_of_the_idle_the_longest_idle_goes_after_ten_minutes_and_not_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    busy, idle, idler, new = Seat(), Seat(idle_since=1.0), Seat(idle_since=0.5), Seat(reserved=True)
    places = places_of(busy, idle, idler, new, most=3)
    await trio.sleep_until(EVICT_AFTER_S + 0.4)
    refusal = places.promote(new)
    assert refusal is not None
    assert (refusal.kind, refusal.retryable) == ("rate_limited", True)
    await trio.sleep_until(EVICT_AFTER_S + 2)
    assert places.promote(new) is None
    assert (busy.told, idle.told, idler.told, new.told) == ([], [], ["session_evicted"], [])
    assert list(places) == [busy, idle, new]


async def test_a_place_that_is_free_is_given_and_none_is_taken_away(autojump_clock: trio.testing.MockClock) -> None:
    idle, new = Seat(idle_since=0.0), Seat(reserved=True)
    places = places_of(idle, new)
    await trio.sleep_until(2 * EVICT_AFTER_S)
    assert places.promote(new) is None
    assert idle.told == []
    assert places.is_full


async def test_without_descriptors_no_place_is_given() -> None:
    new = Seat(reserved=True)
    refusal = places_of(new, descriptors=False).promote(new)
    assert refusal is not None
    assert "file descriptors" in refusal.message


@pytest.mark.parametrize(
    ("seats", "free", "told"),
    [
        (reserve(asked=True)[1:], True, []),
        (reserve(asked=True), True, ["session_evicted"]),
        (reserve(asked=False), True, ["give way"]),
        (reserve(asked=True, idle_since=None), False, []),
    ],
    ids=["not full", "answered", "silent", "busy"],
)
def test_in_the_reserve_the_oldest_that_can_be_spared_makes_way(seats: list[Seat], free: bool, told: list[str]) -> None:
    places = places_of(*seats)
    assert places.free_reserve() is free
    assert seats[0].told == told
    assert len(places) == RESERVED - free
    assert not any(seat.told for seat in seats[1:])


def test_a_silent_one_goes_before_one_that_was_answered() -> None:
    seats = reserve(asked=True)
    seats[3].has_requested = False
    places = places_of(*seats)
    assert places.free_reserve()
    assert [seat.told for seat in seats] == [[], [], [], ["give way"], *[[]] * (RESERVED - 4)]
