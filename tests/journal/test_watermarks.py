from chatd.journal.watermarks import Watermarks

OLD, NEW = "aaaaaaaa", "bbbbbbbb"


def test_a_node_that_never_sent_anything_has_no_mark() -> None:
    marks = Watermarks([], [])
    assert marks.appended("bob", OLD) == 0
    assert marks.committed("bob") is None


def test_the_newest_epoch_of_a_node_is_the_one_that_came_last() -> None:
    marks = Watermarks([("bob", NEW, 9), ("carol", NEW, 2), ("bob", OLD, 4)], [("bob", 7)])
    assert marks.committed("bob") == (OLD, 4)
    assert marks.committed("carol") == (NEW, 2)
    assert marks.appended("bob", NEW) == 9
    assert marks.acked == {"bob": 7}


def test_an_appended_mark_is_not_said_before_it_is_committed() -> None:
    marks = Watermarks([("bob", OLD, 4)], [])
    marks.raise_appended("bob", OLD, 6)
    assert marks.appended("bob", OLD) == 6
    assert marks.committed("bob") == (OLD, 4)
    marks.commit({("bob", OLD): 6})
    assert marks.committed("bob") == (OLD, 6)


def test_a_new_epoch_is_the_newest_and_an_old_one_stays_behind_it() -> None:
    marks = Watermarks([("bob", OLD, 4)], [])
    marks.commit({("bob", NEW): 1})
    assert marks.committed("bob") == (NEW, 1)
    marks.commit({("bob", OLD): 5})
    assert marks.committed("bob") == (NEW, 1)
    assert marks.appended("bob", OLD) == 4  # the journal raises it before


def test_a_committed_mark_never_goes_back() -> None:
    marks = Watermarks([("bob", OLD, 4)], [])
    marks.commit({("bob", OLD): 3})
    assert marks.committed("bob") == (OLD, 4)


def test_what_was_not_committed_is_taken_back() -> None:
    marks = Watermarks([("bob", OLD, 4)], [])
    marks.raise_appended("bob", OLD, 6)
    marks.raise_appended("bob", NEW, 1)
    marks.revert()
    assert marks.appended("bob", OLD) == 4
    assert marks.appended("bob", NEW) == 0
