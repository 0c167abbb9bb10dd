"""JoinedRoom: one room of another node, as its host has reported it.

State only; `joined.py` and `following.py` change it by calling methods.
"""

import trio

from chatd.api.errors import ControlError
from chatd.api.results import RoomRecord, UserRecord
from chatd.rooms.nicks import fold
from chatd.sync import Broadcast

JOINING, IN, OVER = "joining", "in", "over"
MOST_USERS = 65536  # members that are kept; a host may report more
User = tuple[str, str | None, bool]  # nick, node id or None, is online


class JoinedRoom:
    """A room of the node `host`. `error` is set once the state is OVER."""

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
        self, stream_id: int, name: str, host: str, label: str, nick: str, topic: str = "", since: int = 0
    ) -> None:
        self.stream_id = stream_id
        self.name = name
        self.host = host
        self.label = label  # name in events, e.g. "lobby@alice"; keeps the host's name at the time of the join
        self.nick = nick
        self.topic = topic
        self.since = since  # seq of our join in the host's journal
        self.state = JOINING
        self.error: ControlError | None = None  # why the membership ended
        self.settled = trio.Event()  # the host has answered the join, or the join was cancelled
        self.rosters_received = 0  # number of complete rosters
        self.changed = Broadcast()
        self._users: dict[str, User] = {}
        self._pages: list[User] = []  # pages of an incomplete roster

    def enter(self) -> None:
        """The host has confirmed that we are a member."""
        self.state = IN
        self.settled.set()

    def end(self, error: ControlError) -> None:
        """The membership has ended, or the join failed; `error` is the reason."""
        self.state, self.error = OVER, error
        self.settled.set()
        self.changed.notify()

    def undo_end(self, state: str) -> None:
        """Return to the state before an `end` that was not committed."""
        self.state, self.error = state, None

    def set_membership(self, nick: str, topic: str, since: int) -> None:
        """Store what a roster reports about us and the room."""
        self.nick, self.topic, self.since = nick, topic, since

    def set_topic(self, topic: str) -> None:
        self.topic = topic
        self.changed.notify()

    def users(self) -> list[User]:
        """All members that the host has reported."""
        return list(self._users.values())

    def named(self, nick: str) -> User | None:
        """The member with that nick, compared by fold."""
        return self._users.get(fold(nick))

    def receive_page(self, users: list[User], *, more: bool) -> bool:
        """Add a page of a roster. True: it was the last page, and the new roster replaces the old one."""
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
        if len(self._users) < MOST_USERS:
            self._users[fold(nick)] = (nick, node, True)
        self.changed.notify()

    def remove_user(self, nick: str) -> None:
        self._users.pop(fold(nick), None)
        self.changed.notify()

    def record(self, *, up: bool) -> RoomRecord:
        """Record for `room list`. `up`: the host has a link with us."""
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
        return [
            UserRecord(nick, "plain" if node is None else "native", node, here, None)
            for nick, node, here in self._users.values()
        ]
