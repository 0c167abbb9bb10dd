"""HostedRoom: one room of this node, with its current members, nicks, bans and topic.

State only. `hosted.py` and `moderation.py` decide about changes, make them by calling methods, and write them to
the journal.
"""

from collections.abc import Callable

from chatd.api.results import RoomRecord, UserRecord
from chatd.rooms.nicks import fold
from chatd.sync import Broadcast

NATIVE, PLAIN, OWN = "native", "plain", "own"


class Member:
    """Member of a hosted room: another node, a plain client of a room port, or this node itself."""

    __slots__ = ("address", "fold", "hang_up", "kind", "nick", "node", "since")

    def __init__(
        self,
        nick: str,
        kind: str,
        since: int,
        *,
        node: str | None = None,
        address: str | None = None,
        hang_up: Callable[[str], None] | None = None,
    ) -> None:
        self.nick = nick
        self.fold = fold(nick)
        self.kind = kind  # "native" | "plain" | "own"
        self.since = since  # seq of its `room.join`
        self.node = node
        self.address = address  # "HOST:PORT" of a plain client
        self.hang_up = hang_up  # disconnects a plain client, with a reason


class HostedRoom:
    __slots__ = (
        "bans",
        "by_fold",
        "by_node",
        "changed",
        "host",
        "label",
        "name",
        "newest",
        "ports",
        "stream_id",
        "topic",
    )

    def __init__(self, stream_id: int, name: str, label: str, host: str, topic: str = "") -> None:
        self.stream_id = stream_id
        self.name = name
        self.label = label  # name in events, e.g. "lobby@alice"; keeps the host's name at the time of creation
        self.host = host  # our node id
        self.topic = topic
        self.by_fold: dict[str, Member] = {}  # all members, by folded nick
        self.by_node: dict[str, Member] = {}  # members that are nodes
        self.bans: dict[str, str] = {}  # node id or IP address -> nick at the time of the ban
        self.newest = 0  # seq of its newest event
        self.ports = 0  # number of room ports that serve it
        self.changed = Broadcast()  # its members or its topic

    def users(self) -> list[Member]:
        """All members, in the order of their joins."""
        return sorted(self.by_fold.values(), key=lambda member: member.since)

    def named(self, nick: str) -> Member | None:
        """The member with that nick, compared by fold."""
        return self.by_fold.get(fold(nick))

    @property
    def own_member(self) -> Member | None:
        """This node itself, if it is a member."""
        return self.by_node.get(self.host)

    def add(self, member: Member) -> None:
        self.by_fold[member.fold] = member
        if member.node is not None:
            self.by_node[member.node] = member
        self.changed.notify()

    def remove(self, member: Member) -> None:
        if self.by_fold.get(member.fold) is member:
            del self.by_fold[member.fold]
        if member.node is not None and self.by_node.get(member.node) is member:
            del self.by_node[member.node]
        self.changed.notify()

    def set_topic(self, topic: str) -> None:
        self.topic = topic
        self.changed.notify()

    def record_append(self, seq: int) -> None:
        self.newest = seq

    def undo_append(self, committed: int) -> None:
        """Its events after that seq were not committed."""
        self.newest = min(self.newest, committed)

    def set_ports(self, count: int) -> None:
        """So many room ports serve it."""
        self.ports = count

    def ban(self, who: str, nick: str) -> None:
        """Ban a node id or IP address, under the nick that it has."""
        self.bans[who] = nick

    def unban(self, who: str) -> None:
        self.bans.pop(who, None)

    def record(self) -> RoomRecord:
        own = self.own_member
        return RoomRecord(
            room=self.label,
            host=self.host,
            hosted=True,
            nick=own.nick if own else None,
            topic=self.topic,
            users=len(self.by_fold),
            state="up",
        )

    def user_records(self, is_up: Callable[[str], bool]) -> list[UserRecord]:
        """Records of all members. `is_up`: whether a node id has a link with us."""
        return [
            UserRecord(
                nick=member.nick,
                kind="plain" if member.kind == PLAIN else "native",
                node=member.node,
                here=member.kind != NATIVE or is_up(member.node or ""),
                address=member.address,
            )
            for member in self.users()
        ]
