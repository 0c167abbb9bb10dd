"""The Unix socket: bind, replace a stale one, check the credentials of clients, remove the file, detect hang-ups.

The caller of `bind` holds the state lock, so only one of two daemons with the same state directory gets here.
"""

import errno
import grp
import os
import select
import socket
import stat
import struct

import trio

from chatd.failures import NO_SPACE, AlreadyRunning, StartupFailure, startup_failure
from chatd.paths import SOCKET_PATH_LIMIT, PathError, ensure_socket_dir

BACKLOG = 128
UMASK = 0o177  # the socket's mode is 0600 from the first moment
GROUP_MODE = 0o660
SO_PEERGROUPS = 59  # Linux 4.13; not in the socket module
MAX_GROUPS = 255  # getsockopt accepts a buffer of at most 1,024 bytes


class BoundSocket:
    """A listening socket and its file.

    Resource handling: the owner closes `sock`, then calls `unlink`.
    """

    __slots__ = ("_inode", "path", "sock")

    def __init__(self, sock: socket.socket, path: str) -> None:
        self.sock = sock
        self.path = path
        self._inode = _inode(path)

    def is_missing(self) -> bool:
        """Whether nothing is at the path. Raises StartupFailure if something else is."""
        try:
            inode = _inode(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError as error:
            raise StartupFailure(f"the control socket {self.path} cannot be looked at: {error.strerror}") from None
        if inode != self._inode:
            raise StartupFailure(f"something else is at {self.path}: new clients do not reach this node (move it away)")
        return False

    def unlink(self) -> None:
        """Remove the file, if it is still the one that `bind` created."""
        try:
            if _inode(self.path) == self._inode:
                os.unlink(self.path)
        except OSError:
            return


def bind(path: str, gid: int | None) -> BoundSocket:
    """Listen on `path` for our user, and for the members of the group `gid` if it is given. Blocking.

    Raises PathError, StartupFailure, and AlreadyRunning if another program answers there.
    """
    if len(os.fsencode(path)) > SOCKET_PATH_LIMIT:
        raise StartupFailure(
            f"the socket path is over {SOCKET_PATH_LIMIT} bytes: {path} (use a shorter path with --socket)"
        )
    _make_directory(path)
    sock = _make_socket(path)
    try:
        _remove_stale(path)
        bound = _bind_private(sock, path)
    except StartupFailure:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise startup_failure(
            error, f"the control socket {path} cannot be made: {error.strerror}", StartupFailure
        ) from None
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


def _bind_private(sock: socket.socket, path: str) -> BoundSocket:
    """Bind a socket to which only our user has access from the first moment. Raises OSError."""
    sock.settimeout(0)
    before = os.umask(UMASK)
    try:
        sock.bind(path)
    finally:
        os.umask(before)
    return BoundSocket(sock, path)


def refuse_if_answered(path: str) -> None:
    """Raise AlreadyRunning if a program answers at `path`. `bind` reports anything else."""
    try:
        answered = stat.S_ISSOCK(os.lstat(path).st_mode) and _is_answered(path)
    except OSError:
        return
    if answered:
        raise AlreadyRunning(f"another program answers on {path} (stop it, or use another path with --socket)")


def _make_socket(path: str) -> socket.socket:
    """An unbound socket for `path`. Raises StartupFailure, e.g. without a free descriptor."""
    try:
        return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except OSError as error:
        raise StartupFailure(f"the control socket {path} cannot be made: {error.strerror}") from None


def _make_directory(path: str) -> None:
    """Create the socket's directory. Raises PathError; StorageFull if its disk is full."""
    try:
        ensure_socket_dir(path, os.getuid())
    except PathError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in NO_SPACE:
            raise startup_failure(error.__cause__, str(error)) from None
        raise


def group_id(group: str) -> int | None:
    """The number of a group by its name or number; None for "". Raises StartupFailure."""
    if not group:
        return None
    try:
        return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise StartupFailure(
            f"socket_group: there is no group {group!r} (create it, or use another one with --socket-group)"
        ) from None


def _remove_stale(path: str) -> None:
    """Remove a stale socket. Raises AlreadyRunning, StartupFailure, OSError."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise StartupFailure(f"{path} exists and is not a socket (move it, or use another path with --socket)")
    if _is_answered(path):
        raise AlreadyRunning(f"another program answers on {path} (stop it, or use another path with --socket)")
    os.unlink(path)


def _is_answered(path: str) -> bool:
    """Whether a program listens there. A full backlog (EAGAIN) and a socket of another user count as yes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        return probe.connect_ex(path) not in (errno.ECONNREFUSED, errno.ENOENT)


def _inode(path: str) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


class Hangups:
    """Detects clients that have closed their socket completely.

    A client that only shut down writing still reads: the kernel reports no HUP for it, so trio's own polling cannot
    distinguish the two. One epoll serves all sessions, so each session costs one descriptor.
    Resource handling: `run` opens and closes the epoll; `wait` may be called while it runs.
    """

    def __init__(self) -> None:
        self._epoll: select.epoll
        self._gone: dict[int, trio.Event] = {}  # by descriptor

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
        """Wait until the other end is closed completely."""
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
    """The process at the other end, as reported by the kernel."""

    __slots__ = ("groups", "pid", "uid")

    def __init__(self, sock: socket.socket | trio.socket.SocketType) -> None:
        size = struct.calcsize("3i")
        self.pid, self.uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        self.groups = {gid, *_peer_groups(sock)}

    def may_enter(self, gid: int | None) -> bool:
        """Whether it is our user, root, or a member of the group with that id."""
        return self.uid in (os.getuid(), 0) or (gid is not None and gid in self.groups)


def _peer_groups(sock: socket.socket | trio.socket.SocketType) -> tuple[int, ...]:
    """The supplementary groups; none if the kernel does not support this, or there are too many."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, MAX_GROUPS * 4)
    except OSError:
        return ()
    return struct.unpack(f"{len(raw) // 4}i", raw)
