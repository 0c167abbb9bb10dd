"""Membership intervals: which parts of which rooms a node must receive."""

from chatd.rooms.intervals import MembershipInterval, MembershipIntervals
from chatd.rooms.room import HostedRoom

NODE = "n" * 52
LOBBY, ATTIC = HostedRoom(1, "lobby", "lobby@alice", "a" * 52), HostedRoom(2, "attic", "attic@alice", "a" * 52)


def test_an_interval_holds_both_its_ends() -> None:
    interval = MembershipInterval(LOBBY, 5, 9)
    assert [seq for seq in range(12) if interval.contains(seq)] == [5, 6, 7, 8, 9]


def test_what_a_node_is_owed_is_the_same_object_until_it_changes() -> None:
    intervals, interval = MembershipIntervals(), MembershipInterval(LOBBY, 5)
    assert intervals.of_node(NODE) == ()
    intervals.add(NODE, interval)
    shown = intervals.of_node(NODE)
    assert shown == (interval,)
    assert intervals.of_node(NODE) is shown
    intervals.set_end(NODE, interval, 9)
    assert intervals.of_node(NODE) is not shown


def test_an_interval_is_owed_until_its_end_is_acknowledged() -> None:
    intervals, first, second = MembershipIntervals(), MembershipInterval(LOBBY, 5), MembershipInterval(ATTIC, 6)
    intervals.add(NODE, first)
    intervals.add(NODE, second)
    assert not intervals.has_past(NODE, "lobby")
    intervals.set_end(NODE, first, 9)
    assert intervals.has_past(NODE, "lobby")
    assert not intervals.has_past(NODE, "attic")
    assert intervals.current(NODE, LOBBY) is None
    assert intervals.current(NODE, ATTIC) is second
    assert list(intervals.ended_by(NODE, 8)) == []
    assert list(intervals.ended_by(NODE, 9)) == [first]


def test_a_dropped_interval_leaves_nothing() -> None:
    intervals, interval = MembershipIntervals(), MembershipInterval(LOBBY, 5)
    intervals.add(NODE, interval)
    intervals.remove(NODE, interval)
    intervals.remove(NODE, interval)
    assert intervals.of_node(NODE) == ()
    assert list(intervals) == []


def test_nothing_is_kept_of_a_node_that_is_owed_nothing() -> None:
    intervals = MembershipIntervals()
    assert intervals.of_node(NODE) == ()
    assert intervals._cached == {}
