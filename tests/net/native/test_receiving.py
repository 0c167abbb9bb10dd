"""What comes in belongs to the node that the link has authenticated, whichever epochs and positions it names."""

from trio.testing import MockClock

from chatd.api.events import Message
from chatd.journal.batch import Entry
from chatd.node import Node
from chatd.wire.frames import (
    AckFrame,
    Bye,
    Happened,
    Missing,
    PingFrame,
    PongFrame,
    Refused,
    Resume,
    Said,
    Say,
    Text,
)
from tests.harness.cases import cases
from tests.harness.handmade_peer import EPOCH, Handmade, linked, new_identity
from tests.harness.linked_node import linking
from tests.harness.parts import World

RESUME = Resume(EPOCH, 0)


async def taken(node: Node) -> list[tuple[str | None, str | None, str | None]]:
    """Global id, `re` and `re_global_id` of every message that came."""
    entries, after = list[Entry](), 0
    while after < node.journal.committed:
        page, after = await node.journal.page(after)
        entries += page
    events = [entry.event for entry in entries if entry.direction == "in"]
    return [(event.global_id, event.re, event.re_global_id or None) for event in events if isinstance(event, Message)]


async def alive(peer: Handmade) -> None:
    """The link still answers."""
    await peer.send(PingFrame(99))
    while (await peer.until(PongFrame)).token != 99:
        continue


async def test_our_own_present_epoch_in_a_peers_frame_is_a_protocol_error(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        epoch = node.journal.epoch
        for frame in cases(
            [
                Resume(epoch, 5),
                Text(epoch, 5, "hi"),
                Say(epoch, 5, "lobby", "hi"),
                Said(epoch, 5, "lobby", "jane", "hi"),
                Happened(epoch, 5, "lobby", "join", "jane"),
                Refused(epoch, 5, "lobby", f"{epoch}:5", "no"),
                Missing(epoch, 5, f"{epoch}:5", []),
            ]
        ):
            before = [] if isinstance(frame, Resume) else [RESUME]
            async with linked(node, *before, frame) as (peer, link):
                assert (await peer.until(Bye)).reason == "protocol"
                assert link.reason == "protocol"
        assert await taken(node) == []


async def test_an_epoch_that_two_nodes_use_is_harmless(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME, Text(EPOCH, 7, "one")) as (first, _):
        await first.until(AckFrame)
        async with linked(node, RESUME, identity=new_identity()) as (second, _):
            for seq in (3, 7, 8):
                await second.send(Text(EPOCH, seq, "two"))
                assert (await second.until(AckFrame)).seq == seq
            await first.send(Text(EPOCH, 8, "three"))
            assert (await first.until(AckFrame)).seq == 8
            await alive(first)
            await alive(second)
            assert [global_id for global_id, _, _ in await taken(node)] == [
                f"{node}/{EPOCH}:{seq}"
                for node, seq in [(first.node, 7), *((second.node, seq) for seq in (3, 7, 8)), (first.node, 8)]
            ]


async def test_an_answer_names_only_what_was_sent_to_who_answers(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, linked(node, RESUME) as (bob, link):
        message, batch = node.chat.send(link.peer, "how are you?")
        await batch.wait()
        asked = await bob.until(Text)
        assert f"{asked.epoch}:{asked.seq}" == message.id
        async with linked(node, RESUME, identity=new_identity()) as (mallory, _):
            await mallory.send(Text(EPOCH, 1, "fine", message.id), Text(EPOCH, 2, "fine", "elsewher:1"))
            await mallory.until(AckFrame)
        await bob.send(Text(EPOCH, 1, "fine", message.id), Text(EPOCH, 2, "hi"))
        await bob.until(AckFrame)
        us = node.identity.node
        assert [named for _, *named in await taken(node)] == [
            [None, f"{us}/{message.id}"],
            [None, f"{us}/elsewher:1"],
            [message.id, f"{us}/{message.id}"],
            [None, None],
        ]


async def test_a_flood_of_claims_about_old_messages_holds_up_no_other_link(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True), tail_bytes=65536) as node, linked(node, RESUME) as (bob, link):
        messages, batch = node.chat.send_all(link.peer, ["x" * 1000] * 500)
        await batch.wait()
        async with linked(node, RESUME, identity=new_identity()) as (mallory, _):
            texts = [Text(EPOCH, seq, "?", message.id) for seq, message in enumerate(messages, 1)]
            await mallory.send(*texts)
            await alive(bob)
            while (await mallory.until(AckFrame)).seq < len(messages):
                continue
        assert {named for _, named, _ in await taken(node)} == {None}
