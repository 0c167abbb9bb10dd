"""Times, records and events as lines for people."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from chatctl.text.format import event_line, history_line, local_time, peer_line
from chatctl.text.template import Template
from tests.harness.fake_daemon import BOB, BOB_RECORD, message, room_event, room_message


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "NPT-5:45")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_kathmandu")
def test_a_time_is_the_one_of_this_place() -> None:
    assert local_time("2026-11-20T23:00:01.500Z") == "2026-11-21 04:45:01"
    assert Template("{time} {at}").line(message(1)) == "2026-11-21 08:45:00 2026-11-21T03:00:00.000Z"


def test_what_is_no_time_is_shown_harmlessly() -> None:
    assert local_time("\x1bsoon") == "\\x1bsoon"
    assert local_time(None) == "None"


def test_a_peer_is_one_harmless_line() -> None:
    assert peer_line({**BOB_RECORD, "name": "b\nb"}) == "slot 0, b\\nb, node k3v9abcd (10.0.0.2:7420)"
    assert peer_line({}) == "slot None, None, plain"


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (room_message(1), "[lobby@alice] <jane> hi"),
        (room_message(1, nick="bob", direction="out", state="delivered"), "[lobby@alice] <bob> hi"),
        (room_message(1, nick="bob", direction="out", state="queued"), "[lobby@alice] <bob> hi  [queued]"),
        (room_message(1, to="bob"), "[lobby@alice] <jane -> bob> hi"),
        (room_message(1, "a\nb\x1b", nick="j\n"), "[lobby@alice] <j\\n> a\n    b\\x1b"),
    ],
)
def test_what_is_said_in_a_room_is_told_with_who_said_it(event: dict[str, Any], line: str) -> None:
    assert history_line(event).split(" ", 2)[2] == line


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (room_event(1, "room.join", nick="jane", node=None, address="10.0.0.9:5000"), "jane has joined"),
        (room_event(1, "room.leave", nick="jane\x1b", node=None, reason="kicked"), "jane\\x1b is gone: kicked"),
        (room_event(1, "room.topic", text="all\nthings"), "topic: all\\nthings"),
        (room_event(1, "room.topic", text=""), "topic: (none)"),
        (room_event(1, "room.gone", reason="closed"), "we are not in it any more: closed"),
        (
            room_event(1, "room.refused", peer=BOB, global_id="b:7", reason="not in it"),
            "b:7 of bob was refused: not in it",
        ),
        (room_event(1, "receipt", peer=BOB, state="delivered", id="a:7", reason=None), "a:7 is delivered"),
        (
            room_event(1, "receipt", peer=BOB, state="rejected", id="a:7", reason="too\x1bbig"),
            "a:7 is rejected: too\\x1bbig",
        ),
    ],
)
def test_what_happens_in_a_room_is_told_with_its_name(event: dict[str, Any], line: str) -> None:
    assert event_line(event).partition(" * ")[2] == f"[lobby@alice] {line}"


def test_messages_that_are_missing_in_a_room_are_told_with_its_name() -> None:
    gap = room_event(1, "gap", peer=BOB, after="b:1", through="b:5")
    assert event_line(gap).endswith(" * gap: messages in lobby@alice after b:1 through b:5 are missing")


def test_a_template_knows_rooms_and_whoever_has_no_slot() -> None:
    assert Template("{room} {nick} {to} [{slot}]").line(room_message(1, to="bob")) == "lobby@alice jane bob []"
