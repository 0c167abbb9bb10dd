"""Native frames: the messages of two chatd nodes inside TLS, and what makes one well-formed.

The frames about rooms and the query frames are defined in files of their own and exported from here. Knows no bytes
(see `wire/codec.py`), links, watermarks or limits on texts. The layout is specified in docs/wire.md.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from chatd.formats import TEXT_OVERHEAD
from chatd.wire.fields import Seq, valid_epoch, valid_id, valid_kind, valid_name
from chatd.wire.query_frames import (
    QUERY_CHECKS,
    Count,
    Counted,
    Explore,
    Explored,
    FoundFrame,
    Inquire,
    QueryFrame,
    Token,
    TracedFrame,
    Wall,
)
from chatd.wire.room_frames import (
    ROOM_CHECKS,
    Gone,
    Happened,
    Missing,
    Refused,
    RoomFrame,
    Rooms,
    Roster,
    Said,
    Say,
)

__all__ = [
    "BYE_REASONS",
    "CHECKS",
    "FRAME_BYTES",
    "VERSION",
    "AckFrame",
    "Bye",
    "Cloned",
    "Count",
    "Counted",
    "Explore",
    "Explored",
    "FoundFrame",
    "Frame",
    "Gone",
    "Happened",
    "Hello",
    "Inquire",
    "Missing",
    "Ordered",
    "PingFrame",
    "PongFrame",
    "QueryFrame",
    "Refused",
    "Resume",
    "Rooms",
    "Roster",
    "Said",
    "Say",
    "Text",
    "TracedFrame",
    "frame_name",
]

VERSION: Final = 1
# Every node accepts this size, so a Hello, a list of rooms and a page of users must fit. Default of Config.frame_bytes.
FRAME_BYTES: Final = 65536

# Reasons of a Bye in this version. One of a later version is accepted and treated like `protocol`.
BYE_REASONS: Final = (
    "shutdown",
    "storage_full",
    "storage_lost",
    "terminated",
    "duplicate",
    "denied",
    "pending",
    "protocol",
)


class Hello(msgspec.Struct, array_like=True, tag=1, frozen=True, gc=False):
    """First frame of each side: its identity, its watermark of the receiver's journal, and its limits.

    `mark_epoch` and `mark_seq`: newest committed watermark of the receiver's journal (None and 0: none). `dial`: why
    the dialer dialed; the acceptor sends "answer". `text_chars` 0: no limit in characters.
    """

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    name: str
    epoch: str
    mark_epoch: str | None
    mark_seq: Seq
    dial: Literal["connect", "redial", "answer"]
    text_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    text_chars: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    frame_bytes: Annotated[int, msgspec.Meta(ge=FRAME_BYTES, le=2**63 - 1)]


class Resume(msgspec.Struct, array_like=True, tag=2, frozen=True, gc=False):
    """The frames that follow start after this position of the sender's journal."""

    epoch: str
    seq: Seq


class Text(msgspec.Struct, array_like=True, tag=3, frozen=True, gc=False):
    """One message at its position in the sender's journal.

    `re`: position in the receiver's journal of the message that this one answers. A peer can only answer messages that
    the receiver has sent to it.
    """

    epoch: str
    seq: Seq
    text: str
    re: str | None = None


class AckFrame(msgspec.Struct, array_like=True, tag=4, frozen=True, gc=False):
    """The sender has committed the receiver's journal up to and including this position."""

    epoch: str
    seq: Seq


class PingFrame(msgspec.Struct, array_like=True, tag=5, frozen=True, gc=False):
    """Request for a Pong with the same token."""

    token: Token


class PongFrame(msgspec.Struct, array_like=True, tag=6, frozen=True, gc=False):
    """Answer to a Ping. `at`: wall clock of the answering node, in seconds since 1970 (0: not reported)."""

    token: Token
    at: Wall = 0.0


class Bye(msgspec.Struct, array_like=True, tag=7, frozen=True, gc=False):
    """Last frame of a side: why it ends the link."""

    reason: str


class Cloned(msgspec.Struct, array_like=True, tag=23, frozen=True, gc=False):
    """Another node runs with the receiver's node id, in this epoch: its state directory was copied."""

    epoch: str


Ordered = Text | Say | Said | Happened | Refused | Missing  # frames at a position of the sender's journal
Frame = Hello | Resume | Text | AckFrame | PingFrame | PongFrame | Bye | Cloned | RoomFrame | QueryFrame


def _hello_problem(hello: Hello) -> str:
    if not valid_name(hello.name):
        return "no such name"
    if not valid_epoch(hello.epoch):
        return "no such epoch"
    if hello.text_bytes + TEXT_OVERHEAD > hello.frame_bytes:
        return "its texts do not fit into its frames"
    if hello.mark_epoch is None:
        return "" if hello.mark_seq == 0 else "a mark without an epoch"
    return "" if valid_epoch(hello.mark_epoch) else "no such epoch"


def _text_problem(text: Text) -> str:
    if not valid_epoch(text.epoch):
        return "no such epoch"
    return "" if text.re is None or valid_id(text.re) else "no such id"


def _epoch_problem(frame: Resume | AckFrame | Cloned) -> str:
    return "" if valid_epoch(frame.epoch) else "no such epoch"


def _bye_problem(bye: Bye) -> str:
    return "" if valid_kind(bye.reason) else "no such reason"


def _no_problem(_: PingFrame | PongFrame) -> str:
    return ""


# Checks beyond the types: the syntax of names, epochs, ids and reasons. Each returns the problem; empty: none.
CHECKS: Final[Mapping[type, Callable[[Any], str]]] = {
    Hello: _hello_problem,
    Resume: _epoch_problem,
    Text: _text_problem,
    AckFrame: _epoch_problem,
    PingFrame: _no_problem,
    PongFrame: _no_problem,
    Bye: _bye_problem,
    Cloned: _epoch_problem,
    **ROOM_CHECKS,
    **QUERY_CHECKS,
}


def frame_name(frame: Frame | bytes) -> str:
    """Name of a frame's type as in docs/wire.md, e.g. `Ack`, for error messages."""
    return type(frame).__name__.removesuffix("Frame")
