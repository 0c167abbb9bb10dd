"""Membership: that this node is in one room of another node, with what it was told of the room."""

import trio

from chatd.api.errors import ControlError
from chatd.api.results import RoomRecord, UserRecord
from chatd.rooms.nicks import fold
from chatd.runtime import Broadcast

JOINING, IN, OVER = "joining", "in", "over"
MOST_USERS = 65536  # that are known; what a host tells beyond them is not kept
User = tuple[str, str | None, bool]  # nick, node id or None, is here


class JoinedRoom:
    """One of them. `key` is its topic in our journal; `host` the node that hosts the room."""

    __slots__ = (
        "_pages",
        "_users",
        "changed",
        "error",
        "host",
        "label",
        "name",
        "nick",
        "rosters_received",
        "settled",
        "since",
        "state",
        "stream_id",
        "topic",
    )

    def __init__(
        self, key: int, name: str, host: str, label: str, nick: str, subject: str = "", since: int = 0
    ) -> None:
        self.stream_id = key
        self.name = name
        self.host = host
        self.label = label  # as events name it: "lobby@alice"
        self.nick = nick
        self.topic = subject  # what people call its topic
        self.since = since  # where in the host's journal we came, as a seq
        self.state = JOINING
        self.error: ControlError | None = None  # why it is over
        self.settled = trio.Event()  # the host has answered, for the first time
        self.rosters_received = 0  # how often the host has told who is in it
        self.changed = Broadcast()
        self._users: dict[str, User] = {}
        self._pages: list[User] = []  # pages of a list of which more is to come

    def users(self) -> list[User]:
        """Who is in the room, as far as we were told."""
        return list(self._users.values())

    def named(self, nick: str) -> User | None:
        """Who has that nick, however it is written."""
        return self._users.get(fold(nick))

    def receive_page(self, users: list[User], *, more: bool) -> bool:
        """The host tells who is in it, in pages; whether that was the last one."""
        if len(self._pages) < MOST_USERS:
            self._pages += users
        if more:
            return False
        self._users = {fold(user[0]): user for user in self._pages}
        self._pages = []
        self.rosters_received += 1
        self.changed.notify()
        return True

    def add_user(self, nick: str, node: str | None) -> None:
        """Somebody is in it."""
        if len(self._users) < MOST_USERS:
            self._users[fold(nick)] = (nick, node, True)
        self.changed.notify()

    def remove_user(self, nick: str) -> None:
        """Somebody is not in it any more."""
        self._users.pop(fold(nick), None)
        self.changed.notify()

    def record(self, *, up: bool) -> RoomRecord:
        """What `room list` shows; `up`: the host has a link with us."""
        state = "up" if up else "away"
        return RoomRecord(
            room=self.label,
            host=self.host,
            hosted=False,
            nick=self.nick,
            topic=self.topic,
            users=len(self._users),
            state=state,
        )

    def user_records(self) -> list[UserRecord]:
        """What `room users` shows."""
        return [
            UserRecord(nick, "plain" if node is None else "native", node, here, None)
            for nick, node, here in self._users.values()
        ]
