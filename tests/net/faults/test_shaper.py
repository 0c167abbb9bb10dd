"""Shaper: when what goes in comes out, to the moment."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatd.api.results import Impairment
from chatd.net.faults.shaper import LEAST_WINDOW, PIECES, RTO_S, SEGMENT, WINDOW, Meter, Shaper

EVERYTHING = 1 << 30


def shaper(now: float = 0.0, seed: int = 1, **impairment: float) -> tuple[Shaper, Meter]:
    meter, made = Meter(), Shaper(Random(seed))
    made.set(Impairment(**impairment), meter, now)  # type: ignore[arg-type]
    return made, meter


def arrivals(one: Shaper, now: float, until: float = 1e6) -> list[tuple[float, bytes]]:
    """What comes out when, rounded to microseconds."""
    found = []
    while (at := one.next_at(now)) <= until:
        now = max(now, at)
        data = one.read(now, EVERYTHING)
        if data or one.at_end:
            found.append((round(now, 6), data))
    return found


def test_without_faults_everything_comes_at_once() -> None:
    one, meter = shaper()
    one.write(b"hello", 3.0)
    assert one.next_at(3.0) == 3.0
    assert one.read(3.0, EVERYTHING) == b"hello"
    assert one.is_empty
    assert (meter.measured().bytes, meter.measured().delay_s) == (5, 0.0)


def test_a_delay_is_exact_and_pieces_do_not_wait_for_each_other() -> None:
    one, meter = shaper(delay=0.2)
    one.write(b"a", 1.0)
    one.write(b"b", 1.05)
    assert one.read(1.199, EVERYTHING) == b""
    assert arrivals(one, 1.199) == [(1.2, b"a"), (1.25, b"b")]
    assert meter.measured().delay_s == pytest.approx(0.2)


def test_jitter_varies_the_delay_both_ways_and_nothing_overtakes() -> None:
    one, _ = shaper(delay=0.1, jitter=0.05)
    for index in range(400):
        one.write(b"%d," % index, index * 1.0)
    found = arrivals(one, 0.0)
    late = [at - index for index, (at, _) in enumerate(found)]
    assert b"".join(data for _, data in found) == b"".join(b"%d," % index for index in range(400))
    assert min(late) < 0.06
    assert max(late) > 0.14
    assert 0.05 - 1e-6 <= min(late) <= max(late) <= 0.15 + 1e-6
    assert sum(late) / len(late) == pytest.approx(0.1, abs=0.005)


def test_a_rate_lets_bytes_out_at_its_pace_and_smoothly() -> None:
    one, meter = shaper(rate=64_000)
    one.write(bytes(16_000), 0.0)
    found = arrivals(one, 0.0)
    assert found[-1][0] == pytest.approx(0.25)
    assert max(len(data) for _, data in found) == SEGMENT
    assert meter.measured().rate == pytest.approx(64_000, rel=0.001)


def test_time_without_traffic_earns_no_burst() -> None:
    one, _ = shaper(rate=10_000)
    one.write(bytes(1000), 0.0)
    assert arrivals(one, 0.0)[-1][0] == pytest.approx(0.1)
    one.write(bytes(1000), 50.0)
    assert arrivals(one, 50.0)[-1][0] == pytest.approx(50.1)


def test_a_rate_comes_on_top_of_a_delay() -> None:
    one, _ = shaper(rate=10_000, delay=0.5)
    one.write(bytes(1000), 0.0)
    assert arrivals(one, 0.0)[-1][0] == pytest.approx(0.6)


def test_only_so_many_pieces_are_under_way_however_small() -> None:
    one, _ = shaper(delay=1)
    taken = 0
    while one.capacity and taken <= PIECES:
        one.write(b"x", 0.0)
        taken += 1
    assert taken == PIECES
    one.read(1.0, EVERYTHING)
    assert one.capacity


def test_what_the_rate_takes_is_no_delay() -> None:
    one, meter = shaper(rate=10_000, delay=0.5)
    one.write(bytes(10_000), 0.0)
    arrivals(one, 0.0)
    assert meter.measured().delay_s == pytest.approx(0.5)


def test_a_meter_tells_of_its_own_time_only() -> None:
    one, before = shaper(rate=10_000)
    one.write(bytes(20_000), 0.0)
    arrivals(one, 0.0, until=1.5)
    after = Meter()
    one.set(Impairment(rate=10_000), after, 1.5)
    arrivals(one, 1.5)
    assert before.measured().rate == pytest.approx(10_000, rel=0.1)
    assert after.measured().rate == pytest.approx(10_000, rel=0.3)  # a segment was under way


def test_a_lost_segment_comes_later_and_holds_up_what_is_behind_it() -> None:
    one, meter = shaper(seed=4, loss=0.999999, delay=0.05)
    one.write(b"lost", 0.0)
    one.set(Impairment(delay=0.05), meter, 0.0)
    one.write(b"behind", 0.01)
    (at, first), *_ = arrivals(one, 0.0)
    assert first == b"lostbehind"
    assert at >= 0.05 + RTO_S
    assert meter.measured().resent == 1


def test_one_with_segments_behind_it_is_sent_again_after_a_round_trip() -> None:
    found = []
    for seed in range(200):
        one, meter = shaper(seed=seed, loss=0.05, delay=0.03)
        one.write(bytes(SEGMENT * 20), 0.0)
        last = arrivals(one, 0.0)[-1][0]
        if meter.resent == 1:
            found.append(round(last - 0.03, 6))
    once_more = {round(again + RTO_S + 0.06, 6) for again in (0.06, RTO_S + 0.06)}  # what is sent again may be lost too
    assert set(found) - once_more == {0.06, round(RTO_S + 0.06, 6)}  # in the middle: fast; at the end: the timeout
    assert found.count(0.06) > found.count(round(RTO_S + 0.06, 6))


def test_the_share_of_resent_segments_is_what_was_asked() -> None:
    one, meter = shaper(loss=0.05)
    for index in range(20_000):
        one.write(b"x", float(index))
        one.read(index + 0.5, EVERYTHING)
    found = meter.measured()
    assert found.segments == 20_000
    assert found.resent / found.segments == pytest.approx(0.05, rel=0.1)


def test_a_cut_holds_everything_until_it_is_healed() -> None:
    one, meter = shaper(delay=0.1)
    one.write(b"under way", 0.0)
    one.set(Impairment(cut=True), meter, 0.05)
    one.write(b", and more", 0.06)
    one.finish(0.07)
    assert one.next_at(5.0) == float("inf")
    assert one.read(5.0, EVERYTHING) == b""
    one.set(Impairment(), meter, 20.0)
    assert one.read(20.0, EVERYTHING) == b"under way, and more"
    assert one.at_end


def test_what_a_cut_held_comes_out_at_the_rate() -> None:
    one, meter = shaper(cut=True, rate=10_000)
    one.write(bytes(1000), 0.0)
    one.set(Impairment(rate=10_000), meter, 60.0)
    assert arrivals(one, 60.0)[-1][0] == pytest.approx(60.1)


def test_a_flapping_link_is_cut_first_then_open_and_so_on() -> None:
    one, _ = shaper(now=100.0, flap=10.0)
    assert [one.is_cut(at) for at in (100.0, 109.9, 110.0, 119.9, 120.0)] == [True, True, False, False, True]
    one.write(b"x", 101.0)
    assert one.next_at(101.0) == 110.0
    assert one.read(110.0, EVERYTHING) == b"x"
    one.write(b"y", 119.0)
    assert one.read(119.0, EVERYTHING) == b"y"


@pytest.mark.parametrize("flap", [0.1, 0.3, 0.7, 1 / 3])
def test_time_goes_on_at_every_change_of_a_flapping_link(flap: float) -> None:
    one, _ = shaper(now=12345.678, flap=flap)
    now = 12345.678
    for turn in range(1000):
        one.write(b"x", now)
        if one.is_cut(now):
            opens = one.opens_at(now)
            assert opens > now
            assert one.next_at(now) == opens
            now = opens
            assert not one.is_cut(now), turn
        assert one.read(now, EVERYTHING) == b"x"
        now += flap * 1.5


def test_the_end_comes_behind_everything_else() -> None:
    one, _ = shaper(delay=0.2)
    one.write(b"last words", 0.0)
    one.finish(0.1)
    assert one.read(0.2, 4) == b"last"
    assert one.read(0.2, EVERYTHING) == b" words"
    assert not one.at_end
    assert one.read(0.31, EVERYTHING) == b""
    assert one.at_end


def test_a_look_takes_nothing() -> None:
    one, _ = shaper()
    one.write(b"ab", 0.0)
    assert one.read(0.0, 1, peek=True) == b"a"
    assert one.read(0.0, 2) == b"ab"


def test_only_so_much_is_under_way_and_with_a_rate_much_less() -> None:
    one, meter = shaper(delay=10.0)
    assert one.capacity == WINDOW
    one.write(bytes(WINDOW), 0.0)
    assert one.capacity == 0
    one.set(Impairment(rate=100_000, delay=0.1), meter, 0.0)
    slow, _ = shaper(rate=100)
    assert slow.capacity == LEAST_WINDOW
    medium, _ = shaper(rate=100_000, delay=0.1)
    assert LEAST_WINDOW < medium.capacity < 100_000


impairments = st.builds(
    Impairment,
    delay=st.sampled_from([0.0, 0.01, 0.2]),
    jitter=st.sampled_from([0.0, 0.05]),
    loss=st.sampled_from([0.0, 0.05, 0.5]),
    rate=st.sampled_from([0, 1000, 100_000]),
    cut=st.booleans(),
    flap=st.sampled_from([0.0, 0.25]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(impairments, st.integers(0, 4000), st.floats(0, 2)), max_size=12), st.integers(0, 1000))
def test_whatever_happens_every_byte_comes_out_once_and_in_order(
    turns: list[tuple[Impairment, int, float]], seed: int
) -> None:
    one, meter, now = Shaper(Random(seed)), Meter(), 0.0
    said, heard = bytearray(), bytearray()
    for impairment, size, pause in turns:
        one.set(impairment, meter, now)
        data = Random(len(said)).randbytes(size)
        one.write(data, now)
        said += data
        now += pause
        heard += one.read(now, EVERYTHING)
        assert one.size == len(said) - len(heard)
    one.finish(now)
    one.set(Impairment(), meter, now)
    heard += b"".join(data for _, data in arrivals(one, now))
    assert heard == said
    assert one.at_end
    assert (one.size, meter.measured().bytes) == (0, len(said))
