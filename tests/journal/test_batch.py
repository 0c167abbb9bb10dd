import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.journal.batch import Batch, Entry
from chatd.sync import Waker
from tests.harness.parts import is_woken, said

REFUSAL = ControlError("storage_full", "no room", "make some", disk="full")


def test_a_batch_is_worth_a_commit_for_more_than_acknowledgements() -> None:
    assert not Batch()
    for name, value in (("entries", [Entry(1, 0, "message", None, None, b"{}")]), ("statements", [("", ())])):
        batch = Batch()
        getattr(batch, name).extend(value)
        assert batch
    batch = Batch()
    batch.notes["bob"] = lambda: ("SELECT 1", ())
    assert not batch
    batch.watermarks[("bob", "aaaaaaaa")] = 1
    assert batch


async def test_everybody_waits_for_the_same_commit() -> None:
    batch = Batch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batch.wait)
        nursery.start_soon(batch.wait)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 2
        batch.settle(None)
    await batch.wait()
    assert batch.done


async def test_everybody_gets_the_whole_refusal() -> None:
    batch = Batch()
    batch.settle(REFUSAL)
    with pytest.raises(ControlError) as refused:
        await batch.wait()
    assert refused.value is not REFUSAL
    assert (refused.value.kind, refused.value.message, refused.value.hint) == ("storage_full", "no room", "make some")
    assert refused.value.details == {"disk": "full"}


async def test_a_waker_is_woken_by_the_end_and_at_once_after_it() -> None:
    batch, before, after = Batch(), Waker(), Waker()
    batch.wake_when_done(before)
    assert not await is_woken(before)
    batch.settle(REFUSAL)
    assert await is_woken(before)
    batch.wake_when_done(after)
    assert await is_woken(after)


async def test_what_failed_is_undone_before_anybody_is_woken() -> None:
    batch, waker, order = Batch(), Waker(), list[str]()
    batch.wake_when_done(waker)

    def undo() -> None:
        assert batch.done
        order.append("undone")

    assert batch.if_failed("key", undo)
    assert not batch.if_failed("key", lambda: order.append("the second one of a key"))
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(ControlError):
                await batch.wait()
            order.append("told")

        await trio.testing.wait_all_tasks_blocked()
        batch.settle(REFUSAL)
        assert order == ["undone"]
    assert order == ["undone", "told"]
    batch.if_failed("late", lambda: order.append("late"))
    assert order[-1] == "late"


def test_what_did_not_fail_is_not_undone() -> None:
    batch, undone = Batch(), list[int]()
    batch.if_failed("key", lambda: undone.append(1))
    batch.settle(None)
    batch.if_failed("late", lambda: undone.append(2))
    assert not undone


def test_changes_of_a_failed_batch_are_undone_newest_first() -> None:
    batch, undone = Batch(), list[str]()
    batch.if_failed(None, lambda: undone.append("first"))
    batch.if_failed("key", lambda: undone.append("second"))
    batch.if_failed(None, lambda: undone.append("third"))
    batch.settle(REFUSAL)
    assert undone == ["third", "second", "first"]


def test_a_change_with_a_batch_that_has_failed_is_undone_at_once() -> None:
    batch, undone = Batch(), list[str]()
    batch.settle(REFUSAL)
    assert not batch.if_failed(None, lambda: undone.append("it"))
    assert undone == ["it"]


def test_of_two_changes_the_first_of_which_is_committed_only_the_second_is_undone() -> None:
    writing, filling, undone = Batch(), Batch(), list[str]()
    writing.if_failed(None, lambda: undone.append("first"))
    filling.if_failed(None, lambda: undone.append("second"))
    writing.settle(None)
    filling.settle(REFUSAL)
    assert undone == ["second"]


def test_an_entry_gives_back_its_event() -> None:
    event = said("hi")
    event.position = "aaaaaaaa:1"
    raw = b'{"type":"message","position":"aaaaaaaa:1","at":"","direction":"out","peer":{"slot":0,"name":"bob",'
    raw += b'"kind":"native","node":"' + (event.peer.node or "").encode() + b'"},"text":"hi","unknown":[1]}'
    assert Entry(1, 0, "message", "out", None, raw).event == event


def test_a_batch_that_is_done_holds_nothing_of_what_was_in_it() -> None:
    batch = Batch()
    batch.entries.append(Entry(1, 0, "message", None, None, b"{}"))
    batch.watermarks[("bob", "aaaaaaaa")] = 1
    batch.statements.append(("SELECT 1", ()))
    batch.notes["bob"] = lambda: ("SELECT 1", ())
    batch.settle(None)
    assert (batch.entries, batch.watermarks, batch.statements, batch.notes) == ([], {}, [], {})
