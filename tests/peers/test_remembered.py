"""Remembered peers: which peers have a row, and what a full disk does to it."""

from pathlib import Path

from chatd.journal.store import DiskFull
from tests.harness.parts import BOB, Core, standing


async def test_what_could_not_be_remembered_is_written_with_the_next_commit(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    core.world.fault = DiskFull("no room")
    core.registry.remembered.add(bob)
    await core.commit()
    assert core.journal.store.query("SELECT count(*) FROM peers") == [(0,)]
    bob.trust = "accepted"
    core.plain_up()
    await core.commit()
    assert core.journal.store.query("SELECT node, trust FROM peers") == [(BOB, "accepted")]


async def test_a_terminate_is_remembered_and_a_connect_forgets_it(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
        core.registry.persistent.add(bob, "x:1")
        batch = core.registry.terminate(bob)
        assert batch is not None
        await batch.wait()
    async with standing(tmp_path) as core:
        bob = core.registry.find("bob")
        assert (bob.terminated, bob.persistent_addresses, bob.state, bob.reason) == (True, [], "down", "terminated")
        core.registry.remembered.clear_terminated(bob)
        await core.commit()
    async with standing(tmp_path) as core:
        bob = core.registry.find("bob")
        assert (bob.terminated, bob.reason) == (False, None)


async def test_a_stranger_that_was_terminated_is_remembered_and_a_plain_peer_is_not(core: Core) -> None:
    bob, _ = core.up()
    plain, _ = core.plain_up()
    unmet = core.registry.at_address("10.0.0.3:7420")
    for peer in (bob, plain, unmet):
        core.registry.terminate(peer)
    await core.commit()
    assert core.journal.store.query("SELECT slot, terminated FROM peers") == [(0, 1)]
    assert not plain.terminated
    assert not unmet.terminated
