"""Fan-out of a room: who gets what, in which order, and how often it is rendered. Journal and room are real."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from chatd.api.events import Message
from chatd.api.results import PeerRef
from chatd.net.roomport import fanout as module
from chatd.net.roomport.fanout import Fanout
from chatd.net.roomport.writer import ClientWriter
from chatd.node import Node
from chatd.rooms.room import HostedRoom, Member
from chatd.runtime import Runtime
from chatd.sync import Broadcast
from chatd.wire.dialects import ADDRESS, NAME
from tests.harness.linked_node import linking
from tests.harness.parts import World


class FakeRecipient:
    """A recipient that records every write."""

    def __init__(self, dialect: str, *, ends_lines: bool | None = None) -> None:
        self.dialect = dialect
        self.ends_lines = ends_lines
        self.writes: list[bytes] = []
        self.reasons: list[str] = []
        self.writer = cast(ClientWriter, self)
        self.member: Member
        self._heard = Broadcast()

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self._heard.notify()

    def close(self, reason: str) -> None:
        self.reasons.append(reason)

    @property
    def heard(self) -> bytes:
        return b"".join(self.writes)

    async def hears(self, expected: bytes) -> None:
        """Wait until exactly that was written."""
        while len(self.heard) < len(expected):
            await self._heard.wait()
        assert self.heard == expected


class Stage:
    """A room and its fan-out."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.rooms, self.posting = node.router.hosted_rooms, node.router.posting
        self.room: HostedRoom = self.rooms.host("lobby")[0]
        self.fanout = Fanout(self.room, node.journal, node.links.nursery)
        self.host, _ = self.rooms.enter_own(self.room, "alice")
        self.entered: list[FakeRecipient] = []

    def enter(self, nick: str | None, dialect: str = NAME, **more: Any) -> FakeRecipient:
        recipient = FakeRecipient(dialect, **more)
        self.entered.append(recipient)
        address = f"10.0.0.1:{len(self.entered)}"
        recipient.member, _ = self.rooms.enter_plain(self.room, nick, address, recipient.close)
        self.fanout.add(recipient, recipient.member)
        return recipient

    @property
    def is_running(self) -> bool:
        """Whether the fan-out has its task."""
        return any("supervised" in task.name for task in self.node.links.nursery.child_tasks)

    def say(self, member: Member, *texts: str, to: FakeRecipient | None = None) -> None:
        self.posting.post(self.room, member, texts, to.member if to else None)


@asynccontextmanager
async def a_stage(runtime: Runtime | None = None, **settings: Any) -> AsyncIterator[Stage]:
    """A room and its fan-out; at the end all recipients leave, and the task ends with the last one."""
    async with linking(runtime, **settings) as node:
        stage = Stage(node)
        yield stage
        for recipient in stage.entered:
            stage.fanout.discard(recipient)
        await trio.testing.wait_all_tasks_blocked(module.REST_MOST_S)
        assert not stage.is_running


async def test_what_one_says_goes_to_all_others_in_their_dialect() -> None:
    async with a_stage() as stage:
        bob, carol = stage.enter("bob"), stage.enter("carol")
        dave, erin = stage.enter(None, ADDRESS), stage.enter(None, ADDRESS)
        stage.say(bob.member, "hi")
        stage.say(dave.member, "and you?")
        stage.say(stage.host, "welcome")
        await carol.hears(b"<bob> hi\n<10.0.0.1:3> and you?\n<alice> welcome\n")
        await erin.hears(b"('bob', 0): hi\n('10.0.0.1', 3): and you?\n('alice', 0): welcome\n")
        await bob.hears(b"<10.0.0.1:3> and you?\n<alice> welcome\n")
        await dave.hears(b"('bob', 0): hi\n('alice', 0): welcome\n")


async def test_all_that_hear_the_same_get_the_very_same_bytes() -> None:
    async with a_stage() as stage:
        ears = [stage.enter(f"user{number}") for number in range(100)]
        await stage.node.journal.settled()
        stage.say(stage.host, *[f"text {number}" for number in range(50)])
        await ears[-1].hears(b"".join(b"<alice> text %d\n" % number for number in range(50)))
        assert len({id(recipient.writes[0]) for recipient in ears}) == 1
        assert all(len(recipient.writes) == 1 for recipient in ears)


async def test_somebody_hears_what_is_said_after_coming() -> None:
    async with a_stage() as stage:
        first = stage.enter("first")
        stage.say(stage.host, "one")
        second = stage.enter("second")
        stage.say(stage.host, "two")
        await first.hears(b"<alice> one\n<alice> two\n")
        await second.hears(b"<alice> two\n")


async def test_nobody_hears_anything_that_is_not_committed() -> None:
    world = World()
    async with a_stage(world) as stage:
        bob = stage.enter("bob")
        await stage.node.journal.settled()
        world.hold()
        stage.say(stage.host, "soon")
        await trio.testing.wait_all_tasks_blocked(module.REST_MOST_S)
        assert bob.writes == []
        world.let_go()
        await bob.hears(b"<alice> soon\n")


async def test_a_private_message_is_for_its_addressee_in_its_place() -> None:
    async with a_stage() as stage:
        bob, carol, dave = stage.enter("bob"), stage.enter("carol"), stage.enter(None, ADDRESS)
        stage.say(bob.member, "one")
        stage.say(bob.member, "psst", to=carol)
        stage.say(bob.member, "hey", to=dave)
        stage.say(bob.member, "two")
        await carol.hears(b"<bob> one\n<bob> (Private Message) psst\n<bob> two\n")
        await dave.hears(b"('bob', 0): one\n('bob', 0): (Private Message) hey\n('bob', 0): two\n")
        stage.say(carol.member, "end")
        await bob.hears(b"<carol> end\n")


async def test_a_private_message_to_a_program_without_newlines_is_one_read() -> None:
    async with a_stage() as stage:
        bob, carol = stage.enter("bob"), stage.enter("carol", ends_lines=False)
        stage.say(bob.member, "psst", to=carol)
        await carol.hears(b"<bob> (Private Message) psst")
        stage.say(bob.member, "hi")
        await carol.hears(b"<bob> (Private Message) psst<bob> hi\n")


async def test_one_may_tell_oneself_something() -> None:
    async with a_stage() as stage:
        bob = stage.enter("bob")
        stage.say(bob.member, "note", to=bob)
        await bob.hears(b"<bob> (Private Message) note\n")


@given(
    said=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "a", "B", "c"])), min_size=1, max_size=12),
    nick=st.sampled_from("abcd"),
    since=st.integers(0, 14),
    ends_lines=st.sampled_from([None, True, False]),
)
def test_everybody_gets_what_a_careful_clerk_would_give_them(
    said: list[tuple[str, str]], nick: str, since: int, ends_lines: bool | None
) -> None:
    peer = PeerRef(None, "x", "plain", None)
    messages = [
        (seq, Message(direction="in", peer=peer, nick=who, to=to or msgspec.UNSET, text=f"{seq}"))
        for seq, (who, to) in enumerate(said, 1)
    ]
    expected = ""
    for seq, (who, to) in enumerate(said, 1):
        if seq > since and to.lower() == nick:
            expected += f"<{who}> (Private Message) {seq}" + ("" if ends_lines is False else "\n")
        elif seq > since and not to and who != nick:
            expected += f"<{who}> {seq}\n"
    shown = module._Rendering(NAME, messages)
    assert (
        shown.bytes_for(FakeRecipient(NAME, ends_lines=ends_lines), Member(nick, "plain", since)) == expected.encode()
    )


async def test_a_nick_that_is_given_again_does_not_hide_what_its_former_owner_said() -> None:
    async with a_stage() as stage:
        bob, carol = stage.enter("bob"), stage.enter("carol")
        stage.say(bob.member, "from the first")
        stage.fanout.discard(bob)
        stage.rooms.leave(stage.room, bob.member)
        second = stage.enter("bob")
        stage.say(carol.member, "hi")
        await second.hears(b"<carol> hi\n")
        await carol.hears(b"<bob> from the first\n")


async def test_who_is_discarded_gets_nothing_more_also_in_the_middle_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STRIDE", 2)
    async with a_stage() as stage:
        ears = [stage.enter(f"user{number}") for number in range(10)]
        await stage.node.journal.settled()
        first, last = ears[0], ears[-1]
        stage.say(stage.host, "one")
        await first.hears(b"<alice> one\n")
        stage.fanout.discard(last)
        await ears[-2].hears(b"<alice> one\n")
        assert last.heard == b""


async def test_many_and_large_messages_are_brought_in_turns_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS", 10)
    monkeypatch.setattr(module, "TURN_BYTES", 4000)
    async with a_stage() as stage:
        bob = stage.enter("bob")
        await stage.node.journal.settled()
        texts = ["x" * 3000, "y" * 10000, *(f"text {number}" for number in range(40))]
        stage.say(stage.host, *texts)
        await bob.hears("".join(f"<alice> {text}\n" for text in texts).encode())
        assert len(bob.writes) > 5


async def test_what_memory_has_let_go_is_read_from_disk() -> None:
    async with a_stage(tail_bytes=65536) as stage:
        bob = stage.enter("bob")
        texts = [f"text {number} {'x' * 1000}" for number in range(200)]
        for text in texts:
            stage.say(stage.host, text)
        await bob.hears("".join(f"<alice> {text}\n" for text in texts).encode())


async def test_the_task_is_there_while_somebody_is_and_comes_again() -> None:
    async with a_stage() as stage:
        for number in range(3):
            bob = stage.enter("bob")
            assert stage.is_running
            stage.say(stage.host, f"round {number}")
            await bob.hears(b"<alice> round %d\n" % number)
            stage.fanout.discard(bob)
            stage.rooms.leave(stage.room, bob.member)
            await trio.testing.wait_all_tasks_blocked(module.REST_MOST_S)
            assert not stage.is_running


async def test_one_that_comes_as_the_last_one_goes_is_served() -> None:
    async with a_stage() as stage:
        bob = stage.enter("bob")
        await stage.node.journal.settled()
        stage.fanout.discard(bob)
        carol = stage.enter("carol")
        stage.say(stage.host, "hi")
        await carol.hears(b"<alice> hi\n")


async def test_a_bug_ends_the_connections_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with a_stage() as stage:
        bob, carol = stage.enter("bob"), stage.enter("carol")

        def broken(data: bytes) -> None:
            raise ValueError("a bug")

        bob.write = broken  # type: ignore[method-assign]
        stage.say(stage.host, "hi")
        while not carol.reasons:
            await trio.lowlevel.checkpoint()
        assert (bob.reasons, carol.reasons) == (["cut"], ["cut"])
        assert "task failed: the fan-out of lobby@alice" in caplog.text
