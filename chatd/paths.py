"""Paths of a node's socket, state directory and configuration, for the daemon and chatctl alike.

Imports only `os` and `stat`: every `chatctl send` pays for the imports of this file. Does not read the environment
itself: callers pass `env` and `uid`.
"""

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_NODE = "default"
DEFAULT_PORT = 7420
SOCKET_PATH_LIMIT = 103  # sun_path is 104 bytes on some systems, and ends with a NUL
NAME_LIMIT = 63
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-")
NAME_RULE = f"1 to {NAME_LIMIT} of a-z 0-9 . _ - and not digits only"
RUN_DIRECTORY = "/run/chatd"
SYSTEM_STATE = "/var/lib/chatd"
SYSTEM_CONFIG = "/etc/chatd"
ANOTHER_SOCKET = "use another path with --socket"


class PathError(ValueError):
    """A name or path is not valid; the message is one line."""


def valid_name(name: str) -> bool:
    """Whether `name` follows NAME_RULE. Digits alone would be read as a slot."""
    return 0 < len(name) <= NAME_LIMIT and NAME_CHARACTERS.issuperset(name) and not name.isdigit()


def node_of(flag: str | None, env: "Mapping[str, str]") -> str:
    """The node name: `-n`, else CHATD_NODE, else "default". Raises PathError."""
    name = flag if flag is not None else env.get("CHATD_NODE") or DEFAULT_NODE
    if not valid_name(name) or name in (".", ".."):
        raise PathError(
            f"{'-n' if flag is not None else 'CHATD_NODE'}: {name!r} is not a valid node name (use {NAME_RULE})"
        )
    return name


def socket_path(node_flag: str | None, socket_flag: str | None, env: "Mapping[str, str]", uid: int) -> str:
    """The socket that the daemon binds. Raises PathError."""
    return _named_socket(node_flag, socket_flag, env) or _check_length(
        os.path.join(_socket_directory(env, uid), node_of(node_flag, env) + ".sock")
    )


def socket_candidates(node_flag: str | None, socket_flag: str | None, env: "Mapping[str, str]", uid: int) -> list[str]:
    """The sockets that a client tries, in order: the user's, then the system's. Raises PathError.

    A `chatd-UID` in the temporary directory that belongs to another user is left out.
    """
    given = _named_socket(node_flag, socket_flag, env)
    if given is not None:
        return [given]
    own, system = socket_path(node_flag, None, env, uid), os.path.join(RUN_DIRECTORY, node_of(node_flag, env) + ".sock")
    trusted = [own] if _distrust_reason(os.path.dirname(own), uid) is None else []
    return trusted if own == system else [*trusted, system]


def state_dir(node_flag: str | None, state_flag: str | None, env: "Mapping[str, str]", uid: int) -> str:
    """The directory of key, certificate, journal and lock. Raises PathError."""
    if state_flag is not None:
        return _absolute(state_flag, "--state")
    given = env.get("CHATD_STATE") if node_flag is None else None
    if given:
        return _absolute(given, "CHATD_STATE")
    managed = env.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd gives a list
    if managed:
        return _absolute(managed, "STATE_DIRECTORY")
    node = node_of(node_flag, env)
    if uid == 0:
        return os.path.join(SYSTEM_STATE, node)
    return os.path.join(_xdg_directory(env, "XDG_STATE_HOME", ".local/state", "--state"), "chatd", node)


def config_files(node_flag: str | None, config_flag: str | None, env: "Mapping[str, str]") -> list[str]:
    """The configuration files to try; the first that exists is used. A named one is the only one. Raises PathError."""
    if config_flag is not None:
        return [_absolute(config_flag, "--config")]
    given = env.get("CHATD_CONFIG") if node_flag is None else None
    if given:
        return [_absolute(given, "CHATD_CONFIG")]
    name = node_of(node_flag, env) + ".toml"
    system = os.path.join(SYSTEM_CONFIG, name)
    try:
        return [system, os.path.join(_xdg_directory(env, "XDG_CONFIG_HOME", ".config", "--config"), "chatd", name)]
    except PathError:  # without a home there is only the system's file
        return [system]


def ensure_socket_dir(path: str, uid: int) -> None:
    """Create the directory of the socket at `path`, for the daemon. Raises PathError.

    `chatd-UID` in the temporary directory must be our own and closed to others, because any user can create it first.
    The system's directory gets mode 0755, because the mode of the socket decides who may connect; others get 0700.
    """
    directory = os.path.dirname(path)
    try:
        try:
            os.makedirs(directory, mode=0o700)
            os.chmod(directory, 0o755 if directory == RUN_DIRECTORY else 0o700)
        except FileExistsError:
            pass
        status = os.stat(directory)
    except OSError as error:
        text = f"the directory of the socket, {directory}, cannot be made: {error.strerror}"
        raise PathError(f"{text} ({ANOTHER_SOCKET})") from error
    if not stat.S_ISDIR(status.st_mode):
        raise PathError(f"the directory of the socket, {directory}, is not a directory ({ANOTHER_SOCKET})")
    reason = _distrust_reason(directory, uid)
    if reason is not None:
        raise PathError(f"the directory of the socket, {directory}, {reason} (remove it, or {ANOTHER_SOCKET})")


def _named_socket(node_flag: str | None, socket_flag: str | None, env: "Mapping[str, str]") -> str | None:
    """The socket named by the flag or, without `-n`, by the variable."""
    if socket_flag is not None:
        return _check_length(_absolute(socket_flag, "--socket"))
    given = env.get("CHATD_SOCKET") if node_flag is None else None
    return _check_length(_absolute(given, "CHATD_SOCKET")) if given else None


def _socket_directory(env: "Mapping[str, str]", uid: int) -> str:
    if uid == 0:
        return RUN_DIRECTORY
    runtime = env.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime):
        return os.path.join(runtime, "chatd")
    return os.path.join(os.path.abspath(env.get("TMPDIR") or "/tmp"), f"chatd-{uid}")


def _distrust_reason(directory: str, uid: int) -> str | None:
    """Why a `chatd-UID` in the temporary directory cannot be trusted; None if it can, or does not exist."""
    if os.path.basename(directory) != f"chatd-{uid}":
        return None
    try:
        status = os.lstat(directory)
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode):
        return "is not a directory"
    if status.st_uid != uid:
        return f"belongs to another user (uid {status.st_uid})"
    if status.st_mode & 0o077:
        return f"is accessible by other users (mode {status.st_mode & 0o777:04o})"
    return None


def _xdg_directory(env: "Mapping[str, str]", variable: str, below_home: str, flag: str) -> str:
    """An XDG base directory. As specified, relative paths in the variable are ignored."""
    given = env.get(variable, "")
    if os.path.isabs(given):
        return given
    home = env.get("HOME") or os.path.expanduser("~")
    if not os.path.isabs(home):
        raise PathError(f"there is no home directory (use a path with {flag}, or set HOME or {variable})")
    return os.path.join(home, below_home)


def _absolute(text: str, source: str) -> str:
    if not text or "\0" in text:
        raise PathError(f"{source}: {text!r} is not a valid path")
    return os.path.abspath(text)


def _check_length(path: str) -> str:
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_LIMIT:
        text = f"the socket path is {length} bytes long, the limit is {SOCKET_PATH_LIMIT}: {path}"
        raise PathError(f"{text} (use a shorter one with --socket)")
    return path
