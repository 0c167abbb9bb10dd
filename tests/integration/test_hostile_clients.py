"""Hostile clients of the control socket: the node, its peers and its other clients do not notice."""

import json
from contextlib import suppress

import pytest
import trio

from chatd.control.unix import Hangups
from tests.harness.network import TwoNodes
from tests.integration.test_hostile import chatting


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"[" * 60_000 + b"\n", id="deep nesting"),
        pytest.param(b'{"a":' * 60_000 + b"\n", id="deep objects"),
        pytest.param(b"\xff\xfe\xfd\n", id="invalid UTF-8"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":0,"text":"\\ud800"}}\n', id="surrogate"
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":1' + b"0" * 5000 + b"}}\n", id="number"
        ),
        pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"%s"}\n' % (b"x" * 5000), id="a method of 5,000 characters"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"terminate","params":{"peer":"%s"}}\n' % (b"x" * 5000),
            id="a peer of 5,000 characters",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"connect","params":{"host":"%s"}}\n' % (b"x." * 2500),
            id="a host of 5,000 characters",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"peer.rename","params":{"peer":0,"name":"%s"}}\n' % (b"x" * 5000),
            id="a name of 5,000 characters",
        ),
        pytest.param(b"x" * 2_000_000 + b"\n", id="a line over the limit"),
    ],
)
async def test_a_line_that_is_no_request_is_answered_and_the_session_goes_on(two_nodes: TwoNodes, line: bytes) -> None:
    a, b = await two_nodes()
    async with chatting(a, b), await a.open_session() as stream:
        await stream.send_all(line + b'{"jsonrpc":"2.0","id":"last","method":"whoami"}\n')
        received = b""
        while received.count(b"\n") < 2:
            received += await stream.receive_some()
        lines = [json.loads(answer) for answer in received.splitlines()]
        (answer,) = [answer for answer in lines if answer["id"] != "last"]
        assert "error" in answer
        assert len(answer["error"]["message"]) < 10_000


@pytest.mark.loopback
async def test_a_client_that_never_reads_while_events_flow_is_cut_off_alone(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(session_stall=0.5)
    hangups = Hangups()
    async with chatting(a, b), await a.open_session() as stream, trio.open_nursery() as nursery:
        await nursery.start(hangups.run)
        subscribe = b'{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"from":"start"}}\n'
        await stream.send_all(subscribe)
        await a.client.send_many("bob", ["x" * 10_000] * 300)
        await hangups.wait(stream.socket)
        nursery.cancel_scope.cancel()


@pytest.mark.loopback
async def test_a_client_that_asks_and_never_reads_is_not_read_any_more(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes(session_stall=0.5)
    asked = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n' * 1000
    async with chatting(a, b), await a.open_session() as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.send_all(asked * 1000)  # far more than is read while nothing is taken


@pytest.mark.loopback
async def test_thousands_of_clients_that_come_and_go(two_nodes: TwoNodes) -> None:
    a, b = await two_nodes()

    async def come_and_go() -> None:
        for _ in range(100):
            async with await a.open_session() as stream:
                with suppress(trio.BrokenResourceError):  # as many sessions as may be
                    await stream.send_all(b'{"jsonrpc":"2.0","id":1,"method":"subscribe"}\n{"jsonrpc"')

    async with chatting(a, b), trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(come_and_go)
    assert (await a.ask("health"))["healthy"]
