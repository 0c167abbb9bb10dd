"""The socket file: its mode and its owner."""

import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from chatd.control import unix
from chatd.failures import AlreadyRunning, StartupFailure, StorageFull
from chatd.paths import PathError


def test_the_socket_is_ours_alone(short_path: Path) -> None:
    path = short_path / "s"
    before = os.umask(0)
    try:
        bound = unix.bind(str(path), None)
    finally:
        os.umask(before)
    with bound.sock:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.umask(before) == before


def test_with_a_group_its_members_may_connect(short_path: Path) -> None:
    path = short_path / "s"
    gid = os.getgid()
    with unix.bind(str(path), gid).sock:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert path.stat().st_gid == gid


def test_a_group_is_named_or_numbered() -> None:
    assert unix.group_id("") is None
    assert unix.group_id("0") == 0
    assert unix.group_id("root") == 0
    with pytest.raises(StartupFailure, match="no group 'nosuchgroup'"):
        unix.group_id("nosuchgroup")


def test_a_missing_directory_is_made_for_us_alone(short_path: Path) -> None:
    bound = unix.bind(str(short_path / "run" / "s"), None)
    bound.sock.close()
    assert stat.S_IMODE((short_path / "run").stat().st_mode) == 0o700


def test_a_stale_socket_is_replaced(short_path: Path) -> None:
    path = str(short_path / "s")
    unix.bind(path, None).sock.close()
    assert os.path.exists(path)
    with unix.bind(path, None).sock, socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)


def test_a_live_socket_is_left_alone(short_path: Path) -> None:
    path = str(short_path / "s")
    with unix.bind(path, None).sock, pytest.raises(AlreadyRunning, match="answers on"):
        unix.bind(path, None)
    assert os.path.exists(path)


def test_a_live_socket_with_a_full_backlog_is_left_alone(short_path: Path) -> None:
    path = str(short_path / "s")
    waiting = []
    with socket.socket(socket.AF_UNIX) as busy:
        busy.bind(path)
        busy.listen(0)
        for _ in range(2):
            waiting.append(client := socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            client.connect_ex(path)
        with pytest.raises(AlreadyRunning):
            unix.bind(path, None)
    for client in waiting:
        client.close()


def test_only_a_socket_that_is_answered_keeps_a_new_node_away(short_path: Path) -> None:
    path = short_path / "s"
    unix.refuse_if_answered(str(path))
    path.touch()
    unix.refuse_if_answered(str(path))
    unix.refuse_if_answered(str(path / "below a file"))
    path.unlink()
    with unix.bind(str(path), None).sock, pytest.raises(AlreadyRunning, match=f"another program answers on {path}"):
        unix.refuse_if_answered(str(path))
    before = os.lstat(path)
    unix.refuse_if_answered(str(path))
    assert os.lstat(path) == before


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_left_alone(short_path: Path, kind: str) -> None:
    path = short_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(short_path / "elsewhere")
    with pytest.raises(StartupFailure, match="is not a socket") as caught:
        unix.bind(str(path), None)
    assert str(path) in str(caught.value)
    assert os.path.lexists(path)


def test_a_path_over_the_limit_is_refused_by_name(short_path: Path) -> None:
    path = str(short_path / ("x" * 100))
    with pytest.raises(StartupFailure, match="103 bytes") as caught:
        unix.bind(path, None)
    assert path in str(caught.value)


def test_a_directory_that_cannot_be_made_is_named(short_path: Path) -> None:
    (short_path / "file").write_text("")
    with pytest.raises(PathError, match="file"):
        unix.bind(str(short_path / "file" / "s"), None)


def test_a_place_where_nothing_can_be_made_is_named() -> None:
    with pytest.raises(StartupFailure, match="/proc/s cannot be made"):
        unix.bind("/proc/s", None)


def test_a_socket_that_cannot_be_given_to_its_group_is_not_left_behind(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", forbidden)
    with pytest.raises(StartupFailure, match="cannot be opened: Operation not permitted"):
        unix.bind(str(short_path / "s"), 7)
    assert not os.listdir(short_path)


def test_a_kernel_that_tells_no_groups_is_no_obstacle() -> None:
    with socket.socket(socket.AF_INET) as tcp:
        assert unix._peer_groups(tcp) == ()


def test_only_our_own_file_is_removed(short_path: Path) -> None:
    path = short_path / "s"
    bound = unix.bind(str(path), None)
    bound.sock.close()
    path.rename(short_path / "moved")
    path.write_text("somebody else's")
    bound.unlink()
    assert path.read_text() == "somebody else's"
    path.unlink()
    bound.unlink()
    (short_path / "moved").rename(path)
    bound.unlink()
    assert not path.exists()


def test_the_kernel_says_who_connects(short_path: Path) -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        who = unix.Credentials(here)
    assert (who.pid, who.uid) == (os.getpid(), os.getuid())
    assert {os.getgid(), *os.getgroups()} <= who.groups


def test_the_same_user_root_and_the_group_may_enter() -> None:
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there:
        who = unix.Credentials(here)
    assert who.may_enter(None)
    who.uid, who.groups = os.getuid() + 4711, {7, 8}
    assert not who.may_enter(None)
    assert not who.may_enter(9)
    assert who.may_enter(8)
    who.uid = 0
    assert who.may_enter(None)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_supplementary_groups_count(short_path: Path) -> None:
    path = str(short_path / "s")
    with unix.bind(path, None).sock as listening:
        os.chmod(path, 0o666)
        os.chmod(short_path, 0o755)
        code = (
            "import os, socket; os.setgroups([7001, 7002]); os.setgid(65534); os.setuid(65534); "
            f"s = socket.socket(socket.AF_UNIX); s.connect({path!r}); input()"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
        listening.settimeout(20)
        accepted, _ = listening.accept()
        with accepted:
            who = unix.Credentials(accepted)
        process.communicate(b"\n")
    assert (who.uid, who.groups) == (65534, {65534, 7001, 7002})
    assert not who.may_enter(None)
    assert who.may_enter(7002)


async def test_a_half_close_is_no_hangup_and_a_close_is(nursery: trio.Nursery) -> None:
    hangups = unix.Hangups()
    await nursery.start(hangups.run)
    here, there = trio.socket.socketpair(trio.socket.AF_UNIX)
    with here, there:
        there.shutdown(trio.socket.SHUT_WR)
        with trio.move_on_after(0.05) as scope:
            await hangups.wait(here)
        assert scope.cancelled_caught
        there.close()
        await hangups.wait(here)


async def test_one_watch_tells_many_sockets_apart(nursery: trio.Nursery) -> None:
    hangups = unix.Hangups()
    await nursery.start(hangups.run)
    pairs = [trio.socket.socketpair(trio.socket.AF_UNIX) for _ in range(3)]
    gone: list[int] = []

    async def watch(number: int) -> None:
        await hangups.wait(pairs[number][0])
        gone.append(number)

    async with trio.open_nursery() as watching:
        for number in range(3):
            watching.start_soon(watch, number)
        await trio.testing.wait_all_tasks_blocked()
        for number in (2, 0, 1):
            pairs[number][1].close()
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert gone == [2, 0, 1]
    for here, _ in pairs:
        here.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS])
def test_a_socket_for_which_there_is_no_descriptor_is_a_failure_in_one_line(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def short(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    path = str(short_path / "s")
    monkeypatch.setattr(socket, "socket", short)
    with pytest.raises(StartupFailure) as caught:
        unix.bind(path, None)
    assert str(caught.value) == f"the control socket {path} cannot be made: {os.strerror(number)}"
    assert not os.path.exists(path)


def test_a_left_over_socket_that_cannot_be_asked_for_lack_of_descriptors_stays(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(short_path / "s")
    unix.bind(path, None).sock.close()
    real = socket.socket
    made: list[socket.socket] = []

    def one_only(*words: Any) -> socket.socket:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(real(*words))
        return made[0]

    monkeypatch.setattr(socket, "socket", one_only)
    with pytest.raises(StartupFailure, match="cannot be made: Too many open files"):
        unix.bind(path, None)
    assert made[0].fileno() == -1
    assert os.path.exists(path)


def test_a_disk_without_room_for_the_socket_may_have_some_later(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "makedirs", full)
    with pytest.raises(StorageFull, match="make room"):
        unix.bind(str(short_path / "run" / "s"), None)


def test_a_socket_that_cannot_be_looked_at_is_told(short_path: Path) -> None:
    bound = unix.bind(str(short_path / "s"), None)
    with bound.sock:
        assert not bound.is_missing()
        (short_path / "s").unlink()
        assert bound.is_missing()
        bound.path = str(short_path / ("x" * 300))
        with pytest.raises(StartupFailure, match="cannot be looked at: File name too long"):
            bound.is_missing()
