"""The table of settings: each field of `Config` has name, type, default, kind of value and help.

The flag `--log-level`, the variable `CHATD_LOG_LEVEL` and the key `log_level` all come from the field `log_level`.
`flags.py` and `loading.py` use the table; the rest of the daemon reads only `Config`.
"""

from typing import Annotated, get_type_hints

import msgspec

from chatd import paths
from chatd.config.link_faults import LINK_FAULTS
from chatd.config.values import (
    GROUP,
    NAME,
    NODE_IDS,
    PATH,
    ROOM_PORTS,
    YES_NO,
    Kind,
    addresses,
    choice,
    count,
    duration,
    size,
)

DEFAULT_LISTEN = (f"0.0.0.0:{paths.DEFAULT_PORT}", f"[::]:{paths.DEFAULT_PORT}")
GROUPS = (
    "Node",
    "Network",
    "Faults on purpose",
    "Logs",
    "Limits of messages",
    "Limits of plain peers",
    "Limits of links",
    "Limits of control",
)
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class ConfigError(ValueError):
    """A setting is not valid. The message is one line and contains the source."""


class Setting(msgspec.Struct, frozen=True):
    """Table entry of a field: its group in `--help`, kind of value and help text."""

    group: str
    kind: Kind
    help: str


def _in(group: int, kind: Kind, text: str) -> Setting:
    """The table entry of a field in GROUPS[group]. Short, because the table has one line for each field."""
    return Setting(GROUPS[group], kind, text)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run. Durations are seconds, sizes bytes, addresses `HOST:PORT`, paths absolute."""

    node: Annotated[str, _in(0, NAME, "name of this node on this machine; selects its socket, state and file")]
    name: Annotated[str, _in(0, NAME, "name that peers see (default: NODE, or the host name if NODE is `default`)")]
    socket: Annotated[str, _in(0, PATH, "control socket for chatctl (default: depends on NODE and user)")]
    socket_group: Annotated[str, _in(0, GROUP, "group that may use the control socket too")] = ""
    state: Annotated[
        str, _in(0, PATH, "directory for key, certificate and journal (default: depends on NODE and user)")
    ]
    config: Annotated[str, _in(0, PATH, "configuration file (default: the first that exists of the two above)")] = ""

    listen: Annotated[list[str], _in(1, addresses(lowest_port=0), "addresses to accept peers on")] = msgspec.field(
        default_factory=lambda: list(DEFAULT_LISTEN)
    )
    peers: Annotated[
        list[str], _in(1, addresses(lowest_port=1), "nodes to connect to, and to reconnect to when the link is lost")
    ] = []
    trust: Annotated[
        str,
        _in(
            1,
            choice("open", "known", "pending"),
            "nodes that may connect: any, those in `known`, or those accepted with chatctl",
        ),
    ] = "open"
    known: Annotated[
        list[str], _in(1, NODE_IDS, "node ids that may connect, in full or the first 16 characters or more")
    ] = []
    plain: Annotated[
        str,
        _in(
            1,
            choice("on", "loopback", "off"),
            "plain-text clients (nc, telnet): accept from anywhere, this machine, nowhere",
        ),
    ] = "loopback"
    topology: Annotated[
        str, _in(1, choice("open", "private"), "whether other nodes see the links of this node in `chatctl topo`")
    ] = "open"
    room_port: Annotated[
        list[str],
        _in(1, ROOM_PORTS, "ports where plain-text clients join a room of this node"),
    ] = []

    allow_faults: Annotated[
        bool, _in(2, YES_NO, "let `chatctl link` delay, drop, slow down and cut links, for tests")
    ] = False
    link_faults: Annotated[
        list[str], _in(2, LINK_FAULTS, "faults from the start, for a peer or for all (*); needs allow_faults")
    ] = []

    log_level: Annotated[str, _in(3, choice("debug", "info", "warning", "error"), "lowest level to log")] = "info"
    log_format: Annotated[
        str, _in(3, choice("auto", "text", "json"), "format: auto is text on a terminal, else JSON")
    ] = "auto"
    log_messages: Annotated[bool, _in(3, YES_NO, "log each message sent or received, with the start of its text")] = (
        False
    )

    max_text: Annotated[
        int, _in(4, count(0, MIB, zero="0: no limit"), "characters in a message text (0: no limit)")
    ] = 0
    text_bytes: Annotated[int, _in(4, size(64, 8 * MIB), "bytes in a message text (UTF-8)")] = 16 * KIB
    frame_bytes: Annotated[
        int, _in(4, size(64 * KIB, 16 * MIB), "bytes in one frame between nodes; at least 512 more than text_bytes")
    ] = 64 * KIB
    journal_pending_bytes: Annotated[int, _in(4, size(64 * KIB, GIB), "data waiting to be written to the journal")] = (
        8 * MIB
    )
    outbox_messages: Annotated[int, _in(4, count(1, 100_000_000), "undelivered messages for one peer")] = 10_000
    outbox_bytes: Annotated[
        int, _in(4, size(64 * KIB, 1024 * GIB), "size of the undelivered messages for one peer")
    ] = 64 * MIB
    retain_age: Annotated[float, _in(4, duration(1, 3_650 * 86400), "delete history older than this")] = 30 * 86400.0
    retain_bytes: Annotated[
        int, _in(4, size(MIB, 1024 * GIB), "size of the history; up to half of it for undelivered messages")
    ] = GIB
    tail_bytes: Annotated[int, _in(4, size(64 * KIB, GIB), "newest events, kept in memory")] = 16 * MIB

    plain_line_bytes: Annotated[int, _in(5, size(64, MIB), "length of a line from a plain peer")] = 4 * KIB
    plain_send_bytes: Annotated[int, _in(5, size(16, MIB), "length of a message to a plain peer")] = KIB
    plain_buffer_bytes: Annotated[int, _in(5, size(4 * KIB, GIB), "data waiting to be sent to a plain peer")] = MIB
    plain_queue: Annotated[int, _in(5, count(1, 65536), "messages waiting to be sent to a plain peer")] = 256
    plain_rate: Annotated[int, _in(5, count(1, 1000000), "messages per second accepted from a plain peer")] = 200
    plain_pace: Annotated[
        float, _in(5, duration(0, 10), "pause between messages to a plain peer that sends no line ends")
    ] = 0.03
    plain_quiet: Annotated[float, _in(5, duration(0.001, 10), "pause that ends a message without a line end")] = 0.05
    plain_stall: Annotated[
        float, _in(5, duration(0.1, 3600), "disconnect a plain peer that reads nothing for this long")
    ] = 10.0

    max_links: Annotated[int, _in(6, count(1, 65536), "links open at a time")] = 1024
    unauthenticated: Annotated[
        int, _in(6, count(1, 65536), "links before their handshake is complete; the oldest is dropped")
    ] = 64
    links_per_address: Annotated[int, _in(6, count(1, 65536), "links from one public IP address")] = 16
    room_members: Annotated[int, _in(6, count(1, 65536), "members of one room hosted by this node")] = 4096
    dials_per_address: Annotated[int, _in(6, count(1, 65536), "new links from one public IP address in 10 minutes")] = (
        32
    )
    handshake_timeout: Annotated[float, _in(6, duration(0.1, 300), "limit for the handshake of a new link")] = 10.0
    ping_after: Annotated[
        float, _in(6, duration(0.05, 3600), "send a ping after this long without data from a node")
    ] = 15.0
    dead_after: Annotated[
        float, _in(6, duration(0.1, 7200), "close a link after this long without data from a node")
    ] = 45.0
    redial_min: Annotated[
        float, _in(6, duration(0.01, 3600), "first delay before a reconnect; it doubles with each attempt")
    ] = 0.5
    redial_max: Annotated[float, _in(6, duration(0.01, 86400), "longest delay before a reconnect")] = 30.0
    terminate_timeout: Annotated[
        float, _in(6, duration(0, 300), "time for `chatctl terminate` to deliver queued messages")
    ] = 5.0

    sessions: Annotated[int, _in(7, count(1, 65536), "clients connected to the control socket")] = 256
    requests_per_session: Annotated[int, _in(7, count(1, 65536), "open requests of one client")] = 64
    consumers: Annotated[int, _in(7, count(1, 65536), "named consumers (`chatctl tail --as NAME`)")] = 1024
    control_line_bytes: Annotated[int, _in(7, size(4 * KIB, 64 * MIB), "length of a request from a client")] = MIB
    control_buffer_bytes: Annotated[int, _in(7, size(4 * KIB, GIB), "data waiting to be sent to a client")] = MIB
    session_stall: Annotated[
        float, _in(7, duration(0.1, 3600), "disconnect a client that reads nothing for this long")
    ] = 30.0


def _table() -> dict[str, Setting]:
    hints = get_type_hints(Config, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in Config.__struct_fields__}


SETTINGS = _table()
