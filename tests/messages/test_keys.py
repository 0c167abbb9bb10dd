"""The same key is the same message, however often and whenever it is asked for, as long as the message lives."""

from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.journal.store import DiskFull
from chatd.messages import keys as keys_module
from chatd.messages.chat import Options
from chatd.peers.outbox import NoCapacity
from chatd.peers.peer import Peer
from tests.harness.parts import CAROL, Core, standing


async def send(core: Core, peer: Peer, text: str, key: str) -> tuple[int, bool]:
    """As `send --key` does it: the message's seq, and whether it was said just now."""
    while True:
        try:
            seq = core.chat.find_keyed(peer, text, key)
            if seq is not None:
                return seq, False
            core.chat.send(peer, text, Options(key=key))
            return core.journal.appended, True
        except NoCapacity as notyet:
            await notyet.wait()


async def look_up(core: Core, *keys: str) -> None:
    """What the disk knows of the keys is in memory."""
    with pytest.raises(NoCapacity) as notyet:
        core.chat.keys.prefetch(keys)
    await notyet.value.wait()


def rows(core: Core) -> list[tuple[str, int]]:
    found = core.journal.store.query("SELECT key, seq FROM keys ORDER BY seq")
    return [(key, seq) for key, seq in found]


async def test_the_same_key_is_the_same_message(core: Core) -> None:
    bob = core.away()
    first = await send(core, bob, "hi", "k1")
    assert first[0] > core.journal.committed
    assert await send(core, bob, "hi", "k1") == (first[0], False)
    other = await send(core, bob, "hi", "k2")
    assert other[1]
    assert bob.delivery.outbox.count == 2
    await core.commit()
    assert rows(core) == [("k1", first[0]), ("k2", other[0])]


async def test_one_that_was_not_asked_for_in_this_run_is_looked_up_first(core: Core) -> None:
    with pytest.raises(NoCapacity):
        core.chat.find_keyed(core.away(), "hi", "new")
    assert core.journal.appended == 2  # up and down: nothing was said


async def test_a_key_is_known_after_a_restart(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        seq, _ = await send(core, core.away(), "hi", "k")
        await core.commit()
    async with standing(tmp_path) as core:
        assert await send(core, core.registry.find("bob"), "hi", "k") == (seq, False)


async def test_a_key_is_known_after_thousands_of_others(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys_module, "KNOWN", 4096)
    bob = core.away()
    first, _ = await send(core, bob, "hi", "first")
    for number in range(5000):
        if number % 250 == 0:
            await look_up(core, *(f"key {number + further}" for further in range(250)))
        assert await send(core, bob, "hi", f"key {number}") == (first + 1 + number, True)
    core.chat.keys.prefetch([f"key {number}" for number in range(5000 - 4096, 5000)])
    with pytest.raises(NoCapacity):
        core.chat.keys.prefetch([f"key {5000 - 4097}"])
    await core.commit()
    assert await send(core, bob, "hi", "first") == (first, False)
    assert await send(core, bob, "hi", "key 4999") == (first + 5000, False)
    assert bob.delivery.outbox.count == 5001


async def test_a_key_is_not_said_before_its_commit_since_that_may_fail(core: Core) -> None:
    bob = core.away()
    await core.commit()
    await look_up(core, "k")
    core.world.fault = DiskFull("no room")
    seq, _ = await send(core, bob, "hi", "k")
    with pytest.raises(NoCapacity) as notyet:
        core.chat.find_keyed(bob, "hi", "k")
    await notyet.value.wait()
    await core.chat.send(bob, "another message")[1].wait()
    assert core.journal.committed == seq
    assert await send(core, bob, "hi", "k") == (seq + 1, True)


async def test_keys_that_will_be_asked_for_are_looked_up_together(tmp_path: Path) -> None:
    async with standing(tmp_path) as core:
        bob = core.away()
        known, _ = await send(core, bob, "hi", "key 7")
        await core.commit()
    async with standing(tmp_path) as core:
        keys = [f"key {number}" for number in range(256)]
        with pytest.raises(NoCapacity) as notyet:
            core.chat.keys.prefetch([*keys, "", "no\nkey", "x" * 300])
        calls = core.world.calls
        await notyet.value.wait()
        assert core.world.calls == calls + 1
        core.chat.keys.prefetch([*keys, ""])
        found = {key: core.chat.keys.find(key, bob.stream_id, "hi") for key in keys}
    assert {key: seq for key, seq in found.items() if seq is not None} == {"key 7": known}


async def test_what_is_said_while_it_is_looked_up_is_not_forgotten(core: Core) -> None:
    bob = core.away()
    await core.commit()

    async def say() -> None:
        await look_up(core, "k")
        core.chat.send(bob, "hi", Options(key="k"))

    core.world.hold()
    async with trio.open_nursery() as nursery:
        for task in (say, partial(look_up, core, "k", "other")):
            nursery.start_soon(task)
            await trio.testing.wait_all_tasks_blocked()
        core.world.let_go()
    assert await send(core, bob, "hi", "k") == (core.journal.committed, False)


async def test_a_key_that_is_pushed_out_of_memory_before_its_commit_is_still_found(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob = core.away()
    await look_up(core, *"0123")
    monkeypatch.setattr(keys_module, "KNOWN", 2)
    for key in "0123":
        core.chat.send(bob, "1", Options(key=key))
    with pytest.raises(NoCapacity):
        core.chat.keys.prefetch(["0"])
    assert (await send(core, bob, "1", "0"))[1] is False


@pytest.mark.parametrize(("name", "text"), [("carol", "hi"), ("bob", "hello")])
async def test_a_key_with_another_peer_or_text_is_a_conflict(core: Core, name: str, text: str) -> None:
    peers = {"bob": core.away(), "carol": core.away(CAROL, "carol")}
    await send(core, peers["bob"], "hi", "k")
    for _ in range(2):
        with pytest.raises(ControlError, match="another peer or text") as refused:
            await send(core, peers[name], text, "k")
        assert (refused.value.kind, refused.value.details) == ("conflict", {"reason": "key"})
        await core.commit()
    assert core.registry.outbox_totals.messages == 1


@pytest.mark.parametrize("key", ["", "x" * 257, "a\nb", "\x00", "\ud800", "\x1b[1m"], ids=repr)
async def test_what_is_no_key_is_refused(core: Core, key: str) -> None:
    with pytest.raises(ControlError) as refused:
        await send(core, core.away(), "hi", key)
    assert refused.value.kind == "bad_text"
    assert "printable" in refused.value.hint
    assert rows(core) == []


async def test_a_bad_text_is_told_before_its_key_is_looked_at(core: Core) -> None:
    with pytest.raises(ControlError, match="U\\+001B"):
        core.chat.find_keyed(core.away(), "\x1b", "k")


async def test_a_key_may_have_every_script(tmp_path: Path) -> None:
    keys = ("x" * 256, "schlüssel €😀", "'; DROP TABLE keys; --")
    async with standing(tmp_path) as core:
        seqs = {key: (await send(core, core.away(), "hi", key))[0] for key in keys}
        await core.commit()
    async with standing(tmp_path) as core:
        for key, seq in seqs.items():
            assert await send(core, core.registry.find("bob"), "hi", key) == (seq, False)


async def test_a_key_whose_message_was_not_committed_is_free(core: Core) -> None:
    bob = core.away()
    await core.commit()
    with pytest.raises(NoCapacity) as notyet:
        core.chat.find_keyed(bob, "hi", "k")
    await notyet.value.wait()
    core.world.fault = DiskFull("no room")
    assert core.chat.find_keyed(bob, "hi", "k") is None
    batch = core.chat.send(bob, "hi", Options(key="k"))[1]
    with pytest.raises(ControlError):
        await batch.wait()
    assert (await send(core, bob, "hello", "k"))[1]
    await core.commit()
    assert rows(core) == [("k", core.journal.committed)]


async def test_a_key_lives_as_long_as_its_message(core: Core) -> None:
    bob = core.away()
    seq, _ = await send(core, bob, "hi", "k")
    await core.commit()
    forget(core, seq)
    again, new = await send(core, bob, "hi", "k")
    assert new
    assert again > seq
    await core.commit()
    assert await send(core, bob, "something else", "free") == (again + 1, True)


async def test_below_the_floor_a_key_lives_as_long_as_its_message_is_owed(core: Core) -> None:
    bob = core.away()
    seq, _ = await send(core, bob, "hi", "k")
    await core.commit()
    core.journal.floor = seq  # everything is gone but what is owed
    for _ in range(3):
        assert await send(core, bob, "hi", "k") == (seq, False)
    forget(core, seq)
    assert (await send(core, bob, "hi", "k"))[1]


async def test_a_key_that_nobody_had_is_not_asked_for_again(core: Core) -> None:
    bob = core.away()
    with pytest.raises(NoCapacity) as notyet:
        core.chat.find_keyed(bob, "hi", "k")
    await notyet.value.wait()
    for _ in range(3):
        assert core.chat.find_keyed(bob, "hi", "k") is None


def forget(core: Core, seq: int) -> None:
    """What retention does, without its conditions."""
    for table in ("events", "keys"):
        core.journal.store.query(f"DELETE FROM {table} WHERE seq <= {seq}")
    core.journal.floor = seq
