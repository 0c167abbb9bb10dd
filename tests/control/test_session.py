"""One client: order, bounds, hostile lines, and every way to disconnect. Real sockets and journal."""

import json
import logging
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.errors import ControlError
from chatd.journal.store import DiskFull
from tests.harness.cases import cases
from tests.harness.control_node import Client, FakeLink, Refused, Stand, request, result_of
from tests.harness.sessions import sessions_left


async def drained(client: Client) -> list[dict[str, Any]]:
    """All lines up to the end of the session."""
    lines = []
    while (line := await client.line()) is not None:
        lines.append(line)
    return lines


async def test_pipelined_sends_are_appended_and_answered_in_order(stand: Stand, client: Client) -> None:
    count = 500
    async with trio.open_nursery() as nursery:
        data = b"".join(request("send", index, peer=0, text=f"text {index}") for index in range(1, count + 1))
        nursery.start_soon(client.write, data)
        answers = await client.lines(count)
    assert [answer["id"] for answer in answers] == list(range(1, count + 1))
    positions = [int(result_of(answer)["id"].partition(":")[2]) for answer in answers]
    assert positions == list(range(positions[0], positions[0] + count))
    entries = (await stand.journal.read(positions[0] - 1)).entries
    assert [json.loads(entry.raw)["text"] for entry in entries] == [f"text {n}" for n in range(1, count + 1)]


async def test_a_send_is_answered_with_its_record(stand: Stand, client: Client) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    assert sent["id"].startswith(stand.journal.epoch + ":")
    assert sent["state"] == "queued"
    assert sent["peer"] == {"slot": 0, "name": "bob", "kind": "native", "node": stand.bob.node}


async def test_no_send_is_answered_before_its_commit_and_nothing_overtakes_it(stand: Stand, client: Client) -> None:
    await stand.journal.settled()
    with stand.holding_commits() as disk:
        await client.write(request("send", 1, peer=0, text="a") + request("whoami", 2) + request("myip", 3))
        assert result_of(await client.answer(3))  # not one that waits for the journal
        assert stand.journal.appended == stand.journal.committed + 1
        disk.release()
        assert [line["id"] for line in await client.lines(2)] == [1, 2]


async def test_a_send_whose_commit_fails_is_answered_with_that(stand: Stand, client: Client) -> None:
    await stand.journal.settled()
    with stand.holding_commits() as disk:
        disk.failure = DiskFull("full")
        await client.write(request("send", 1, peer=0, text="a") + request("send", 2, peer=0, text="b"))
        with trio.fail_after(10):
            while stand.journal.appended == stand.journal.committed:
                await trio.lowlevel.checkpoint()
        disk.release()
        for line in await client.lines(2):
            with pytest.raises(Refused) as caught:
                result_of(line)
            assert caught.value.kind == "storage_full"
            assert caught.value.data["retryable"] is True


async def test_refusals_keep_their_place_in_the_order(stand: Stand, client: Client) -> None:
    await client.write(
        request("send", 1, peer=0, text="a")
        + request("send", 2, peer="nobody", text="b")
        + request("send", 3, peer=0, text="c")
    )
    lines = await client.lines(3)
    assert [line["id"] for line in lines] == [1, 2, 3]
    assert lines[1]["error"]["code"] == 201
    assert lines[1]["error"]["data"]["kind"] == "unknown_peer"


async def test_open_requests_start_in_order_and_are_answered_when_done(stand: Stand, client: Client) -> None:
    for index in range(20):
        await client.post("connect", host=f"host{index}")
    await client.post("terminate", peer="bob")
    answer = await client.answer(21)
    assert result_of(answer)["queued"] == 3
    assert [entry[1] for entry in stand.dialer.asked] == [*(f"host{index}" for index in range(20)), "bob"]
    stand.dialer.let_go.set()
    assert {line["id"] for line in await client.lines(20)} == set(range(1, 21))


@pytest.mark.parametrize("stand", [{"requests_per_session": 2}], indirect=True)
async def test_a_session_with_too_many_open_requests_is_not_read(stand: Stand, client: Client) -> None:
    await client.write(request("wait", 1, for_="peers", count=2) * 2 + request("whoami", 3))
    await trio.testing.wait_all_tasks_blocked(0.01)
    with trio.move_on_after(0.01) as early:
        await client.line()
    assert early.cancelled_caught
    carol = stand.registry.native("c" * 52, "carol", "127.0.0.1:7422")
    stand.registry.link_up(carol, FakeLink())
    assert [line["id"] for line in await client.lines(3)] == [1, 1, 3]


@pytest.mark.parametrize("stand", [{"control_buffer_bytes": 4096}], indirect=True)
async def test_a_client_that_does_not_read_is_not_read(stand: Stand, client: Client) -> None:
    """The requests fit into no buffer, so writing them ends only if the client reads responses."""
    count = 8000
    written = False

    async def write() -> None:
        nonlocal written
        await client.write(b"".join(request("whoami", index) for index in range(count)))
        written = True

    async with trio.open_nursery() as nursery:
        await client.ask("whoami")
        (session,) = stand.server._sessions
        nursery.start_soon(write)
        with trio.fail_after(10):
            while session._responses.unsent < 4096:
                await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        assert not written
        assert session._responses.unsent < 4096 + 65536
        assert [line["id"] for line in await client.lines(count)] == list(range(count))


async def test_a_client_that_never_reads_is_cut_off(
    mock_clock: MockClock, stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    await stand.say(*("x" * 10_000 for _ in range(100)))
    client = await stand.connect()
    await client.post("subscribe", from_="start")
    await trio.testing.wait_all_tasks_blocked(0.05)
    with caplog.at_level(logging.WARNING):
        mock_clock.jump(stand.config.session_stall - 1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert caplog.text == ""
        mock_clock.rate = 100
        await sessions_left(stand)
    assert "it read nothing for " in caplog.text
    async with client.stream:
        other = await stand.connect()
        async with other.stream:
            assert (await other.ask("whoami"))["name"] == "alice"


@pytest.mark.parametrize("stand", [{"control_line_bytes": 4096}], indirect=True)
async def test_a_line_over_the_limit_is_answered_and_skipped(stand: Stand, client: Client) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.write, b"x" * 3_000_000 + b"\n" + request("whoami", 1))
        refused, answer = await client.lines(2)
    assert refused["id"] is None
    assert refused["error"]["data"]["kind"] == "too_large"
    assert answer["id"] == 1


async def test_hostile_lines_are_answered_and_the_session_goes_on(stand: Stand, client: Client) -> None:
    for line, code in cases(
        [
            (b"[" * 60_000, -32600),
            (b'{"jsonrpc":"2.0","id":1,"x":' + b"[" * 60_000, -32700),
            (b"\xff\xfe", -32700),
            (b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":0,"text":"\xc3"}}', -32602),
            (b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":0,"text":"\\udfff"}}', -32700),
            (b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":' + b"1" * 5000 + b',"text":"x"}}', -32602),
            (b'{"jsonrpc":"2.0","id":1,"method":"wait","params":{"for":"ready","timeout":NaN}}', -32700),
            (b'{"jsonrpc":"2.0","id":1,"method":"wait","params":{"for":"ready","timeout":1e999}}', -32602),
            (b'{"jsonrpc":"2.0","id":1,"method":"wait","params":{"for":"ready","timeout":-1}}', -32602),
            (b'[{"jsonrpc":"2.0","id":1,"method":"whoami"}]', -32600),
            (b'{"jsonrpc":"2.0","id":1,"method":"whoami","params":[]}', -32602),
            (b'{"jsonrpc":"2.0","id":1,"method":"who' + b"o" * 100_000 + b'"}', -32601),
            (
                b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":123456789012345678901234567890,"text":"x"}}',
                201,
            ),
            (b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":"\\u0000","text":"x"}}', 201),
            (b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":0,"text":"\\u0000"}}', 306),
            (b'{"jsonrpc":"2.0","id":1,"method":"send","params":{"peer":0,"text":""}}', 306),
            (b"null", -32600),
        ]
    ):
        await client.write(line + b"\n")
        answer = await client.line()
        assert answer is not None
        assert answer["error"]["code"] == code
        assert len(json.dumps(answer)) < 1000
        assert (await client.ask("whoami"))["name"] == "alice"


async def test_a_slot_of_many_digits_is_an_unknown_peer(stand: Stand, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("send", peer="9" * 5000, text="x")
    assert caught.value.kind == "unknown_peer"


async def test_empty_lines_are_nothing(stand: Stand, client: Client) -> None:
    await client.write(b"\n \r\n" + request("whoami", 1))
    assert (await client.lines(1))[0]["id"] == 1


async def test_an_unknown_method_names_the_nearest(stand: Stand, client: Client) -> None:
    with pytest.raises(Refused) as caught:
        await client.ask("histroy")
    assert caught.value.code == -32601
    assert "history" in caught.value.data["hint"]


async def test_a_notification_is_executed_and_not_answered(stand: Stand, client: Client) -> None:
    await client.write(request("send", peer=0, text="quiet") + request("send", peer=9, text="x") + request("nope"))
    await client.write(request("terminate", peer="bob"))
    await client.ask("send", peer=0, text="last")
    page = await client.ask("history", filter={"types": ["message"]})
    assert [event["text"] for event in page["events"]] == ["quiet", "last"]
    assert ("terminate", "bob") in stand.dialer.asked


async def test_ids_come_back_as_they_were(stand: Stand, client: Client) -> None:
    for id_ in (0, -5, 2**63 - 1, "", "a-b", None):
        await client.write(json.dumps({"jsonrpc": "2.0", "id": id_, "method": "whoami"}).encode() + b"\n")
        line = await client.line()
        assert line is not None
        assert line["id"] == id_


async def test_after_a_half_close_everything_is_answered(stand: Stand, client: Client) -> None:
    with stand.holding_commits() as disk:
        stand.dialer.let_go.set()
        await client.write(
            request("connect", 1, host="h") + request("send", 2, peer=0, text="a") + request("whoami", 3)[:-1]
        )
        await client.stream.send_eof()
        disk.release()
        assert {line["id"] for line in await drained(client)} == {1, 2, 3}


async def test_a_half_closed_subscriber_goes_on(stand: Stand, client: Client) -> None:
    await client.ask("subscribe")
    await client.stream.send_eof()
    await stand.say("still here")
    assert (await client.event())["event"]["text"] == "still here"


async def test_a_client_that_leaves_ends_its_session_and_what_it_had_open(stand: Stand) -> None:
    client = await stand.connect()
    await client.ask("subscribe")
    await client.write(request("wait", 9, for_="peers", count=99))
    await client.ask("whoami")
    await client.stream.aclose()
    await sessions_left(stand)


@pytest.mark.parametrize("stand", [{"requests_per_session": 1}], indirect=True)
async def test_a_client_that_leaves_at_a_bound_ends_its_session_too(stand: Stand) -> None:
    client = await stand.connect()
    await client.write(request("wait", 1, for_="peers", count=99) * 3)
    await trio.testing.wait_all_tasks_blocked(0.01)
    await client.stream.aclose()
    await sessions_left(stand)


async def test_what_was_sent_before_leaving_is_done(stand: Stand) -> None:
    client = await stand.connect()
    await client.write(b"".join(request("send", index, peer=0, text=f"t{index}") for index in range(300)))
    await client.stream.aclose()
    while stand.journal.committed < 301:
        await stand.journal.settled()
        await trio.lowlevel.checkpoint()
    await sessions_left(stand)


async def test_a_failed_open_request_is_answered(stand: Stand, client: Client) -> None:
    stand.dialer.failure = ControlError("connect_failed", "nobody answers", attempts=[["h:1", "refused"]])
    stand.dialer.let_go.set()
    with pytest.raises(Refused) as caught:
        await client.ask("connect", host="h", port=1)
    assert caught.value.kind == "connect_failed"
    assert caught.value.data["attempts"] == [["h:1", "refused"]]


@pytest.mark.parametrize("stand", [{"journal_pending_bytes": 65536}], indirect=True)
async def test_while_too_much_waits_for_its_commit_clients_are_not_read(stand: Stand, client: Client) -> None:
    await stand.journal.settled()
    with stand.holding_commits() as disk:
        count = 2000
        async with trio.open_nursery() as nursery:
            data = b"".join(request("send", index, peer=0, text="x" * 200) for index in range(count))
            nursery.start_soon(client.write, data)
            while stand.journal.has_capacity:
                await trio.lowlevel.checkpoint()
            await trio.testing.wait_all_tasks_blocked()
            assert stand.journal.appended - stand.journal.committed < count
            disk.release()
            assert len(await client.lines(count)) == count
