"""What is redialed, and for whom, over restarts and full disks."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from chatd.journal.store import DiskFull
from chatd.peers.persistent import MOST_ADDRESSES
from tests.harness.parts import BOB, CAROL, Core, copy_as_crashed, standing

HERE, THERE = "10.0.0.2:7420", "10.0.0.3:7420"


def rows(core: Core) -> list[tuple[Any, ...]]:
    """(kind, address, slot) of what is on disk."""
    return core.journal.store.query("SELECT kind, address, slot FROM wishes ORDER BY slot, address")


async def test_wishes_are_there_after_a_restart_with_their_peers_and_slots(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        registry = core.registry
        registry.plain("10.0.0.9:6000")
        bob = registry.native(BOB, "bob", "x", dialed=registry.at_address(HERE))
        unmet, plain = registry.at_address(THERE), registry.at_address(THERE, "plain")
        for peer, address in ((bob, HERE), (unmet, THERE), (plain, THERE)):
            registry.persistent.add(peer, address)
        await core.commit()
    async with standing(tmp_path) as core:
        found = {
            peer.slot: (peer.kind, peer.name, peer.node, peer.address, peer.persistent_addresses)
            for peer in core.registry
        }
        assert found == {
            1: ("native", "bob", BOB, HERE, [HERE]),
            2: ("native", THERE, None, THERE, [THERE]),
            3: ("plain", THERE, None, THERE, [THERE]),
        }
        assert [peer.stream_id for peer in core.registry] == [bob.stream_id, unmet.stream_id, plain.stream_id]
        assert [record.desired for record in core.registry.records()] == [True, True, True]
        newcomer = core.registry.plain("10.0.0.9:6001")
        assert (newcomer.slot, newcomer.stream_id) == (4, plain.stream_id + 1)


async def test_a_wish_survives_a_kill_once_its_batch_is_done(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    async with standing(before) as core:
        batch = core.registry.persistent.add(core.registry.at_address(HERE), HERE)
        assert batch is not None
        await batch.wait()
        copy_as_crashed(before, after)
    async with standing(after) as core:
        assert [peer.persistent_addresses for peer in core.registry] == [[HERE]]


async def test_a_wish_of_the_configuration_is_not_written_unless_somebody_asks_for_it(core: Core) -> None:
    bob = core.registry.at_address(HERE)
    assert core.registry.persistent.add(bob, HERE, lasting=False) is None
    await core.commit()
    assert (bob.persistent_addresses, rows(core)) == ([HERE], [])
    assert core.registry.persistent.add(bob, HERE) is not None
    assert core.registry.persistent.add(bob, HERE) is None
    assert core.registry.persistent.add(bob, HERE, lasting=False) is None
    await core.commit()
    assert (bob.persistent_addresses, rows(core)) == ([HERE], [("native", HERE, 0)])


async def test_an_ended_wish_is_gone_from_the_disk_and_the_others_stay(core: Core) -> None:
    bob, carol = core.registry.at_address(HERE), core.registry.at_address(THERE)
    for peer, address in ((bob, HERE), (bob, "10.0.0.4:7420"), (carol, THERE)):
        core.registry.persistent.add(peer, address)
    core.registry.persistent.remove(bob, HERE)
    await core.commit()
    assert (bob.persistent_addresses, len(rows(core))) == (["10.0.0.4:7420"], 2)
    core.registry.persistent.remove(bob)
    await core.commit()
    assert (bob.persistent_addresses, rows(core)) == ([], [("native", THERE, 1)])
    assert core.registry.persistent.remove(bob) is None


async def test_whoever_waits_for_a_change_is_told_of_every_one(core: Core) -> None:
    bob, persistent = core.registry.at_address(HERE), core.registry.persistent
    for change in (partial(persistent.add, bob, HERE), partial(persistent.remove, bob)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(core.registry.changed.wait)
            await trio.testing.wait_all_tasks_blocked()
            change()


async def test_the_address_that_answered_last_comes_first_and_one_that_did_not_comes_last(core: Core) -> None:
    bob = core.registry.at_address(HERE)
    core.registry.persistent.add(bob, HERE)
    core.registry.persistent.add(bob, THERE)
    assert bob.persistent_addresses == [THERE, HERE]
    core.registry.persistent.put_last(bob, THERE)
    assert bob.persistent_addresses == [HERE, THERE]
    core.registry.persistent.add(bob, THERE, lasting=False)
    assert bob.persistent_addresses == [THERE, HERE]
    await core.commit()
    assert len(rows(core)) == 2


async def test_somebody_who_moves_all_the_time_has_only_so_many_addresses(core: Core) -> None:
    bob = core.registry.at_address(HERE)
    addresses = [f"10.0.1.{number}:7420" for number in range(3 * MOST_ADDRESSES)]
    for address in addresses:
        core.registry.persistent.add(bob, address)
    await core.commit()
    newest = addresses[-MOST_ADDRESSES:]
    assert bob.persistent_addresses == newest[::-1]
    assert sorted(row[1] for row in rows(core)) == sorted(newest)


async def test_two_addresses_of_one_node_become_two_wishes_for_it(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        registry = core.registry
        first, second = registry.at_address(HERE), registry.at_address(THERE)
        registry.persistent.add(first, HERE)
        registry.persistent.add(second, THERE)
        bob = registry.native(BOB, "bob", "x", dialed=first)
        assert registry.native(BOB, "bob", "x", dialed=second) is bob
        assert (bob.slot, bob.persistent_addresses, second.persistent_addresses) == (0, [THERE, HERE], [])
        assert registry.at_address(THERE) is registry.at_address(HERE) is registry.find(THERE) is bob
        await core.commit()
    async with standing(tmp_path) as core:
        (bob,) = core.registry
        assert (bob.slot, bob.node, sorted(bob.persistent_addresses)) == (0, BOB, [HERE, THERE])


async def test_another_node_at_one_of_the_addresses_takes_only_that_wish(core: Core) -> None:
    registry = core.registry
    bob = registry.native(BOB, "bob", "x", dialed=registry.at_address(HERE))
    registry.persistent.add(bob, HERE)
    registry.persistent.add(bob, THERE)
    registry.set_state(bob, "dialing")
    bob.address = HERE  # as last dialed
    carol = registry.native(CAROL, "carol", "x", dialed=bob)
    assert (carol.persistent_addresses, bob.persistent_addresses, bob.state) == ([HERE], [THERE], "dialing")
    await core.commit()
    assert rows(core) == [("native", THERE, bob.slot), ("native", HERE, carol.slot)]


async def test_a_wish_of_the_configuration_stays_one_when_somebody_else_answers(core: Core) -> None:
    registry = core.registry
    bob, _ = core.up()
    wanted = registry.at_address(THERE)
    registry.persistent.add(wanted, THERE, lasting=False)
    registry.native(BOB, "bob", "x", dialed=wanted)
    await core.commit()
    assert (bob.persistent_addresses, rows(core)) == ([THERE], [])


async def test_a_full_disk_keeps_nobody_from_wishing_and_the_row_is_written_later(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    bob = core.registry.at_address(HERE)
    core.world.fault = DiskFull("no room")
    batch = core.registry.persistent.add(bob, HERE)
    await core.commit()
    assert batch is not None
    assert batch.error is not None
    assert (bob.persistent_addresses, rows(core)) == ([HERE], [])
    assert f"the change of persistent peer {HERE} will be saved when there is space" in caplog.text
    core.plain_up()  # anything that makes a commit
    await core.commit()
    assert rows(core) == [("native", HERE, 0)]


@pytest.mark.parametrize("again", [False, True])
async def test_what_is_written_later_is_what_is_wished_by_then(core: Core, *, again: bool) -> None:
    bob = core.registry.at_address(HERE)
    core.registry.persistent.add(bob, HERE)
    await core.commit()
    core.world.fault = DiskFull("no room")
    core.registry.persistent.remove(bob)
    await core.commit()
    assert (bob.persistent_addresses, rows(core)) == ([], [("native", HERE, 0)])
    if again:
        core.registry.persistent.add(bob, HERE)
    core.plain_up()
    await core.commit()
    assert rows(core) == ([("native", HERE, 0)] if again else [])


async def test_a_wish_is_fresh_until_somebody_answers(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        registry = core.registry
        unmet, other = registry.at_address(HERE), registry.at_address(THERE)
        registry.persistent.add(unmet, HERE, fresh=True)
        registry.persistent.add(other, THERE, fresh=True)
        await core.commit()
    async with standing(tmp_path) as core:
        registry = core.registry
        unmet, other = registry.find(HERE), registry.find(THERE)
        assert registry.persistent.is_fresh(unmet, HERE)
        bob = registry.native(BOB, "bob", "x", dialed=unmet)
        registry.persistent.add(bob, HERE, lasting=False)
        assert not registry.persistent.is_fresh(bob, HERE)
        registry.persistent.remove(other)
        assert not registry.persistent.is_fresh(other, THERE)
        await core.commit()
    async with standing(tmp_path) as core:
        assert not core.registry.persistent.is_fresh(core.registry.find("bob"), HERE)


def spoken(core: Core) -> list[tuple[Any, ...]]:
    """(kind, address, nick) of what is on disk."""
    return core.journal.store.query("SELECT kind, address, nick FROM wishes ORDER BY slot, address")


async def test_the_dialect_and_nick_of_a_room_server_are_there_after_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        named, addressed, plain = (core.registry.at_address(f"10.0.0.{n}:1234", "plain") for n in range(3))
        core.registry.persistent.set_dialect(named, "name", "Jané")
        core.registry.persistent.set_dialect(addressed, "address", "")
        for peer in (named, addressed, plain):
            core.registry.persistent.add(peer, peer.name)
        await core.commit()
        assert [record.dialect for record in core.registry.records()] == ["name", "address", None]
    async with standing(tmp_path) as core:
        found = [(peer.kind, peer.name, peer.dialect, peer.nick, peer.persistent_addresses) for peer in core.registry]
        assert found == [
            ("plain", "10.0.0.0:1234", "name", "Jané", ["10.0.0.0:1234"]),
            ("plain", "10.0.0.1:1234", "address", "", ["10.0.0.1:1234"]),
            ("plain", "10.0.0.2:1234", None, "", ["10.0.0.2:1234"]),
        ]
        assert core.registry.at_address("10.0.0.0:1234", "plain") is core.registry.find(0)


@pytest.mark.parametrize("way", [("name", "joe"), ("address", ""), (None, "")], ids=str)
async def test_another_way_of_talking_takes_the_wish_along(core: Core, way: tuple[str | None, str]) -> None:
    room, persistent = core.registry.at_address(HERE, "plain"), core.registry.persistent
    persistent.set_dialect(room, "name", "jane")
    persistent.add(room, HERE)
    await core.commit()
    assert spoken(core) == [("name", HERE, "jane")]
    persistent.set_dialect(room, *way)
    await core.commit()
    assert room.persistent_addresses == [HERE]
    assert spoken(core) == [(way[0] or "plain", HERE, way[1])]
    persistent.remove(room)
    await core.commit()
    assert spoken(core) == []


async def test_talking_as_before_writes_nothing(core: Core) -> None:
    room, persistent = core.registry.at_address(HERE, "plain"), core.registry.persistent
    persistent.set_dialect(room, "name", "jane")
    await core.commit()
    assert spoken(core) == []
    persistent.add(room, HERE)
    await core.commit()
    calls = core.world.calls
    persistent.set_dialect(room, "name", "jane")
    assert persistent.add(room, HERE) is None
    await core.commit()
    assert core.world.calls == calls
