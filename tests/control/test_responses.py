"""How many requests a client may have without reading responses. Real socket and journal."""

import msgspec
import pytest
import trio
import trio.testing

from chatd.api.results import Empty
from chatd.control.jsonrpc import RpcReply
from chatd.control.responses import REPLY_COST, Responses
from chatd.journal.batch import Batch
from chatd.journal.journal import UNKNOWN
from tests.harness.control_node import Client, Stand, request

BUFFER = 16384
AHEAD = 4 * BUFFER // REPLY_COST  # sends whose answers are far over the buffer


@pytest.mark.parametrize("stand", [{"control_buffer_bytes": BUFFER}], indirect=True)
async def test_what_waits_for_its_commit_does_not_stop_the_reading(stand: Stand, client: Client) -> None:
    before = stand.journal.appended
    with stand.holding_commits() as disk:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.write, b"".join(request("send", n, peer=0, text="x") for n in range(AHEAD)))
            with trio.fail_after(10):
                while stand.journal.appended < before + AHEAD:
                    await trio.lowlevel.checkpoint()
            disk.release()
            assert [line["id"] for line in await client.lines(AHEAD)] == list(range(AHEAD))


@pytest.mark.parametrize("stand", [{"control_buffer_bytes": BUFFER}], indirect=True)
async def test_a_client_that_sends_and_reads_no_answers_is_not_read_any_more(stand: Stand, client: Client) -> None:
    """The answers to the first requests are more than all buffers hold."""
    first, count = 5000, 9000  # the outbox has room for them
    before, answered = stand.journal.appended, trio.Event()

    async def write() -> None:
        await client.write(b"".join(request("send", n, peer=0, text="x") for n in range(first)))
        await answered.wait()
        await client.write(b"".join(request("send", n, peer=0, text="x") for n in range(first, count)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked(0.01)
            await stand.journal.settled()
        answered.set()
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert before < stand.journal.appended <= before + first
        assert [line["id"] for line in await client.lines(count)] == list(range(count))


def test_answers_are_due_once_their_batch_is_done_and_tell_how_it_went() -> None:
    batch = Batch()
    answers = Responses(batch)
    answers.add([RpcReply("2.0", 1, Empty()), RpcReply("2.0", 2, Empty())])
    assert (answers.is_due, answers.size) == (False, 2 * REPLY_COST)
    batch.settle(UNKNOWN)
    assert answers.is_due
    told = [bytes(line) for line in answers.final_lines() if isinstance(line, msgspec.Raw)]
    assert len(told) == 2
    assert all(b'"outcome_unknown"' in line for line in told)
