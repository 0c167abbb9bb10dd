"""The listener: which and how many clients it accepts, and the end of all sessions."""

import contextlib
import errno
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from chatd.api.errors import TABLE, ControlError
from chatd.api.events import DaemonStop
from chatd.control import server, session, session_limit, unix
from chatd.control.methods.method import Method
from chatd.control.methods.table import METHODS
from chatd.control.server import ControlServer
from chatd.failures import AlreadyRunning, StartupFailure
from chatd.paths import PathError
from tests.harness.control_node import Client, Refused, Stand, request, result_of, standing
from tests.harness.sessions import sessions_left


async def test_the_socket_is_bound_where_the_configuration_says(stand: Stand) -> None:
    assert stat.S_ISSOCK(os.lstat(stand.config.socket).st_mode)


async def test_serving_needs_a_bound_socket(stand: Stand) -> None:
    with pytest.raises(RuntimeError, match="bind"):
        await ControlServer(stand.node).serve()


@pytest.mark.parametrize("stand", [{"sessions": 2}], indirect=True)
async def test_one_session_too_many_is_told_and_closed(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.ask("whoami")
    second = await stand.connect()
    await second.ask("whoami")
    monkeypatch.setattr(session, "SILENCE_S", 0.01)
    third = await stand.connect()
    async with second.stream, third.stream:
        line = await third.line()
        assert line is not None
        assert line["id"] is None
        assert line["error"]["data"]["kind"] == "rate_limited"
        assert await third.line() is None
        await second.stream.aclose()
        await sessions_left(stand, 1)
        fourth = await stand.connect()
        async with fourth.stream:
            assert (await fourth.ask("status"))["sessions"] == 2


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_operators_are_answered_when_all_sessions_are_taken(stand: Stand, client: Client) -> None:
    await client.ask("whoami")
    for _ in range(2):
        async with (await stand.connect()).stream as stream:
            operator = Client(stream)
            assert (await operator.ask("health"))["healthy"] is True
            assert (await operator.ask("status"))["sessions"] == 2
            assert await operator.ask("shutdown") == {}
    assert stand.stops == ["shutdown"] * 2
    assert await client.ask("whoami")


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
@pytest.mark.parametrize("line", [request("send", 7, peer=0, text="x"), request("send", peer=0, text="x"), b"[\n"])
async def test_any_other_request_is_refused_in_the_reserve_and_not_done(
    stand: Stand, client: Client, line: bytes
) -> None:
    await client.ask("whoami")
    other = await stand.connect()
    async with other.stream:
        await other.write(b"\n" + request("health", 6) + line + request("send", 8, peer=0, text="y"))
        assert result_of(await other.answer(6))["healthy"]
        told = await other.line()
        assert told is not None
        assert told["id"] == (7 if b"7" in line else None)
        assert told["error"]["data"] | {"hint": ""} == {"kind": "rate_limited", "hint": "", "retryable": True}
        assert await other.line() is None
    assert stand.journal.appended == stand.journal.committed == 1


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_a_client_that_starts_in_the_reserve_gets_a_place_that_has_become_free(stand: Stand) -> None:
    first = await stand.connect()
    await first.ask("whoami")
    async with (await stand.connect()).stream as stream:
        other = Client(stream)
        await other.ask("status")
        await first.stream.aclose()
        while (await other.ask("status"))["sessions"] > 1:
            await trio.lowlevel.checkpoint()
        assert (await other.ask("send", peer=0, text="x"))["state"] == "queued"
        assert (await other.ask("send", peer=0, text="y"))["state"] == "queued"


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_operators_are_answered_while_the_journal_takes_nothing(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    await client.ask("whoami")
    monkeypatch.setattr(stand.journal, "wait_for_capacity", trio.sleep_forever)
    operator = await stand.connect()
    async with operator.stream:
        with trio.fail_after(session.SILENCE_S * 0.9):
            assert (await operator.ask("health"))["healthy"]


@pytest.mark.parametrize("stand", [{"sessions": 1, "control_buffer_bytes": 4096}], indirect=True)
async def test_clients_that_never_read_do_not_keep_operators_out(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "RESERVE_STALL_S", 0.2)
    await client.ask("whoami")
    deaf = [await stand.connect() for _ in range(session_limit.RESERVED)]
    async with trio.open_nursery() as nursery:
        for one in deaf:
            nursery.start_soon(_ask_for_ever, one)
        with trio.fail_after(20):
            await trio.testing.wait_all_tasks_blocked(0.02)  # none of them reads, so none is read
            answered = False
            while not answered:  # until one of them is cut off
                await trio.sleep(0.02)
                answered = await _is_answered(stand)
        nursery.cancel_scope.cancel()
    for one in deaf:
        await one.stream.aclose()


async def _is_answered(stand: Stand) -> bool:
    """Whether an operator gets a response; otherwise it is rejected."""
    operator = await stand.connect()
    async with operator.stream:
        await operator.write(request("health", 1))
        line = await operator.line()
        assert line is not None
        return "result" in line


async def _ask_for_ever(client: Client) -> None:
    with contextlib.suppress(trio.BrokenResourceError):
        while True:
            await client.write(request("status", 1) * 1000)


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_silent_clients_do_not_keep_operators_out(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SILENCE_S", 600.0)
    await client.ask("whoami")
    silent = [await stand.connect() for _ in range(session_limit.RESERVED)]
    while (await client.ask("status"))["sessions"] < 1 + session_limit.RESERVED:
        await trio.lowlevel.checkpoint()
    operator = await stand.connect()
    async with operator.stream:
        assert (await operator.ask("health"))["healthy"]
        told = await silent[0].line()
        assert told is not None
        assert told["error"]["data"]["kind"] == "rate_limited"
        assert (await operator.ask("status"))["sessions"] == 1 + session_limit.RESERVED
    for each in silent:
        await each.stream.aclose()


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_an_operator_who_was_answered_gives_way_to_the_next(stand: Stand, client: Client) -> None:
    await client.ask("whoami")
    answered = []
    for _ in range(session_limit.RESERVED + 1):
        answered.append(await stand.connect())
        await answered[-1].ask("health")
    told = await answered[0].line()
    assert told is not None
    assert told["error"]["data"]["kind"] == "session_evicted"
    for each in answered:
        if each is not answered[0]:
            await each.ask("status")
        await each.stream.aclose()


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_a_refused_client_reads_its_refusal_whatever_it_writes(stand: Stand, client: Client) -> None:
    await client.ask("whoami")
    for size in (0, 1, 1000, 100_000):
        async with (await stand.connect()).stream as stream:
            other = Client(stream)
            await other.write(request("send", 1, peer=0, text="x") + b" " * size + b"\n")
            told = await other.line()
            assert told is not None
            assert told["error"]["data"]["kind"] == "rate_limited"
            await other.write(request("list", 2) * 1000)  # no EPIPE, no reset: it is dropped
            assert await other.line() is None


@pytest.mark.parametrize("stand", [{"sessions": 1}], indirect=True)
async def test_the_log_counts_the_sessions_that_are_set_and_not_the_reserve(
    stand: Stand, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await client.ask("whoami")
    operator, other = await stand.connect(), await stand.connect()
    async with operator.stream, other.stream:
        await operator.ask("health")
        with pytest.raises(Refused):
            await other.ask("whoami")
        assert await other.line() is None
    assert "control client disconnected: all 1 sessions are in use" in caplog.text


async def test_a_client_without_a_place_in_the_reserve_is_told_of_the_sessions_that_are_set(
    stand: Stand, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_limit.SessionLimit, "is_full", True)
    monkeypatch.setattr(session_limit.SessionLimit, "free_reserve", lambda self: False)
    async with (client := await stand.connect()).stream:
        assert (await client.line() or {})["error"]["data"]["kind"] == "rate_limited"
    assert f"all {stand.config.sessions} sessions are in use" in caplog.text


# -- the session that was idle for longest


@pytest.fixture
def evicting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_limit, "EVICT_AFTER_S", 0.0)


@pytest.mark.parametrize("stand", [{"sessions": 3}], indirect=True)
async def test_at_the_bound_the_session_that_was_idle_for_longest_gives_up_its_place(
    stand: Stand, client: Client, evicting: None
) -> None:
    subscribed, waiting = await stand.connect(), await stand.connect()
    async with subscribed.stream, waiting.stream:
        await subscribed.ask("subscribe")
        await client.ask("whoami")
        await waiting.post("wait", for_="peers", count=9)
        other = await stand.connect()
        async with other.stream:
            assert (await other.ask("send", peer=0, text="x"))["state"] == "queued"
            told = await client.line()
            assert told is not None
            assert (told["id"], told["error"]["code"]) == (None, TABLE["session_evicted"][0])
            assert (told["error"]["data"]["kind"], told["error"]["data"]["retryable"]) == ("session_evicted", True)
            await client.write(request("send", 9, peer=0, text="crossed"))
            assert await client.line() is None
            assert (await subscribed.event())["event"]["text"] == "x"
            assert (await other.ask("status"))["sessions"] == 3
            last = await stand.connect()
            async with last.stream:  # `other` is idle by now
                await last.ask("list")
            assert await subscribed.ask("whoami")
            assert await waiting.ask("whoami")
            assert stand.journal.appended == 2  # and nothing of what crossed


@pytest.mark.parametrize("stand", [{"sessions": 2}], indirect=True)
async def test_a_session_that_was_not_idle_for_ten_minutes_stays(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session_limit.EVICT_AFTER_S == 600.0
    monkeypatch.setattr(session_limit, "EVICT_AFTER_S", 60.0)
    second, third = await stand.connect(), await stand.connect()
    async with second.stream, third.stream:
        await client.ask("whoami")
        await second.ask("whoami")
        with pytest.raises(Refused, match="all 2 sessions are taken"):
            await third.ask("whoami")
        assert await client.ask("whoami")
        assert await second.ask("whoami")


async def test_a_request_that_crosses_an_eviction_is_done_and_answered_or_neither(stand: Stand) -> None:
    for round_ in range(20):  # who runs first, reader or evicting client, is drawn
        client = await stand.connect()
        async with client.stream:
            await client.ask("whoami")
            (victim,) = stand.server._sessions
            before = stand.journal.appended
            os.write(client.stream.socket.fileno(), request("send", "crossed", peer=0, text=f"{round_}"))
            await trio.lowlevel.checkpoint()  # its reader is awake by now
            evicted = victim.idle_since is not None
            if evicted:
                victim.dismiss(ControlError("session_evicted", "idle"))
            told = await client.line()
            assert told is not None
            assert (told["id"], "error" in told) == ((None, True) if evicted else ("crossed", False))
            assert stand.journal.appended == before + (not evicted)
        await sessions_left(stand)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
async def test_another_user_is_refused(stand: Stand, client: Client) -> None:
    path = stand.config.socket
    os.chmod(path, 0o666)
    os.chmod(Path(path).parent, 0o755)
    code = (
        "import os, socket; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
        f"s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect({path!r}); print(s.makefile().read())"
    )
    done = await trio.run_process([sys.executable, "-c", code], capture_stdout=True)
    (line,) = [json.loads(line) for line in done.stdout.decode().splitlines() if line]
    assert line["error"]["data"]["kind"] == "forbidden"
    assert await client.ask("whoami")


async def test_out_of_files_the_listener_waits_and_goes_on(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    accept, failures = trio.SocketListener.accept, [errno.EMFILE, errno.EMFILE, errno.ENOMEM]

    async def failing(self: trio.SocketListener) -> trio.SocketStream:
        await trio.lowlevel.wait_readable(self.socket)
        if failures:
            number = failures.pop()
            raise OSError(number, os.strerror(number))
        return await accept(self)

    await (await stand.connect()).stream.aclose()  # the accept that was waiting already
    monkeypatch.setattr(trio.SocketListener, "accept", failing)
    for _ in range(3):
        client = await stand.connect()
        async with client.stream:
            assert await client.ask("whoami")
    assert not failures
    assert caplog.text.count("connections cannot be accepted") == 1


async def test_a_bug_in_a_method_ends_that_session_alone(
    stand: Stand, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def buggy(*_: Any) -> Any:
        raise ZeroDivisionError("oops")

    async def buggy_later(*_: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("oops")

    whoami = METHODS["whoami"]
    for handler in (buggy, buggy_later):
        monkeypatch.setitem(METHODS, "whoami", Method(whoami.params, whoami.result, handler, "fails"))
        other = await stand.connect()
        async with other.stream:
            await other.write(request("whoami", 1))
            line = await other.line()
            assert line is not None
            assert line["error"]["code"] == -32603
            assert line["error"]["data"]["kind"] == "internal_error"
            assert await other.line() is None
    assert caplog.text.count("control session failed") == 2
    assert await client.ask("status")


async def test_the_last_event_and_all_answers_arrive_before_the_end(stand: Stand, client: Client) -> None:
    await client.ask("subscribe")
    await client.write(request("send", 50, peer=0, text="last words") + request("wait", 51, for_="peers", count=9))
    while stand.journal.appended < 2:
        await trio.lowlevel.checkpoint()
    stand.server.begin_stop()
    stand.journal.append(DaemonStop(reason="signal"))
    await stand.journal.settled()
    await stand.server.drain(5)
    lines = []
    while (line := await client.line()) is not None:
        lines.append(line)
    events = [line["params"]["event"] for line in lines if "method" in line]
    answers = {line["id"]: line for line in lines if "id" in line}
    assert [event["type"] for event in events][-2:] == ["message", "daemon.stop"]
    assert result_of(answers[50])["id"] == events[-2]["position"]
    assert answers[51]["error"]["data"]["kind"] == "shutting_down"


async def test_a_stopping_node_refuses_requests_of_old_and_new_sessions(stand: Stand, client: Client) -> None:
    await client.ask("whoami")
    stand.server.begin_stop()
    other = await stand.connect()
    async with other.stream:
        for each in (client, other):
            with pytest.raises(Refused) as caught:
                await each.ask("send", peer=0, text="late")
            assert (caught.value.code, caught.value.kind) == (503, "shutting_down")
        await stand.server.drain(5)
        assert await client.line() is None
        assert await other.line() is None
    with pytest.raises(OSError, match="No such file"):
        await stand.connect()


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end(mock_clock: MockClock, stand: Stand) -> None:
    await stand.say(*("x" * 10_000 for _ in range(100)))
    client = await stand.connect()
    async with client.stream:
        await client.post("subscribe", from_="start")
        await trio.testing.wait_all_tasks_blocked(0.02)
        mock_clock.autojump_threshold = 0.02
        began = trio.current_time()
        await stand.server.drain(5)
        assert trio.current_time() == began + 5


async def test_the_socket_of_a_second_node_is_refused_while_the_first_lives(stand: Stand) -> None:
    with pytest.raises(AlreadyRunning):
        await ControlServer(stand.node).bind()
    assert stat.S_ISSOCK(os.lstat(stand.config.socket).st_mode)


async def test_a_restart_takes_the_same_place(short_path: Path) -> None:
    for _ in range(2):
        async with standing(short_path) as stand:
            client = await stand.connect()
            async with client.stream:
                assert await client.ask("whoami")


def test_nothing_of_a_process_that_was_killed_is_in_the_way(short_path: Path) -> None:
    path = short_path / "s"
    code = f"from chatd.control import unix; unix.bind({str(path)!r}, None); import os; os.kill(os.getpid(), 9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert path.is_socket()
    unix.bind(str(path), None).sock.close()


@pytest.mark.parametrize("how", ["file", "directory"])
async def test_a_socket_that_was_removed_is_made_again_and_old_sessions_go_on(short_path: Path, how: str) -> None:
    run = short_path / "run"
    async with standing(short_path, socket=str(run / "s")) as stand:
        old = await stand.connect()
        async with old.stream:
            await old.ask("whoami")
            if how == "file":
                (run / "s").unlink()
            else:
                shutil.rmtree(run)
            await stand.server.bind_again()
            assert stat.S_IMODE(os.lstat(run / "s").st_mode) == 0o600
            async with (new := await stand.connect()).stream:
                assert (await new.ask("status"))["sessions"] == 2
            assert (await old.ask("whoami"))["name"] == "alice"
            await stand.server.bind_again()
            async with (third := await stand.connect()).stream:
                await third.ask("whoami")
        (run / "s").unlink()
        await stand.server.bind_again()  # the last one is the one that is removed at the end


async def test_a_socket_that_is_there_stays_the_same(stand: Stand) -> None:
    before = os.lstat(stand.config.socket)
    await stand.server.bind_again()
    assert os.lstat(stand.config.socket).st_ino == before.st_ino


@pytest.mark.parametrize("what", ["file", "another socket"])
async def test_what_has_taken_the_place_of_the_socket_is_left_alone_and_told(
    stand: Stand, client: Client, what: str
) -> None:
    path = stand.config.socket
    os.unlink(path)
    if what == "file":
        os.mknod(path)
    else:
        unix.bind(path, None).sock.close()
    before = os.lstat(path)
    with pytest.raises(StartupFailure, match=f"something else is at {path}"):
        await stand.server.bind_again()
    assert os.lstat(path) == before
    await client.ask("whoami")
    os.unlink(path)
    await stand.server.bind_again()
    async with (new := await stand.connect()).stream:
        await new.ask("whoami")


async def test_a_socket_that_cannot_be_made_again_is_tried_again_later(short_path: Path) -> None:
    run = short_path / "run"
    async with standing(short_path, socket=str(run / "s")) as stand, (client := await stand.connect()).stream:
        shutil.rmtree(run)
        os.mknod(run)
        with pytest.raises(PathError, match="is not a directory"):
            await stand.server.bind_again()
        await client.ask("whoami")
        os.unlink(run)
        await stand.server.bind_again()
        async with (new := await stand.connect()).stream:
            await new.ask("whoami")


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Open all descriptors that this process may have."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as last:  # all numbers below are in use
        resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_without_descriptors_a_removed_socket_is_made_again_with_one_that_was_held_back(
    stand: Stand, client: Client
) -> None:
    await client.ask("whoami")
    os.unlink(stand.config.socket)
    with no_descriptor_left():
        await stand.server.bind_again()
        assert stat.S_ISSOCK(os.lstat(stand.config.socket).st_mode)
        assert len(stand.server._acceptor._spares) == server.SPARES
    async with (new := await stand.connect()).stream:
        assert (await new.ask("status"))["sessions"] == 2


async def test_without_any_descriptor_a_removed_socket_is_made_again_at_a_later_look(
    stand: Stand, client: Client
) -> None:
    await client.ask("whoami")
    os.unlink(stand.config.socket)
    with no_descriptor_left():
        while stand.server._acceptor._spares:
            stand.server._acceptor.lend_spare()
        with no_descriptor_left(), pytest.raises(StartupFailure, match="cannot be made: Too many open files"):
            await stand.server.bind_again()
    await stand.server.bind_again()
    assert len(stand.server._acceptor._spares) == server.SPARES
    async with (new := await stand.connect()).stream:
        await new.ask("status")
    await client.ask("whoami")


async def test_a_server_that_does_not_serve_makes_no_socket(stand: Stand, short_path: Path) -> None:
    await ControlServer(stand.node).bind_again()
    assert sorted(os.listdir(short_path)).count("s") == 1
