"""Rewrites: a journal of schema 1 from an older chatd, and its events afterwards."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatd.api.events import AnyEvent
from chatd.failures import StorageFull
from chatd.journal import upgrade
from chatd.journal.schema import MIGRATIONS
from chatd.journal.store import APPLICATION_ID, Store
from tests.harness import disk
from tests.harness.parts import BOB, CAROL, SELF

OURS, THEIRS = "oooooooo", "tttttttt"  # epochs of this node and of bob
NATIVE = {"slot": 0, "name": "bob", "kind": "native", "node": BOB}
PLAIN = {"slot": 1, "name": "10.0.0.9:6000", "kind": "plain", "node": None}


def message(direction: str, peer: dict[str, Any] = NATIVE, **fields: Any) -> dict[str, Any]:
    """A message in the format of schema 1."""
    usual = {
        "type": "message",
        "direction": direction,
        "peer": peer,
        "room": None,
        "nick": None,
        "id": None,
        "re": None,
    }
    last = {"state": "queued"} if direction == "out" else {}
    return usual | {"text": "hi"} | fields | last


def old_journal(path: Path, *events: dict[str, Any]) -> None:
    """A journal of schema 1 with these events at the seqs from 1."""
    database = sqlite3.connect(path, isolation_level=None)
    for statement in MIGRATIONS[0]:
        assert isinstance(statement, str)
        database.execute(statement)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute("PRAGMA user_version = 1")
    database.execute("INSERT INTO epochs (first_seq, epoch) VALUES (1, ?)", (OURS,))
    database.execute("BEGIN")
    for seq, event in enumerate(events, 1):
        whole = {"type": event["type"], "position": f"{OURS}:{seq}", "at": "2026-11-21T03:00:00.000Z"} | event
        if whole.get("direction") == "out":
            whole["id"] = whole["position"] if whole["type"] == "message" else whole["id"]
        database.execute(
            "INSERT INTO events (seq, at, type, direction, topic, body) VALUES (?, 0, ?, ?, 1, ?)",
            (seq, whole["type"], whole.get("direction"), msgspec.json.encode(whole)),
        )
    database.execute("COMMIT")
    database.close()


def rewritten(path: Path) -> list[dict[str, Any]]:
    """The events of the journal, opened by the present version."""
    store = Store(str(path), SELF)
    assert store.schema == len(MIGRATIONS)
    bodies = [body for (body,) in store.query("SELECT body FROM events ORDER BY seq")]
    store.close()
    for body in bodies:
        event = msgspec.json.decode(body, type=AnyEvent)
        assert msgspec.json.encode(event) == body
    return [msgspec.json.decode(body) for body in bodies]


CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "to a peer": (message("out"), f"{SELF}/{OURS}:1"),
    "to a plain peer": (message("out", PLAIN), f"{SELF}/{OURS}:1"),
    "from a peer": (message("in", id=f"{THEIRS}:7"), f"{BOB}/{THEIRS}:7"),
    "from a plain peer": (message("in", PLAIN), None),
    "a member's, in a room here": (
        message("in", room="lobby@alice", nick="bob", room_position=f"{OURS}:1", id=f"{THEIRS}:7"),
        f"{BOB}/{THEIRS}:7",
    ),
    "a plain client's, in a room here": (
        message("in", PLAIN, room="lobby@alice", nick="jane", room_position=f"{OURS}:1", id=f"{OURS}:1"),
        f"{SELF}/{OURS}:1",
    ),
    "another member's, in a room there": (
        message("in", room="lobby@bob", nick="carol", room_position=f"{THEIRS}:9", id="cccccccc:3"),
        f"{BOB}/{THEIRS}:9",
    ),
    "ours, in a room there": (message("out", room="lobby@bob", nick="al"), f"{SELF}/{OURS}:1"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_message_has_its_place_here_for_its_id_and_its_old_one_in_the_global_id(tmp_path: Path, case: str) -> None:
    event, global_id = CASES[case]
    old_journal(tmp_path / "journal.db", event)
    (found,) = rewritten(tmp_path / "journal.db")
    assert (found["id"], found["global_id"]) == (f"{OURS}:1", global_id)
    kept = {name: value for name, value in event.items() if name != "id"}
    assert {name: found[name] for name in kept} == kept
    assert "re_global_id" not in found


def test_an_answer_names_the_message_here(tmp_path: Path) -> None:
    old_journal(
        tmp_path / "journal.db",
        message("in", id=f"{THEIRS}:7"),
        message("in", NATIVE | {"node": CAROL}, id=f"{THEIRS}:7"),
        message("out", re=f"{THEIRS}:7"),
        message("out", re=f"{THEIRS}:8"),
        message("in", id=f"{THEIRS}:9", re=f"{OURS}:3"),
        message("in", id=f"{THEIRS}:10", re="gonegone:3"),
        message("in", NATIVE | {"node": CAROL}, id=f"{THEIRS}:9", re=f"{OURS}:3"),
        message("in", id=f"{THEIRS}:11", re=f"{OURS}:1"),
        message("in", id=f"{THEIRS}:12", re=f"{OURS}:{10**19 - 1}"),
    )
    found = [(event["re"], event.get("re_global_id")) for event in rewritten(tmp_path / "journal.db")]
    assert found == [
        (None, None),
        (None, None),
        (f"{OURS}:1", f"{BOB}/{THEIRS}:7"),
        (None, f"{BOB}/{THEIRS}:8"),
        (f"{OURS}:3", f"{SELF}/{OURS}:3"),
        (None, f"{SELF}/gonegone:3"),
        (None, f"{SELF}/{OURS}:3"),  # that went to another peer
        (None, f"{SELF}/{OURS}:1"),  # that came in
        (None, f"{SELF}/{OURS}:{10**19 - 1}"),  # more than SQLite takes
    ]


def test_a_refusal_names_the_message_of_its_author(tmp_path: Path) -> None:
    refusal = {"type": "room.refused", "direction": "out", "peer": NATIVE, "room": "lobby@alice", "reason": "banned"}
    old_journal(tmp_path / "journal.db", refusal | {"id": f"{THEIRS}:7"})
    (found,) = rewritten(tmp_path / "journal.db")
    assert (found["global_id"], "id" in found) == (f"{BOB}/{THEIRS}:7", False)


def test_events_of_other_kinds_and_long_journals_are_left_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stores: Callable[[Path], Store]
) -> None:
    monkeypatch.setattr(upgrade, "ROWS", 4)
    other = {"type": "daemon.stop", "reason": "signal"}
    events = [other if number % 3 == 0 else message("in", id=f"{THEIRS}:{number}") for number in range(1, 24)]
    old_journal(tmp_path / "journal.db", *events)
    found = rewritten(tmp_path / "journal.db")
    assert [event.get("global_id") for event in found] == [
        None if number % 3 == 0 else f"{BOB}/{THEIRS}:{number}" for number in range(1, 24)
    ]
    assert rewritten(tmp_path / "journal.db") == found


def test_a_journal_that_was_rewritten_has_a_short_log(tmp_path: Path, stores: Callable[[Path], Store]) -> None:
    path = tmp_path / "journal.db"
    old_journal(path, *(message("in", id=f"{THEIRS}:{number}") for number in range(1, 4001)))
    before = path.stat().st_size
    assert before > 500_000
    store = stores(path)
    assert path.stat().st_size > before
    assert Path(f"{path}-wal").stat().st_size < 100_000
    assert store.query("SELECT count(*) FROM events") == [(4000,)]


@pytest.mark.parametrize("room", [500_000, 2_000_000])  # the second is enough for the log, and not for the file too
def test_a_rewrite_for_which_the_disk_has_no_room_is_refused_and_done_at_the_next_start(
    tmp_path: Path, stores: Callable[[Path], Store], room: int
) -> None:
    with disk.small_disk(tmp_path / "disk", "4m") as small:
        path = small / "journal.db"
        old_journal(path, *(message("in", id=f"{THEIRS}:{number}") for number in range(1, 4001)))
        ballast = disk.fill(small)
        os.truncate(ballast, ballast.stat().st_size - room)
        with pytest.raises(StorageFull, match=r"journal\.db: the disk is full .make room"):
            Store(str(path), SELF)
        ballast.unlink()
        store = stores(path)
        assert store.query("SELECT count(*) FROM events WHERE instr(body, 'global_id')") == [(4000,)]
        store.close()
