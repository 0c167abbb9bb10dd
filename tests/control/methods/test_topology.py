"""`topo` and `wait topo` with a fake explorer."""

from typing import Any

import pytest
import trio
import trio.testing

from chatd.control.methods import topology
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


@pytest.mark.parametrize("params", [{"hops": 65}, {"hops": -1}, {"timeout": -0.1}, {"hops": 1.5}])
async def test_what_cannot_be_asked_is_refused(explorer: FakeExplorer, client: Client, params: dict[str, Any]) -> None:
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
    explorer: FakeExplorer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PAUSE_S", "LONGEST_PAUSE_S", "SHORTEST_PAUSE_S"):
        monkeypatch.setattr(topology, name, getattr(topology, name) / 10)
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="topo", links="!alice-bob", timeout=1.0)
    assert caught.value.kind == "timeout"
    assert "chatctl topo" in caught.value.data["hint"]
    assert 3 <= len(explorer.asked) <= 7


@pytest.mark.parametrize("params", [{"links": "alice"}, {}, {"links": "alice-bob", "timeout": -1}])
async def test_what_cannot_be_waited_for_is_refused(
    explorer: FakeExplorer, client: Client, params: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("wait", for_="topo", **params)
    assert (caught.value.kind, explorer.asked) == ("invalid_params", [])
