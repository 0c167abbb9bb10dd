"""Room ports: binding, and the limits of connections."""

import socket
from typing import Any

import pytest
import trio
import trio.testing

from chatd.api.errors import ControlError
from chatd.config.values import parse_address
from chatd.failures import AddressInUse
from chatd.runtime import DialFailed
from tests.harness.linked_node import linking
from tests.harness.parts import World
from tests.harness.room_ports import NAME, rest, room_port_node

# -- the port


async def test_a_room_port_hosts_its_room_without_this_node_in_it() -> None:
    async with room_port_node() as node:
        assert node.room.label == "lobby@alice"
        assert node.room.users() == []
        assert node.room.ports == 2
        assert len(set(node.ports.addresses)) == 2


async def test_an_address_in_use_is_one_clear_line_and_frees_the_others() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        async with linking(room_port=[NAME, f"{taken}=den,dialect=name"]) as node:
            ports = node.room_ports
            with pytest.raises(AddressInUse, match=f"cannot listen on {taken}: .*another port with --room-port"):
                await ports.bind()
            with pytest.raises(DialFailed, match="refused"):
                await node.runtime.dial(*parse_address(ports.addresses[0]))


async def test_beyond_its_bound_a_room_is_full_and_those_without_a_name_make_way(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with room_port_node(room_members=2) as node:
        first = await node.named("first")
        silent = await node.dial()
        second = await node.named("second")
        assert await rest(silent) == (b"", "reset")
        for _ in range(3):
            assert (await rest(await node.dial()))[0] == b""
        assert first.over is second.over is None
    assert caplog.text.count("too many connections") == 1


async def test_public_addresses_have_their_bounds_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatd.net.admission._is_exempt", lambda host: False)
    async with room_port_node(links_per_address=2) as node:
        await node.named("one")
        two = await node.named("two")
        assert (await rest(await node.dial()))[0] == b""
        await two.leave()
        await node.users("two", gone=True)
        await trio.testing.wait_all_tasks_blocked(0.02)
        await node.named("three")


async def test_a_client_for_whom_there_is_no_place_gets_a_fin_and_then_a_reset() -> None:
    async with room_port_node(room_members=1) as node:
        await node.named("one")
        patient = await node.dial()
        await patient.send_all(b"bob\n")
        assert await patient.receive_some() == b""
        await patient.send_all(b"still there?\n")  # is read and dropped
        with pytest.raises(trio.BrokenResourceError):
            await talk_on(patient)
        polite = await node.dial()
        assert await polite.receive_some() == b""
        await polite.send_eof()
        assert await polite.receive_some() == b""


async def test_a_banned_address_is_not_let_in() -> None:
    async with room_port_node() as node:
        node.moderation.ban(node.room, (await node.unnamed()).address)
        for number in (0, 1):
            stream = await node.dial(number)
            if number == 0:
                await stream.send_all(b"bob\n")
            expected = (b"", "reset") if number else (b"127.0.0.1 is banned from lobby@alice\n", "eof")
            assert await rest(stream) == expected
        assert node.room.users() == []


async def test_where_there_is_no_room_to_lead_into_connections_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    async with room_port_node(World()) as node:
        node.rooms.host = no_room  # type: ignore[method-assign]
        assert (await rest(await node.dial()))[0] == b""
    assert "room port of lobby rejects all clients, its room cannot be hosted: no room for rooms" in caplog.text


async def talk_on(stream: trio.SocketStream) -> None:
    while True:
        await stream.send_all(b"x")
        await trio.sleep(0.01)


def no_room(name: str) -> Any:
    """Replacement for HostedRooms.host."""
    raise ControlError("rate_limited", "no room for rooms")
