"""`link`: its parameters, and its result for links with faults."""

import pytest

from chatd.api.results import Impairment, LinkFaults
from tests.harness.cases import cases
from tests.harness.control_node import Client, FakeLink, Refused, Stand

ALLOWED = pytest.mark.parametrize("stand", [{"allow_faults": True}], indirect=True)


def faults_of(stand: Stand) -> LinkFaults:
    assert stand.bob.faults is not None
    return stand.bob.faults


@ALLOWED
async def test_what_is_named_changes_and_what_is_not_stays(stand: Stand, client: Client) -> None:
    answer = await client.ask("link", peer="bob", delay=0.2, loss=0.05)
    assert answer["allowed"]
    assert [(link["peer"]["name"], link["state"], link["faults"]) for link in answer["links"]] == [
        ("bob", "up", {"out": {"delay": 0.2, "loss": 0.05}, "in": {"delay": 0.2, "loss": 0.05}, "until": None})
    ]
    await client.ask("link", peer=0, direction="in", delay=0, rate=64000, cut=True)
    assert faults_of(stand) == LinkFaults(Impairment(delay=0.2, loss=0.05), Impairment(loss=0.05, rate=64000, cut=True))


@ALLOWED
async def test_healing_comes_before_what_is_named(stand: Stand, client: Client) -> None:
    await client.ask("link", peer="bob", delay=0.2, loss=0.05)
    await client.ask("link", peer="bob", direction="out", heal=True, jitter=0.1)
    assert faults_of(stand) == LinkFaults(Impairment(jitter=0.1), Impairment(delay=0.2, loss=0.05))
    await client.ask("link", peer="bob", heal=True)
    assert stand.bob.faults is None


@ALLOWED
async def test_faults_for_a_time_say_until_when(stand: Stand, client: Client) -> None:
    answer = await client.ask("link", peer="bob", cut=True, for_=30)
    assert answer["links"][0]["faults"]["until"].endswith("Z")


@ALLOWED
async def test_all_are_those_that_there_are_and_those_that_come(stand: Stand, client: Client) -> None:
    answer = await client.ask("link", all=True, delay=1)
    assert answer["default"]["out"] == answer["links"][0]["faults"]["out"] == {"delay": 1.0}


async def test_without_a_peer_those_that_are_up_or_suffer_are_listed_in_slot_order(
    stand: Stand, client: Client
) -> None:
    guest = FakeLink()
    visitor, gone, cut = (stand.registry.plain(f"10.0.0.9:{port}") for port in range(3))
    cut.faults = LinkFaults(Impairment(cut=True))
    stand.registry.link_up(visitor, guest)
    answer = await client.ask("link")
    assert not answer["allowed"]
    assert answer["default"] is None
    assert [link["peer"]["slot"] for link in answer["links"]] == [0, visitor.slot, cut.slot]
    assert [link["faults"] is None for link in answer["links"]] == [True, True, False]
    answer = await client.ask("link", peer=gone.slot)
    assert [(link["peer"]["slot"], link["state"]) for link in answer["links"]] == [(gone.slot, "down")]


async def test_where_faults_are_not_allowed_nothing_changes(stand: Stand, client: Client) -> None:
    for params in cases([{"delay": 1}, {"heal": True}, {"reset": True}, {"cut": False}]):
        for whom in ({"peer": "bob"}, {"all": True}):
            with pytest.raises(Refused) as caught:
                await client.ask("link", **whom, **params)
            assert caught.value.kind == "forbidden"
            assert "--allow-faults" in caught.value.data["hint"]
        assert stand.bob.faults is None


@ALLOWED
async def test_a_reset_is_of_those_that_are_named(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(stand.faults, "reset", asked.append)
    await client.ask("link", peer="bob", reset=True, delay=1)
    await client.ask("link", all=True, reset=True)
    assert asked == [[stand.bob], None]
    assert faults_of(stand).out.delay == 1


@ALLOWED
async def test_what_cannot_be_is_refused_with_what_to_do(stand: Stand, client: Client) -> None:
    for params, message, hint in cases(
        [
            ({"peer": "bob", "delay": -1}, "delay is out of bounds: -1", "a duration from 0s to 10m"),
            ({"peer": "bob", "delay": 601}, "delay is out of bounds: 601", "a duration from 0s to 10m"),
            ({"peer": "bob", "jitter": 1e300}, "jitter is out of bounds: 1e+300", "a duration from 0s to 10m"),
            ({"peer": "bob", "loss": 1}, "loss is out of bounds: 1", "use cut"),
            ({"peer": "bob", "loss": -0.1}, "loss is out of bounds: -0.1", "a share of less than 100%"),
            ({"peer": "bob", "rate": 99}, "rate is out of bounds: 99", "100 or more"),
            ({"peer": "bob", "rate": -1}, "rate is out of bounds: -1", "100 or more"),
            ({"peer": "bob", "flap": 0.01}, "flap is out of bounds: 0.01", "a duration from 50ms to 1h"),
            ({"peer": "bob", "cut": True, "for_": 0}, "for is out of bounds: 0", "more than nothing"),
            ({"peer": "bob", "cut": True, "for_": 1e12}, "for is out of bounds: 1e+12", "a year at most"),
            ({"peer": "bob", "cut": True, "direction": "up"}, "'up' is no direction", "out, in or both"),
            ({"peer": "bob", "all": True, "cut": True}, "a peer and all exclude each other", "one of them"),
            ({"peer": "bob", "for_": 3}, "direction and for belong to a change, and there is none", "delay, jitter,"),
            ({"peer": "bob", "direction": "in"}, "direction and for belong to a change, and there is none", "or heal"),
            (
                {"peer": "bob", "reset": True, "for_": 3},
                "direction and for belong to a change, and there is none",
                "heal",
            ),
            ({"all": True}, "there is nothing to change", "name a fault"),
            ({"delay": 1}, "nobody is named whose links are to change", "name a peer, or all"),
            ({"reset": True}, "nobody is named whose links are to change", "name a peer, or all"),
        ]
    ):
        with pytest.raises(Refused) as caught:
            await client.ask("link", **params)
        assert (caught.value.kind, str(caught.value)) == ("invalid_params", message)
        assert hint in caught.value.data["hint"]
        assert stand.bob.faults is None


@ALLOWED
async def test_nobody_is_harmed_where_the_peer_is_unknown(stand: Stand, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("link", peer="zoe", cut=True, reset=True)
    assert caught.value.kind == "unknown_peer"
    assert stand.bob.faults is None


@ALLOWED
async def test_the_bounds_themselves_are_allowed(stand: Stand, client: Client) -> None:
    for edge in cases([{"delay": 600}, {"loss": 0.999}, {"rate": 100}, {"flap": 0.05}, {"rate": 0}]):
        assert (await client.ask("link", peer="bob", **edge))["links"][0]["peer"]["name"] == "bob"
