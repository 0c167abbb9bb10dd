"""The states of a peer, and what is told of them."""

from tests.harness.parts import BOB, Core, FakeLink


async def test_a_peer_that_asks_is_told_of_once(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    core.registry.set_pending(bob, "x:1", "it waits")
    core.registry.set_state(bob, "down")
    core.registry.set_pending(bob, "x:1", "it waits")
    await core.commit()
    assert await core.types() == ["peer.pending"]
    assert (bob.state, bob.reason) == ("pending", "it waits")


async def test_a_peer_is_up_from_its_first_link_to_its_last(core: Core) -> None:
    bob, first = core.up()
    second = FakeLink(direction="out", address="10.0.0.2:7420")
    core.world.now += 5
    core.registry.link_up(bob, second)
    assert core.registry.up() == [bob]
    assert bob.record().address == "10.0.0.2:7420"
    assert core.registry.all_links() == [(bob, first), (bob, second)]
    core.registry.link_down(bob, first)
    core.registry.link_down(bob, first)
    assert bob.is_up
    second.close("reset")
    core.registry.link_down(bob, second)
    assert (bob.state, bob.reason) == ("down", "reset")
    assert core.registry.up() == []
    await core.commit()
    assert await core.types() == ["peer.up", "peer.down"]


async def test_a_record_shows_what_list_prints(core: Core) -> None:
    bob, _ = core.up()
    plain, link = core.plain_up()
    link.waiting = 3
    record = plain.record()
    assert (record.kind, record.queued, record.direction, record.state) == ("plain", 3, "in", "up")
    assert (record.desired, record.trust, record.rtt_ms) == (False, None, None)
    core.registry.link_down(plain, link)
    assert plain.record().direction is None
    assert plain.record().reason == "closed"
    assert [record.slot for record in core.registry.records()] == [0, 1]
    assert [record.slot for record in core.registry.records(gone=False)] == [0]
    assert bob.shown == "bob (k3v7abcd)"
    assert plain.shown == "10.0.0.9:6000"
