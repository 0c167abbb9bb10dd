"""One message by its id or its global id, over many epochs; and everything that is neither."""

from pathlib import Path

import pytest

from chatd.api.errors import ControlError
from chatd.api.events import Message
from chatd.peers.outbox import NoCapacity
from chatd.wire.frames import Text
from tests.harness.parts import BOB, CAROL, SELF, Core, standing

EPOCHS = ("aaaaaaaa", "bbbbbbbb", "cccccccc")


async def found(core: Core, message_id: str) -> str:
    """Its text."""
    event = (await core.chat.lookup.find_any(message_id)).event
    assert isinstance(event, Message)
    assert message_id in (event.id, event.global_id)
    return event.text


async def unknown(core: Core, message_id: str) -> ControlError:
    with pytest.raises(ControlError) as refused:
        await core.chat.lookup.find_any(message_id)
    assert refused.value.kind == "unknown_message"
    return refused.value


async def test_what_we_said_is_found_by_its_id_also_that_of_former_runs(tmp_path: Path) -> None:
    ids: list[str] = []
    for run in range(3):
        async with standing(tmp_path) as core:
            bob = core.away()
            for number in range(3):
                message, batch = core.chat.send(bob, f"{run} {number}")
                await batch.wait()
                ids.append(message.position)
            for index, message_id in enumerate(ids):
                assert await found(core, message_id) == f"{index // 3} {index % 3}"


async def test_what_we_said_under_a_former_key_is_found_by_the_global_id_that_it_had(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        message, batch = core.chat.send(core.away(), "before")
        await batch.wait()
        former, place = str(message.global_id), message.id
    async with standing(tmp_path, us="z" * 52) as core:
        assert await found(core, former) == await found(core, place) == "before"
        entry = await core.chat.lookup.find_any(f"{'z' * 52}/{place}")
        assert core.journal.position(entry.seq) == place  # so a peer knows it that it was sent to since
        await unknown(core, f"{CAROL}/{place}")


async def test_what_others_said_is_not_found_under_our_own_node_id(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text("a" * 8, 7, "direct")])
    await core.commit()
    assert await found(core, core.newest()) == "direct"
    await unknown(core, f"{SELF}/{core.newest()}")


async def test_what_others_said_is_found_by_its_global_id(core: Core) -> None:
    bob, link = core.up()
    carol, other = core.up(CAROL, "carol")
    ids: list[str] = []
    for epoch in EPOCHS:
        for seq in (3, 4, 9, 10, 400):
            core.chat.inbox.receive(bob, link, [Text(epoch, seq, f"{epoch}:{seq}")])
            core.chat.inbox.receive(carol, other, [Text("d" * 8, len(ids) + 1, "noise")])
            core.chat.send(bob, "ours")
            ids.append(f"{epoch}:{seq}")
    await core.commit()
    for position in ids:
        assert await found(core, f"{BOB}/{position}") == position
        await unknown(core, f"{CAROL}/{position}")
        await unknown(core, position)  # of another journal, and this node alone gives ids
    assert await found(core, f"{CAROL}/dddddddd:7") == "noise"
    for missing in ("aaaaaaaa:1", "aaaaaaaa:5", "bbbbbbbb:399", "cccccccc:401", "dddddddd:7", "zzzzzzzz:3"):
        await unknown(core, f"{BOB}/{missing}")


async def test_an_epoch_that_two_nodes_use_does_not_mix_up_their_messages(core: Core) -> None:
    bob, link = core.up()
    carol, other = core.up(CAROL, "carol")
    ours, _ = core.chat.send(bob, "ours")
    await core.commit()
    seq = core.journal.committed
    for peer, at, text in ((carol, other, "carol's"), (bob, link, "bob's")):
        core.chat.inbox.receive(peer, at, [Text("aaaaaaaa", seq, text)])
        await core.commit()
    assert await found(core, f"{BOB}/aaaaaaaa:{seq}") == "bob's"
    assert await found(core, f"{CAROL}/aaaaaaaa:{seq}") == "carol's"
    assert await found(core, ours.position) == await found(core, f"{SELF}/{ours.position}") == "ours"


async def test_only_verbs_that_look_across_nodes_take_a_global_id(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", 1, "hi")])
    await core.commit()
    with pytest.raises(ControlError) as refused:
        await core.chat.lookup.find(f"{BOB}/aaaaaaaa:1")
    assert (refused.value.kind, "chatctl msg" in refused.value.hint) == ("unknown_message", True)
    assert await found(core, core.newest()) == "hi"


async def test_a_search_in_many_messages_looks_at_few(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    bob, link = core.up()
    for start in range(0, 20_000, 1000):
        core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", seq * 3, f"{seq}") for seq in range(start, start + 1000)])
        await core.commit()
    looks = 0
    first_in = core.journal.store.first_in

    def counted(stream_id: int, after: int, through: int, rows: int) -> object:
        nonlocal looks
        looks += 1
        return first_in(stream_id, after, through, rows)

    monkeypatch.setattr(core.journal.store, "first_in", counted)
    for seq in (1, 2, 9_999, 13_371, 19_999):
        assert await found(core, f"{BOB}/aaaaaaaa:{seq * 3}") == f"{seq}"
        await unknown(core, f"{BOB}/aaaaaaaa:{seq * 3 + 1}")
    assert looks < 10 * 2 * 16


async def test_a_search_among_many_that_went_out_leaves_the_journal_to_others(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatd.messages.lookup.ROWS", 64)
    bob, link = core.up()
    for seq in (1, 2):
        core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", seq, f"{seq}")])
        for _ in range(4):
            core.chat.send_all(bob, ["out"] * 250)
        await core.commit()
    calls = core.world.calls
    assert await found(core, f"{BOB}/aaaaaaaa:2") == "2"
    assert await found(core, f"{BOB}/aaaaaaaa:1") == "1"
    await unknown(core, f"{BOB}/aaaaaaaa:3")
    assert core.world.calls - calls > 1000 / 64  # one search alone goes over a thousand rows


async def test_a_message_of_a_plain_peer_is_found_by_its_position(core: Core) -> None:
    peer, _ = core.plain_up()
    await core.chat.inbox.receive_plain(peer, ["hi"]).wait()
    entry = await core.chat.lookup.find(core.journal.position(core.journal.committed))
    assert core.chat.lookup.peer_of(entry) is peer


async def test_a_message_of_somebody_who_has_gone_is_of_nobody_who_has_that_slot_now(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        plain, _ = core.plain_up()
        slot = plain.slot
        await core.chat.inbox.receive_plain(plain, ["hello"]).wait()
        said = core.newest()
    async with standing(tmp_path) as core:
        bob, _ = core.up()
        assert bob.slot == slot
        entry = await core.chat.lookup.find(said)
        with pytest.raises(ControlError) as refused:
            core.chat.lookup.peer_of(entry)
        assert refused.value.kind == "unknown_peer"


async def test_what_is_not_committed_or_no_message_is_unknown(core: Core) -> None:
    bob, _ = core.up()
    await core.commit()
    await unknown(core, core.journal.position(core.journal.committed))  # peer.up
    core.world.hold()
    message, _ = core.chat.send(bob, "hi")
    await unknown(core, message.position)
    core.world.let_go()


async def test_a_position_of_another_epoch_of_ours_is_unknown(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        first = core.journal.epoch
        await core.chat.send(core.away(), "hi")[1].wait()
        newest = core.journal.committed
    async with standing(tmp_path) as core:
        assert await found(core, f"{first}:{newest}") == "hi"
        await unknown(core, f"{core.journal.epoch}:{newest}")
        await unknown(core, f"{first}:{newest + 1}")


@pytest.mark.parametrize(
    "garbage",
    [
        *(
            "",
            ":",
            "a:",
            ":1",
            "1",
            "aaaaaaaa",
            "aaaaaaaa:",
            "aaaaaaaa:-1",
            "aaaaaaaa:1.5",
            "aaaaaaaa: 1",
            "aaaaaaaa:²",
        ),
        *("/aaaaaaaa:1", f"{BOB}/", f"{BOB}/aaaaaaaa", f"{BOB}/aaaaaaaa:01", "bob/aaaaaaaa:1", f"{BOB}/" + "9" * 5000),
        *("aaaaaaaa:" + "9" * 18, "aaaaaaaa:" + "9" * 5000, "x" * 100_000, "aaaaaaaa:1:2", "\x00:1", "a\nb:1", "😀:1"),
    ],
    ids=lambda value: repr(value)[:30],
)
async def test_what_is_no_id_is_unknown(core: Core, garbage: str) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", 1, "hi")])
    await core.commit()
    assert len((await unknown(core, garbage)).message) < 200


async def test_what_a_forgotten_peer_said_is_found_by_its_id_only(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", 1, "hi")])
    await core.commit()
    position = core.journal.position(core.journal.committed)
    await core.trust.forget("bob")
    await unknown(core, f"{BOB}/aaaaaaaa:1")
    entry = await core.chat.lookup.find(position)
    with pytest.raises(ControlError) as refused:
        core.chat.lookup.peer_of(entry)
    assert refused.value.kind == "unknown_peer"
    again, _ = core.up()
    assert core.chat.lookup.peer_of(entry) is again
    assert again.node == BOB


async def test_who_has_to_keep_its_turn_is_slowed_for_one_look(core: Core) -> None:
    bob, link = core.up()
    core.chat.inbox.receive(bob, link, [Text("aaaaaaaa", 1, "hi")])
    await core.commit()
    known = core.newest()
    for message_id in (known, "aaaaaaaa:2") * 2:
        with pytest.raises(NoCapacity) as notyet:
            core.chat.lookup.find_now(message_id)
        await notyet.value.wait()
        if message_id == known:
            assert core.chat.lookup.find_now(message_id).type == "message"
        else:
            with pytest.raises(ControlError, match="there is no message"):
                core.chat.lookup.find_now(message_id)


async def test_what_nobody_asks_for_any_more_is_let_go(core: Core) -> None:
    for number in range(300):
        with pytest.raises(NoCapacity) as notyet:
            core.chat.lookup.find_now(f"aaaaaaaa:{number}")
        await notyet.value.wait()
    with pytest.raises(NoCapacity):
        core.chat.lookup.find_now("aaaaaaaa:43")
    for number in range(44, 300):
        with pytest.raises(ControlError, match="there is no message"):
            core.chat.lookup.find_now(f"aaaaaaaa:{number}")
