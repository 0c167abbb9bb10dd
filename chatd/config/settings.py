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
    """A setting is not valid. The message is one line and names the source."""


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

    node: Annotated[str, _in(0, NAME, "which node this is: it names the socket, the state and the file (default)")]
    name: Annotated[str, _in(0, NAME, "what peers call it (NODE; where that is `default`, the host name)")]
    socket: Annotated[str, _in(0, PATH, "the control socket (by NODE and user)")]
    socket_group: Annotated[str, _in(0, GROUP, "a group that may use the control socket too")] = ""
    state: Annotated[str, _in(0, PATH, "directory of key, certificate, journal and lock (by NODE and user)")]
    config: Annotated[str, _in(0, PATH, "the configuration file (the first of two places that has one)")] = ""

    listen: Annotated[list[str], _in(1, addresses(lowest_port=0), "addresses of the peer port")] = msgspec.field(
        default_factory=lambda: list(DEFAULT_LISTEN)
    )
    peers: Annotated[list[str], _in(1, addresses(lowest_port=1), "nodes to stay connected to")] = []
    trust: Annotated[
        str, _in(1, choice("open", "known", "pending"), "who may talk: all, `known`, or who was accepted")
    ] = "open"
    known: Annotated[
        list[str], _in(1, NODE_IDS, "node ids, or their first 16 characters, that may talk, unless denied")
    ] = []
    plain: Annotated[str, _in(1, choice("on", "loopback", "off"), "from where plain text (nc, telnet) is taken")] = (
        "loopback"
    )
    topology: Annotated[
        str, _in(1, choice("open", "private"), "whether `chatctl topo` of others learns who this is connected with")
    ] = "open"
    room_port: Annotated[
        list[str],
        _in(1, ROOM_PORTS, "where plain clients come into a room of ours, and how they speak (address or name)"),
    ] = []

    allow_faults: Annotated[bool, _in(2, YES_NO, "`chatctl link` may delay, lose, slow and cut what peers say")] = False
    link_faults: Annotated[list[str], _in(2, LINK_FAULTS, "faults from the start on, of a peer or of all (*)")] = []

    log_level: Annotated[str, _in(3, choice("debug", "info", "warning", "error"), "the least that is logged")] = "info"
    log_format: Annotated[str, _in(3, choice("auto", "text", "json"), "auto: text on a terminal, else JSON lines")] = (
        "auto"
    )
    log_messages: Annotated[bool, _in(3, YES_NO, "log each message sent or received, with the start of its text")] = (
        False
    )

    max_text: Annotated[int, _in(4, count(0, MIB, zero="0: no limit"), "characters of a text; 0 is no limit")] = 0
    text_bytes: Annotated[int, _in(4, size(64, 8 * MIB), "UTF-8 bytes of a text")] = 16 * KIB
    frame_bytes: Annotated[int, _in(4, size(64 * KIB, 16 * MIB), "a native frame")] = 64 * KIB
    journal_pending_bytes: Annotated[int, _in(4, size(64 * KIB, GIB), "what may wait for its commit")] = 8 * MIB
    outbox_messages: Annotated[int, _in(4, count(1, 100_000_000), "messages that may be owed to one peer")] = 10_000
    outbox_bytes: Annotated[int, _in(4, size(64 * KIB, 1024 * GIB), "their bytes in the journal")] = 64 * MIB
    retain_age: Annotated[float, _in(4, duration(1, 3_650 * 86400), "how long history is kept")] = 30 * 86400.0
    retain_bytes: Annotated[int, _in(4, size(MIB, 1024 * GIB), "how large it grows; outboxes may hold half")] = GIB
    tail_bytes: Annotated[int, _in(4, size(64 * KIB, GIB), "the newest events, kept in memory")] = 16 * MIB

    plain_line_bytes: Annotated[int, _in(5, size(64, MIB), "a line from a plain peer")] = 4 * KIB
    plain_send_bytes: Annotated[int, _in(5, size(16, MIB), "a message to a plain peer")] = KIB
    plain_buffer_bytes: Annotated[int, _in(5, size(4 * KIB, GIB), "what may wait to be written to one")] = MIB
    plain_queue: Annotated[int, _in(5, count(1, 65536), "messages that may wait for one")] = 256
    plain_rate: Annotated[int, _in(5, count(1, 1000000), "messages a second taken from one")] = 200
    plain_pace: Annotated[float, _in(5, duration(0, 10), "between two messages to one that sends no lines")] = 0.03
    plain_quiet: Annotated[float, _in(5, duration(0.001, 10), "silence that ends a message without a line end")] = 0.05
    plain_stall: Annotated[float, _in(5, duration(0.1, 3600), "taking nothing for so long cuts one")] = 10.0

    max_links: Annotated[int, _in(6, count(1, 65536), "links at a time")] = 1024
    unauthenticated: Annotated[int, _in(6, count(1, 65536), "links at a time that have not said who they are")] = 64
    links_per_address: Annotated[int, _in(6, count(1, 65536), "links at a time of one public address")] = 16
    room_members: Annotated[int, _in(6, count(1, 65536), "members of one room of ours at a time")] = 4096
    dials_per_address: Annotated[int, _in(6, count(1, 65536), "new links in 10 minutes of one public address")] = 32
    handshake_timeout: Annotated[float, _in(6, duration(0.1, 300), "from connection to Hello")] = 10.0
    ping_after: Annotated[float, _in(6, duration(0.05, 3600), "silence after which a native peer is asked")] = 15.0
    dead_after: Annotated[float, _in(6, duration(0.1, 7200), "silence after which a native link is dead")] = 45.0
    redial_min: Annotated[float, _in(6, duration(0.01, 3600), "the first wait before dialing again")] = 0.5
    redial_max: Annotated[float, _in(6, duration(0.01, 86400), "the longest wait before dialing again")] = 30.0
    terminate_timeout: Annotated[
        float, _in(6, duration(0, 300), "`terminate` delivers what was accepted for so long")
    ] = 5.0

    sessions: Annotated[int, _in(7, count(1, 65536), "clients on the control socket")] = 256
    requests_per_session: Annotated[int, _in(7, count(1, 65536), "open requests of one session")] = 64
    consumers: Annotated[int, _in(7, count(1, 65536), "named consumers")] = 1024
    control_line_bytes: Annotated[int, _in(7, size(4 * KIB, 64 * MIB), "a line from a client")] = MIB
    control_buffer_bytes: Annotated[int, _in(7, size(4 * KIB, GIB), "what may wait to be written to a client")] = MIB
    session_stall: Annotated[float, _in(7, duration(0.1, 3600), "reading nothing for so long ends a session")] = 30.0


def _table() -> dict[str, Setting]:
    hints = get_type_hints(Config, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in Config.__struct_fields__}


SETTINGS = _table()
