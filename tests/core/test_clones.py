"""Clones: two epochs of one node id that alternate are noticed and told once; a node that restarts is not."""

import logging

import pytest
import trio

from chatd.api.events import PeerCloned
from chatd.core import peer as peer_module
from chatd.core.clones import REPORTERS, Clones
from tests.core.parts import CAROL, Core

A, B, C = "aaaaaaaa", "bbbbbbbb", "cccccccc"


@pytest.fixture
def clones(core: Core) -> Clones:
    return Clones(core.journal, core.registry)


async def told(core: Core) -> list[list[str]]:
    await core.commit()
    entries = (await core.journal.page(0)).entries
    return [entry.event.epochs for entry in entries if isinstance(entry.event, PeerCloned)]


async def test_a_node_that_restarts_any_number_of_times_is_one_node(core: Core, clones: Clones) -> None:
    bob, _ = core.up()
    for number in range(100):
        for _ in range(3):  # its link breaks, and it dials again
            clones.met(bob, f"epoch{number:03}")
    assert not bob.is_cloned
    assert (await told(core), clones.warnings()) == ([], [])


async def test_a_hello_that_was_under_way_while_its_node_was_killed_is_no_clone(core: Core, clones: Clones) -> None:
    bob, _ = core.up()
    for epoch in (B, A, B):
        clones.met(bob, epoch)
    assert not bob.is_cloned


async def test_two_epochs_that_alternate_are_told_once(core: Core, clones: Clones) -> None:
    bob, _ = core.up()
    carol, _ = core.up(CAROL, "carol")
    clones.met(carol, A)
    for epoch in (A, B) * 5:
        clones.met(bob, epoch)
    assert (bob.is_cloned, carol.is_cloned) == (True, False)
    assert (bob.record().cloned, carol.record().cloned) == (True, False)
    assert await told(core) == [[B, A]]
    assert (bob.epochs.newest, bob.epochs.other) == (B, A)
    (warning,) = clones.warnings()
    assert bob.shown in warning


async def test_a_copy_that_restarts_all_the_time_is_noticed_too(core: Core, clones: Clones) -> None:
    bob, _ = core.up()
    for number in range(4):
        clones.met(bob, A)
        clones.met(bob, f"epoch{number:03}")
    assert bob.is_cloned


async def test_it_is_over_a_while_after_the_last_return_and_told_again_after_that(
    core: Core, clones: Clones, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, _ = core.up()
    for epoch in (A, B, A, B):
        clones.met(bob, epoch)
    assert bob.is_cloned
    monkeypatch.setattr(peer_module, "CLONED_FOR_S", 0.0)
    await trio.lowlevel.checkpoint()
    assert not bob.is_cloned
    assert clones.warnings() == []
    clones.met(bob, A)
    monkeypatch.undo()
    clones.met(bob, B)
    assert len(await told(core)) == 2


async def test_of_this_node_each_peer_is_believed_once_and_named(
    core: Core, clones: Clones, caplog: pytest.LogCaptureFixture
) -> None:
    bob, _ = core.up()
    with caplog.at_level(logging.WARNING):
        clones.told(bob, core.journal.epoch)
        assert clones.warnings() == []
        for epoch in (A, A, B):
            clones.told(bob, epoch)
    assert len(caplog.records) == 1
    assert "reported by bob" in caplog.records[0].message
    (warning,) = clones.warnings()
    assert "reported by bob" in warning


async def test_what_strangers_report_is_bounded(core: Core, clones: Clones, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for number in range(100):
            node = "".join("abcdefghij"[int(digit)] for digit in f"{number:052}")
            clones.told(core.registry.native(node, f"n{number}", "10.0.0.2:1"), A)
    assert len(caplog.records) == REPORTERS
