"""What is taken back when a commit fails: the newest first, and nothing that was committed."""

from chatd.api.errors import ControlError
from chatd.journal.batch import Batch
from chatd.journal.undo import Undo

FULL = ControlError("storage_full", "full")


def test_changes_of_failed_batches_are_undone_newest_first() -> None:
    undo, undone = Undo(), list[str]()
    writing, filling = Batch(), Batch()
    undo.add(writing, lambda: undone.append("first"))
    undo.add(writing, lambda: undone.append("second"))
    undo.add(filling, lambda: undone.append("third"))
    writing.settle(FULL)
    filling.settle(FULL)
    assert undone == ["third", "second", "first"]


def test_what_is_committed_stays() -> None:
    undo, undone = Undo(), list[str]()
    done, failing = Batch(), Batch()
    undo.add(done, lambda: undone.append("done"))
    done.settle(None)
    undo.add(failing, lambda: undone.append("failed"))
    failing.settle(FULL)
    assert undone == ["failed"]


def test_a_change_with_a_batch_that_has_failed_is_undone_at_once() -> None:
    undo, undone, failed = Undo(), list[str](), Batch()
    failed.settle(FULL)
    undo.add(failed, lambda: undone.append("it"))
    assert undone == ["it"]


def test_of_two_changes_the_first_of_which_is_committed_only_the_second_is_undone() -> None:
    undo, undone = Undo(), list[str]()
    writing, filling = Batch(), Batch()
    undo.add(writing, lambda: undone.append("first"))
    undo.add(filling, lambda: undone.append("second"))
    writing.settle(None)
    filling.settle(FULL)
    assert undone == ["second"]
