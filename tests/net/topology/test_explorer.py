"""Explorers between which frames take their time: an exploration is whole, in time, bounded, and over when it is."""

from itertools import count, pairwise

import msgspec
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from chatd.api.errors import ControlError
from chatd.api.network import Topology
from chatd.net.topology import explorer as explorer_module
from chatd.net.topology.explorer import OPEN_FOR_ONE, OURS, REMEMBERED
from chatd.net.topology.graph import NODES_MOST
from chatd.net.topology.neighbours import FRESH_S, MEASURE_S
from chatd.wire.frames import Explore, Explored, FoundFrame
from tests.harness.explorers import FakeLink, exploring, node_id


def names(topology: Topology, status: str = "answered") -> list[str]:
    return [node.name for node in topology.nodes if node.status == status]


def up(topology: Topology) -> set[tuple[str, str]]:
    return {(node.name, link.name) for node in topology.nodes for link in node.links if link.state == "up"}


async def test_a_ring_is_whole_after_the_longest_way_there_and_back(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        ring = ["a", "b", "c", "d", "e"]
        for left, right in pairwise([*ring, "a"]):
            world.link(left, right, 0.1)
        found = await world.explorers["a"].explore(16, 5)
        assert names(found) == ["a", "b", "e", "c", "d"]
        assert up(found) == {pair for left, right in pairwise([*ring, "a"]) for pair in ((left, right), (right, left))}
        assert found.complete
        assert [node.hops for node in found.nodes] == [0, 1, 1, 2, 2]
        assert all(link.rtt_ms == pytest.approx(200) for node in found.nodes for link in node.links)
        assert 600 <= found.elapsed_ms <= 1000  # two hops there, the ping there, and back
        await trio.sleep(1)
        assert world.idle()


async def test_a_line_of_thirty_is_found_to_its_end(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        line = [f"n{number}" for number in range(30)]
        for left, right in pairwise(line):
            world.link(left, right)
        found = await world.explorers["n0"].explore(64, 5)
        assert names(found) == line
        assert found.elapsed_ms < 100
        assert (await world.explorers["n0"].explore(16, 5)).nodes[-1].status == "unasked"


async def test_a_mesh_says_everything_twice_and_is_asked_once(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        mesh = [f"n{number}" for number in range(10)]
        world.mesh(mesh)
        found = await world.explorers["n3"].explore(16, 5)
        assert sorted(names(found)) == mesh
        assert len(up(found)) == 90
        assert found.elapsed_ms < 50
        told = [frame for peers in world.peers.values() for peer in peers for frame in _told(peer.links[0])]
        assert sum(isinstance(frame, FoundFrame) for frame in told) <= 2 * 9
        assert sum(isinstance(frame, Explore) for frame in told) <= 90


def _told(link: object) -> list[Explore | FoundFrame | Explored]:
    assert isinstance(link, FakeLink)
    return link.told


async def test_a_question_that_came_a_long_way_round_first_still_goes_as_far_as_it_may(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        world.link("a", "b", 0.01)
        world.link("b", "c", 0.01)
        world.link("a", "c", 0.5)  # two hops are faster than this one
        world.link("c", "d", 0.01)
        found = await world.explorers["a"].explore(2, 5)
        assert names(found) == ["a", "b", "c", "d"]
        assert found.complete
        await trio.sleep(5)
        assert world.idle()


async def test_a_neighbour_is_heard_from_itself_and_not_from_who_speaks_in_its_name(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        world.link("a", "b", 0.5)  # the liar is faster
        world.link("b", "c")
        liar = world.link("a", "liar")[0]
        liar.muted = True
        lies = [
            FoundFrame(0, node_id("b"), "not-b", False, 9, [(node_id("x"), "x", "up", 1.0)], False),
            FoundFrame(0, node_id("a"), "not-a", False, 9, [], False),
            FoundFrame(0, node_id("far"), "far", False, 9, [], False),
        ]

        async def lie() -> None:
            await trio.sleep(0.1)
            (asked,) = [frame for frame in _told(liar) if isinstance(frame, Explore)]
            for one in lies:
                world.explorers["a"].receive(msgspec.structs.replace(one, token=asked.token), liar)
            world.explorers["a"].receive(Explored(asked.token), liar)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(lie)
            found = await world.explorers["a"].explore(16, 5)
        assert names(found) == ["a", "b", "c", "far"]
        assert [node.plain for node in found.nodes if node.name == "b"] == [0]
        assert {pair for pair in up(found) if "b" in pair} == {("a", "b"), ("b", "a"), ("b", "c"), ("c", "b")}


async def test_what_is_said_in_the_name_of_a_node_is_not_passed_on_by_that_node(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        world.link("a", "b", 0.2)
        liar = world.link("b", "liar")[0]  # whatever the liar says to b, b might pass on over its link with a
        liar.muted = True

        async def tell() -> None:
            await trio.sleep(0.25)
            (asked,) = [frame for frame in _told(liar) if isinstance(frame, Explore)]
            for lie in (
                FoundFrame(asked.token, node_id("b"), "not-b", False, 9, [(node_id("x"), "x", "up", 1.0)], False),
                FoundFrame(asked.token, node_id("far"), "far", False, 9, [], False),
            ):
                world.explorers["b"].receive(lie, liar)
            world.explorers["b"].receive(Explored(asked.token), liar)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            found = await world.explorers["a"].explore(16, 5)
        assert names(found) == ["a", "b", "far"]
        assert [node.plain for node in found.nodes if node.name == "b"] == [0]
        assert {pair for pair in up(found) if "b" in pair} == {("a", "b"), ("b", "a"), ("b", "liar")}


async def test_who_was_asked_another_way_first_says_it_to_the_asker_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        direct, roundabout = world.link("a", "b")[1], world.link("c", "b")[1]
        explorer = world.explorers["b"]
        explorer.receive(Explore(7, 9, 1000), roundabout)
        explorer.receive(Explore(7, 5, 1000), direct)  # no more hops, and not its own
        await trio.sleep(1)
        assert [type(frame) for frame in _told(direct)] == [Explore, Explored]
        explorer.receive(Explore(7, 5, 1000, own=True), direct)
        await trio.sleep(1)
        (said,) = [frame for frame in _told(direct) if isinstance(frame, FoundFrame)]
        assert said.node == node_id("b")
        assert sum(isinstance(frame, Explore) for frame in _told(roundabout)) == 0  # and asks no one again
        assert world.idle()


async def test_only_the_asker_says_that_the_question_is_its_own(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        first, second = world.link("a", "b")[0], world.link("b", "c")[0]
        await world.explorers["a"].explore(16, 5)
        asked = [frame.own for end in (first, second) for frame in _told(end) if isinstance(frame, Explore)]
        assert asked == [True, False]


async def test_a_silent_node_takes_the_time_that_was_given_and_nothing_else(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        world.link("a", "b")
        world.link("b", "c")
        world.link("c", "d")
        world.link("b", "mute")[0].muted = True
        found = await world.explorers["a"].explore(16, 5)
        assert names(found) == ["a", "b", "c", "d"]
        assert names(found, "silent") == ["mute"]
        assert not found.complete
        assert 4500 < found.elapsed_ms < 5000  # b gives up a little before a does
        (link,) = [link for link in found.nodes[1].links if link.name == "mute"]
        assert (link.state, link.rtt_ms) == ("up", None)


async def test_enough_ends_it_early(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        world.link("a", "b")
        world.link("a", "mute")[0].muted = True
        found = await world.explorers["a"].explore(16, 5, lambda topology: "b" in names(topology))
        assert names(found) == ["a", "b"]
        assert found.elapsed_ms < 100
        await trio.sleep(5)
        assert world.idle()


async def test_a_link_that_ends_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        world.link("a", "b")
        near, _ = world.link("b", "c", 2.0)
        async with trio.open_nursery() as nursery:
            results: list[Topology] = []

            async def explore() -> None:
                results.append(await world.explorers["a"].explore(16, 30))

            nursery.start_soon(explore)
            await trio.sleep(1)
            near.peer.links.remove(near)
            near.peer.state = "down"
            world.explorers["b"].link_down(near)
        assert results[0].elapsed_ms < 1200
        assert names(results[0]) == ["a", "b"]


async def test_what_was_asked_over_a_link_that_ended_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        asker = world.link("a", "b")[1]
        world.link("b", "mute")[0].muted = True
        world.explorers["b"].receive(Explore(1, 5, 60_000), asker)
        assert not world.idle("b")
        world.explorers["b"].link_down(asker)
        await trio.sleep(MEASURE_S + 0.1)
        assert world.idle()


async def test_a_private_node_is_met_and_says_no_more(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        world.add("b", topology="private")
        world.link("a", "b")
        world.link("b", "c")
        found = await world.explorers["a"].explore(16, 5)
        assert (names(found), names(found, "private")) == (["a"], ["b"])
        assert found.complete
        own = await world.explorers["b"].explore(16, 5)
        assert names(own) == ["b", "a", "c"]


async def test_round_trips_are_measured_again_after_a_moment_and_not_for_every_asker(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        near, _ = world.link("a", "b", 0.01)
        asked: list[float] = []
        ping = near.ping
        near.ping = lambda: (asked.append(trio.current_time()), ping())[1]  # type: ignore[method-assign, func-returns-value]
        for _ in range(5):
            await world.explorers["a"].explore(16, 5)
        assert len(asked) == 1
        near.delay = 0.002
        await trio.sleep(FRESH_S)
        found = await world.explorers["a"].explore(16, 5)
        assert len(asked) == 2
        assert found.nodes[0].links[0].rtt_ms == pytest.approx(4)


async def test_who_asks_too_much_is_told_the_end_and_nobody_else_is_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        asker = world.link("flood", "b")[1]
        onward = world.link("b", "c")[0]
        for token in range(5_000):
            world.explorers["b"].receive(Explore(token, 5, 1000), asker)
        asked_on = sum(isinstance(frame, Explore) for frame in onward.told)
        assert 0 < asked_on <= OPEN_FOR_ONE
        assert sum(isinstance(frame, Explored) for frame in asker.told) == 5_000 - asked_on
        await trio.sleep(5)
        assert world.idle()
        assert len(world.explorers["b"]._seen) <= REMEMBERED
        found = await world.explorers["c"].explore(16, 1)
        assert "b" in names(found)


async def test_what_one_link_may_cause_comes_back_with_time(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pace, burst = 400.0, 800.0
    monkeypatch.setattr(explorer_module, "PACE", pace)
    monkeypatch.setattr(explorer_module, "BURST", burst)
    async with exploring() as world:
        asker = world.link("flood", "b")[1]
        onward = world.link("b", "c")[0]

        tokens = count(1)

        async def ask(times: int) -> int:
            before = len(onward.told)
            for number in range(times):
                world.explorers["b"].receive(Explore(next(tokens), 5, 1000), asker)
                if number % (OPEN_FOR_ONE // 2) == 0:
                    await trio.sleep(0.005)
            return len(onward.told) - before

        cost = 2 + 2  # two links, and two answers
        assert burst / cost <= await ask(600) <= (burst + pace) / cost
        assert await ask(200) < 100
        await trio.sleep(burst / pace)
        assert await ask(100) == 100


async def test_of_our_own_only_so_many_run_at_a_time(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        world.link("a", "mute")[0].muted = True
        async with trio.open_nursery() as nursery:
            for _ in range(OURS):
                nursery.start_soon(world.explorers["a"].explore, 16, 5)
            await trio.sleep(0.1)
            with pytest.raises(ControlError) as caught:
                await world.explorers["a"].explore(16, 5)
        assert caught.value.kind == "rate_limited"
        assert names(await world.explorers["a"].explore(16, 1), "silent") == ["mute"]


async def test_an_asker_that_goes_away_leaves_nothing_behind(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        world.link("a", "b", 0.5)
        with trio.move_on_after(0.2):
            await world.explorers["a"].explore(16, 5)
        assert world.idle("a")
        await trio.sleep(10)
        assert world.idle()


async def test_frames_passed_back_have_a_bound(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer_module, "FOUND_MOST", 10)
    async with exploring() as world:
        back = world.link("a", "b")[1]
        liar = world.link("b", "liar")[0]
        world.explorers["b"].receive(Explore(1, 5, 1000), back)
        for number in range(50):
            world.explorers["b"].receive(FoundFrame(1, node_id(str(number)), "x", False, 0, [], False), liar)
        assert sum(isinstance(frame, FoundFrame) for frame in back.told) == 10


async def test_an_asker_that_takes_little_gets_it_all_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        back = world.link("a", "hub")[1]
        for number in range(100):
            world.link("hub", f"leaf{number}")

        async def trickle() -> None:
            while True:
                back.capacity = 3
                await trio.sleep(0.01)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            found = await world.explorers["a"].explore(16, 5)
            nursery.cancel_scope.cancel()
        assert len(names(found)) == 102
        assert found.complete
        assert found.elapsed_ms < 2000


async def test_what_waits_for_an_asker_that_takes_nothing_has_a_bound(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer_module, "HELD_MOST", 100)
    async with exploring() as world:
        back = world.link("a", "b")[1]
        liar = world.link("b", "liar")[0]
        liar.muted, back.capacity = True, 0
        for token in (1, 2):
            world.explorers["b"].receive(Explore(token, 5, 1000), back)
            for number in range(200):
                links = [(node_id("x"), "x", "up", None)] * 9
                lie = FoundFrame(token, node_id(str(number)), "x", False, 0, links, False)  # type: ignore[arg-type]
                world.explorers["b"].receive(lie, liar)
        held = [frame for rounds in world.explorers["b"]._explorations.values() for one in rounds for frame in one.held]
        assert 10 <= len(held) <= 11
        await trio.sleep(2)
        assert world.idle()


async def test_a_link_that_takes_no_question_is_silent_and_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with exploring() as world:
        world.link("a", "b")
        world.link("a", "full")[0].capacity = 0
        found = await world.explorers["a"].explore(16, 5)
        assert (names(found), names(found, "silent")) == (["a", "b"], ["full"])
        assert found.elapsed_ms < 1200


async def test_answers_after_the_end_count_for_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        back = world.link("a", "b")[1]
        late = world.link("b", "late")[0]
        late.muted = True
        world.explorers["b"].receive(Explore(1, 5, 100), back)
        await trio.sleep(0.2)
        before = len(back.told)
        world.explorers["b"].receive(FoundFrame(1, node_id("late"), "late", False, 0, [], False), late)
        world.explorers["b"].receive(Explored(1), late)
        assert len(back.told) == before
        assert isinstance(back.told[-1], Explored)


@given(
    st.integers(2, 8).flatmap(
        lambda nodes: st.tuples(
            st.just(nodes),
            st.lists(
                st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1), st.sampled_from([0.001, 0.01, 0.1])),
                max_size=16,
            ),
            st.integers(1, 8),
        )
    )
)
def test_whatever_the_network_what_can_be_reached_in_so_many_hops_is_found(
    drawn: tuple[int, list[tuple[int, int, float]], int],
) -> None:
    nodes, pairs, hops = drawn
    edges = {tuple(sorted((left, right))): delay for left, right, delay in pairs if left != right}

    async def explore() -> tuple[Topology, bool]:
        async with exploring() as world:
            for number in range(nodes):
                world.add(f"n{number}")
            for (left, right), delay in edges.items():
                world.link(f"n{left}", f"n{right}", delay)
            found = await world.explorers["n0"].explore(hops, 30)
            await trio.sleep(60)
            return found, world.idle()

    found, idle = trio.run(explore, clock=trio.testing.MockClock(autojump_threshold=0))
    near = {0: 0}
    for distance in range(nodes):
        for edge in edges:
            for one, other in (edge, edge[::-1]):
                if near.get(one) == distance and other not in near:
                    near[other] = distance + 1
    assert {node.name: node.hops for node in found.nodes if node.status == "answered"} == {
        f"n{number}": distance for number, distance in near.items() if distance <= hops
    }
    assert found.complete
    assert found.elapsed_ms < 10_000
    assert idle


async def test_hundreds_of_leaves_are_counted(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        for number in range(300):
            world.link("hub", f"leaf{number}")
        found = await world.explorers["leaf7"].explore(16, 5)
        assert len(names(found)) == 301 < NODES_MOST
        assert found.complete
        assert found.elapsed_ms < 100


async def test_a_question_that_returns_with_equal_hops_is_over_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with exploring() as world:
        first, second = world.link("a", "b")[1], world.link("c", "b")[1]
        far = world.link("b", "d")[0]
        explorer = world.explorers["b"]
        explorer.receive(Explore(1, 5, 60_000), first)
        passed_on = [*far.told]
        assert [type(frame) for frame in passed_on] == [Explore]
        for hops in (5, 4):
            second.told.clear()
            explorer.receive(Explore(1, hops, 60_000), second)
            assert second.told == [Explored(1)]
            assert far.told == passed_on
        explorer.receive(Explore(1, 6, 60_000), second)
        assert second.told == [Explored(1)]
        assert [frame.hops for frame in far.told if isinstance(frame, Explore)] == [4, 5]
        await trio.sleep(60)
        assert world.idle()
