"""Hosted rooms against a model in plain Python: members, bans, and what each node must receive.

The model knows nothing of undoing: it keeps the current and the committed state, and a failed commit replaces the
former by the latter. After every commit a second `HostedRooms` loads what is on disk, and the events in a room's stream
must agree with its members.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import cast

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from chatd.api.errors import ControlError
from chatd.api.events import AnyEvent, Message, RoomGone, RoomJoin, RoomLeave, RoomRefused, RoomTopic
from chatd.peers.outbox import NEVER
from chatd.rooms import nicks
from chatd.rooms.hosted import HostedRooms, HostSettings
from chatd.rooms.room import HostedRoom, Member
from chatd.wire.frames import Say
from tests.harness.models import NodeMachine, at_two_lengths, play
from tests.harness.parts import SELF

Interval = tuple[str, int, int, int]  # node, stream id, since, until
ALICE = SELF
NODES = ("b" * 52, "c" * 52)
ADDRESSES = ("10.0.0.1:1001", "10.0.0.1:1002", "10.0.0.2:1001")
NICKS = ("ann", "Ann", "bob", "cid", "straße", "STRASSE")  # some have the same fold
NAMES = ("den", "lobby")
PORT_ROOM = "lobby"  # it has a room port, and so plain clients
MOST = 4  # members of a room

names, nodes, places = st.sampled_from(NAMES), st.sampled_from(NODES), st.integers(0, MOST)
some_nick = st.sampled_from(NICKS)


@dataclass
class Someone:
    """A member in the model."""

    nick: str
    kind: str
    who: str  # node id or address
    since: int


@dataclass
class Lodge:
    """A room in the model."""

    key: int
    members: dict[str, Someone] = field(default_factory=dict)  # by fold
    bans: dict[str, str] = field(default_factory=dict)
    subject: str = ""

    def of(self, who: str) -> Someone | None:
        return next((one for one in self.members.values() if one.who == who), None)


@dataclass
class Host:
    """All rooms in the model. `intervals`: what nodes must receive of them."""

    rooms: dict[str, Lodge] = field(default_factory=dict)
    intervals: list[Interval] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)  # of all rooms so far, by stream id

    def ending(self, node: str, name: str) -> bool:
        """Whether the node has an unacknowledged past interval in a room with that name."""
        return any(one == node and self.names[key] == name and until != NEVER for one, key, _, until in self.intervals)


class RoomsMachine(NodeMachine):
    """Model: the current state and the last committed one."""

    def __init__(self) -> None:
        self.committed = Host()
        self.marks = dict.fromkeys(NODES, 0)  # per node: seq of its newest message
        self.eager = False  # every change is committed at once
        self.noted: list[Interval] = []  # acknowledged since the last commit; the next one deletes them
        super().__init__(room_members=MOST)

    @initialize(eager=st.booleans())
    def choose(self, eager: bool) -> None:
        self.eager = eager

    def start(self) -> None:
        super().start()
        self.rooms, self.posting, self.moderation = self.node.hosted_rooms, self.node.posting, self.node.moderation
        self.declarations = self.node.router.declarations
        self.peers = {node: self.node.registry.native(node, node[0], "10.0.0.9:7420") for node in NODES}
        self.hung_up: list[str] = []
        self.noted = []
        self.forget_plain(self.committed)
        self.now = deepcopy(self.committed)
        self.serve_port()

    def serve_port(self) -> None:
        """A room port hosts its room and keeps it open."""
        room, batch = self.rooms.host(PORT_ROOM)
        room.set_ports(1)
        if batch is not None:
            self.open(PORT_ROOM, room)
        self.commit()

    def forget_plain(self, host: Host) -> None:
        for lodge in host.rooms.values():
            for one in [one for one in lodge.members.values() if one.kind == "plain"]:
                del lodge.members[nicks.fold(one.nick)]

    @property
    def waits(self) -> bool:
        return super().waits or bool(self.noted)

    async def save(self) -> None:
        self.journal.flush()
        await self.journal.responds()

    def saved(self) -> None:
        self.committed, self.noted = deepcopy(self.now), []

    def reader(self) -> HostedRooms:
        """The rooms that a restart would load."""
        return HostedRooms(self.journal, self.node.registry, HostSettings(ALICE, "alice", 1024, 0, MOST, 10_000))

    def refused(self, step: Callable[[], object], *kinds: str) -> None:
        """The call is rejected and changes nothing, which the invariants check."""
        appended = self.journal.appended
        try:
            step()
        except ControlError as error:
            assert error.kind in kinds, error  # noqa: PT017  (which one is what matters)
        else:
            raise AssertionError(f"not refused: {kinds}")
        assert self.journal.appended == appended

    # -- rooms

    @rule(name=names)
    def host(self, name: str) -> None:
        room, _ = self.rooms.host(name)
        if name not in self.now.rooms:
            self.open(name, room)

    def open(self, name: str, room: HostedRoom) -> None:
        self.now.rooms[name] = Lodge(room.stream_id)
        self.now.names[room.stream_id] = name

    @rule(name=names)
    def close(self, name: str) -> None:
        lodge = self.now.rooms.get(name)
        if lodge is None:
            return
        if name == PORT_ROOM:
            self.refused(lambda: self.rooms.close(self.room(name)), "conflict")
            return
        self.rooms.close(self.room(name))
        for one in lodge.members.values():
            self.end(lodge, one)
        del self.now.rooms[name]

    @rule(name=names, text=st.sampled_from(["", "tea", "cake"]))
    def set_subject(self, name: str, text: str) -> None:
        if name in self.now.rooms:
            self.rooms.set_topic(self.room(name), text)
            self.now.rooms[name].subject = text

    def room(self, name: str) -> HostedRoom:
        found = self.rooms.get(name)
        assert found is not None
        return found

    # -- joining

    def entry(self, lodge: Lodge, nick: str, kind: str, who: str) -> None:
        lodge.members[nicks.fold(nick)] = Someone(nick, kind, who, self.journal.appended)
        if kind != "plain":
            self.now.intervals.append((who, lodge.key, self.journal.appended, NEVER))

    def obstacle(self, lodge: Lodge, nick: str) -> str | None:
        if len(lodge.members) >= MOST:
            return "rate_limited"
        return "conflict" if nicks.fold(nick) in lodge.members else None

    @rule(name=names, nick=some_nick)
    def enter_own(self, name: str, nick: str) -> None:
        lodge = self.now.rooms.get(name)
        if lodge is None:
            return
        own, room = lodge.of(ALICE), self.room(name)
        kind = ("conflict" if own.nick != nick else None) if own else self.obstacle(lodge, nick)
        if kind is not None:
            self.refused(lambda: self.rooms.enter_own(room, nick), kind)
            return
        self.rooms.enter_own(room, nick)
        if own is None:
            self.entry(lodge, nick, "own", ALICE)

    @rule(address=st.sampled_from(ADDRESSES), nick=st.sampled_from([*NICKS, "no good", "system", None]))
    def enter_plain(self, address: str, nick: str | None) -> None:
        lodge, room = self.now.rooms[PORT_ROOM], self.room(PORT_ROOM)
        if lodge.of(address) is not None:
            return
        hung_up = self.hung_up

        def come() -> tuple[Member, str | None]:
            return self.rooms.enter_plain(room, nick, address, lambda reason: hung_up.append(address))

        if address.partition(":")[0] in lodge.bans:
            self.refused(come, "forbidden")
        elif len(lodge.members) >= MOST:
            self.refused(come, "rate_limited")
        else:
            member, why = come()
            assert nicks.fold(member.nick) not in lodge.members
            assert (why is None) == (member.nick == (address if nick is None else nick))
            self.entry(lodge, member.nick, "plain", address)

    @rule(node=nodes, wanted=st.dictionaries(names, st.tuples(some_nick, st.booleans()), max_size=2))
    def declare(self, node: str, wanted: dict[str, tuple[str, bool]]) -> None:
        gone, rooms = self.declarations.apply(
            self.peers[node], [(name, nick, new) for name, (nick, new) in wanted.items()]
        )
        kinds = {one.room: one.kind for one in gone}
        # The model decides in the same order: a leave frees capacity.
        seq = self.journal.appended - self.count_joins(node, wanted, kinds)
        seq -= self.leave_others(node, wanted, seq)
        for name, (nick, new) in wanted.items():
            lodge = self.now.rooms.get(name)
            if lodge is not None and lodge.of(node) is not None:
                assert self.room(name) in rooms
            elif self.now.ending(node, name) and not new:
                assert name not in kinds
                assert self.rooms.get(name) not in rooms
            elif lodge is None:
                assert kinds.pop(name) == "unknown_room"
            elif node in lodge.bans:
                assert kinds.pop(name) == "forbidden"
            elif (obstacle := self.obstacle(lodge, nick)) is not None:
                assert kinds.pop(name) == obstacle
            else:
                assert self.room(name) in rooms
                member = self.room(name).by_node[node]
                lodge.members[nicks.fold(nick)] = Someone(nick, "native", node, member.since)
                self.now.intervals.append((node, lodge.key, member.since, NEVER))
        assert not kinds

    def count_joins(self, node: str, wanted: dict[str, tuple[str, bool]], kinds: dict[str, str]) -> int:
        """Number of rooms that it has just joined: its leaves were appended before."""
        joined = 0
        for name in wanted:
            lodge, room = self.now.rooms.get(name), self.rooms.get(name)
            joined += bool(room and lodge and node in room.by_node and lodge.of(node) is None)
        return joined

    def leave_others(self, node: str, wanted: dict[str, tuple[str, bool]], last: int) -> int:
        """It leaves all rooms that it does not name, the last one at that seq."""
        left = [lodge for name, lodge in self.now.rooms.items() if name not in wanted and lodge.of(node)]
        for lodge in left:
            one = lodge.of(node)
            assert one is not None
            ends = [interval.until for interval in self.rooms.intervals.of_node(node) if interval.since == one.since]
            assert ends
            assert last - len(left) < ends[0] <= last
            self.end(lodge, one, ends[0])
            del lodge.members[nicks.fold(one.nick)]
        return len(left)

    # -- leaving

    def end(self, lodge: Lodge, one: Someone, until: int | None = None) -> None:
        """End its interval; the host itself has none."""
        interval = (one.who, lodge.key, one.since, NEVER)
        if one.kind != "plain":
            place = self.now.intervals.index(interval)
            rest = [(*interval[:3], self.journal.appended if until is None else until)]
            self.now.intervals[place : place + 1] = rest if one.kind == "native" else []

    @rule(name=names, place=places, what=st.sampled_from(["leave", "kick", "ban"]))
    def go(self, name: str, place: int, what: str) -> None:
        lodge = self.now.rooms.get(name)
        if lodge is None:
            return
        nick = pick([one.nick for one in lodge.members.values()], place)
        room, one = self.room(name), lodge.members.get(nicks.fold(nick))
        if one is None:
            if what != "leave":
                self.refused(lambda: getattr(self.moderation, what)(room, nick), "unknown_peer")
            return
        if what == "ban" and one.kind == "own":
            self.refused(lambda: self.moderation.ban(room, nick), "conflict")
            return
        going = {nicks.fold(nick): one}
        if what == "leave":
            self.rooms.leave(room, room.by_fold[nicks.fold(nick)])
        else:
            before = len(self.hung_up)
            getattr(self.moderation, what)(room, nick)
            if what == "ban":
                going |= self.banned_with(lodge, one)
            assert set(self.hung_up[before:]) == {each.who for each in going.values() if each.kind == "plain"}
        for fold, each in going.items():
            self.end(lodge, each)
            del lodge.members[fold]
            if each.kind == "plain":
                self.gone_for_good(name, each)

    def banned_with(self, lodge: Lodge, one: Someone) -> dict[str, Someone]:
        """All other members from that address."""
        who = one.who.partition(":")[0] if one.kind == "plain" else one.who
        lodge.bans[who] = one.nick
        return {
            fold: other
            for fold, other in lodge.members.items()
            if other.kind == "plain" and other.who.partition(":")[0] == who
        }

    def gone_for_good(self, name: str, one: Someone) -> None:
        """A plain client is gone, even if that cannot be saved."""
        lodge = self.committed.rooms.get(name)
        if lodge is not None and one in lodge.members.values():
            del lodge.members[nicks.fold(one.nick)]

    @rule(name=names, place=places)
    def unban(self, name: str, place: int) -> None:
        lodge = self.now.rooms.get(name)
        if lodge is None:
            return
        nick = pick([*lodge.bans.values()], place).upper()
        found = [who for who, was in lodge.bans.items() if nicks.fold(was) == nicks.fold(nick)]
        if not found:
            self.refused(lambda: self.moderation.unban(self.room(name), nick), "unknown_peer")
            return
        if len(found) > 1:
            self.refused(lambda: self.moderation.unban(self.room(name), nick), "ambiguous_peer")
        for who in found:
            self.moderation.unban(self.room(name), who)
            del lodge.bans[who]

    @rule(node=nodes, back=st.integers(0, 4))
    def acknowledge(self, node: str, back: int) -> None:
        """A node can acknowledge only what is committed."""
        through = max(self.journal.committed - back, 0)
        self.rooms.release_intervals(node, through)
        over = [interval for interval in self.now.intervals if interval[0] == node and interval[3] <= through]
        self.now.intervals = [interval for interval in self.now.intervals if interval not in over]
        self.noted += over

    # -- posting

    @rule(name=names, place=places, to=st.one_of(st.none(), some_nick))
    def say(self, name: str, place: int, to: str | None) -> None:
        lodge = self.now.rooms.get(name)
        there = [one for one in lodge.members.values() if one.kind != "native"] if lodge is not None else []
        if place >= len(there):
            return
        room, one = self.room(name), there[place]
        addressee = room.named(to) if to is not None else None
        messages, _ = self.posting.post(room, room.by_fold[nicks.fold(one.nick)], ["hi", "there"], addressee)
        for message in messages:
            assert (message.global_id, message.nick) == (f"{ALICE}/{message.room_position}", one.nick)
            assert message.direction == ("out" if one.kind == "own" else "in")

    @rule(node=nodes, name=names, to=st.one_of(st.none(), st.tuples(some_nick, st.sampled_from([*NODES, None]))))
    def hear(self, node: str, name: str, to: tuple[str, str | None] | None) -> None:
        """A node posts. Accepted if it and the recipient are in the room, otherwise rejected."""
        self.marks[node] += 1
        before, lodge = self.journal.appended, self.now.rooms.get(name)
        to_nick, to_node = to or (None, None)
        self.posting.receive(self.peers[node], [Say("eeeeeeee", self.marks[node], name, "hi", to_nick, to_node)])
        one = lodge.of(node) if lodge else None
        if to_nick is not None and lodge is not None and one is not None:
            other = lodge.members.get(nicks.fold(to_nick))
            if other is None or (other.who if other.kind != "plain" else None) != to_node:
                one = None
        (event,) = self.events_after(before)
        if one is None:
            assert isinstance(event, RoomRefused)
            assert event.global_id == f"{node}/eeeeeeee:{self.marks[node]}"
            assert self.peers[node].delivery.outbox.contains(self.journal.appended)
        else:
            assert isinstance(event, Message)
            assert (event.global_id, event.nick) == (f"{node}/eeeeeeee:{self.marks[node]}", one.nick)

    def events_after(self, seq: int) -> list[AnyEvent]:
        """Events after it that are not committed; they are in the filling batch only."""
        return [entry.event for entry in self.journal.next_batch.entries if entry.seq > seq]

    # -- the journal

    def lost(self) -> None:
        """Clients that joined in the failed commit are disconnected; a plain client that left is gone."""
        came = {one.who for one in self.plain(self.now)} - {one.who for one in self.plain(self.committed)}
        assert came <= set(self.hung_up)
        self.now = deepcopy(self.committed)
        self.now.intervals = [interval for interval in self.now.intervals if interval not in self.noted]

    def plain(self, host: Host) -> list[Someone]:
        return [one for lodge in host.rooms.values() for one in lodge.members.values() if one.kind == "plain"]

    # -- what must hold

    @invariant()
    @precondition(lambda self: self.eager)
    def nothing_waits(self) -> None:
        self.commit()

    @invariant()
    def the_rooms_are_those_of_the_model(self) -> None:
        agree(self.rooms, self.now)

    @invariant()
    @precondition(lambda self: not self.waits)
    def the_disk_holds_the_same(self) -> None:
        on_disk = deepcopy(self.now)
        self.forget_plain(on_disk)
        agree(self.reader(), on_disk)

    @invariant()
    @precondition(lambda self: not self.waits)
    def the_events_tell_the_same(self) -> None:
        for lodge in self.now.rooms.values():
            entries = self.journal.store.page(0, self.journal.committed, lodge.key, 10_000)[0]
            inside, subject = dict[str, str | None](), ""
            for entry in entries:
                event = entry.event
                position = getattr(event, "room_position", event.position)
                assert position == event.position
                if isinstance(event, RoomJoin):
                    inside[nicks.fold(event.nick)] = event.node
                elif isinstance(event, RoomLeave):
                    inside.pop(nicks.fold(event.nick), None)
                elif isinstance(event, RoomTopic):
                    subject = event.text
                else:
                    assert isinstance(event, Message)
                    assert not isinstance(event, RoomGone)
                    assert nicks.fold(cast(str, event.nick)) in inside
            nodes_in = {fold: node for fold, node in inside.items() if node is not None}
            model = {fold: one.who for fold, one in lodge.members.items() if one.kind != "plain"}
            assert (nodes_in, subject) == (model, lodge.subject)


def agree(rooms: HostedRooms, model: Host) -> None:
    """Rooms, members, bans and intervals equal the model, and no two members share a nick."""
    assert {room.name: room.stream_id for room in rooms} == {name: lodge.key for name, lodge in model.rooms.items()}
    for room in rooms:
        lodge = model.rooms[room.name]
        members = [(one.nick, one.kind, one.node or one.address, one.since) for one in room.users()]
        expected = sorted((one.since, one.nick, one.kind, one.who) for one in lodge.members.values())
        assert members == [(nick, kind, who, since) for since, nick, kind, who in expected]
        assert {nicks.fold(one.nick) for one in room.users()} == room.by_fold.keys()
        assert {one.who for one in lodge.members.values() if one.kind != "plain"} == room.by_node.keys()
        assert (room.bans, room.topic) == (lodge.bans, lodge.subject)
        assert rooms.by_stream_id(room.stream_id) is room
    intervals = sorted(
        (node, interval.room.stream_id, interval.since, interval.until) for node, interval in rooms.intervals
    )
    assert intervals == sorted(model.intervals)
    assert all(rooms.by_stream_id(key) is not None for _, key, _, _ in intervals)


def pick(nicks_: list[str], place: int) -> str:
    """One of these nicks, or an unknown one."""
    return nicks_[place] if place < len(nicks_) else "nobody"


@at_two_lengths(20, 150)
def test_rooms_are_those_of_the_model_after_any_operations(examples: int) -> None:
    play(RoomsMachine, examples)
