"""Room checker: one room of a run, by the journals of its host and of everybody who was in it.

The host's journal is the order. Every member has of it what lies in the times in which it was in the room and is for
its eyes: in that order, nothing twice, nothing else; where something is missing, a `gap` says so. A message is in the
host's journal or was refused, and whoever said it was told which.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

from chatd.rooms.nicks import fold
from tests.sim.plan import Room
from tests.sim.truth import Attempt, Journal, Row, Stay

FOR_EVER = 1 << 62
PLACED = ("message", "room.join", "room.leave", "room.topic")  # what has a place in a room's order
ENDED = frozenset({"cancelled", "expired"})


class Time(NamedTuple):
    """When somebody was in a room: behind its `room.join` at `since`, up to its end and with it."""

    nick: str
    since: int
    until: int


def check_room(
    room: Room,
    journals: Mapping[str, Journal],
    attempts: Sequence[Attempt],
    stays: Sequence[Stay],
    states: Mapping[tuple[str, str], str],
    shown: Mapping[tuple[str, str], Sequence[str]],
    liars: Iterable[str] = (),
) -> Iterator[str]:
    """Everything that is wrong.

    At the end `msg` said `states`, by sender and id, and `history` has `shown` those places, by machine and room.
    `liars` are node ids that may be in the room and say what they like.
    """
    host = _Host(room, journals[room.host], attempts, frozenset(liars))
    for problem in host.problems():
        yield f"{room.label}: {problem}"
    for stay in stays:
        history = shown.get((stay.machine, room.label))
        if stay.is_host:
            problems = host.history(history)
        else:
            problems = _Member(host, journals[stay.machine], stay, states).problems(history)
        for problem in problems:
            yield f"{room.label} at {stay.machine}: {problem}"


class _Host:
    """The room as its host's journal tells it."""

    def __init__(self, room: Room, journal: Journal, attempts: Sequence[Attempt], liars: frozenset[str]) -> None:
        self.room, self.journal, self.liars = room, journal, liars
        self.rows = [row for row in journal.of_room(room.label) if row.type != "room.refused"]
        refused = [row for row in journal.of_room(room.label) if row.type == "room.refused"]
        self.refused = {row.body["global_id"]: row for row in refused}
        self.said = [row for row in self.rows if row.type == "message"]
        self.by_text = {attempt.text: attempt for attempt in attempts}
        self.times: dict[str, list[Time]] = {}  # by node
        self.faults = list(self._replay())

    def problems(self) -> Iterator[str]:
        yield from self.faults
        for what in ("text", "id", "global_id"):
            counted = Counter(row.body[what] for row in self.said)
            yield from (f"{value!r} is there {count} times" for value, count in counted.items() if count > 1)
        for row in self.said:
            attempt = self.by_text.get(row.body["text"])
            if self.author(row) in self.liars:
                continue
            if attempt is None:
                yield f"{row.body['text']!r} is there, which nobody said"
            elif attempt.was_refused:
                yield f"{attempt.text!r} is there, which was refused ({attempt.error})"
            elif attempt.id not in (None, row.said_at):
                yield f"{attempt.text!r} is there as {row.said_at}, who said it was told {attempt.id}"
            elif (attempt.to is None) != (row.body.get("to") is None):
                yield f"{attempt.text!r} is for {row.body.get('to')}, it was said to {attempt.to}"
            if row.body["global_id"] in self.refused:
                yield f"{row.said_at} was taken and refused"
        yield from self._members()
        yield from self._answered()

    def history(self, shown: Sequence[str] | None) -> Iterator[str]:
        """`history` shows what was said since the room was opened last."""
        opened = max((row.seq for row in self.rows if row.type == "room.gone"), default=0)
        after = max(opened, self.journal.floor)
        there = [row.position for row in self.said if row.seq > after]
        if shown is not None and list(shown[-len(there) :] if there else ()) != there:
            yield f"history shows {shown}, not {there}"

    def _answered(self) -> Iterator[str]:
        """What the host's own clients were told that it is said is there."""
        there = {row.said_at: str(row.body["text"]) for row in self.said if row.direction == "out"}
        for attempt in self.by_text.values():
            mine = attempt.sender == self.journal.name and attempt.id is not None
            if (
                mine
                and not self.journal.lost(attempt.step, attempt.answered)
                and there.get(str(attempt.id)) != attempt.text
            ):
                yield f"accepted {attempt.text!r} as {attempt.id}, which is not in the journal"

    def _members(self) -> Iterator[str]:
        """The table of members says what the events say."""
        inside = {(node, times[-1].nick) for node, times in self.times.items() if times[-1].until == FOR_EVER}
        table = {(node, nick) for label, node, nick in self.journal.members if label == self.room.label}
        if inside != table:
            yield f"members are {sorted(table)}, by the events {sorted(inside)}"

    def _replay(self) -> Iterator[str]:
        """Go through the events: who comes, who goes, and whether whoever speaks is there."""
        inside = dict[str, Row]()  # by node
        for row in self.rows:
            body = row.body
            if row.type in PLACED and body["room_position"] != row.position:
                yield f"{row.position} says that its place is {body['room_position']}"
            if row.type == "room.join":
                if fold(body["nick"]) in {fold(other.body["nick"]) for other in inside.values()}:
                    yield f"{row.position}: {body['nick']} comes, and is there"
                if body["node"] in inside:
                    yield f"{row.position}: {body['node']} comes twice"
                inside[body["node"]] = row
            elif row.type == "room.leave":
                if body["node"] not in inside:
                    yield f"{row.position}: {body['nick']} goes, and is not there"
                self._ended(inside, body["node"], row.seq)
            elif row.type == "room.gone":
                for node in list(inside):
                    self._ended(inside, node, row.seq)
            elif row.type == "message":
                yield from self._heard(row, inside)
        for node in list(inside):
            self._ended(inside, node, FOR_EVER)

    def _ended(self, inside: dict[str, Row], node: str, seq: int) -> None:
        came = inside.pop(node, None)
        if came is not None:
            self.times.setdefault(node, []).append(Time(came.body["nick"], came.seq, seq))

    def _heard(self, row: Row, inside: Mapping[str, Row]) -> Iterator[str]:
        """Whoever speaks is there under that nick, and so is whoever it is for."""
        body = row.body
        author = self.author(row)
        if author not in inside or inside[author].body["nick"] != body["nick"]:
            yield f"{row.position} was said by {body['nick']}, who is not there"
        if body.get("to") is not None:
            addressee = inside.get(body["to_node"])
            if addressee is None or fold(addressee.body["nick"]) != fold(body["to"]):
                yield f"{row.position} is for {body['to']}, who is not there"

    def author(self, row: Row) -> str:
        """The node that said it."""
        return self.journal.node_id if row.direction == "out" else str(row.body["peer"]["node"])

    def is_for(self, row: Row, node: str) -> bool:
        """Whether that member is to see it."""
        private = row.type == "message" and row.body.get("to") is not None
        return not private or node in (row.body["to_node"], self.author(row))


class _Member:
    """The room as one member's journal tells it."""

    def __init__(self, host: _Host, journal: Journal, stay: Stay, states: Mapping[tuple[str, str], str]) -> None:
        self.host, self.journal, self.stay, self.states = host, journal, stay, states
        rows = journal.of_room(host.room.label)
        self.seen = [row for row in rows if row.body.get("room_position")]
        self.said = [row for row in rows if row.type == "message" and row.direction == "out"]
        self.receipts = [row for row in rows if row.type == "receipt"]
        self.gone = [row for row in rows if row.type == "room.gone"]
        self.positions = {row.body["room_position"] for row in self.seen}
        self.lossless = not journal.losses and not host.journal.losses

    def problems(self, shown: Sequence[str] | None) -> Iterator[str]:
        for found in (
            *(self.twice(), self.disorder(), self.different(), self.strange(), self.missing(), self.gaps()),
            *(self.promised(), self.fates(), self.disagreeing(), self.membership(), self.history(shown)),
        ):
            yield from found

    def twice(self) -> Iterator[str]:
        """Nothing is seen twice, and what was said here is seen as what went out."""
        for what, values in (
            ("place", [row.body["room_position"] for row in self.seen]),
            ("text", [row.body["text"] for row in (*self.seen, *self.said) if self._is_known(row)]),
            ("receipt", [row.body["id"] for row in self.receipts]),
        ):
            yield from (f"{what} {value!r} {count} times" for value, count in Counter(values).items() if count > 1)

    def _is_known(self, row: Row) -> bool:
        """It is a message that the host still knows: one that it lost it may take again, in another place."""
        place = row.body.get("room_position")
        return row.type == "message" and (place is None or self.host.journal.order(place) is not None)

    def disorder(self) -> Iterator[str]:
        for before, after in pairwise(row.body["room_position"] for row in self.seen):
            places = self.host.journal.order(before), self.host.journal.order(after)
            if before.partition(":")[0] == after.partition(":")[0]:
                places = (0, int(before.partition(":")[2])), (0, int(after.partition(":")[2]))
            if places[0] and places[1] and places[0] >= places[1]:
                yield f"{after} is behind {before}"

    def different(self) -> Iterator[str]:
        """What is seen at a place is what the host has there."""
        there = {row.position: row for row in self.host.rows}
        for row in self.seen:
            original = there.get(row.body["room_position"])
            if original is None:
                if self.host.journal.order(row.body["room_position"]) is not None:
                    yield f"{row.body['room_position']} is nothing in the room"
            elif row.type == "receipt":  # of what was said here, which `fates` looks at
                if original.body["global_id"] != f"{self.journal.node_id}/{row.body['id']}":
                    yield f"{row.position} is of {row.body['id']}, the host has {_content(original)}"
            elif row.type == "message" and not self._is_named(row):
                yield f"{row.position} has the global id {row.body['global_id']}"
            elif _content(row) != _content(original):
                yield f"{row.position} is {_content(row)}, the host has {_content(original)}"

    def _is_named(self, row: Row) -> bool:
        """What is heard goes by its place at the host: of its author the host alone knows."""
        return bool(row.body["global_id"] == f"{self.host.journal.node_id}/{row.body['room_position']}")

    def strange(self) -> Iterator[str]:
        """What is seen lies in a time here, and is for these eyes."""
        there = {row.position: row for row in self.host.rows}
        for row in self.seen:
            original = there.get(row.body["room_position"])
            if original is None:
                continue
            if not any(time.since <= original.seq <= time.until for time in self.times):
                yield f"{original.position} is seen, which happened while it was not in the room"
            if not self.host.is_for(original, self.journal.node_id):
                yield f"{original.position} is seen, which is for {original.body['to']} alone"

    @property
    def times(self) -> Sequence[Time]:
        return self.host.times.get(self.journal.node_id, [])

    @cached_property
    def owed(self) -> list[Row]:
        """What is to be seen. Of its own coming and going it is told in other ways as well."""
        node = self.journal.node_id
        return [
            row
            for row in self.host.rows
            if any(time.since < row.seq <= time.until for time in self.times)
            and row.type in PLACED
            and self.host.is_for(row, node)
            and not (row.type == "room.leave" and row.body["node"] == node)
        ]

    def missing(self) -> Iterator[str]:
        """All of it is seen; but whoever goes by itself does not get what was under way."""
        holes, before = list[Row](), True
        for row in self.owed:
            there = row.position in self.positions or self._in_gap(row.position)
            if not there and before:
                holes.append(row)
            before = there
        left = sum(row.body["reason"] in ("left", "forgotten") for row in self.gone)
        allowed = max(left, self.stay.drops) + len(self.journal.losses) + len(self.host.journal.losses)
        if len(holes) > allowed:
            places = " ".join(row.position for row in holes)
            yield f"{len(holes)} times something is missing, from {places} on; {allowed} may be"
        if left > self.stay.drops and not self.journal.losses:
            yield f"it has left {left} times, and wanted that {self.stay.drops} times"

    def _in_gap(self, position: str) -> bool:
        return any(self.host.journal.is_told(row, position) for row in self._gap_rows())

    def _gap_rows(self) -> Iterator[Row]:
        """Those of the room, and those of the host's journal as a whole."""
        for row in self.journal.rows:
            of_host = row.type == "gap" and row.body["peer"] and row.body["peer"]["node"] == self.host.journal.node_id
            if of_host and row.body.get("room") in (None, self.host.room.label):
                yield row

    def gaps(self) -> Iterator[str]:
        """A room has gaps only where its host has forgotten something."""
        for row in self._gap_rows():
            if row.body.get("room") is None:
                continue
            if self.lossless and not self.host.journal.floor:
                yield f"a gap through {row.body['through']}, and the host has forgotten nothing"
            for position in self.positions:
                if self.lossless and self.host.journal.is_told(row, position):
                    yield f"{position} is there, and a gap says that it is not"

    # -- what was said here

    def promised(self) -> Iterator[str]:
        said = {row.position: row.body["text"] for row in self.said}
        for attempt in self.host.by_text.values():
            if attempt.sender != self.journal.name:
                continue
            if attempt.was_refused and attempt.text in said.values():
                yield f"refused {attempt.text!r} ({attempt.error}), and it is there"
            if attempt.id is None or self.journal.lost(attempt.step, attempt.answered):
                continue
            if said.get(attempt.id) != attempt.text:
                yield f"accepted {attempt.text!r} as {attempt.id}, which is not in the journal"

    def fates(self) -> Iterator[str]:
        """Each is in the room or was refused, and its receipt says so."""
        taken = {row.body["global_id"]: row for row in self.host.said}
        told = {row.body["id"]: row.body for row in self.receipts}
        for row in self.said:
            receipt, state = told.get(row.position), self.journal.outcomes.get(row.seq)
            if row.body["global_id"] in taken:
                place = taken[row.body["global_id"]].position
                if receipt is not None and (receipt["state"], receipt["room_position"]) != ("delivered", place):
                    says = f"{receipt['state']} {receipt['room_position']}"
                    yield f"{row.position} is at {place}, its receipt says {says}"
                if state in ENDED and self.lossless:
                    yield f"{row.position} is {state}, and in the room"
            elif row.body["global_id"] in self.host.refused:
                if self.lossless and (receipt is None or receipt["state"] != "rejected"):
                    yield f"{row.position} was refused, and nobody was told"
            elif state not in ENDED and not self._lost_there(row.position):
                yield f"lost {row.position} {row.body['text']!r}"
            elif receipt is not None and self.lossless and receipt["state"] not in ENDED:
                yield f"{row.position} is not in the room, its receipt says {receipt['state']}"

    def _lost_there(self, position: str) -> bool:
        """The host's journal was lost, and it was told what it lacks."""
        gaps = [row for row in self.host.journal.rows if row.type == "gap" and row.body["peer"]]
        mine = [row for row in gaps if row.body["peer"]["node"] == self.journal.node_id]
        return bool(self.host.journal.losses) and any(self.journal.is_told(row, position) for row in mine)

    def disagreeing(self) -> Iterator[str]:
        """The state that is shown in the end is what became of it."""
        taken = {row.body["global_id"] for row in self.host.said}
        back = {row.body["id"] for row in self.receipts if row.body["state"] == "delivered"}
        for row in self.said:
            state = self.states.get((self.journal.name, row.position))
            if state is None or not self.lossless:
                continue
            if row.position in back and state != "delivered":
                yield f"{row.position} has come back, and is {state}"
            if row.body["global_id"] in self.host.refused and state != "rejected":
                yield f"{row.position} was refused, and is {state}"
            if state == "rejected" and row.body["global_id"] in taken:
                yield f"{row.position} is in the room, and rejected"

    def history(self, shown: Sequence[str] | None) -> Iterator[str]:
        """`history` shows everything since it came, in the order of the room, what it said itself among it."""
        known = [row.body["room_position"] for row in self.seen if row.type in ("message", "receipt")]
        if shown is None or not self.lossless or self.journal.floor:
            return
        if list(shown) != known[len(known) - len(shown) :]:
            yield f"history shows {shown}, not the end of {known}"
        since = self.times[-1].since if self.times else FOR_EVER
        last = [place for place in known if (self.host.journal.order(place) or (0, 0))[1] > since]
        if not set(shown).issuperset(last):
            yield f"history shows {shown}, which is not all of {last}"

    def membership(self) -> Iterator[str]:
        """In the end both sides say the same."""
        nick = self.journal.joined.get(self.host.room.label)
        there = next((time.nick for time in self.times if time.until == FOR_EVER), None)
        if nick != there:
            yield f"it is in the room as {nick}, by its host as {there}"


def _content(row: Row) -> tuple[Any, ...]:
    """What members and host have to agree about."""
    return row.type, *(row.body.get(name) for name in ("nick", "text", "to", "node", "reason"))
