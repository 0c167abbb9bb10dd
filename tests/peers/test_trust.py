import re
from pathlib import Path

import pytest

from chatd.api.errors import ControlError
from chatd.journal.store import DiskFull
from chatd.peers.peer import Peer
from tests.harness.parts import BOB, CAROL, SELF, Core, FakeLink, standing


def decide(core: Core, decision: str | None) -> Peer:
    bob = core.registry.native(BOB, "bob", "x:1")
    bob.trust = decision
    return bob


@pytest.mark.parametrize(
    ("mode", "listed", "decided", "verdict"),
    [
        ("open", False, None, "accepted"),
        ("open", False, "accepted", "accepted"),
        ("open", False, "denied", "denied"),
        ("open", True, "denied", "denied"),
        ("known", False, None, "denied"),
        ("known", True, None, "accepted"),
        ("known", False, "accepted", "accepted"),
        ("known", True, "denied", "denied"),
        ("pending", False, None, "pending"),
        ("pending", True, None, "accepted"),
        ("pending", False, "accepted", "accepted"),
        ("pending", True, "denied", "denied"),
    ],
)
async def test_a_decision_beats_the_mode(
    tmp_path: Path, mode: str, listed: bool, decided: str | None, verdict: str
) -> None:
    async with standing(tmp_path, trust=mode, known=[BOB] if listed else []) as core:
        if decided is None:
            assert core.trust.verdict(BOB) == verdict  # never met
        decide(core, decided)
        assert core.trust.verdict(BOB) == verdict
        assert core.trust.sentence.startswith(f"{mode}: ")


async def test_a_decision_is_remembered(tmp_path: Path) -> None:
    async with standing(tmp_path, trust="pending") as core:
        core.registry.native(BOB, "bob", "x:1")
        core.registry.native(CAROL, "carol", "x:2")
        assert (await core.trust.accept(BOB)).trust == "accepted"
        assert (await core.trust.deny(CAROL[:16])).trust == "denied"
    async with standing(tmp_path, trust="pending") as core:
        assert core.trust.verdict(BOB) == "accepted"
        assert core.trust.verdict(CAROL) == "denied"


async def test_a_pending_peer_that_is_accepted_may_come_back(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    core.registry.set_pending(bob, "x:1", "it waits")
    await core.trust.accept(bob.slot)
    assert (bob.state, bob.reason) == ("down", "accepted")


async def test_a_live_peer_that_is_accepted_stays_up(core: Core) -> None:
    bob, link = core.up()
    await core.trust.accept(bob.slot)
    assert bob.known
    assert bob.state == "up"
    assert link.reason is None


async def test_a_node_that_was_never_met_is_accepted_by_its_id_and_gets_its_name_later(tmp_path: Path) -> None:
    async with standing(tmp_path, trust="known") as core:
        bob = await core.trust.accept(BOB)
        assert (bob.name, bob.node, bob.address, bob.state) == ("k3v7abcdbbbb", BOB, None, "down")
        assert core.trust.verdict(BOB) == "accepted"
    async with standing(tmp_path, trust="known") as core:
        assert core.registry.native(BOB, "bob", "x:1").name == "bob"
        assert core.registry.find("bob").node == BOB
        await core.commit()
    async with standing(tmp_path, trust="known") as core:
        assert core.registry.find("bob").trust == "accepted"


async def test_a_node_that_was_accepted_by_its_id_cannot_take_a_known_name(core: Core) -> None:
    core.registry.native(CAROL, "bob", "x:1")
    await core.trust.accept(BOB)
    assert core.registry.native(BOB, "bob", "x:2").name == "bob~k3v7abcd"
    assert core.registry.native(BOB, "other", "x:2").name == "bob~k3v7abcd"


async def test_a_name_that_was_given_to_a_node_before_it_was_met_stays(core: Core) -> None:
    await core.trust.accept(BOB)
    await core.trust.rename("k3v7abcdbbbb", "bert")
    assert core.registry.native(BOB, "bob", "x:2").name == "bert"


async def test_a_node_that_was_never_met_can_be_denied(core: Core) -> None:
    await core.trust.deny(BOB)
    assert core.trust.verdict(BOB) == "denied"


@pytest.mark.parametrize("spec", ["nobody", BOB[:-1], BOB[:16], BOB.upper(), 7, "8" * 52, "10.0.0.2:7420", ""])
async def test_what_is_no_whole_node_id_is_unknown(core: Core, spec: int | str) -> None:
    for verb in (core.trust.accept, core.trust.deny):
        with pytest.raises(ControlError) as refused:
            await verb(spec)
        assert refused.value.kind == "unknown_peer"


@pytest.mark.parametrize("spec", ["k3v7", BOB[:15], "bob"])
async def test_a_name_or_too_little_of_an_id_decides_nothing_and_is_told_what_would(core: Core, spec: str) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    core.registry.native(CAROL, "k3v7zz", "x:2")
    for verb, word in ((core.trust.accept, "accept"), (core.trust.deny, "deny")):
        with pytest.raises(ControlError) as refused:
            await verb(spec)
        assert (refused.value.kind, refused.value.details["reason"]) == ("conflict", "not_exact")
        assert f"`chatctl peer {word} 0` ({BOB[:16]})" in refused.value.hint
        assert "\n" not in refused.value.message + refused.value.hint
    assert bob.trust is None
    assert (await core.trust.accept(BOB[:16])) is bob


@pytest.mark.parametrize("spec", [SELF, SELF[:16], SELF[:51]])
async def test_a_node_cannot_decide_about_itself(core: Core, spec: str) -> None:
    for verb in (core.trust.accept, core.trust.deny):
        with pytest.raises(ControlError, match="this node itself") as refused:
            await verb(spec)
        assert (refused.value.kind, refused.value.details) == ("conflict", {"reason": "self"})
        assert refused.value.hint
        assert "\n" not in refused.value.message + refused.value.hint
    assert list(core.registry) == []
    assert core.trust.verdict(SELF) == "accepted"


async def test_a_node_that_lists_itself_as_known_is_no_peer_of_its_own(tmp_path: Path) -> None:
    async with standing(tmp_path, trust="known", known=[SELF, BOB[:16]]) as core:
        assert [core.trust.verdict(node) for node in (BOB, CAROL)] == ["accepted", "denied"]
        assert list(core.registry) == []
        for spec in (SELF, SELF[:16], "alice"):
            with pytest.raises(ControlError) as refused:
                core.registry.find(spec)
            assert refused.value.kind == "unknown_peer"


async def test_every_peer_that_may_be_meant_is_named(core: Core) -> None:
    other = "k3v7zzzz" + "z" * 44
    core.registry.native(BOB, "bob", "x:1")
    core.registry.native(other, "zoe", "x:2")
    with pytest.raises(ControlError) as refused:
        await core.trust.deny("k3v7")
    assert refused.value.details["candidates"] == [0, 1]
    assert all(form in refused.value.hint for form in ("deny 0", "deny 1", BOB[:16], other[:16]))


async def test_whoever_has_an_id_for_a_name_is_not_decided_about(core: Core) -> None:
    liar = core.registry.native(CAROL, BOB, "x:1")
    assert (await core.trust.accept(BOB)).node == BOB
    assert (await core.trust.deny(BOB)).node == BOB
    assert liar.trust is None
    assert core.trust.verdict(CAROL) == "accepted"


async def test_sixteen_characters_of_an_id_are_listed_and_fifteen_are_not_it(tmp_path: Path) -> None:
    async with standing(tmp_path, trust="known", known=[BOB[:16]]) as core:
        assert core.trust.verdict(BOB) == "accepted"
        assert core.trust.verdict(BOB[:15] + "z" * 37) == "denied"


async def test_denying_cuts_every_link_and_ends_the_wish(core: Core) -> None:
    bob, link = core.up()
    second = FakeLink("out")
    core.registry.link_up(bob, second)
    core.registry.persistent.add(bob, "x:1")
    await core.trust.deny(bob.slot)
    assert (link.reason, second.reason) == ("denied", "denied")
    assert bob.persistent_addresses == []
    assert bob.state == "up"  # until its links have ended


async def test_denying_somebody_who_is_not_there_is_shown(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    core.registry.set_pending(bob, "x:1", "it waits")
    await core.trust.deny(str(bob.slot))
    assert (bob.state, bob.reason) == ("down", "denied")


async def test_forgetting_ends_name_slot_and_wish_but_never_the_marks(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, link = core.up()
        core.registry.persistent.add(bob, "x:1")
        core.journal.raise_watermark(BOB, "aaaaaaaa", 5)
        await core.trust.accept(BOB)
        assert await core.trust.forget("bob") is bob
        assert link.reason == "terminated"
        assert bob.persistent_addresses == []
        for spec in ("bob", BOB, bob.slot):
            with pytest.raises(ControlError):
                core.registry.find(spec)
    async with standing(tmp_path) as core:
        assert list(core.registry) == []
        assert core.journal.watermarks.committed(BOB) == ("aaaaaaaa", 5)


async def test_a_plain_peer_can_be_forgotten(core: Core) -> None:
    plain, link = core.plain_up()
    await core.trust.forget(plain.slot)
    assert link.reason == "terminated"


async def test_renaming_pins_the_name(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        core.registry.native(BOB, "bob", "x:1")
        stranger = core.registry.native(CAROL, "bob", "x:2")
        assert not stranger.pinned
        assert (await core.trust.rename(stranger.name, "carol")).name == "carol"
        assert stranger.pinned
    async with standing(tmp_path) as core:
        assert core.registry.find("carol").node == CAROL


@pytest.mark.parametrize("name", ["", "Bob", "12", "a b", "ä", "x" * 64, "a/b", "bob~x", "127.1", CAROL])
async def test_what_is_no_name_is_refused(core: Core, name: str) -> None:
    core.up()
    with pytest.raises(ControlError, match=re.escape(f"{name!r} is not a name")) as refused:
        await core.trust.rename("bob", name)
    assert refused.value.details == {"reason": "bad_name"}
    assert refused.value.kind == "conflict"


async def test_a_name_that_is_taken_is_a_conflict(core: Core) -> None:
    core.up()
    core.up(CAROL, "carol")
    with pytest.raises(ControlError, match="is the name of slot 0"):
        await core.trust.rename("carol", "bob")


async def test_who_has_no_node_id_cannot_be_decided_about_or_renamed(core: Core) -> None:
    plain, _ = core.plain_up()
    unmet = core.registry.at_address("10.0.0.3:7420")
    for peer, hint in ((plain, "a plain peer has no identity"), (unmet, "nobody has answered at its address yet")):
        for verb in (core.trust.accept, core.trust.deny):
            with pytest.raises(ControlError, match="has no node id") as refused:
                await verb(peer.slot)
            assert refused.value.details == {"reason": "no_identity"}
            assert hint in refused.value.hint
        with pytest.raises(ControlError, match="has no node id"):
            await core.trust.rename(peer.slot, "new")


async def test_a_decision_that_is_not_on_disk_is_not_called_done(core: Core) -> None:
    core.up()
    core.up(CAROL, "carol")
    await core.trust.accept(BOB)
    for verb in (core.trust.accept, core.trust.deny, core.trust.forget):
        core.world.fault = DiskFull("no room")
        with pytest.raises(ControlError) as refused:
            await verb(BOB)
        assert refused.value.kind == "storage_full"
    core.world.fault = DiskFull("no room")
    with pytest.raises(ControlError):
        await core.trust.rename("carol", "new")
