"""References: a peer may name only our messages to that very peer, wherever they are kept."""

import tracemalloc
from pathlib import Path

import pytest

from chatd.messages import references as claims_module
from chatd.wire.frames import Text
from tests.harness.parts import CAROL, Core, World, standing


async def test_only_messages_to_that_peer_are_its_to_speak_of(core: Core) -> None:
    bob, _ = core.up()
    carol, _ = core.up(CAROL, "carol")
    plain, _ = core.plain_up()
    (to_bob, _), (to_carol, _), (to_plain, _) = (core.chat.send(peer, "hi") for peer in (bob, carol, plain))
    await core.chat.inbox.receive_plain(plain, ["in"]).wait()
    heard = core.newest()
    ours = core.journal.epoch
    named = [to_bob.id, to_carol.id, to_plain.id, heard, f"{ours}:1", f"{ours}:0", f"{ours}:999", "zzzzzzzz:2"]
    assert set(await core.references(bob, *named)) == {to_bob.id}
    assert set(await core.references(carol, *named)) == {to_carol.id}


async def test_a_message_from_that_peer_is_not_its_to_speak_of(core: Core) -> None:
    bob, link = await core.linked()
    core.chat.inbox.receive(bob, link, [Text("epochbob", 1, "hi")])
    await core.commit()
    heard = core.newest()
    assert (await core.chat.lookup.find(heard)).stream_id == bob.stream_id
    assert not await core.references(bob, heard)


async def test_a_message_that_is_not_committed_was_never_sent(core: Core) -> None:
    bob, _ = core.up()
    await core.commit()
    core.world.hold()
    message, _ = core.chat.send(bob, "hi")
    assert not await core.references(bob, message.id)
    core.world.let_go()


async def test_older_messages_are_looked_up_on_disk_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims_module, "CHUNK", 10)
    async with standing(tmp_path) as core:
        bob, _ = core.up()
        messages, batch = core.chat.send_all(bob, ["hi"] * 25)
        await batch.wait()
        ids = [message.id for message in messages]
        epoch = core.journal.epoch
    async with standing(tmp_path, World(inline=True)) as core:
        bob, _ = core.up()
        await core.commit()
        calls = core.world.calls
        found = await core.references(bob, *ids, f"{epoch}:9999", f"{core.journal.epoch}:{ids[0].partition(':')[2]}")
        assert core.world.calls - calls == 3
        assert sorted(found) == sorted(ids)
        assert {entry.seq for entry in found.values()} == {int(one.partition(":")[2]) for one in ids}


async def test_thousands_of_long_messages_that_are_named_at_once_take_little_memory(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        messages, batch = core.chat.send_all(core.away(), ["x" * 16_000] * 300)
        await batch.wait()
    async with standing(tmp_path) as core:
        bob, _ = core.up()
        tracemalloc.start()
        try:
            assert len(await core.references(bob, *(message.id for message in messages))) == 300
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 1_000_000  # their texts alone are 4,800,000 bytes


async def test_what_retention_has_taken_is_not_known(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        message, batch = core.chat.send(core.away(), "hi")
        await batch.wait()
    async with standing(tmp_path) as core:
        bob, _ = core.up()
        assert await core.references(bob, message.id)
        await core.journal.ask(lambda store: store.query("DELETE FROM events"))
        assert not await core.references(bob, message.id)
