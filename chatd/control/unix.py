"""The Unix socket dance, all of it: bind, replace what is stale, check who connects, remove what is ours.

The caller holds the state lock, so of two daemons with one state only one gets here.
"""

import errno
import grp
import os
import select
import socket
import stat
import struct

import trio

from chatd.failures import NO_SPACE, AlreadyRunning, StartupFailure, because_of
from chatd.paths import SOCKET_PATH_LIMIT, PathError, ensure_socket_dir

BACKLOG = 128
UMASK = 0o177  # so that it is 0600 from the first moment
GROUP_MODE = 0o660
SO_PEERGROUPS = 59  # Linux 4.13; not in the socket module
MAX_GROUPS = 255  # getsockopt takes at most 1,024 bytes


class BoundSocket:
    """A listening socket and the file it is reached by.

    Resource handling: who holds it closes `sock`, then calls `unlink`.
    """

    __slots__ = ("_inode", "path", "sock")

    def __init__(self, sock: socket.socket, path: str) -> None:
        self.sock = sock
        self.path = path
        self._inode = _inode(path)

    def is_missing(self) -> bool:
        """Whether nothing is at the path. Raises StartupFailure where something else is."""
        try:
            found = _inode(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            raise StartupFailure(f"the control socket {self.path} cannot be looked at: {error.strerror}") from None
        if found != self._inode:
            raise StartupFailure(f"something else is at {self.path}: new clients do not reach this node (move it away)")
        return False

    def unlink(self) -> None:
        """Remove the file, if it still is the one that we made."""
        try:
            if _inode(self.path) == self._inode:
                os.unlink(self.path)
        except OSError:
            return


def bind(path: str, gid: int | None) -> BoundSocket:
    """Listen on `path` (blocking), for ourselves or for the members of a group too.

    Raises PathError, StartupFailure, and AlreadyRunning when somebody answers there.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise StartupFailure(f"the socket path is over {SOCKET_PATH_LIMIT} bytes: {path}")
    _make_directory(path)
    sock = _make_socket(path)
    try:
        _make_way(path)
        sock.settimeout(0)
        before = os.umask(UMASK)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        bound = BoundSocket(sock, path)
    except StartupFailure:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise because_of(error, f"the control socket {path} cannot be made: {error.strerror}", StartupFailure) from None
    try:
        if gid is not None:
            os.chown(path, -1, gid)
            os.chmod(path, GROUP_MODE)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        bound.unlink()
        raise StartupFailure(f"the control socket {path} cannot be opened: {error.strerror}") from None
    return bound


def refuse_if_answered(path: str) -> None:
    """Raise AlreadyRunning where a program answers at `path`. Anything else is left to `bind`."""
    try:
        answered = stat.S_ISSOCK(os.lstat(path).st_mode) and _answers(path)
    except OSError:
        return
    if answered:
        raise AlreadyRunning(f"another program answers on {path}")


def _make_socket(path: str) -> socket.socket:
    """A socket without a name, for `path`. Raises StartupFailure, e.g. without a free descriptor."""
    try:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise StartupFailure(f"the control socket {path} cannot be made: {error.strerror}") from None


def _make_directory(path: str) -> None:
    """Make the socket's directory. Raises PathError, and StorageFull where its disk is full."""
    try:
        ensure_socket_dir(path, os.getuid())
    except PathError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_SPACE:
            raise because_of(error.__cause__, str(error)) from None
        raise


def group_id(group: str) -> int | None:
    """The number of a group by its name or number; None for "". Raises StartupFailure."""
    if not group:
        return None
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartupFailure(f"socket_group: there is no group {group!r}") from None


def _make_way(path: str) -> None:
    """Remove a socket at which nobody answers. Raises AlreadyRunning, StartupFailure, OSError."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise StartupFailure(f"{path} is in the way and is not a socket: move it, or name another with --socket")
    if _answers(path):
        raise AlreadyRunning(f"another program answers on {path}")
    os.unlink(path)


def _answers(path: str) -> bool:
    """Whether somebody listens there. A full backlog (EAGAIN) or a socket that is not ours to ask counts as yes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        return probe.connect_ex(path) not in (errno.ECONNREFUSED, errno.ENOENT)


def _inode(path: str) -> tuple[int, int]:
    found = os.lstat(path)
    return found.st_dev, found.st_ino


class Hangups:
    """Which clients have closed for good. A client that only ended its writing and still reads has not: there is no
    HUP for it, which is why this needs an epoll of its own. One serves all sessions, so each costs one descriptor.

    Resource handling: `run` opens and closes the epoll; `wait` may be called while it runs.
    """

    def __init__(self) -> None:
        self._epoll: select.epoll
        self._gone: dict[int, trio.Event] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch until cancelled."""
        with select.epoll() as self._epoll:
            task_status.started()
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                for number, _ in self._epoll.poll(0):
                    self._epoll.unregister(number)
                    self._gone[number].set()

    async def wait(self, sock: trio.socket.SocketType) -> None:
        """Wait until the other end is closed for good."""
        number = sock.fileno()
        self._gone[number] = gone = trio.Event()
        self._epoll.register(number, 0)
        try:
            await gone.wait()
        finally:
            del self._gone[number]
            if not gone.is_set() and not self._epoll.closed:
                self._epoll.unregister(number)


class Credentials:
    """Who is at the other end, as the kernel says."""

    __slots__ = ("groups", "pid", "uid")

    def __init__(self, sock: socket.socket | trio.socket.SocketType) -> None:
        size = struct.calcsize("3i")
        self.pid, self.uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        self.groups = {gid, *_peer_groups(sock)}

    def may_enter(self, gid: int | None) -> bool:
        """The same user, root, or a member of the group that the socket is for."""
        return self.uid in (os.getuid(), 0) or (gid is not None and gid in self.groups)


def _peer_groups(sock: socket.socket | trio.socket.SocketType) -> tuple[int, ...]:
    """The supplementary groups; none where the kernel cannot tell (or there are too many to ask)."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MAX_GROUPS * 4)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}i", raw)
