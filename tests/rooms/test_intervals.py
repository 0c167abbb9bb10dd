"""Which parts of which rooms a node is owed."""

from chatd.rooms.intervals import MembershipInterval, MembershipIntervals
from chatd.rooms.room import HostedRoom

NODE = "n" * 52
LOBBY, ATTIC = HostedRoom(1, "lobby", "lobby@alice", "a" * 52), HostedRoom(2, "attic", "attic@alice", "a" * 52)


def test_an_interval_holds_both_its_ends() -> None:
    feed = MembershipInterval(LOBBY, 5, 9)
    assert [seq for seq in range(12) if feed.contains(seq)] == [5, 6, 7, 8, 9]


def test_what_a_node_is_owed_is_the_same_object_until_it_changes() -> None:
    feeds, feed = MembershipIntervals(), MembershipInterval(LOBBY, 5)
    assert feeds.of_node(NODE) == ()
    feeds.add(NODE, feed)
    shown = feeds.of_node(NODE)
    assert shown == (feed,)
    assert feeds.of_node(NODE) is shown
    feeds.set_end(NODE, feed, 9)
    assert feeds.of_node(NODE) is not shown


def test_an_interval_is_owed_until_its_end_is_acknowledged() -> None:
    feeds, first, second = MembershipIntervals(), MembershipInterval(LOBBY, 5), MembershipInterval(ATTIC, 6)
    feeds.add(NODE, first)
    feeds.add(NODE, second)
    assert not feeds.has_past(NODE, "lobby")
    feeds.set_end(NODE, first, 9)
    assert feeds.has_past(NODE, "lobby")
    assert not feeds.has_past(NODE, "attic")
    assert feeds.current(NODE, LOBBY) is None
    assert feeds.current(NODE, ATTIC) is second
    assert list(feeds.ended_by(NODE, 8)) == []
    assert list(feeds.ended_by(NODE, 9)) == [first]


def test_a_dropped_interval_leaves_nothing() -> None:
    feeds, feed = MembershipIntervals(), MembershipInterval(LOBBY, 5)
    feeds.add(NODE, feed)
    feeds.remove(NODE, feed)
    feeds.remove(NODE, feed)
    assert feeds.of_node(NODE) == ()
    assert list(feeds) == []


def test_nothing_is_kept_of_a_node_that_is_owed_nothing() -> None:
    feeds = MembershipIntervals()
    assert feeds.of_node(NODE) == ()
    assert feeds._tuples == {}
