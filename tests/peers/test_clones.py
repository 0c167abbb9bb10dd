"""Clones: two epochs of one node id that alternate are noticed and told once; a node that restarts is not."""

import logging

import pytest
import trio

from chatd.api.events import PeerCloned
from chatd.peers import clones as clones_module
from chatd.peers import epochs as epochs_module
from chatd.peers.clones import REPORT_FOR_S, REPORTERS, Clones
from chatd.peers.peer import Peer
from tests.harness.parts import CAROL, Core

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
            clones.record_epoch(bob, f"epoch{number:03}")
    assert not bob.is_cloned
    assert (await told(core), clones.warnings()) == ([], [])


async def test_a_hello_that_was_under_way_while_its_node_was_killed_is_no_clone(core: Core, clones: Clones) -> None:
    bob, _ = core.up()
    for epoch in (B, A, B):
        clones.record_epoch(bob, epoch)
    assert not bob.is_cloned


async def test_two_epochs_that_alternate_are_told_once(core: Core, clones: Clones) -> None:
    bob, _ = core.up()
    carol, _ = core.up(CAROL, "carol")
    clones.record_epoch(carol, A)
    for epoch in (A, B) * 5:
        clones.record_epoch(bob, epoch)
    assert (bob.is_cloned, carol.is_cloned) == (True, False)
    assert (bob.record().cloned, carol.record().cloned) == (True, False)
    assert await told(core) == [[B, A]]
    assert (bob.epochs.newest, bob.epochs.previous) == (B, A)
    (warning,) = clones.warnings()
    assert bob.shown in warning


async def test_a_copy_that_restarts_all_the_time_is_noticed_too(core: Core, clones: Clones) -> None:
    bob, _ = core.up()
    for number in range(4):
        clones.record_epoch(bob, A)
        clones.record_epoch(bob, f"epoch{number:03}")
    assert bob.is_cloned


async def test_it_is_over_a_while_after_the_last_return_and_told_again_after_that(
    core: Core, clones: Clones, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, _ = core.up()
    for epoch in (A, B, A, B):
        clones.record_epoch(bob, epoch)
    assert bob.is_cloned
    monkeypatch.setattr(epochs_module, "CLONED_FOR_S", 0.0)
    await trio.lowlevel.checkpoint()
    assert not bob.is_cloned
    assert clones.warnings() == []
    clones.record_epoch(bob, A)
    monkeypatch.undo()
    clones.record_epoch(bob, B)
    assert len(await told(core)) == 2


async def test_of_this_node_each_peer_is_believed_once_and_named(
    core: Core, clones: Clones, caplog: pytest.LogCaptureFixture
) -> None:
    bob, _ = core.up()
    with caplog.at_level(logging.WARNING):
        clones.record_report(bob, core.journal.epoch)
        assert clones.warnings() == []
        for epoch in (A, A, B):
            clones.record_report(bob, epoch)
    assert len(caplog.records) == 1
    assert "reported by peer bob" in caplog.records[0].message
    (warning,) = clones.warnings()
    assert "reported by bob" in warning


def strangers(core: Core, count: int) -> list[Peer]:
    nodes = ["".join("abcdefghij"[int(digit)] for digit in f"{number:052}") for number in range(count)]
    return [core.registry.native(node, f"n{number}", "10.0.0.2:1") for number, node in enumerate(nodes)]


async def test_what_strangers_report_is_bounded(core: Core, clones: Clones, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            for stranger in strangers(core, 100):
                clones.record_report(stranger, A)
    assert len(caplog.records) == REPORTERS


async def test_a_known_peer_is_heard_after_any_number_of_strangers(
    core: Core, clones: Clones, caplog: pytest.LogCaptureFixture
) -> None:
    crowd = strangers(core, REPORTERS)
    for stranger in crowd:
        clones.record_report(stranger, A)
    bob, _ = core.up()
    core.registry.remembered.set_known(bob)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            for peer in (bob, *crowd):
                clones.record_report(peer, A)
    assert ["reported by peer bob" in record.message for record in caplog.records] == [True]
    (warning,) = clones.warnings()
    names = warning.partition("reported by ")[2].partition(":")[0].split(", ")
    assert names == [*(stranger.name for stranger in crowd[:-1]), "bob"]  # the newest stranger gave way


async def test_known_peers_do_not_displace_each_other(core: Core, clones: Clones) -> None:
    for peer in strangers(core, REPORTERS + 1):
        core.registry.remembered.set_known(peer)
        clones.record_report(peer, A)
    (warning,) = clones.warnings()
    assert "n15:" in warning
    assert "n16" not in warning


async def test_a_report_that_is_not_repeated_is_forgotten(
    core: Core, clones: Clones, monkeypatch: pytest.MonkeyPatch
) -> None:
    for stranger in strangers(core, REPORTERS):
        clones.record_report(stranger, A)
    assert len(clones.warnings()) == 1
    monkeypatch.setattr(clones_module, "REPORT_FOR_S", 0.0)
    await trio.lowlevel.checkpoint()
    assert clones.warnings() == []
    monkeypatch.undo()
    bob, _ = core.up()
    clones.record_report(bob, A)
    (warning,) = clones.warnings()
    assert "reported by bob:" in warning


async def test_a_report_that_is_repeated_stays(core: Core, clones: Clones, monkeypatch: pytest.MonkeyPatch) -> None:
    now = trio.current_time()
    monkeypatch.setattr("chatd.peers.clones.trio.current_time", lambda: now)
    bob, _ = core.up()
    for _ in range(3):
        clones.record_report(bob, A)
        now += REPORT_FOR_S - 1
    assert len(clones.warnings()) == 1
    now += 2
    assert clones.warnings() == []
