"""Truth: what the clients of a run did and were told, and what journals hold afterwards. Data only; see checker.py."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.sim.disk import Disk

REFUSED = frozenset({"peer_offline", "unknown_peer", "outbox_full", "storage_full", "shutting_down", "forbidden"})


@dataclass
class Attempt:
    """One `send`. Without an `id` and an `error` it was never answered, or a try before the last one was not."""

    sender: str
    receiver: str
    text: str
    step: int  # of the trace, when it was written to the daemon
    session: int = 0
    unanswered: bool = False  # one try at least, so it may be accepted all the same
    key: str | None = None
    ttl: float | None = None
    id: str | None = None
    error: str | None = None
    answered: int = 0  # step
    taken_back: bool = False  # somebody has asked for `cancel`
    gave_up: tuple[int, int] | None = None  # steps at which that was asked, and answered "cancelled"

    @property
    def was_refused(self) -> bool:
        """It must not be anywhere."""
        return self.error in REFUSED and not self.unanswered


@dataclass
class Row:
    """One event of a journal."""

    seq: int
    type: str
    direction: str | None
    body: dict[str, Any]

    @property
    def position(self) -> str:
        return str(self.body["position"])


@dataclass
class Journal:
    """What is on the disk of a node after the run."""

    name: str
    node_id: str
    epochs: list[tuple[int, str]]  # first seq, epoch
    rows: list[Row]
    outcomes: dict[int, str] = field(default_factory=dict)  # of messages that were given up, by seq
    losses: list[tuple[int, int]] = field(default_factory=list)  # steps between which everything was lost with it
    floor: int = 0  # retention has deleted what lies up to there, except what was owed; it is in `rows` all the same

    def messages(self, direction: str, node_id: str) -> list[Row]:
        """The messages from or to a node, in order."""
        return [
            row
            for row in self.rows
            if row.type == "message" and row.direction == direction and row.body["peer"]["node"] == node_id
        ]

    def order(self, position: str) -> tuple[int, int] | None:
        """Where a position lies in this journal; None if it is not one of its positions."""
        epoch, _, seq = position.partition(":")
        names = [name for _, name in self.epochs]
        if epoch not in names:
            return None
        number = names.index(epoch)
        last = self.epochs[number + 1][0] - 1 if number + 1 < len(self.epochs) else self.newest
        return (number, int(seq)) if self.epochs[number][0] <= int(seq) <= last else None

    @property
    def newest(self) -> int:
        """The newest seq."""
        return self.rows[-1].seq if self.rows else 0

    def lost(self, begun: int, done: int) -> bool:
        """What was committed between two steps may have gone with a disk."""
        return any(since < done and begun < until for since, until in self.losses)


@dataclass
class Consumer:
    """What one consumer got: (step, position) session by session, and what it knows that it acknowledged."""

    name: str
    node: str
    sessions: list[list[tuple[int, str]]] = field(default_factory=list)
    acknowledged: list[tuple[int, int, str]] = field(default_factory=list)  # steps of asking and answer, position
    gaps: list[tuple[str | None, str]] = field(default_factory=list)  # told: what it missed of its journal


def read_journal(disk: Disk, name: str, node_id: str, losses: list[tuple[int, int]]) -> Journal:
    """The journal of a node that is stopped."""
    with closing(sqlite3.connect(disk.journal)) as database:
        epochs = database.execute("SELECT first_seq, epoch FROM epochs ORDER BY ord").fetchall()
        found = database.execute("SELECT seq, type, direction, body FROM events")
        rows: dict[int, tuple[Any, ...]] = {row[0]: row for row in found}
        outcomes = database.execute("SELECT seq, state FROM outcomes").fetchall()
        ((floor,),) = database.execute("SELECT seq FROM floor")
    for seq, entry in disk.written.items():
        if seq <= floor:
            rows.setdefault(seq, (seq, entry.type, entry.direction, entry.raw))
    events = [
        Row(seq, kind, direction, msgspec.json.decode(body))
        for seq, kind, direction, body in (rows[seq] for seq in sorted(rows))
    ]
    told = [row.body for row in events if row.type == "receipt" and row.body["id"]]
    ended = {int(body["id"].partition(":")[2]): body["state"] for body in told}
    return Journal(name, node_id, epochs, events, ended | dict(outcomes), losses, floor)
