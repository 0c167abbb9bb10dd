"""The listener: who gets in, how many, and the end of all sessions."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from chatd.api.events import DaemonStop
from chatd.control import unix
from chatd.control.methods.method import Method
from chatd.control.methods.table import METHODS
from chatd.control.server import ControlServer
from chatd.core.failures import AlreadyRunning, StartupFailure
from chatd.paths import PathError
from tests.control.stand import Client, Refused, Stand, request, result_of, standing


async def test_the_socket_is_bound_where_the_configuration_says(stand: Stand) -> None:
    assert stat.S_ISSOCK(os.lstat(stand.config.socket).st_mode)


async def test_serving_needs_a_bound_socket(stand: Stand) -> None:
    with pytest.raises(RuntimeError, match="bind"):
        await ControlServer(stand.node).serve()


@pytest.mark.parametrize("stand", [{"sessions": 2}], indirect=True)
async def test_one_session_too_many_is_told_and_closed(stand: Stand, client: Client) -> None:
    second, third = await stand.connect(), await stand.connect()
    async with second.stream, third.stream:
        await second.ask("whoami")
        line = await third.line()
        assert line is not None
        assert line["id"] is None
        assert line["error"]["data"]["kind"] == "rate_limited"
        assert await third.line() is None
        await second.stream.aclose()
        while len(stand.server._sessions) > 1:
            await stand.server._ended.wait()
        fourth = await stand.connect()
        async with fourth.stream:
            assert (await fourth.ask("status"))["sessions"] == 2


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
    assert caplog.text.count("clients have to wait") == 1


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
    assert caplog.text.count("a session has failed") == 2
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


async def test_a_client_that_reads_nothing_does_not_hold_up_the_end(stand: Stand) -> None:
    await stand.say(*("x" * 10_000 for _ in range(100)))
    client = await stand.connect()
    async with client.stream:
        await client.post("subscribe", from_="start")
        while not any(session.mid_line for session in stand.server._sessions):
            await trio.lowlevel.checkpoint()
        await stand.server.drain(0.05)
        assert stand.server._sessions


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


async def test_a_server_that_does_not_serve_makes_no_socket(stand: Stand, short_path: Path) -> None:
    await ControlServer(stand.node).bind_again()
    assert sorted(os.listdir(short_path)).count("s") == 1
