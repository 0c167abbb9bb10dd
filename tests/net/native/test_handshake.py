"""Handshakes over real TLS, on a mock clock: what is said, in which order, and how each refusal is told."""

import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from chatd.net.native.handshake import LAST_WORDS_S, Established, HandshakeRefused, as_acceptor, as_dialer
from chatd.node import Node
from chatd.peers.identity import Identity, load_or_create
from chatd.runtime import Runtime
from chatd.wire.codec import encode
from chatd.wire.frames import Bye, Frame, Hello, PingFrame, Resume, Text
from tests.harness.cases import cases
from tests.harness.connections import in_memory
from tests.harness.handmade_peer import Handmade, hello, new_identity
from tests.harness.linked_node import linking
from tests.harness.parts import World

Script = Callable[[Handmade], Awaitable[object]]


class Outcome:
    """How a handshake ended for us, and all that the other side heard."""

    def __init__(self) -> None:
        self.established: Established | None = None
        self.refused: HandshakeRefused | None = None
        self.heard: list[Frame] = []
        self.seconds = 0.0  # that it took us

    @property
    def reason(self) -> str:
        assert self.refused is not None, "it was not refused"
        return self.refused.reason


async def shake(node: Node, script: Script, *, dial: str = "", identity: Identity | None = None) -> Outcome:
    """Our handshake (as the dialer, where it says why) against a script for the other side."""
    ours, theirs = in_memory()
    outcome = Outcome()
    whom, began = identity or new_identity(), trio.current_time()

    async def other() -> None:
        peer = await Handmade.over(theirs, whom, server_side=bool(dial))
        await script(peer)
        outcome.heard += await peer.rest()

    async with ours, theirs, trio.open_nursery() as nursery:
        nursery.start_soon(other)
        try:
            if dial:
                wanted = node.registry.at_address("127.0.0.1:7421")
                outcome.established = await as_dialer(node.handshake_parts, ours, dial, wanted)
            else:
                outcome.established = await as_acceptor(node.handshake_parts, ours, "127.0.0.1:50000")
        except HandshakeRefused as refused:
            outcome.refused = refused
        outcome.seconds = trio.current_time() - began
        await ours.aclose()
    return outcome


def says(*frames: Frame) -> Script:
    """A side that says those frames and then nothing."""

    async def script(peer: Handmade) -> None:
        await peer.send(*frames)

    return script


async def test_the_acceptor_answers_a_hello_with_its_own(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        said: list[Hello] = []

        async def script(peer: Handmade) -> None:
            await peer.send(hello(text_bytes=99, text_chars=7))
            said.append(await peer.until(Hello))

        outcome = await shake(node, script)
        assert outcome.established is not None
        peer = outcome.established.peer
        assert (peer.name, peer.text_bytes, peer.text_chars, peer.address) == ("handmade", 99, 7, "127.0.0.1:50000")
        assert (said[0].name, said[0].dial, said[0].epoch) == ("alice", "answer", node.journal.epoch)


async def test_the_dialer_speaks_first_and_waits_for_what_follows_the_answer(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        heard: list[Hello] = []

        async def script(peer: Handmade) -> None:
            heard.append(await peer.until(Hello))
            await peer.send(hello(dial="answer"), Resume("handmade", 0), Text("handmade", 1, "hi"))

        outcome = await shake(node, script, dial="connect")
        assert heard[0].dial == "connect"
        assert outcome.established is not None
        assert outcome.established.rest == [Resume("handmade", 0), Text("handmade", 1, "hi")]
        assert (outcome.established.peer.name, outcome.established.peer.slot) == ("handmade", 0)


async def test_anything_before_hello_is_a_protocol_error(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        for frame, dial in cases(product([PingFrame(1), Text("handmade", 1, "hi")], ["", "connect"])):
            outcome = await shake(node, says(frame), dial=dial)
            assert outcome.reason == "protocol"
            assert outcome.heard[-1] == Bye("protocol")
            assert outcome.seconds == LAST_WORDS_S  # the other side never closes
            assert [type(heard) for heard in outcome.heard[:-1]] == ([Hello] if dial else [])


async def test_a_frame_of_a_later_version_before_hello_is_skipped(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:

        async def script(peer: Handmade) -> None:
            await peer.send_raw(b"\x00\x00\x00\x03\x92\x1f\x01" + encode(hello()))
            await peer.until(Hello)

        assert (await shake(node, script)).established is not None


async def test_our_own_epoch_is_refused(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        for dial in cases(["", "connect"]):
            outcome = await shake(node, says(hello(epoch=node.journal.epoch)), dial=dial)
            assert outcome.reason == "protocol"
            assert "own journal" in str(outcome.refused)
            assert not list(node.registry) or dial


async def test_our_own_identity_is_refused(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        for dial in cases(["", "connect"]):
            outcome = await shake(node, says(), dial=dial, identity=node.identity)
            assert outcome.reason == "self"


async def test_a_bye_of_the_acceptor_is_no_link(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        for before, reason in cases(product([[], [hello(dial="answer")]], ["denied", "pending", "something_new"])):
            outcome = await shake(node, says(*before, Bye(reason)), dial="redial")
            assert outcome.refused is not None
            assert (outcome.reason, outcome.refused.theirs, outcome.seconds) == (reason, True, 0)


async def test_a_bye_of_the_dialer_is_no_link(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        outcome = await shake(node, says(Bye("duplicate")))
        assert (outcome.reason, outcome.heard) == ("duplicate", [])


async def test_silence_ends_with_a_timeout(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True), handshake_timeout=7.0) as node:
        outcome = await shake(node, says())
        assert (outcome.reason, outcome.seconds) == ("timeout", 7.0)


async def test_an_end_before_hello_is_told_as_closed(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        for dial in cases(["", "connect"]):
            outcome = await shake(node, lambda peer: peer.close(), dial=dial)
            assert outcome.reason == "closed"


async def test_a_certificate_of_another_authority_is_refused(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        ours, theirs = in_memory()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["chatd/1"])
        stranger = trio.SSLStream(theirs, context, https_compatible=False)

        async def other() -> None:
            with suppress(trio.BrokenResourceError):
                await stranger.do_handshake()  # TLS 1.3: it learns of the refusal with the first read
                assert await stranger.receive_some() == b""

        async with ours, theirs, trio.open_nursery() as nursery:
            nursery.start_soon(other)
            with pytest.raises(HandshakeRefused) as refused:
                await as_acceptor(node.handshake_parts, ours, "127.0.0.1:50000")
        assert refused.value.reason == "closed"
        assert str(refused.value).startswith("TLS: ")


async def test_tls_without_our_protocol_is_no_chatd(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        ours, theirs = in_memory()
        context = load_or_create(str(tmp_path)).client_context
        context.set_alpn_protocols(["h2"])
        stranger = trio.SSLStream(theirs, context, https_compatible=False)

        async def other() -> None:
            with suppress(trio.BrokenResourceError):
                await stranger.do_handshake()
                assert await stranger.receive_some() == b""

        async with ours, theirs, trio.open_nursery() as nursery:
            nursery.start_soon(other)
            with pytest.raises(HandshakeRefused) as refused:
                await as_acceptor(node.handshake_parts, ours, "127.0.0.1:50000")
        assert refused.value.reason == "closed"


async def test_whom_we_denied_hears_it_before_anything_else(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True), trust="known") as node:
        for dial in ("", "connect"):
            outcome = await shake(node, says(hello()), dial=dial)
            assert (outcome.reason, outcome.heard) == ("denied", [Bye("denied")])


async def test_a_stranger_that_is_pending_gets_hello_then_bye(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True), trust="pending") as node:
        outcome = await shake(node, says(hello()))
        assert outcome.reason == "pending"
        assert [type(frame) for frame in outcome.heard] == [Hello, Bye]
        (peer,) = node.registry
        assert (peer.state, peer.remembered) == ("pending", False)


async def test_the_mark_in_hello_is_the_committed_one(autojump_clock: MockClock) -> None:
    async with linking(World(inline=True)) as node:
        identity = new_identity()
        node.journal.raise_watermark(identity.node, "handmade", 5)
        await node.journal.settled()
        node.journal.watermarks.raise_appended(identity.node, "handmade", 9)
        said: list[Hello] = []

        async def script(peer: Handmade) -> None:
            await peer.send(hello())
            said.append(await peer.until(Hello))

        await shake(node, script, identity=identity)
        assert [(answer.mark_epoch, answer.mark_seq) for answer in said] == [("handmade", 5)]


@pytest.mark.parametrize("dial", ["", "connect"])
async def test_hello_waits_for_the_commit_of_what_former_links_have_received(dial: str) -> None:
    """The peer decides by it what became of messages that it has given up meanwhile."""

    class SlowDisk(Runtime):
        pause_s = 0.0

        async def in_thread(self, function: Callable[..., Any], *args: object) -> Any:
            await trio.sleep(self.pause_s)
            return await super().in_thread(function, *args)

    disk = SlowDisk()
    async with linking(disk) as node:
        identity, said = new_identity(), list[Hello]()

        async def script(peer: Handmade) -> None:
            if not dial:
                await peer.send(hello())
            said.append(await peer.until(Hello))
            if dial:
                await peer.send(hello(dial="answer"), Resume("handmade", 0))

        await node.journal.settled()
        disk.pause_s = 0.5
        node.journal.raise_watermark(identity.node, "handmade", 5)
        await shake(node, script, dial=dial, identity=identity)
        disk.pause_s = 0.0
        assert [(answer.mark_epoch, answer.mark_seq) for answer in said] == [("handmade", 5)]


@pytest.mark.parametrize("dial", ["", "connect"])
async def test_no_hello_gets_through_a_cut_however_early_it_has_come(dial: str) -> None:
    async with linking(allow_faults=True, handshake_timeout=1.0) as node:
        identity = new_identity()
        bob = node.registry.native(identity.node, "bob", "127.0.0.1:7421")
        node.faults.change([bob], "both", {"cut": True}, heal=False, lasting=None)
        outcome = await shake(node, says(hello()), dial=dial, identity=identity)
        assert (outcome.reason, outcome.heard) == ("timeout", [])
