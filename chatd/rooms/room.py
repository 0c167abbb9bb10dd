"""Room: one room that this node hosts, as it is now. Who is in it, under which nick, and who may not be.

Only state: what has to happen for it to change is decided in rooms.py.
"""

from collections.abc import Callable

from chatd.api.results import RoomRecord, UserRecord
from chatd.rooms.nicks import fold
from chatd.runtime import Broadcast

NATIVE, PLAIN, OWN = "native", "plain", "own"


class Member:
    """Somebody in a room: another node, a plain client of a room port, or this node itself."""

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
        self.since = since  # seq of its `room.join`: it gets what lies behind
        self.node = node
        self.address = address  # "HOST:PORT" of a plain one
        self.hang_up = hang_up  # ends the connection of a plain one, for a reason


class HostedRoom:
    """One of them. `key` is its topic in the journal."""

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

    def __init__(self, key: int, name: str, label: str, host: str, subject: str = "") -> None:
        self.stream_id = key
        self.name = name
        self.label = label  # as events name it: "lobby@alice"
        self.host = host  # our node id
        self.topic = subject  # what people call its topic
        self.by_fold: dict[str, Member] = {}
        self.by_node: dict[str, Member] = {}
        self.bans: dict[str, str] = {}  # node id or IP address -> the nick it had
        self.newest = 0  # the last seq on its topic
        self.ports = 0  # how many room ports serve it
        self.changed = Broadcast()  # who is in it, or its topic

    def users(self) -> list[Member]:
        """Who is in it, in the order in which they came."""
        return sorted(self.by_fold.values(), key=lambda member: member.since)

    def named(self, nick: str) -> Member | None:
        """Who has that nick, however it is written."""
        return self.by_fold.get(fold(nick))

    @property
    def own_member(self) -> Member | None:
        """This node itself, if it is in it."""
        return self.by_node.get(self.host)

    def add(self, member: Member) -> None:
        """It is in the room from now on."""
        self.by_fold[member.fold] = member
        if member.node is not None:
            self.by_node[member.node] = member
        self.changed.notify()

    def remove(self, member: Member) -> None:
        """It is not any more."""
        if self.by_fold.get(member.fold) is member:
            del self.by_fold[member.fold]
        if member.node is not None and self.by_node.get(member.node) is member:
            del self.by_node[member.node]
        self.changed.notify()

    def record(self) -> RoomRecord:
        """What `room list` shows."""
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
        """What `room users` shows; `is_up` says whether a node has a link with us."""
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
