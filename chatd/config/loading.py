"""Loads the configuration: defaults < configuration file < CHATD_* variables < flags, for every setting alike.

Reads only the given arguments, the given environment and one file. Every source is validated, even if another one wins,
so that a mistake is reported at once. Called by `__main__`.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence

import msgspec

from chatd import paths
from chatd.config.flags import Flags, flag_of, parse_flags
from chatd.config.link_faults import parse_link_faults
from chatd.config.settings import SETTINGS, Config, ConfigError
from chatd.config.values import InvalidValue, Kind, format_address, nearest, parse_room_port
from chatd.formats import TEXT_OVERHEAD

VARIABLES = {f"CHATD_{name.upper()}": name for name in SETTINGS}
NOT_IN_FILES = {"node", "config"}  # they select the file
NODE_SPECIFIC = {
    "node",
    "config",
    "socket",
    "state",
}  # with `-n`, variables for these are ignored: they are meant for another node


class Loaded(msgspec.Struct, frozen=True):
    """A valid configuration; `origins`: source of the value, by field."""

    config: Config
    origins: dict[str, str]


class _Layer(msgspec.Struct):
    """One source: the texts of its settings, and the label of each in error messages."""

    texts: dict[str, list[str]]
    label: dict[str, str]


def load(argv: Sequence[str], env: Mapping[str, str], uid: int | None = None) -> Loaded:
    """Merge all sources. Raises ConfigError."""
    flags = parse_flags(argv)
    try:
        files = paths.config_files(flags.last("node"), flags.last("config"), env)
        from_file = _file_layer(files, named=_is_file_named(flags, env))
        return _merge(flags, env, os.getuid() if uid is None else uid, *from_file)
    except paths.PathError as error:
        raise ConfigError(str(error)) from None


def load_flags(argv: Sequence[str], env: Mapping[str, str], uid: int | None = None) -> Loaded:
    """Merge the defaults of the node and the flags; ignore the file and all variables but CHATD_NODE.

    Raises ConfigError.
    """
    own = {
        name: text
        for name, text in env.items()
        if name == "CHATD_NODE" or not name.startswith(("CHATD_", "STATE_DIRECTORY"))
    }
    try:
        return _merge(parse_flags(argv), own, os.getuid() if uid is None else uid, "", _Layer({}, {}))
    except paths.PathError as error:
        raise ConfigError(str(error)) from None


def _merge(flags: Flags, env: Mapping[str, str], uid: int, file: str, from_file: _Layer) -> Loaded:
    node_flag = flags.last("node")
    node = paths.node_of(node_flag, env)
    values: dict[str, object] = {}
    origins = dict.fromkeys(SETTINGS, "default")
    for layer in (from_file, _variable_layer(env, node_given=node_flag is not None), _flag_layer(flags)):
        for name, texts in layer.texts.items():
            values[name] = _parse(SETTINGS[name].kind, texts, layer.label[name])
            origins[name] = layer.label[name]
    if "state" not in values and env.get("STATE_DIRECTORY"):
        origins["state"] = "STATE_DIRECTORY"
    given = {name: text for name in ("socket", "state") if isinstance(text := values.get(name), str)}
    values |= {
        "node": node,
        "config": file,
        "socket": paths.socket_path(node_flag, given.get("socket"), env, uid),
        "state": paths.state_dir(node_flag, given.get("state"), env, uid),
    }
    values.setdefault("name", node if node != paths.DEFAULT_NODE else _host_name())
    config = msgspec.convert(values, Config)
    _check(config)
    return Loaded(config, origins)


def _is_file_named(flags: Flags, env: Mapping[str, str]) -> bool:
    """Whether the configuration file was named explicitly, so that it must exist."""
    return "config" in flags.texts or ("node" not in flags.texts and bool(env.get("CHATD_CONFIG")))


def _flag_layer(flags: Flags) -> _Layer:
    return _Layer(flags.texts, {name: flag_of(name) for name in flags.texts})


def _variable_layer(env: Mapping[str, str], *, node_given: bool) -> _Layer:
    """Settings from variables. Empty ones count as unset; with `-n`, those in NODE_SPECIFIC are ignored."""
    texts, label = {}, {}
    for variable, text in env.items():
        if not variable.startswith("CHATD_"):
            continue
        if variable not in VARIABLES:
            raise ConfigError(f"{variable}: unknown variable{nearest(variable, VARIABLES)}")
        name = VARIABLES[variable]
        if text and not (node_given and name in NODE_SPECIFIC):
            texts[name], label[name] = [text], variable
    return _Layer(texts, label)


def _file_layer(candidates: list[str], *, named: bool) -> tuple[str, _Layer]:
    """Path and settings of the first file that exists; an empty path if none does. Raises ConfigError."""
    for path in candidates:
        try:
            with open(path, "rb") as stream:
                table = tomllib.load(stream)
        except (FileNotFoundError, NotADirectoryError):
            if named:
                raise ConfigError(
                    f"configuration file {path} does not exist (create it, e.g. with chatd --print-config)"
                ) from None
        except OSError as error:
            raise ConfigError(f"configuration file {path} cannot be read: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{path}: not a valid TOML file: {error}") from None
        else:
            return path, _Layer(*_file_texts(path, table))
    return "", _Layer({}, {})


def _file_texts(path: str, table: dict[str, object]) -> tuple[dict[str, list[str]], dict[str, str]]:
    texts = {}
    for key, value in table.items():
        if key in NOT_IN_FILES:
            raise ConfigError(f"{path}: {key} cannot be set in a file (use --{key} or CHATD_{key.upper()})")
        if key not in SETTINGS:
            raise ConfigError(f"{path}: {key}: unknown setting{nearest(key, SETTINGS.keys() - NOT_IN_FILES)}")
        texts[key] = _value_texts(f"{path}: {key}", SETTINGS[key].kind, value)
    return texts, {key: f"{path}: {key}" for key in texts}


def _value_texts(source: str, kind: Kind, value: object) -> list[str]:
    """A TOML value as texts, the form of flags and variables. Raises InvalidValue."""
    if isinstance(value, dict) and kind.tables is not None:
        try:
            return kind.tables(value)
        except InvalidValue as error:
            raise ConfigError(f"{source}.{error}") from None
    elements = value if kind.many and isinstance(value, list) else [value]
    for element in elements:
        if not isinstance(element, str | int | float) or (isinstance(element, bool) and not kind.switch):
            raise ConfigError(f"{source}: {value!r} is not valid (use {kind.allowed})")
    return [str(element) for element in elements]


def _parse(kind: Kind, texts: list[str], source: str) -> object:
    parts = [part for text in texts for part in kind.split(text)] if kind.many else [texts[-1]]
    values = []
    for part in parts:
        try:
            values.append(kind.parse(part))
        except InvalidValue as error:
            raise ConfigError(f"{source}: {error}") from None
        except ValueError:
            raise ConfigError(f"{source}: {part!r} is not valid (use {kind.allowed})") from None
    return list(dict.fromkeys(values)) if kind.many else values[0]


def _check(config: Config) -> None:
    """Check settings that depend on each other. Raises ConfigError."""
    if not config.listen:
        raise ConfigError("listen is empty (set at least one address, e.g. 127.0.0.1:0 for a free local port)")
    _check_room_ports(config)
    _check_faults(config)
    for low, high, overhead in (
        ("text_bytes", "frame_bytes", TEXT_OVERHEAD),
        ("ping_after", "dead_after", 0),
        ("redial_min", "redial_max", 0),
    ):
        least = getattr(config, low) + overhead
        if getattr(config, high) < least:
            show = SETTINGS[high].kind.show
            raise ConfigError(
                f"{high} is {show(getattr(config, high))}, but {low} is {show(getattr(config, low))} "
                f"(set {high} to {show(least)} or more, or lower {low})"
            )


def _check_room_ports(config: Config) -> None:
    """Each room port has an address of its own, different from the peer port. Raises ConfigError."""
    used = set(config.listen)
    for text in config.room_port:
        host, port, *_ = parse_room_port(text)
        address = format_address(host, port)
        if port and address in used:
            other = "listen" if address in config.listen else "another room_port"
            raise ConfigError(f"room_port: {text}: {address} is also in {other} (use a different port for each)")
        used.add(address)


def _check_faults(config: Config) -> None:
    """link_faults needs allow_faults, and each peer is given once. Raises ConfigError."""
    if config.link_faults and not config.allow_faults:
        raise ConfigError("link_faults is set, but faults are not allowed (add --allow-faults or CHATD_ALLOW_FAULTS=1)")
    peers = set()
    for text in config.link_faults:
        peer = parse_link_faults(text).peer
        if peer in peers:
            raise ConfigError(f"link_faults: {peer} is listed twice (merge its faults into one entry)")
        peers.add(peer)


def _host_name() -> str:
    """The host name up to its first dot, made a valid node name."""
    first = os.uname().nodename.partition(".")[0].lower()
    name = "".join(c if c in paths.NAME_CHARACTERS else "-" for c in first).strip("-")[: paths.NAME_LIMIT]
    return name if paths.valid_name(name) else f"node-{name}"[: paths.NAME_LIMIT].rstrip("-")
