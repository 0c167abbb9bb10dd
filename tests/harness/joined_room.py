"""A joined room of the node of a stand: the frames that bob, its host, would send over his link."""

from typing import Any

import trio

from chatd.messages.references import look_up
from chatd.rooms.joined_room import JoinedRoom, User
from chatd.wire.frames import Gone, Happened, Missing, Refused, Roster, Said, Text
from tests.harness.control_node import BOB_ID, NODE_ID, Client, Stand, result_of

EPOCH = "bbbbbbbb"  # of bob's journal
CAROL_ID = "c" * 52
USERS: list[User] = [
    ("bob", BOB_ID, True),
    ("carol", CAROL_ID, False),
    ("10.0.0.9:5000", None, True),
    ("alice", NODE_ID, True),
]


class Lobby:
    """`lobby@bob`. Each frame has the next position of bob's journal."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand
        self.seq = 0

    @property
    def membership(self) -> JoinedRoom:
        (membership,) = self._stand.joined_rooms
        return membership

    async def asked(self) -> None:
        """Wait until the node asks to join."""
        while not list(self._stand.joined_rooms):
            await trio.lowlevel.checkpoint()

    def roster(self, users: list[User] = USERS, *, topic: str = "") -> None:
        """Bob sends the members."""
        roster = Roster("lobby", "alice", topic, self.seq, users, False)
        self._stand.joined_rooms.receive_roster(self._stand.bob, roster)

    async def join(self, client: Client) -> dict[str, Any]:
        """Join the room; returns the result of `room.join`."""
        number = await client.post("room.join", room="lobby@bob")
        await self.asked()
        self.roster()
        found: dict[str, Any] = result_of(await client.answer(number))["room"]
        return found

    def gone(self, kind: str, reason: str) -> None:
        """Bob rejects or removes the node."""
        self._stand.joined_rooms.receive_gone(self._stand.bob, Gone("lobby", kind, reason))

    async def _bring(self, *frames: Any) -> None:
        link = self._stand.bob.links[0]
        named = [frame.id for frame in frames if isinstance(frame, Said | Refused) and frame.id is not None]
        references = await look_up(self._stand.journal, self._stand.bob, named)
        self._stand.node.router.receive(self._stand.bob, link, frames, references)
        await self._stand.journal.settled()

    def _next(self) -> tuple[str, int]:
        self.seq += 1
        return EPOCH, self.seq

    async def says(self, *texts: str, nick: str = "carol", room: str = "lobby") -> None:
        """Another member sends messages."""
        await self._bring(*[Said(*self._next(), room, nick, text) for text in texts])

    async def echoes(self, *ids: str) -> None:
        """The node's own messages come back."""
        await self._bring(*[Said(*self._next(), "lobby", "alice", "", one) for one in ids])

    async def refuses(self, one: str, reason: str) -> None:
        """Bob rejects a message of the node."""
        await self._bring(Refused(*self._next(), "lobby", one, reason))

    async def happens(self, what: Any, **fields: Any) -> None:
        """An event of the room, e.g. a join."""
        await self._bring(Happened(*self._next(), "lobby", what, **fields))

    async def misses(self, count: int) -> None:
        """That many positions are missing in bob's journal."""
        after = f"{EPOCH}:{self.seq}"
        self.seq += count - 1
        epoch, seq = self._next()
        await self._bring(Missing(epoch, seq, f"{epoch}:{seq}", [("lobby", after)]))

    async def texts(self, *texts: str) -> None:
        """Bob sends direct messages."""
        batch = self._stand.chat.inbox.receive(
            self._stand.bob, self._stand.bob.links[0], [Text(*self._next(), text) for text in texts]
        )
        assert batch is not None
        await batch.wait()

    def acknowledges(self) -> None:
        """Bob acknowledges everything that is committed here."""
        stand = self._stand
        stand.bob.delivery.mark_written(stand.journal.committed)
        assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, stand.journal.committed)
