"""Rewrites of events that an older chatd has written, for the migrations of schema.py.

Each rewrite goes through the journal in order, within the transaction of its migration. It knows only the two versions
that it leads from and to.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from chatd.api.events import Message, RoomRefused
from chatd.journal.epochs import split_position
from chatd.journal.rawjson import IS_ANSWER

ROWS = 2048  # at a time, to bound the memory
_PAGE = f"""SELECT seq, body FROM events WHERE seq > ? AND type IN ('message', 'room.refused')
    AND (? OR direction = 'out' AND {IS_ANSWER}) ORDER BY seq LIMIT ?"""
_SENT = "SELECT body FROM events WHERE seq = ? AND type = 'message' AND direction = 'out'"
_WRITE = "UPDATE events SET body = ? WHERE seq = ?"
_encode = msgspec.json.Encoder().encode


def name_messages_here(db: sqlite3.Connection, node: str) -> None:
    """Migrate to schema 2, where the id of a message is its position in this journal, not in that of its sender.

    The new field `global_id` contains the former position. `node` owns this journal. Raises sqlite3.Error.
    """
    naming = _Naming(db, node, {_answered(event) for _, event in _events(db, all_of_them=False)})
    rows: list[tuple[bytes, int]] = []
    for seq, event in _events(db, all_of_them=True):
        rows.append((naming.renamed(event), seq))
        if len(rows) == ROWS:
            db.executemany(_WRITE, rows)
            rows.clear()
    db.executemany(_WRITE, rows)


def _events(db: sqlite3.Connection, *, all_of_them: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    """Messages and `room.refused` events with their seqs, in order; or only our messages that answer others."""
    after = 0
    while rows := db.execute(_PAGE, (after, all_of_them, ROWS)).fetchall():
        for seq, body in rows:
            yield seq, msgspec.json.decode(body)
        after = rows[-1][0]


def _answered(event: dict[str, Any]) -> str:
    """The global id of the message that our message answers."""
    return f"{event['peer']['node']}/{event['re']}"


class _Naming:
    """Rewrites events from former to current ids of messages."""

    def __init__(self, db: sqlite3.Connection, node: str, answered: set[str]) -> None:
        self._db = db
        self._node = node
        self._answered = answered  # global ids
        self._positions: dict[str, str] = {}  # global id of an answered message -> its position here

    def renamed(self, event: dict[str, Any]) -> bytes:
        if event["type"] == "room.refused":
            event["global_id"] = f"{event['peer']['node']}/{event.pop('id')}"
            return _encode(msgspec.convert(event, RoomRefused))
        self._name_answer(event)
        event["global_id"], event["id"] = self._global_id(event), event["position"]
        if event["global_id"] in self._answered:
            self._positions[event["global_id"]] = event["position"]
        return _encode(msgspec.convert(event, Message))

    def _global_id(self, event: dict[str, Any]) -> str | None:
        position, room_position, sender = event["position"], event.get("room_position"), event["peer"]["node"]
        if event["direction"] == "out":
            return f"{self._node}/{position}"
        if event["room"] is None:
            return None if sender is None else f"{sender}/{event['id']}"
        if room_position != position:  # in a room of another node, which has sent the room position
            return f"{sender}/{room_position}"
        return f"{self._node}/{position}" if sender is None else f"{sender}/{event['id']}"

    def _name_answer(self, event: dict[str, Any]) -> None:
        re = event["re"]
        if re is None:
            return
        if event["direction"] == "out":
            event["re_global_id"] = _answered(event)
            event["re"] = self._positions.get(event["re_global_id"])
        else:
            event["re_global_id"] = f"{self._node}/{re}"
            event["re"] = re if self._answers_ours(event) else None

    def _answers_ours(self, event: dict[str, Any]) -> bool:
        """Whether the message that an event claims to answer exists: an earlier one of ours to the same peer."""
        seq = split_position(event["re"])[1]
        row = self._db.execute(_SENT, (seq,)).fetchone() if seq < split_position(event["position"])[1] else None
        if row is None:
            return False
        sent = msgspec.json.decode(row[0])
        return bool(sent["position"] == event["re"] and sent["peer"]["node"] == event["peer"]["node"])
