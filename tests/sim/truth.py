"""Truth: what the clients of a run did and were told, and what journals hold afterwards. Data only; see checker.py."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tests.sim.disk import Disk

REFUSED = frozenset(
    {
        *("peer_offline", "unknown_peer", "outbox_full", "storage_full", "shutting_down", "forbidden"),
        *("unknown_room", "conflict"),
    }
)
MEMBERS = "SELECT label, node, members.nick FROM members JOIN rooms ON topic = room WHERE until = 0 AND host = ''"
JOINED = "SELECT label, nick FROM rooms WHERE host != ''"


@dataclass
class Attempt:
    """One `send` or `room.say`. Without an `id` and an `error` it, or a try before the last one, was never answered."""

    sender: str
    receiver: str  # a machine, or the label of a room
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
    to: str | None = None  # in a room: the nick that it is for

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

    @property
    def said_at(self) -> str:
        """The position in its sender's journal, of a message or of one that was refused."""
        return str(self.body["global_id"]).partition("/")[2]


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
    members: set[tuple[str, str, str]] = field(default_factory=set)  # of its rooms: label, node id, nick
    joined: dict[str, str] = field(default_factory=dict)  # rooms of others that it is in, by label, with its nick

    def messages(self, direction: str, node_id: str) -> list[Row]:
        """The messages from or to a node, in order, without what was said in rooms."""
        return [
            row
            for row in self.rows
            if row.type == "message"
            and row.direction == direction
            and row.body["peer"]["node"] == node_id
            and not row.body.get("room")
        ]

    def of_room(self, label: str) -> list[Row]:
        """Everything about a room, in order."""
        return [row for row in self.rows if row.body.get("room") == label]

    def order(self, position: str) -> tuple[int, int] | None:
        """Where a position lies in this journal; None if it is not one of its positions."""
        epoch, _, seq = position.partition(":")
        names = [name for _, name in self.epochs]
        if epoch not in names:
            return None
        number = names.index(epoch)
        last = self.epochs[number + 1][0] - 1 if number + 1 < len(self.epochs) else self.newest
        return (number, int(seq)) if self.epochs[number][0] <= int(seq) <= last else None

    def is_told(self, gap: "Row", position: str) -> bool:
        """Whether a gap of somebody else says that what is at a position of this journal is missing there.

        It may end where this journal has nothing any more, since it was lost in between: what is left lies before that.
        """
        place = self.order(position)
        after = self.order(gap.body["after"]) if gap.body["after"] else None
        if place is None or (after is not None and place <= after):
            return False
        through = self.order(gap.body["through"])
        if through is not None:
            return place <= through
        epoch, _, seq = gap.body["through"].partition(":")
        names = [name for _, name in self.epochs]
        return bool(self.losses) and (epoch not in names or place <= (names.index(epoch), int(seq)))

    @property
    def newest(self) -> int:
        """The newest seq."""
        return self.rows[-1].seq if self.rows else 0

    def lost(self, begun: int, done: int) -> bool:
        """What was committed between two steps may have gone with a disk."""
        return any(since < done and begun < until for since, until in self.losses)


@dataclass
class Stay:
    """A machine that is to be in a room. `drops`: how often it has gone by itself, or was let in for nothing."""

    machine: str
    room: str  # its label
    is_host: bool
    is_in: bool = False  # as far as its client knows
    drops: int = 0


@dataclass
class Consumer:
    """What one consumer got: (step, position) session by session, and what it knows that it acknowledged."""

    name: str
    node: str
    sessions: list[list[tuple[int, str]]] = field(default_factory=list)
    acknowledged: list[tuple[int, int, str]] = field(default_factory=list)  # steps of asking and answer, position
    gaps: list[tuple[str | None, str]] = field(default_factory=list)  # told: what it missed of its journal
    starts: list[str] = field(default_factory=list)  # behind what its sessions began


def read_journal(disk: Disk, name: str, node_id: str, losses: list[tuple[int, int]]) -> Journal:
    """The journal of a node that is stopped."""
    with closing(sqlite3.connect(disk.journal)) as database:
        epochs = database.execute("SELECT first_seq, epoch FROM epochs ORDER BY ord").fetchall()
        found = database.execute("SELECT seq, type, direction, body FROM events")
        rows: dict[int, tuple[Any, ...]] = {row[0]: row for row in found}
        outcomes = database.execute("SELECT seq, state FROM outcomes WHERE final").fetchall()
        ((floor,),) = database.execute("SELECT seq FROM floor")
        members = set(database.execute(MEMBERS))
        joined = dict(database.execute(JOINED))
    for seq, entry in disk.written.items():
        if seq <= floor:
            rows.setdefault(seq, (seq, entry.type, entry.direction, entry.raw))
    events = [
        Row(seq, kind, direction, msgspec.json.decode(body))
        for seq, kind, direction, body in (rows[seq] for seq in sorted(rows))
    ]
    told = [row.body for row in events if row.type == "receipt" and row.body["id"]]
    ended = {int(body["id"].partition(":")[2]): body["state"] for body in told}
    return Journal(name, node_id, epochs, events, ended | dict(outcomes), losses, floor, members, joined)
