"""Queries over one link, against a hand-made other side: answers, bounds, and what the end of the link does to them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.api.params import Filter
from chatd.journal.epochs import GlobalId, split_position
from chatd.net.native.link import NativeLink
from chatd.net.native.queries import ANSWERING_MOST, QUESTIONS_MOST, QUEUED_MOST, WAITING_MOST, Queries
from chatd.node import Node
from chatd.query.tally import SPAN
from chatd.query.trace import Moment
from chatd.wire.frames import (
    AckFrame,
    Count,
    Counted,
    Explored,
    FoundFrame,
    Frame,
    Inquire,
    PingFrame,
    PongFrame,
    Resume,
    Text,
    TracedFrame,
)
from tests.harness.handmade_peer import EPOCH, Handmade, linked, new_identity
from tests.harness.linked_node import linking
from tests.harness.parts import World

RESUME = Resume(EPOCH, 0)
MESSAGES = Filter(types=["message"])
FIRST = GlobalId("k" * 52, EPOCH, 1)


@asynccontextmanager
async def asked_by(node: Node, *frames: Frame) -> AsyncIterator[tuple[Handmade, NativeLink]]:
    """A link whose other side has said those frames, all of which are acknowledged."""
    async with linked(node, RESUME, *frames) as (peer, link):
        if frames:
            await peer.until(AckFrame)
        yield peer, link


async def refused(ask: Callable[[], Any]) -> str:
    """The kind of refusal that it ends with."""
    with pytest.raises(ControlError) as caught:
        await ask()
    return caught.value.kind


# -- answers


async def test_who_has_sent_a_message_is_told_when_it_came(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node, Text(EPOCH, 1, "hi")) as (peer, _):
        await peer.send(Inquire(7, peer.node, EPOCH, 1))
        traced = await peer.until(TracedFrame)
        assert (traced.token, traced.known) == (7, True)
        assert [(what, who) for what, _, who in traced.steps] == [("arrived", ""), ("committed", "")]
        now = node.runtime.wall()
        assert all(now - 60 < when <= now for _, when, _ in traced.steps)


async def test_who_has_got_a_message_is_told_when_it_was_sent(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node) as (peer, link):
        await node.chat.send(link.peer, "hi")[1].wait()
        text = await peer.until(Text)
        await peer.send(AckFrame(text.epoch, text.seq), Inquire(7, node.identity.node, text.epoch, text.seq))
        traced = await peer.until(TracedFrame)
        assert [what for what, _, _ in traced.steps] == ["accepted", "committed", "sent", "acknowledged"]
        times = [when for _, when, _ in traced.steps]
        assert times == sorted(times)


async def test_consumers_that_have_it_and_those_that_wait_for_it_are_told(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node, Text(EPOCH, 1, "hi")) as (peer, _):
        consumers = node.consumers
        for name in ("done", "waits"):
            await consumers.create(name, 0, MESSAGES, None).wait()
        done = consumers.get("done")
        assert done is not None
        await consumers.ack(done, node.journal.committed).wait()
        await peer.send(Inquire(7, peer.node, EPOCH, 1))
        steps = (await peer.until(TracedFrame)).steps
        assert [(what, who, when > 0) for what, when, who in steps[2:]] == [
            ("taken", "done", True),
            ("awaited", "waits", False),
        ]


async def test_of_more_consumers_than_fit_the_first_are_told(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node, Text(EPOCH, 1, "hi")) as (peer, _):
        for number in range(100):
            node.consumers.create(f"c{number:03}", 0, MESSAGES, None)
        await node.journal.settled()
        await peer.send(Inquire(7, peer.node, EPOCH, 1))
        steps = (await peer.until(TracedFrame)).steps
        assert [who for _, _, who in steps[2:]] == [f"c{number:03}" for number in range(62)]


async def test_of_others_messages_nothing_is_told(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node, Text(EPOCH, 1, "secret")) as (_, link):
        ours, _batch = node.chat.send(link.peer, "hi")
        async with linked(node, RESUME, identity=new_identity(), epoch="stranger") as (stranger, _):
            us, seq = node.identity.node, split_position(ours.position)[1]
            places = [(stranger.node, EPOCH, 1), (link.peer.node or "", EPOCH, 1), (us, EPOCH, 1)]
            places += [(us, node.journal.epoch, seq), (us, node.journal.epoch, 1)]
            for token, place in enumerate(places):
                await stranger.send(Inquire(token, *place))
                assert await stranger.until(TracedFrame) == TracedFrame(token, False, [])
            await stranger.send(Count(9, EPOCH, 0, 100))
            assert await stranger.until(Counted) == Counted(9, 0, 0)


async def test_messages_are_counted(autojump_clock: MockClock) -> None:
    texts = [Text(EPOCH, seq, "x") for seq in range(1, 301)]
    async with linking(World(inline=True)) as node, asked_by(node, *texts) as (peer, _):
        await peer.send(Count(1, EPOCH, 1, 300), Count(2, EPOCH, 11, 20), Count(3, "zzzzzzzz", 1, 300))
        answers = {(await peer.until(Counted)) for _ in range(3)}
        assert answers == {Counted(1, 300, 300), Counted(2, 10, 10), Counted(3, 0, 0)}


async def test_over_too_wide_a_range_there_is_no_answer(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node, Text(EPOCH, 1, "x")) as (peer, _):
        await peer.send(Count(1, EPOCH, 0, SPAN), Count(2, EPOCH, 0, 2**63 - 1), Count(3, EPOCH, 1, SPAN))
        assert await peer.until(Counted) == Counted(3, 1, 1)


async def test_of_a_flood_of_questions_a_few_are_answered_and_nothing_is_held_up(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with linking(World(inline=True)) as node, asked_by(node, Text(EPOCH, 1, "x")) as (peer, link):
        between, let_go = node.traces.visible_to, trio.Event()

        async def slowly(*args: Any) -> list[Moment] | None:
            await let_go.wait()
            return await between(*args)

        monkeypatch.setattr(node.traces, "visible_to", slowly)
        await peer.send(*(Inquire(token, peer.node, EPOCH, 1) for token in range(1000)), PingFrame(5))
        while (await peer.until(PongFrame)).token != 5:
            continue
        let_go.set()
        tokens = {(await peer.until(TracedFrame)).token for _ in range(ANSWERING_MOST + WAITING_MOST)}
        await peer.send(Inquire(5000, peer.node, EPOCH, 1))
        assert (await peer.until(TracedFrame)).token == 5000
        assert tokens == set(range(ANSWERING_MOST + WAITING_MOST))
        assert link.reason is None


async def test_a_slow_answer_keeps_no_message_waiting(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with linking(World(inline=True)) as node, asked_by(node) as (peer, _):
        begun = trio.Event()

        async def hang(*_: object) -> None:
            begun.set()
            await trio.sleep_forever()

        monkeypatch.setattr(node.traces, "visible_to", hang)
        await peer.send(Inquire(1, peer.node, EPOCH, 1), Text(EPOCH, 1, "hi"), PingFrame(5))
        await begun.wait()
        await peer.until(AckFrame)


async def test_a_bug_in_an_answer_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    async with linking(World(inline=True)) as node, asked_by(node, Text(EPOCH, 1, "hi")) as (peer, _):

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patched:
            patched.setattr(node.traces, "visible_to", fail)
            await peer.send(Inquire(1, peer.node, EPOCH, 1), Count(2, EPOCH, 1, 1))
            assert await peer.until(Counted) == Counted(2, 1, 1)
        await peer.send(Inquire(3, peer.node, EPOCH, 1))
        assert (await peer.until(TracedFrame)).token == 3
    assert "an answer to" in caplog.text


async def test_answers_end_with_the_link(monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        begun, ended = trio.Event(), trio.Event()

        async def hang(*_: object) -> None:
            begun.set()
            try:
                await trio.sleep_forever()
            finally:
                ended.set()

        monkeypatch.setattr(node.traces, "visible_to", hang)
        async with asked_by(node) as (peer, _):
            await peer.send(Inquire(1, peer.node, EPOCH, 1))
            await begun.wait()
        await ended.wait()


# -- questions


async def test_an_answer_goes_to_who_has_asked(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node) as (peer, link), trio.open_nursery() as nursery:
        found: dict[int, TracedFrame] = {}

        async def inquire(seq: int) -> None:
            found[seq] = await link.queries.inquire(GlobalId(peer.node, EPOCH, seq))

        for seq in (1, 2):
            nursery.start_soon(inquire, seq)
        asked = {(inquiry := await peer.until(Inquire)).seq: inquiry.token for _ in range(2)}
        for seq in sorted(asked, reverse=True):
            await peer.send(TracedFrame(asked[seq], True, [("arrived", float(seq), "")]))
        await wait_until(lambda: len(found) == 2)
        assert {one: traced.steps[0][1] for one, traced in found.items()} == {1: 1.0, 2: 2.0}


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        await trio.lowlevel.checkpoint()


async def test_answers_to_what_was_not_asked_are_nothing(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node) as (peer, link), trio.open_nursery() as nursery:
        counted: list[Counted] = []

        async def count() -> None:
            counted.append(await link.queries.count(node.journal.epoch, 1, 2))

        nursery.start_soon(count)
        question = await peer.until(Count)
        assert (question.epoch, question.first, question.last) == (node.journal.epoch, 1, 2)
        await peer.send(
            Counted(question.token + 1, 9, 9), TracedFrame(question.token, True, []), TracedFrame(1, True, [])
        )
        answer = Counted(question.token, 2, 2)
        await peer.send(answer, Counted(question.token, 3, 3))
        await wait_until(lambda: bool(counted))
        assert counted == [answer]


async def test_who_waits_is_told_when_the_link_ends_and_then_nobody_is_asked(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        async with asked_by(node) as (peer, link), trio.open_nursery() as nursery:
            kinds: list[str] = []

            async def inquire() -> None:
                kinds.append(await refused(lambda: link.queries.inquire(FIRST)))

            nursery.start_soon(inquire)
            await peer.until(Inquire)
            await peer.close()
            await wait_until(lambda: bool(kinds))
        assert kinds == ["peer_offline"]
        assert await refused(lambda: link.queries.inquire(FIRST)) == "peer_offline"
        assert not link.queries.send(Explored(1))


async def test_who_gives_up_leaves_nothing_open(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node) as (peer, link):
        with trio.move_on_after(0):
            await link.queries.inquire(FIRST)
        question = await peer.until(Inquire)
        await peer.send(TracedFrame(question.token, True, []), PingFrame(1))
        while (await peer.until(PongFrame)).token != 1:
            continue


async def test_only_so_many_questions_may_be_open(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node) as (_, link):
        for _ in range(2):  # those that were given up do not count
            async with trio.open_nursery() as nursery:
                for _ in range(QUESTIONS_MOST):
                    nursery.start_soon(link.queries.inquire, FIRST)
                await trio.testing.wait_all_tasks_blocked()
                assert await refused(lambda: link.queries.inquire(FIRST)) == "rate_limited"
                nursery.cancel_scope.cancel()


# -- what is told


def queries_of(node: Node, wake: Callable[[], None]) -> Queries:
    """Those of a link to bob."""
    return Queries(
        node.registry.native("b" * 52, "bob", "127.0.0.1:1"),
        wake,
        links=node.links,
        random=node.runtime.random,
        journal=node.journal,
        lookup=node.chat.lookup,
        traces=node.traces,
    )


async def test_what_is_told_waits_for_a_write_in_order_and_has_a_bound(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        woken: list[int] = []
        queries = queries_of(node, lambda: woken.append(1))
        assert all(queries.send(Explored(number)) for number in range(QUEUED_MOST))
        assert not queries.send(Explored(QUEUED_MOST))
        assert queries.take_frames() == [Explored(number) for number in range(QUEUED_MOST)]
        assert queries.take_frames() == []
        assert queries.send(Explored(0))
        assert len(woken) == QUEUED_MOST + 1


async def test_frames_that_carry_much_count_for_what_they_carry(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        queries = queries_of(node, lambda: None)
        page = FoundFrame(1, "b" * 52, "bob", False, 0, [("c" * 52, "carol", "up", 0.5)] * 255, True)
        told = 0
        while queries.send(page):
            told += 1
        assert told == QUEUED_MOST // 256
        assert queries.take_frames() == [page] * told
        assert queries.send(page)


async def test_what_is_told_comes_with_the_next_write(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node, asked_by(node) as (peer, link):
        link.queries.send(Explored(77))
        assert await peer.until(Explored) == Explored(77)
