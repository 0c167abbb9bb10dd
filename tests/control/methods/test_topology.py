"""`topo` and `wait topo` with a fake explorer."""

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.control.methods import topology
from tests.harness.cases import cases
from tests.harness.control_node import (
    BOB_ID,
    NODE_ID,
    Client,
    FakeExplorer,
    FakeLink,
    Refused,
    Stand,
    request,
    result_of,
)


@pytest.fixture
def explorer(stand: Stand) -> FakeExplorer:
    return stand.explorer


async def test_the_network_is_told(explorer: FakeExplorer, client: Client) -> None:
    found = await client.ask("topo")
    assert [(node["name"], node["status"], node["hops"]) for node in found["nodes"]] == [
        ("alice", "answered", 0),
        ("bob", "answered", 1),
    ]
    assert found["nodes"][0]["links"] == [{"node": BOB_ID, "name": "bob", "state": "up", "rtt_ms": 0.5}]
    assert (found["complete"], found["elapsed_ms"]) == (True, 1.0)
    await client.ask("topo", hops=3, timeout=0.5)
    await client.ask("topo", timeout=3600)
    assert explorer.asked == [(16, 5.0), (3, 0.5), (16, 60.0)]


async def test_what_cannot_be_asked_is_refused(explorer: FakeExplorer, client: Client) -> None:
    for params in cases([{"hops": 65}, {"hops": -1}, {"timeout": -0.1}, {"hops": 1.5}]):
        with pytest.raises(Refused) as caught:
            await client.ask("topo", **params)
        assert (caught.value.kind, explorer.asked) == ("invalid_params", [])


async def test_links_that_are_up_are_not_waited_for(explorer: FakeExplorer, client: Client) -> None:
    assert await client.ask("wait", for_="topo", links="alice-bob", timeout=5) == {"peers": []}
    assert len(explorer.asked) == 1


async def test_an_end_that_may_be_this_node_or_a_peer_is_asked_for(
    stand: Stand, explorer: FakeExplorer, client: Client
) -> None:
    links = f"{NODE_ID[:4]}-bob"
    assert await client.ask("wait", for_="topo", links=links, timeout=5) == {"peers": []}
    stand.registry.remembered.set_known(stand.registry.native(NODE_ID[:4] + "d" * 48, "dora", "x:1"))
    for text in (links, f"!{links}"):
        with pytest.raises(Refused) as caught:
            await client.ask("wait", for_="topo", links=text, timeout=5)
        assert caught.value.kind == "ambiguous_peer"


async def test_the_network_is_asked_again_when_a_peer_comes_or_goes(
    stand: Stand, explorer: FakeExplorer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "PAUSE_S", 3600)
    monkeypatch.setattr(topology, "SHORTEST_PAUSE_S", 0)
    explorer.state = "down"
    await client.write(request("wait", 1, for_="topo", links="alice-bob") + request("whoami", 2))
    await client.answer(2)
    await trio.testing.wait_all_tasks_blocked()
    explorer.state = "up"
    assert len(explorer.asked) == 1
    stand.registry.link_up(stand.registry.native("c" * 52, "carol", "x:1"), FakeLink())
    assert result_of(await client.answer(1)) == {"peers": []}
    assert len(explorer.asked) == 2


async def test_without_a_change_here_it_is_asked_again_now_and_then(
    mock_clock: MockClock, explorer: FakeExplorer, client: Client
) -> None:
    number, counts = await client.post("wait", for_="topo", links="!alice-bob", timeout=8.0), list[int]()
    for _ in range(16):
        await trio.testing.wait_all_tasks_blocked(0.005)
        counts.append(len(explorer.asked))
        mock_clock.jump(topology.SHORTEST_PAUSE_S)
        await trio.testing.wait_all_tasks_blocked(0.001)
        mock_clock.jump(topology.PAUSE_S - topology.SHORTEST_PAUSE_S)
    assert counts == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6]  # after 0.5, 1, 2, 2, 2 s
    with pytest.raises(Refused) as caught:
        result_of(await client.answer(number))
    assert caught.value.kind == "timeout"
    assert "chatctl topo" in caught.value.data["hint"]


async def test_what_cannot_be_waited_for_is_refused(explorer: FakeExplorer, client: Client) -> None:
    for params in cases([{"links": "alice"}, {}, {"links": "alice-bob", "timeout": -1}]):
        with pytest.raises(Refused) as caught:
            await client.ask("wait", for_="topo", **params)
        assert (caught.value.kind, explorer.asked) == ("invalid_params", [])
