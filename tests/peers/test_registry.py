from pathlib import Path

import pytest

from chatd.api.errors import ControlError
from chatd.journal.store import DiskFull
from chatd.peers import registry as registry_module
from chatd.wire.frames import Text
from tests.harness.parts import BOB, CAROL, SELF, Core, FakeLink, standing

STRANGER = "k3v7zzzz" + "z" * 44


def not_found(core: Core, spec: int | str) -> ControlError:
    with pytest.raises(ControlError) as refused:
        core.registry.find(spec)
    return refused.value


async def test_slots_count_up_and_are_not_given_again_in_one_run(core: Core) -> None:
    first, _ = core.up()
    second, link = core.plain_up()
    core.registry.link_down(second, link)
    core.registry.forget(second)
    third, _ = core.up(CAROL, "carol")
    assert (first.slot, second.slot, third.slot) == (0, 1, 2)
    assert len({first.stream_id, second.stream_id, third.stream_id}) == 3
    assert core.registry.by_node(CAROL) is third
    assert core.registry.by_node(STRANGER) is None


async def test_a_slot_of_a_stranger_is_given_anew_after_a_restart_and_one_that_is_remembered_is_not(
    tmp_path: Path,
) -> None:
    async with standing(tmp_path) as core:
        known, stranger = core.registry.native(BOB, "bob", "x:1"), core.registry.native(CAROL, "carol", "x:2")
        core.registry.remembered.set_known(known)
        core.registry.set_pending(stranger, "x:2", "it waits")
        assert (known.slot, stranger.slot) == (0, 1)
        await core.commit()
    async with standing(tmp_path) as core:
        assert core.registry.find(0).node == BOB
        other = core.registry.native(STRANGER, "other", "x:3")
        assert (other.slot, other.stream_id > stranger.stream_id) == (1, True)


async def test_a_name_that_was_there_before_the_node_whose_id_begins_so_stays_but_decides_nothing(core: Core) -> None:
    early = core.registry.native(CAROL, BOB[:16], "x:1")
    bob = core.registry.native(BOB, "bob", "x:2")
    core.registry.remembered.set_known(bob)
    assert core.registry.find(BOB[:16]) is early
    assert core.registry.find(BOB) is bob
    assert await core.trust.deny(BOB[:16]) is bob
    assert early.trust is None


async def test_every_plain_connection_is_a_fresh_peer_named_by_its_address(core: Core) -> None:
    first, second = core.registry.plain("10.0.0.9:6000"), core.registry.plain("10.0.0.9:6000")
    assert first.slot != second.slot
    assert first.name == "10.0.0.9:6000"
    assert first.node is None


async def test_a_name_belongs_to_the_first_who_had_it(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "10.0.0.2:5000")
    stranger = core.registry.native(STRANGER, "bob", "10.0.0.66:5000")
    assert (bob.name, stranger.name) == ("bob", "bob~k3v7zzzz")
    assert core.registry.find("bob") is bob
    assert core.registry.find("bob~k3v7zzzz") is stranger
    assert core.registry.native(STRANGER, "bob", "10.0.0.66:5001") is stranger
    assert stranger.name == "bob~k3v7zzzz"
    assert stranger.ref.name == "bob~k3v7zzzz"
    assert stranger.ref.node == STRANGER


async def test_a_peer_that_says_another_name_keeps_the_pinned_one(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "10.0.0.2:5000")
    assert core.registry.native(BOB, "robert", "10.0.0.2:5001") is bob
    assert bob.name == "bob"
    assert bob.address == "10.0.0.2:5001"


async def dialed_bobs(core: Core) -> None:
    core.registry.native(BOB, "bob", "10.0.0.2:5000")
    wanted = core.registry.at_address("10.0.0.3:7420")
    assert core.registry.native(STRANGER, "bob", "10.0.0.3:7420", dialed=wanted) is wanted


async def test_a_known_name_at_an_address_of_ours_is_ambiguous_until_a_rename(core: Core) -> None:
    await dialed_bobs(core)
    refused = not_found(core, "bob")
    assert refused.kind == "ambiguous_peer"
    assert refused.details == {"candidates": [0, 1]}
    assert "slot 0: bob (k3v7abcd), slot 1: bob (k3v7zzzz)" in refused.message
    core.registry.rename(core.registry.find(1), "bert")
    assert core.registry.find("bob").slot == 0
    assert core.registry.find("bert").slot == 1


async def test_a_known_name_at_an_address_of_ours_is_ambiguous_until_one_is_forgotten(core: Core) -> None:
    await dialed_bobs(core)
    core.registry.forget(core.registry.find(0))
    assert core.registry.find("bob").slot == 1
    assert not_found(core, 0).kind == "unknown_peer"


async def test_a_node_at_the_address_of_another_one_stays_a_stranger_and_takes_no_name(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("10.0.0.3:7420"))
        core.registry.persistent.add(bob, "10.0.0.3:7420")
        await core.commit()
        liar = core.registry.native(STRANGER, "bob", "x", dialed=bob)
        assert (liar.name, liar.pinned, liar.persistent_addresses) == ("bob~k3v7zzzz", False, ["10.0.0.3:7420"])
        await core.commit()
    async with standing(tmp_path) as core:
        liar = core.registry.at_address("10.0.0.3:7420")
        assert liar.node == STRANGER
        core.registry.native(STRANGER, "bob", "x", dialed=liar)  # redialed
        assert not liar.known
        assert core.registry.find("bob").node == core.registry.find("k3v7").node == BOB


async def test_a_node_that_comes_back_to_its_address_gets_its_wish_back(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("10.0.0.3:7420"))
    core.registry.persistent.add(bob, "10.0.0.3:7420")
    liar = core.registry.native(STRANGER, "bob", "x", dialed=bob)
    assert core.registry.native(BOB, "bob", "x", dialed=liar) is bob
    assert (bob.persistent_addresses, bob.known, liar.persistent_addresses, liar.known) == (
        ["10.0.0.3:7420"],
        True,
        [],
        False,
    )


async def test_a_name_that_another_has_cannot_be_taken(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    carol = core.registry.native(CAROL, "carol", "x:2")
    with pytest.raises(ControlError, match="'bob' is the name of slot 0"):
        core.registry.rename(carol, "bob")
    core.registry.rename(bob, "bob")
    assert carol.name == "carol"


async def test_a_peer_is_looked_up_by_slot_address_id_name_and_prefix_in_this_order(core: Core) -> None:
    named_like_a_prefix = core.registry.native(CAROL, "k3v7", "x:2")  # before a node with such an id was known
    bob, link = core.up()
    link.address = "10.0.0.2:41000"
    by_digits = core.registry.native("2222" + "a" * 48, "one", "x:1")
    for peer in (bob, named_like_a_prefix, by_digits):
        core.registry.remembered.set_known(peer)
    assert core.registry.find(1) is core.registry.find("1") is bob
    assert core.registry.find("10.0.0.2:5000") is core.registry.find("10.0.0.2:41000") is bob
    assert core.registry.find("k3v7") is named_like_a_prefix
    assert core.registry.find("k3v7a") is core.registry.find(BOB) is bob
    assert core.registry.find("cccc") is named_like_a_prefix
    assert not_found(core, "2222").kind == "unknown_peer"  # digits are a slot
    assert core.registry.find("2222a") is by_digits


async def test_what_nobody_is_called_is_unknown(core: Core) -> None:
    core.up()
    for spec in ("nobody", "k3v", "", "10.0.0.2:1", "7", 7, -1, "9" * 6000, "²", "K3V7"):
        assert not_found(core, spec).kind == "unknown_peer"


async def test_two_known_ids_with_the_same_beginning_are_ambiguous(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    stranger = core.registry.native(STRANGER, "stranger", "x:2")
    core.registry.remembered.set_known(bob)
    assert core.registry.find("k3v7") is bob  # a stranger does not count
    core.registry.remembered.set_known(stranger)
    assert not_found(core, "k3v7").details == {"candidates": [0, 1]}


@pytest.mark.parametrize("length", [4, 8, 11])
async def test_a_stranger_is_not_found_by_less_than_twelve_characters_of_its_id(core: Core, length: int) -> None:
    bob, _ = core.up()
    refused = not_found(core, BOB[:length])
    assert (refused.kind, refused.details) == ("unknown_peer", {"reason": "short_prefix"})
    assert "12 characters" in refused.hint
    assert refused.hint.endswith(f"its slot: {bob.slot}")
    assert core.registry.find(BOB[:12]) is bob
    assert "12 characters" not in not_found(core, "zzzz").hint
    core.registry.remembered.set_known(bob)
    assert core.registry.find(BOB[:length]) is bob


async def test_a_whole_id_is_that_node_or_none_whatever_others_call_themselves(core: Core) -> None:
    liar = core.registry.native(CAROL, BOB, "x:1")
    assert not_found(core, BOB).kind == "unknown_peer"
    assert liar.name == f"{BOB}~cccccccc"
    bob = core.registry.native(BOB, "bob", "x:2")
    assert core.registry.find(BOB) is bob


@pytest.mark.parametrize("dialed", [False, True])
@pytest.mark.parametrize(
    "name",
    [BOB[:4], BOB[:8], BOB, STRANGER, SELF[:4], "alice", "7", "127.1", "0x7f.1", "10.0.0.1", "cccc", "10.0.0.2:7420"],
)
async def test_a_name_that_reads_as_something_else_is_not_pinned(core: Core, name: str, dialed: bool) -> None:
    core.registry.native(BOB, "bob", "10.0.0.2:5000")
    wanted = core.registry.at_address("10.0.0.3:7420") if dialed else None
    liar = core.registry.native(CAROL, name, "10.0.0.66:1", dialed=wanted)
    assert (liar.name, liar.pinned) == (f"{name}~cccccccc", False)
    assert core.registry.find(f"{name}~cccccccc") is liar


async def test_a_name_that_is_there_keeps_its_meaning_whatever_ids_come(core: Core) -> None:
    honest = core.registry.native(CAROL, BOB[:6], "10.0.0.2:5000")
    stranger = core.registry.native(BOB, "mallory", "10.0.0.66:1")
    for _ in range(2):
        assert core.registry.find(BOB[:6]) is honest
        assert core.registry.native(CAROL, BOB[:6], "10.0.0.2:5001").name == BOB[:6]
        core.registry.remembered.set_known(stranger)
    assert core.registry.find(BOB[:5]) is stranger


@pytest.mark.parametrize("name", ["www.example.com", "k3v", "k3v7-a", "k3v7zz", "0x7g", "10.0.0.300", "a.b", "1e3"])
async def test_every_other_name_is_pinned(core: Core, name: str) -> None:
    core.registry.native(BOB, "bob", "10.0.0.2:5000")
    peer = core.registry.native(CAROL, name, "x:1")
    assert (peer.name, peer.pinned) == (name, True)


async def test_a_name_that_is_made_here_is_that_of_one_node(core: Core) -> None:
    ground = BOB[:9] + "z" * 43  # an id that was made to begin like another one
    core.registry.native(CAROL, "bob", "x:1")
    names = [core.registry.native(node, "bob", "x:2").name for node in (BOB, ground)]
    assert names == ["bob~k3v7abcd", "bob~k3v7abcdb"]
    assert [core.registry.find(name).node for name in names] == [BOB, ground]


async def test_a_node_that_comes_later_does_not_change_what_a_name_means(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        early = core.registry.native(CAROL, "k3v7", "x:1", dialed=core.registry.at_address("x:1"))
        bob = core.registry.native(BOB, "bob", "x:2", dialed=core.registry.at_address("x:2"))
        core.registry.native(STRANGER, "k3v7", "x:3", dialed=core.registry.at_address("x:3"))
        assert core.registry.find("k3v7") is early
        await core.commit()
    async with standing(tmp_path) as core:
        assert core.registry.find("k3v7").node == CAROL
        assert core.registry.find(BOB).name == bob.name == "bob"
        assert core.registry.find(STRANGER).name == "k3v7~k3v7zzzz"


async def test_an_address_is_the_peer_that_is_dialed_there(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("10.0.0.2:7420"))
    liar, link = core.up(CAROL, "carol")
    liar.address = link.address = "10.0.0.2:7420"
    assert core.registry.find("10.0.0.2:7420") is bob  # it was dialed there last
    assert core.registry.at_address("10.0.0.2:7420") is bob
    core.registry.remembered.set_known(liar)
    core.registry.persistent.add(bob, "10.0.0.2:7420")
    assert core.registry.find("10.0.0.2:7420") is bob
    assert core.registry.at_address("10.0.0.2:7420") is bob


async def test_a_stranger_that_comes_from_an_address_is_not_who_is_dialed_there(core: Core) -> None:
    liar, link = core.up(CAROL, "carol")
    link.address = "10.0.0.2:5000"
    assert core.registry.find("10.0.0.2:5000") is liar
    assert core.registry.at_address("10.0.0.2:5000") is not liar


async def test_a_peer_is_known_once_it_was_dialed_named_or_sent_to(core: Core) -> None:
    dialed = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
    named = core.registry.native(CAROL, "carol", "x:2")
    sent_to = core.registry.native(STRANGER, "stranger", "x:3")
    plain, _ = core.plain_up()
    assert [peer.known for peer in (dialed, named, sent_to, plain)] == [True, False, False, False]
    core.registry.rename(named, "carola")
    core.chat.send(sent_to, "hi")
    core.chat.send(plain, "hi")
    assert all(peer.known for peer in (dialed, named, sent_to, plain))


async def test_who_only_wrote_to_us_or_was_denied_stays_a_stranger(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, link = core.up()
        core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", 1, "hi")])
        carol, _ = core.up(CAROL, "carol")
        await core.trust.deny(carol.slot)
        assert not bob.known
        assert not carol.known
        core.chat.send(bob, "hi")
        await core.commit()
    async with standing(tmp_path) as core:
        assert [core.registry.find(node).known for node in (BOB, CAROL)] == [True, False]


async def test_who_is_listed_in_the_configuration_is_known(tmp_path: Path) -> None:
    async with standing(tmp_path, known=[BOB[:16]]) as core:
        bob, _ = core.up()
        carol, _ = core.up(CAROL, "carol")
        assert (bob.known, carol.known) == (True, False)
        assert core.registry.find(BOB[:4]) is bob


async def test_what_is_dialed_is_known_after_a_restart_too(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        core.registry.persistent.add(core.registry.at_address("10.0.0.3:7420"), "10.0.0.3:7420")
        core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
        await core.commit()
    async with standing(tmp_path) as core:
        assert [peer.known for peer in core.registry] == [True, True]


@pytest.mark.parametrize("name", ["alice", "k3v7", "bob"])
async def test_a_peer_cannot_be_given_a_name_that_means_another_node(core: Core, name: str) -> None:
    core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
    carol = core.registry.native(CAROL, "carol", "x:2")
    with pytest.raises(ControlError) as refused:
        core.registry.rename(carol, name)
    assert refused.value.kind == "conflict"
    core.registry.rename(carol, "cccc")  # begins its own id
    assert core.registry.find("cccc") is carol


async def test_names_of_nodes_of_the_network_follow_the_same_rules(core: Core) -> None:
    core.registry.native(BOB, "bob", "x:1")
    others = {letter: letter * 52 for letter in "defghij"}
    claims = {
        SELF: "not-alice",
        BOB: "robert",
        others["d"]: "dora",
        others["e"]: "bob",
        others["f"]: "alice",
        others["g"]: "dddd",
        others["h"]: "twin",
        others["i"]: "twin~xyz",
        others["j"]: "slot 3",
    }
    names = core.registry.naming.names_of(claims)
    assert names == {
        SELF: "alice",
        BOB: "bob",
        others["d"]: "dora",
        others["e"]: "bob~eeeeeeee",
        others["f"]: "alice~ffffffff",
        others["g"]: "dddd~gggggggg",
        others["h"]: "twin~hhhhhhhh",
        others["i"]: "twin~iiiiiiii",
        others["j"]: "jjjjjjjjjjjj",
    }


async def test_a_node_is_meant_by_its_name_and_by_its_id(core: Core) -> None:
    core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
    core.registry.at_address("10.0.0.3:7420")
    specs = ("alice", SELF, SELF[:4], "bob", BOB, BOB[:4], "10.0.0.3:7420", "nobody")
    assert [core.registry.naming.resolve(spec) for spec in specs] == [SELF, SELF, SELF, BOB, BOB, BOB, "", None]


@pytest.mark.parametrize("length", [4, 8, 11])
async def test_a_beginning_of_our_own_id_that_finds_a_peer_too_is_ambiguous(core: Core, length: int) -> None:
    spec, node_of = SELF[:length], core.registry.naming.resolve
    liar = core.registry.native(SELF[:11] + "b" * 41, "mallory", "x:1")
    assert node_of(spec) == SELF  # a stranger is not found by so little of its id
    core.registry.remembered.set_known(liar)
    with pytest.raises(ControlError) as refused:
        node_of(spec)
    assert (refused.value.kind, refused.value.details) == ("ambiguous_peer", {"candidates": [liar.slot]})
    assert refused.value.message == f"{spec!r} may be this node, slot 0: mallory (ssssssss)"
    assert [node_of(SELF), node_of(SELF[:12]), node_of("mallory")] == [SELF, SELF, liar.node]


async def test_a_name_that_was_given_here_is_meant_before_the_beginning_of_our_own_id(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x:1")
    core.registry.rename(bob, SELF[:4])
    core.registry.remembered.set_known(core.registry.native(SELF[:5] + "b" * 47, "mallory", "x:2"))
    assert core.registry.naming.resolve(SELF[:4]) == BOB


async def test_of_plain_peers_with_one_address_the_live_one_is_meant(core: Core) -> None:
    gone, link = core.plain_up()
    core.registry.link_down(gone, link)
    assert core.registry.find("10.0.0.9:6000") is gone
    here, _ = core.plain_up()
    assert core.registry.find("10.0.0.9:6000") is here


async def test_the_same_address_is_dialed_for_the_same_peer(core: Core) -> None:
    wanted = core.registry.at_address("10.0.0.3:7420")
    assert core.registry.at_address("10.0.0.3:7420") is wanted
    plain = core.registry.at_address("10.0.0.3:7420", "plain")
    assert plain is not wanted
    assert plain.kind == "plain"
    assert core.registry.at_address("10.0.0.3:7420", "plain") is not plain  # it was never up
    core.registry.persistent.add(plain, "10.0.0.3:7420")
    assert core.registry.at_address("10.0.0.3:7420", "plain") is plain


async def test_an_address_that_turns_out_to_be_somebody_known_is_merged(core: Core) -> None:
    bob, _ = core.up()
    wanted = core.registry.at_address("10.0.0.3:7420")
    core.registry.persistent.add(wanted, "10.0.0.3:7420")
    assert core.registry.native(BOB, "bob", "x", dialed=wanted) is bob
    assert bob.persistent_addresses == [bob.address] == ["10.0.0.3:7420"]
    assert not_found(core, wanted.slot).kind == "unknown_peer"
    assert bob.remembered


async def test_another_node_at_a_known_address_takes_its_wish(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("10.0.0.3:7420"))
    core.registry.persistent.add(bob, "10.0.0.3:7420")
    core.registry.set_state(bob, "dialing")
    carol = core.registry.native(CAROL, "carol", "x", dialed=bob)
    assert carol is not bob
    assert [peer.persistent_addresses for peer in (carol, bob)] == [["10.0.0.3:7420"], []]
    assert (bob.state, bob.reason) == ("down", "another node answers at its address")
    bob.links.append(FakeLink())
    core.registry.native(CAROL, "carol", "x", dialed=bob)
    assert core.registry.by_node(BOB) is bob


async def test_peers_that_we_dialed_are_remembered_and_strangers_are_not(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        dialed = core.registry.at_address("10.0.0.3:7420")
        core.registry.plain("10.0.0.9:6000")
        core.registry.native(STRANGER, "stranger", "x:1")
        core.registry.native(BOB, "bob", "x", dialed=dialed)
        dialed.trust = "accepted"
        core.registry.rename(dialed, "robert")
        await core.commit()
    async with standing(tmp_path) as core:
        assert [peer.name for peer in core.registry] == ["robert"]
        robert = core.registry.find("robert")
        assert (robert.slot, robert.node, robert.address) == (0, BOB, "10.0.0.3:7420")
        assert (robert.pinned, robert.trust, robert.state) == (True, "accepted", "down")
        assert robert.stream_id == dialed.stream_id
        assert core.registry.native(BOB, "bob", "10.0.0.7:1") is robert
        assert robert.address == "10.0.0.3:7420"
        assert core.registry.plain("x").slot == 1


async def test_topics_are_not_given_again_after_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        core.up()
        plain, _ = core.plain_up()
        await core.chat.inbox.receive_plain(plain, ["hi"]).wait()
    async with standing(tmp_path) as core:
        assert core.registry.plain("x").stream_id > plain.stream_id


async def test_what_was_not_acknowledged_is_known_again_after_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, _ = core.up()
        carol, _ = core.up(CAROL, "carol")
        for text in "1", "2", "3":
            core.chat.send(bob, text)
            core.chat.send(carol, text)
        await core.commit()
        await core.write(bob)
        assert core.chat.acknowledge(bob, core.journal.epoch, bob.delivery.outbox.first)
        core.registry.remembered.add(bob)
        await core.commit()
    async with standing(tmp_path) as core:
        assert core.registry.find("bob").record().queued == 2
        assert core.registry.find("carol").record().queued == 3


async def test_a_peer_that_is_up_stays_so_whoever_fails_to_dial_it(core: Core) -> None:
    bob, link = core.up()
    core.registry.set_state(bob, "dialing", "connection refused")
    assert (bob.state, bob.reason) == ("up", None)
    core.registry.link_down(bob, link)
    core.registry.set_state(bob, "dialing", "connection refused")
    assert (bob.state, bob.reason) == ("dialing", "connection refused")


async def test_a_forgotten_peer_is_gone_for_good(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
        core.registry.forget(bob)
        assert core.registry.by_node(BOB) is None
        again = core.registry.native(BOB, "bob", "x:2")
        core.registry.remembered.add(again)
        await core.commit()
        assert again.slot != bob.slot
        assert again.name == "bob"
    async with standing(tmp_path) as core:
        assert [peer.slot for peer in core.registry] == [again.slot]


async def test_a_peer_whose_forgetting_met_a_full_disk_may_come_back(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
    await core.commit()
    core.world.fault = DiskFull("no room")
    batch = core.registry.forget(bob)
    assert batch is not None
    await core.commit()
    assert batch.error is not None
    again = core.registry.native(BOB, "bob", "x:2")
    await core.registry.remembered.add(again).wait()
    assert core.journal.store.query("SELECT id, node FROM peers") == [(again.stream_id, BOB)]


async def test_what_could_not_be_forgotten_goes_with_the_next_commit(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "x", dialed=core.registry.at_address("x:1"))
    core.registry.persistent.add(bob, "x:1")
    await core.commit()
    core.world.fault = DiskFull("no room")
    core.registry.forget(bob)
    await core.commit()
    core.plain_up()
    await core.commit()
    for table in ("peers", "wishes"):
        assert core.journal.store.query(f"SELECT count(*) FROM {table}") == [(0,)]


async def test_forgetting_ends_everything_that_is_owed(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob, link = core.up()
        core.chat.send(bob, "hi")
        core.journal.execute("INSERT INTO outcomes VALUES (6, ?, 'expired', 1)", bob.stream_id)
        core.journal.execute("INSERT INTO outcomes VALUES (7, ?, 'expired', 0)", bob.stream_id)
        core.journal.execute("INSERT INTO outcomes VALUES (8, 99, 'expired', 1)")
        core.journal.execute("INSERT INTO expiries VALUES (7, ?, 9, 9)", bob.stream_id)
        core.journal.flush()
        await core.commit()
        batch = core.registry.forget(bob)
        assert batch is not None
        await batch.wait()
        core.registry.link_down(bob, link)
        core.journal.flush()
        await core.commit()
        assert core.registry.outbox_totals.messages == 0
        query = core.journal.store.query
        assert query("SELECT messages, bytes, written FROM outboxes WHERE topic = ?", bob.stream_id) == [(0, 0, 0)]
        assert query("SELECT count(*) FROM expiries WHERE topic = ?", bob.stream_id) == [(0,)]
        assert query("SELECT seq FROM outcomes ORDER BY seq") == [(6,), (8,)]  # what had ended has ended


async def test_who_is_forgotten_while_it_is_dialed_comes_back_as_a_stranger(core: Core) -> None:
    unmet = core.registry.at_address("10.0.0.3:7420")
    core.registry.persistent.add(unmet, "10.0.0.3:7420")
    core.registry.forget(unmet)
    bob = core.registry.native(BOB, "bob", "10.0.0.3:7420", dialed=unmet)
    assert bob is not unmet
    assert core.registry.find("bob") is bob
    assert not bob.remembered


async def test_who_is_forgotten_while_it_shakes_hands_is_hung_up_on(core: Core) -> None:
    bob = core.registry.native(BOB, "bob", "10.0.0.2:5000")
    core.registry.forget(bob)
    link = FakeLink()
    core.registry.link_up(bob, link)
    assert link.reason == "terminated"


async def test_strangers_that_are_gone_do_not_fill_the_memory(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "GONE_PEERS", 10)
    monkeypatch.setattr(registry_module, "PENDING_PEERS", 5)
    kept, _ = core.up()
    wanted = core.registry.at_address("10.0.0.3:7420")
    core.registry.persistent.add(wanted, "10.0.0.3:7420")
    remembered = core.registry.native(CAROL, "carol", "x", dialed=core.registry.at_address("x:1"))
    for number in range(200):
        core.registry.plain(f"10.1.0.9:{number}")
        core.registry.set_pending(core.registry.native(f"{number:052}", f"n{number}x", "x:1"), "x:1", "it waits")
    states = [peer.state for peer in core.registry]
    assert states.count("pending") <= 5 + registry_module.SWEEP_EVERY
    assert states.count("down") <= 10 + 2 + registry_module.SWEEP_EVERY
    assert {kept, wanted, remembered} <= set(core.registry)
    assert core.registry.find("10.1.0.9:199").state == "down"
    assert not_found(core, "10.1.0.9:0").kind == "unknown_peer"
