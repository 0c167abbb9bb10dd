"""Traces: the steps of messages of every kind and state, and which of them a peer may see."""

from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from chatd.api.params import Filter
from chatd.journal.epochs import GlobalId, split_position
from chatd.messages.chat import Options, RoomTarget
from chatd.messages.consumers import Consumers
from chatd.peers.peer import Peer
from chatd.query import trace as lives_module
from chatd.query.trace import MessageTraces, Moment
from chatd.wire.frames import Refused, Roster, Said, Say, Text
from tests.harness.parts import BOB, CAROL, SELF, Core, standing

EPOCH = "bbbbbbbb"
MESSAGES = Filter(types=["message"])


class Living(NamedTuple):
    """The core of a node, with consumers."""

    core: Core
    consumers: Consumers
    lives: MessageTraces

    async def steps(self, message_id: str) -> list[str]:
        """Each step as a word; `?` marks a step not done, `~` one without a time."""
        entry = await self.core.chat.lookup.find(message_id)
        return [shown(moment) for moment in (await self.lives.trace(entry)).moments]

    async def told(self, peer: Peer, message_id: str, node: str = SELF) -> list[str] | None:
        """The same for a peer that asks for the message at that position in the journal of a node."""
        moments = await self.lives.visible_to(peer, GlobalId(node, *split_position(message_id)))
        return None if moments is None else [shown(moment) for moment in moments]

    async def write(self, peer: Peer) -> None:
        """Record that a link has written everything."""
        self.core.world.now += 1
        after = self.core.journal.watermarks.acknowledged_by(peer.node)
        assert await self.core.write(peer)
        self.core.journal.timings.writes.add(peer.stream_id, after, self.core.journal.committed, self.core.world.now)

    async def consumer(self, name: str, wanted: Filter = MESSAGES, stream_id: int | None = None) -> None:
        """A new consumer that starts at the beginning of the journal."""
        await self.consumers.create(name, 0, wanted, stream_id).wait()


def shown(moment: Moment) -> str:
    mark = ("~" if moment.at is None else "") if moment.done else "?"
    return f"{moment.step}{mark}{' ' + moment.consumer if moment.consumer else ''}"


def living_on(core: Core) -> Living:
    consumers = Consumers(core.journal, core.world, 100)
    return Living(core, consumers, MessageTraces(core.journal, core.registry, core.chat, core.router, consumers))


@pytest.fixture
async def living(core: Core) -> Living:
    return living_on(core)


async def say(core: Core, peer: Peer, text: str = "hi", **options: object) -> str:
    message, batch = core.chat.send(peer, text, Options(**options))  # type: ignore[arg-type]
    await batch.wait()
    return message.position


# -- what goes to a peer


async def test_a_message_is_accepted_committed_sent_and_acknowledged(living: Living) -> None:
    core = living.core
    bob, _ = await core.linked()
    message_id = await say(core, bob)
    assert await living.steps(message_id) == ["accepted", "committed", "sent?"]
    await living.write(bob)
    assert await living.steps(message_id) == ["accepted", "committed", "sent", "acknowledged?"]
    core.world.now += 2
    assert core.chat.acknowledge(bob, core.journal.epoch, core.journal.committed)
    assert await living.steps(message_id) == ["accepted", "committed", "sent", "acknowledged"]
    moments = (await living.lives.trace(await core.chat.lookup.find(message_id))).moments
    times = [moment.at or 0.0 for moment in moments]
    assert [time - times[0] for time in times] == [0, 0, 1, 3]


async def test_one_acknowledgement_is_that_of_all_that_came_before_it(living: Living) -> None:
    core = living.core
    bob, _ = await core.linked()
    first, second, third = [await say(core, bob, text) for text in "123"]
    await living.write(bob)
    for message_id in (second, third):
        core.world.now += 1
        core.chat.acknowledge(bob, core.journal.epoch, int(message_id.partition(":")[2]))
        await core.commit()
    moments = [
        (await living.lives.trace(await core.chat.lookup.find(one))).moments[-1] for one in (first, second, third)
    ]
    assert [moment.step for moment in moments] == ["acknowledged"] * 3
    assert [core.world.now - (moment.at or 0) for moment in moments] == [1, 1, 0]


async def test_what_was_written_twice_has_the_first_and_the_last_time(living: Living) -> None:
    core = living.core
    bob, _ = await core.linked()
    message_id = await say(core, bob)
    for _ in range(3):
        await living.write(bob)
    moments = (await living.lives.trace(await core.chat.lookup.find(message_id))).moments
    assert [shown(moment) for moment in moments] == ["accepted", "committed", "sent", "sent", "acknowledged?"]
    assert [core.world.now - (moment.at or 0) for moment in moments[2:4]] == [2, 0]


async def test_what_was_taken_back_before_it_was_sent_was_never_sent(living: Living) -> None:
    core = living.core
    bob = core.away()
    message_id, other = await say(core, bob), await say(core, bob)
    entry = await core.chat.lookup.find(message_id)
    assert await core.chat.states.cancel(bob, entry) == "cancelled"
    await living.write(bob)
    assert await living.steps(message_id) == ["accepted", "committed", "cancelled"]
    assert (await living.steps(other))[:3] == ["accepted", "committed", "sent"]


async def test_what_was_taken_back_on_its_way_was_sent_once(living: Living) -> None:
    core = living.core
    bob, link = await core.linked()
    message_id = await say(core, bob)
    await living.write(bob)
    core.world.now += 1
    assert await core.chat.states.cancel(bob, await core.chat.lookup.find(message_id)) == "sent"
    await say(core, bob, "more")
    await living.write(bob)
    assert await living.steps(message_id) == ["accepted", "committed", "sent", "acknowledged?"]
    core.registry.link_down(bob, link)
    core.world.now += 1
    await core.linked(mark=int(message_id.partition(":")[2]) - 1)
    await core.commit()
    assert await living.steps(message_id) == ["accepted", "committed", "sent", "cancelled"]


async def test_one_past_its_time_and_one_over_the_limits_say_so(living: Living) -> None:
    core = living.core
    bob = core.away()
    late = await say(core, bob, ttl=0.01)
    await trio.sleep_until(core.chat.states.next_expiry)
    core.chat.states.expire()
    long = await say(core, bob, "x" * 100)
    await core.commit()
    outgoing = core.outgoing_within(bob, 50)
    outgoing.start(0)
    await outgoing.next()
    await core.commit()
    assert await living.steps(late) == ["accepted", "committed", "expired"]
    assert await living.steps(long) == ["accepted", "committed", "rejected"]


async def test_of_a_plain_peer_sent_is_the_end(living: Living) -> None:
    core = living.core
    peer, link = core.plain_up()
    message_id = await say(core, peer)
    assert await living.steps(message_id) == ["accepted", "committed", "sent?"]
    core.chat.record_written(peer, core.journal.committed)
    assert await living.steps(message_id) == ["accepted", "committed", "sent"]
    lost = await say(core, peer)
    core.world.now += 5
    core.registry.link_down(peer, link)
    await core.commit()
    assert await living.steps(lost) == ["accepted", "committed", "failed"]


async def test_what_a_former_run_has_done_is_known_without_its_times(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        living = living_on(core)
        bob, _ = await core.linked()
        await living.consumer("bot")
        message_id = await say(core, bob)
        await living.write(bob)
        core.chat.acknowledge(bob, core.journal.epoch, core.journal.committed)
        bot = living.consumers.get("bot")
        assert bot is not None
        await living.consumers.ack(bot, core.journal.committed).wait()
        await core.flushed()
    async with standing(tmp_path) as core:
        steps = await living_on(core).steps(message_id)
        assert steps == ["accepted", "committed~", "sent~", "acknowledged", "taken~ bot"]


async def test_an_end_that_lies_far_behind_its_message_has_no_time(
    living: Living, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lives_module, "FAR", 10)
    core = living.core
    bob, link = await core.linked()
    message_id = await say(core, bob)
    await living.write(bob)
    core.chat.inbox.receive(bob, link, [Text(EPOCH, seq, "x") for seq in range(1, 3000)])
    await core.commit()
    core.chat.acknowledge(bob, core.journal.epoch, int(message_id.partition(":")[2]))
    assert await living.steps(message_id) == ["accepted", "committed", "sent", "acknowledged~"]


# -- consumers


async def test_every_consumer_that_is_to_get_it_is_told_of(living: Living) -> None:
    core = living.core
    bob, link = await core.linked()
    carol, _ = await core.linked(CAROL, "carol")
    wanted = {
        "everything": (Filter(), None),
        "bobs": (Filter(peer="bob"), bob.stream_id),
        "carols": (Filter(peer="carol"), carol.stream_id),
        "in": (Filter(direction="in"), None),
        "out": (Filter(direction="out"), None),
        "receipts": (Filter(types=["receipt"]), None),
    }
    for name, (filter_, stream_id) in wanted.items():
        await living.consumer(name, filter_, stream_id)
    core.chat.inbox.receive(bob, link, [Text(EPOCH, 1, "hi")])
    await core.commit()
    message_id = core.newest()
    steps = await living.steps(message_id)
    assert steps == ["arrived", "committed", "taken? bobs", "taken? everything", "taken? in"]
    bot = living.consumers.get("in")
    assert bot is not None
    core.world.now += 3
    await living.consumers.ack(bot, core.journal.committed).wait()
    assert (await living.steps(message_id))[-1] == "taken in"


async def test_a_consumer_that_began_behind_it_is_none_of_its(living: Living) -> None:
    core = living.core
    bob, link = await core.linked()
    core.chat.inbox.receive(bob, link, [Text(EPOCH, 1, "hi")])
    await core.commit()
    message_id = core.newest()
    await living.consumers.create("late", core.journal.committed, MESSAGES, None).wait()
    assert await living.steps(message_id) == ["arrived", "committed"]


# -- for the other end


async def test_each_of_the_two_is_told_and_nobody_else(living: Living) -> None:
    core = living.core
    bob, link = await core.linked()
    carol, _ = await core.linked(CAROL, "carol")
    plain, _ = core.plain_up()
    ours, for_plain = await say(core, bob), await say(core, plain)
    core.chat.inbox.receive(bob, link, [Text(EPOCH, 1, "hi")])
    core.chat.inbox.receive_plain(plain, ["hi"])
    await core.commit()
    position = core.journal.position(core.journal.committed)
    assert await living.told(bob, ours) == ["accepted", "committed", "sent?"]
    assert await living.told(bob, f"{EPOCH}:1", BOB) == ["arrived", "committed"]
    for peer, node, message_id in (
        *((carol, SELF, ours), (carol, CAROL, f"{EPOCH}:1"), (carol, BOB, f"{EPOCH}:1"), (bob, SELF, for_plain)),
        *((bob, SELF, position), (carol, SELF, position), (bob, BOB, f"{EPOCH}:2"), (bob, BOB, "zzzzzzzz:1")),
        *((bob, SELF, f"{core.journal.epoch}:1"), (bob, SELF, f"{core.journal.epoch}:{2**63 - 1}")),
        *((bob, SELF, f"{core.journal.epoch}:0"), (bob, SELF, "zzzzzzzz:" + "9" * 19), (bob, SELF, f"{EPOCH}:1")),
        *((bob, BOB, ours), (bob, CAROL, ours)),
    ):
        assert await living.told(peer, message_id, node) is None


async def test_at_the_host_of_a_room_the_author_and_those_who_got_it_are_told(living: Living) -> None:
    core = living.core
    bob, link = await core.linked()
    carol, _ = await core.linked(CAROL, "carol")
    dave, _ = await core.linked("d" * 52, "dave")
    rooms = core.router.hosted_rooms
    room, _ = rooms.host("lobby")
    core.router.declarations.apply(bob, [("lobby", "bob", True)])
    core.router.declarations.apply(carol, [("lobby", "carol", True)])
    core.router.receive(bob, link, [Say(EPOCH, 7, "lobby", "hi"), Say(EPOCH, 8, "lobby", "ps", "carol", CAROL)])
    await core.commit()
    public, private = [core.journal.position(core.journal.committed - 1), core.journal.position(core.journal.committed)]
    assert await living.told(bob, public) == await living.told(bob, private) == ["arrived", "committed"]
    assert await living.told(carol, public) == ["arrived", "committed", "sent?", "acknowledged?"]
    assert await living.told(carol, private) is not None
    core.journal.timings.writes.add(carol.stream_id, 0, core.journal.committed, core.world.now)
    core.journal.watermarks.set_acknowledged(CAROL, core.journal.committed)
    assert await living.told(carol, public) == ["arrived", "committed", "sent", "acknowledged~"]
    assert await living.told(dave, public) is None
    core.router.declarations.apply(dave, [("lobby", "dave", True)])
    await core.commit()
    assert await living.told(dave, public) is None  # it came later
    core.router.receive(bob, link, [Say(EPOCH, 9, "lobby", "all")])
    core.router.receive(bob, link, [Say(EPOCH, 10, "lobby", "ps", "carol", CAROL)])
    await core.commit()
    last = core.journal.committed
    assert await living.told(dave, core.journal.position(last - 1)) is not None
    assert await living.told(dave, core.journal.position(last)) is None
    member, _ = rooms.enter_own(room, "me")
    (own,), _ = core.router.posting.post(room, member, ["ours"])
    await core.commit()
    assert await living.steps(own.position) == ["accepted", "committed"]
    assert (await living.told(bob, own.position) or [])[:2] == ["accepted", "committed"]


async def test_what_is_said_in_a_room_of_a_peer_ends_when_it_comes_back(living: Living) -> None:
    core = living.core
    bob, link = await core.linked()
    membership = core.router.joined_rooms.join(bob, "hall", "al")
    core.router.joined_rooms.receive_roster(bob, Roster("hall", "al", "", 1, [("al", SELF, True)], False))
    await living.consumer("room", Filter(room="hall@bob"), membership.stream_id)
    target = RoomTarget(membership.label, membership.nick)
    placed, refused = await say(core, bob, room_target=target), await say(core, bob, room_target=target)
    await living.write(bob)
    assert await living.steps(placed) == ["accepted", "committed", "sent", "delivered?", "taken? room"]
    core.world.now += 1
    core.router.receive(
        bob, link, [Said(EPOCH, 5, "hall", "al", "hi", placed), Refused(EPOCH, 6, "hall", refused, "no")]
    )
    await core.commit()
    core.chat.acknowledge(bob, core.journal.epoch, int(refused.partition(":")[2]))
    assert await living.steps(placed) == ["accepted", "committed", "sent", "delivered", "taken? room"]
    assert await living.steps(refused) == ["accepted", "committed", "sent", "rejected", "taken? room"]
    life = await living.lives.trace(await core.chat.lookup.find(placed))
    assert (life.state, life.room_position) == ("delivered", f"{EPOCH}:5")


async def test_of_a_forgotten_peer_what_is_in_the_journal_is_told(living: Living) -> None:
    core = living.core
    bob, link = await core.linked()
    arrived = await say(core, bob)
    await living.write(bob)
    core.chat.acknowledge(bob, core.journal.epoch, core.journal.committed)
    core.registry.link_down(bob, link)
    waiting = await say(core, bob)
    await core.commit()
    await core.trust.forget("bob")
    assert await living.steps(arrived) == ["accepted", "committed", "sent", "acknowledged"]
    assert (await living.steps(waiting))[:2] == ["accepted", "committed"]
