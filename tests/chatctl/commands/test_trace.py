"""`chatctl trace`: the table of steps, the lines about the other end, and the escaping of text from peers."""

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chatctl.conftest import Chatctl
from tests.harness.fake_daemon import BOB, FakeDaemon, refusing


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(os.environ, "TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def step(
    name: str, node: str, after: float | None, *, done: bool = True, consumer: str | None = None
) -> dict[str, Any]:
    """A step `after` milliseconds after the first; None: without a time."""
    at = None if after is None else f"2026-11-21T03:00:00.{100 + int(after):03}Z"
    return {
        "step": name,
        "node": node,
        "here": node == "alice",
        "done": done,
        "at": at,
        "at_here": at,
        "consumer": consumer,
        "after_ms": after,
    }


TRACED: dict[str, Any] = {
    "id": "aaaaaaaa:7",
    "direction": "out",
    "peer": BOB,
    "room": None,
    "steps": [
        step("accepted", "alice", 0.0),
        step("committed", "alice", None),
        step("sent", "alice", 1.234),
        step("arrived", "bob", 13.04),
        step("taken", "bob", 800.0, consumer="bot"),
        step("taken", "bob", None, done=False, consumer="lazy"),
    ],
    "clock_ms": 1.2,
    "clock_error_ms": 0.31,
    "silent": None,
    "room_position": None,
}


def test_the_steps_are_aligned_with_the_times_since_the_first(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["trace"] = TRACED
    ran = chatctl("trace", "aaaaaaaa:7")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "aaaaaaaa:7 to bob",
        "TIME                     AFTER      NODE   STEP",
        "2026-11-21 03:00:00.100    +0.0 ms  alice  accepted",
        "time not kept                       alice  committed",
        "2026-11-21 03:00:00.101    +1.2 ms  alice  sent",
        "2026-11-21 03:00:00.113   +13.0 ms  bob    arrived",
        "2026-11-21 03:00:00.900  +800.0 ms  bob    taken by bot",
        "not yet                             bob    taken by lazy",
        "clock of bob: 1.2 ms ahead of ours, ±0.3 ms",
    ]
    assert daemon.params("trace") == [{"id": "aaaaaaaa:7"}]


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({"clock_ms": -3_600_000.0}, ["clock of bob: 3,600,000.0 ms behind ours, ±0.3 ms"]),
        ({"clock_ms": None, "clock_error_ms": None}, ["clock of bob: not known"]),
        (
            {"clock_ms": None, "clock_error_ms": None, "steps": TRACED["steps"][:3], "silent": "bob does not answer"},
            ["bob does not answer"],
        ),
        ({"silent": "bob does not know it"}, ["clock of bob: 1.2 ms ahead of ours, ±0.3 ms", "bob does not know it"]),
    ],
)
def test_what_is_known_of_the_other_end_is_said_on_lines_of_their_own(
    daemon: FakeDaemon, chatctl: Chatctl, changes: dict[str, Any], last: list[str]
) -> None:
    daemon.on["trace"] = {**TRACED, **changes}
    ran = chatctl("trace", "aaaaaaaa:7")
    assert ran.status == 0
    assert ran.out.splitlines()[-len(last) :] == last


def test_times_that_cannot_be_compared_are_shown_as_the_other_end_says_them(
    daemon: FakeDaemon, chatctl: Chatctl
) -> None:
    arrived = {**step("arrived", "bob", 5.0), "at_here": None, "after_ms": None}
    daemon.on["trace"] = {**TRACED, "clock_ms": None, "clock_error_ms": None, "steps": [arrived]}
    lines = chatctl("trace", "aaaaaaaa:7").out.splitlines()
    assert lines[2].split() == ["2026-11-21", "03:00:00.105", "bob", "arrived", "(by", "its", "own", "clock)"]


def test_long_times_are_seconds(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    late = {**step("acknowledged", "alice", 5.0), "after_ms": 20_456.7}
    early = {**step("arrived", "bob", 5.0), "after_ms": -0.4}
    daemon.on["trace"] = {**TRACED, "steps": [late, early]}
    lines = chatctl("trace", "aaaaaaaa:7").out.splitlines()
    assert "  +20.46 s  " in lines[2]
    assert "  -0.4 ms  " in lines[3]


def test_a_message_of_a_room_says_where_it_stands(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["trace"] = {**TRACED, "direction": "in", "room": "lobby@bob", "room_position": "bbbbbbbb:5"}
    assert chatctl("trace", "aaaaaaaa:7").out.startswith("aaaaaaaa:7 from bob in lobby@bob, there at bbbbbbbb:5\n")


def test_json_is_the_record(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["trace"] = TRACED
    assert chatctl("--json", "trace", "aaaaaaaa:7").records == [TRACED]


def test_the_time_that_is_given_is_that_of_the_other_end(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["trace"] = TRACED
    chatctl("trace", "aaaaaaaa:7", "--timeout", "2s")
    (asked,) = daemon.params("trace")
    assert 0 < asked["timeout"] <= 2


def test_what_peers_say_is_made_harmless(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    evil = "\x1b[2J\u202eb\nx"
    steps = [{**step(evil, evil, 1.0), "consumer": evil, "at": evil, "at_here": evil}]
    peer = {**BOB, "name": evil}
    daemon.on["trace"] = {**TRACED, "id": evil, "room": evil, "room_position": evil, "peer": peer, "steps": steps}
    out = chatctl("trace", "x").out
    assert out.count("\n") == 4
    assert not set(out) & {"\x1b", "\u202e"}


def test_a_record_of_another_version_is_shown_as_far_as_it_goes(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["trace"] = {"id": "aaaaaaaa:7", "steps": [{"step": "weighed"}]}
    ran = chatctl("trace", "aaaaaaaa:7")
    assert ran.status == 0
    assert "weighed" in ran.out


def test_an_unknown_message_ends_with_4(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["trace"] = refusing("unknown_message", 204)
    assert chatctl("trace", "aaaaaaaa:7").status == 4
