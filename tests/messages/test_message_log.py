"""The lines of `--log-messages`: one for each committed message, bounded in length and number."""

import logging
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.api.events import DaemonStart, Message
from chatd.api.results import PeerRef
from chatd.journal.batch import Entry
from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull, Store
from chatd.messages.message_log import LINES, SHOWN, WINDOW_S, MessageLog
from tests.harness.parts import BOB, FILE, World, running

REF = PeerRef(0, "bob", "native", BOB)


@pytest.fixture(autouse=True)
def at_info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="chatd.messages")


def message(text: str = "hi", direction: str = "in", **fields: Any) -> Message:
    return Message(direction=direction, peer=REF, text=text, **fields)


def entries(*messages: Message) -> list[Entry]:
    return [Entry(seq, 0, "message", each.direction, 1, b"", each) for seq, each in enumerate(messages, 1)]


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_a_line_says_from_whom_or_to_whom_and_in_which_room(caplog: pytest.LogCaptureFixture) -> None:
    in_room = {"room": "lobby@alice", "nick": "carol"}
    messages = message(), message(direction="out"), message(**in_room), message(**in_room, to="dave", to_node=None)
    MessageLog().record(entries(*messages))
    assert lines(caplog) == [
        "message from bob: hi",
        "message to bob: hi",
        "message in lobby@alice from carol: hi",
        "message in lobby@alice from carol to dave alone: hi",
    ]


async def test_the_fields_of_a_line_identify_the_message(caplog: pytest.LogCaptureFixture) -> None:
    MessageLog().record(entries(message(id="e:1", global_id=f"{BOB}/f:7")))
    assert caplog.records[0].args == {
        "direction": "in",
        "id": "e:1",
        "global_id": f"{BOB}/f:7",
        "text": "hi",
        "characters": 2,
        "peer": "bob",
    }


async def test_a_long_text_is_cut_and_the_note_stands_before_it(caplog: pytest.LogCaptureFixture) -> None:
    MessageLog().record(entries(message("x" * SHOWN), message("ü" * (SHOWN + 1))))
    whole, cut = lines(caplog)
    assert whole == "message from bob: " + "x" * SHOWN
    assert cut == f"message from bob: (first {SHOWN} of {SHOWN + 1} characters) " + "ü" * SHOWN


async def test_other_events_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    MessageLog().record([Entry(1, 0, "daemon.start", None, None, b"", DaemonStart(version="1"))])
    assert lines(caplog) == []


async def test_above_the_level_info_nothing_is_logged_or_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="chatd.messages")
    message_log = MessageLog()
    message_log.record(entries(*[message()] * (LINES + 1)))
    caplog.set_level(logging.INFO, logger="chatd.messages")
    message_log.report_omitted()
    assert lines(caplog) == []


async def test_a_burst_is_bounded_and_a_line_says_how_much_was_left_out(
    caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    message_log = MessageLog()
    for _ in range(3):
        message_log.record(entries(*[message()] * LINES))
        message_log.end_window()
    assert lines(caplog) == ["message from bob: hi"] * LINES
    mock_clock.jump(WINDOW_S)
    message_log.record(entries(message("next")))
    assert lines(caplog)[LINES:] == [
        f"messages left out of this log: {2 * LINES} (more than {LINES} in {WINDOW_S:g} s)",
        "message from bob: next",
    ]


async def test_the_end_of_a_window_reports_once_even_if_no_message_follows(
    caplog: pytest.LogCaptureFixture, mock_clock: MockClock
) -> None:
    message_log = MessageLog()
    message_log.record(entries(*[message()] * (LINES + 1)))
    mock_clock.jump(WINDOW_S)
    for _ in range(2):
        message_log.end_window()
        message_log.report_omitted()
    assert [line.partition(":")[0] for line in lines(caplog)[LINES:]] == ["messages left out of this log"]


async def test_only_what_was_committed_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    journal = Journal(
        Store(str(tmp_path / FILE)), world, pending_bytes=8 << 20, tail_bytes=8 << 20, on_commit=MessageLog().record
    )
    async with running(journal):
        batch = journal.append(message("kept"), 1, "in")
        assert lines(caplog) == []
        await batch.wait()
        world.fault = DiskFull()
        with pytest.raises(ControlError):
            await journal.append(message("lost"), 1, "in").wait()
        await trio.testing.wait_all_tasks_blocked()
    assert lines(caplog) == ["message from bob: kept"]
