"""Native frames: what two chatd nodes say to each other inside TLS, and the codec for it.

A frame is a 4-byte big-endian length and that many bytes of msgpack: one array, its first element the tag.
Trailing elements and tags that this version does not know are ignored, so that versions can grow.

Sans-IO: bytes in, frames out, and the other way round. It does not know links, marks or limits on texts
(those are the link's), only what a well-formed frame is. Whatever bytes arrive, in whatever chunks, the only
exception is RemoteError; what our own side does wrong is a LocalError; anything else is a bug here. Called by
`net/native/handshake.py` and `net/native/link.py`; the layout is written down in docs/wire.md.
"""

from collections.abc import Callable, Iterable, Mapping
from struct import Struct as Packing
from typing import Annotated, Any, Final, Literal

import msgspec

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
    "FRAME_BYTES",
    "HEADER",
    "TEXT_OVERHEAD",
    "VERSION",
    "AckFrame",
    "Bye",
    "Cloned",
    "Count",
    "Counted",
    "Decoder",
    "Explore",
    "Explored",
    "FoundFrame",
    "Frame",
    "Gone",
    "Happened",
    "Hello",
    "Inquire",
    "LocalError",
    "Missing",
    "Ordered",
    "PingFrame",
    "PongFrame",
    "QueryFrame",
    "Refused",
    "RemoteError",
    "Resume",
    "Rooms",
    "Roster",
    "Said",
    "Say",
    "Text",
    "TracedFrame",
    "encode",
    "encode_many",
    "frame_name",
    "valid_name",
]

VERSION: Final = 1
# What everybody takes, so what a Hello, a list of rooms or a page of users may be; the default of Config.frame_bytes.
FRAME_BYTES: Final = 65536
# Of a Text, Say or Said beside its text, at most (379 today): frame_bytes must have room for both.
TEXT_OVERHEAD: Final = 512
HEADER: Final = 4

# What `Bye` may say today. A later version may have others: they are taken, and mean what `protocol` means.
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


class RemoteError(Exception):
    """The other side broke the protocol: one line that says how. The link has to end."""


class LocalError(Exception):
    """This side asked for something that the protocol cannot carry, or used the codec wrongly."""


class Hello(msgspec.Struct, array_like=True, tag=1, frozen=True, gc=False):
    """The first frame of each side: who it is, what it has of the other's journal, and what it takes.

    `mark_epoch` and `mark_seq` are its newest committed mark of the receiver's journal (None and 0: none). `dial`
    is why the dialer dialed; the other side says "answer". `text_chars` 0 means no limit in characters.
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
    """What follows starts after this position of the sender's journal."""

    epoch: str
    seq: Seq


class Text(msgspec.Struct, array_like=True, tag=3, frozen=True, gc=False):
    """One message: its position in the sender's journal, its text, and the message that it answers, if it does.

    `re` is the position of that message in the receiver's journal: a peer answers only what the receiver has sent it.
    """

    epoch: str
    seq: Seq
    text: str
    re: str | None = None


class AckFrame(msgspec.Struct, array_like=True, tag=4, frozen=True, gc=False):
    """Everything of the receiver's journal up to and with this position is committed at the sender of this."""

    epoch: str
    seq: Seq


class PingFrame(msgspec.Struct, array_like=True, tag=5, frozen=True, gc=False):
    """Answer with a Pong of the same token."""

    token: Token


class PongFrame(msgspec.Struct, array_like=True, tag=6, frozen=True, gc=False):
    """The answer to a Ping; `at` is the wall clock of who answers, in seconds since 1970 (0: it does not say)."""

    token: Token
    at: Wall = 0.0


class Bye(msgspec.Struct, array_like=True, tag=7, frozen=True, gc=False):
    """The last frame of a side: why it ends the link."""

    reason: str


class Cloned(msgspec.Struct, array_like=True, tag=23, frozen=True, gc=False):
    """Two nodes run with the receiver's node id, the other one in that epoch: the state directory was copied."""

    epoch: str


Ordered = Text | Say | Said | Happened | Refused | Missing  # these are at a position of the sender's journal
Frame = Hello | Resume | Text | AckFrame | PingFrame | PongFrame | Bye | Cloned | RoomFrame | QueryFrame


class _Head(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The tag alone: tells a frame of a later version from a broken one of this version."""

    tag: Annotated[int, msgspec.Meta(ge=0)]


_KNOWN_TAGS: Final = frozenset(range(1, 24))

_length = Packing(">I")
_unpack = _length.unpack_from
_decode: Callable[[bytes | bytearray | memoryview], Frame] = msgspec.msgpack.Decoder(Frame).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_encode = msgspec.msgpack.Encoder().encode


class Decoder:
    """The bytes of one direction of a link -> frames.

    At most one unfinished frame is kept between calls. After a RemoteError every further call raises it again.
    """

    __slots__ = ("_epoch", "_error", "_frame_bytes", "_unfinished")

    def __init__(self, frame_bytes: int = FRAME_BYTES) -> None:
        self._frame_bytes = frame_bytes
        self._unfinished = bytearray()
        self._error: Exception | None = None
        self._epoch = ""  # the last good one: nearly every frame repeats it

    def receive(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """The frames that `data` completes, in order. `b""` is the end of the stream.

        Raises RemoteError for bytes that are no frame, and for an end in the middle of one; what stood before
        the problem in the same chunk is dropped with it (nobody has acknowledged it). Raises LocalError for data
        after the end.
        """
        if self._error is not None:
            raise self._error
        try:
            return self._split(data) if data else self._finish()
        except RemoteError as error:
            self._unfinished = bytearray()
            self._error = error
            raise

    def _finish(self) -> list[Frame]:
        if self._unfinished:
            raise RemoteError("the stream ended in the middle of a frame")
        self._error = LocalError("data after the end of the stream")
        return []

    def _split(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Frames out of what is held and `data`, in linear time whatever the chunks."""
        held = self._unfinished
        if held:
            held += data
            if self._incomplete(held):
                return []
            data = bytes(held)
            held.clear()
        frames: list[Frame] = []
        size = len(data)
        limit = self._frame_bytes
        start = 0
        while size - start >= HEADER:
            length = _unpack(data, start)[0]
            if not 0 < length <= limit:
                raise RemoteError(f"a frame of {length} bytes (1 to {limit} are allowed)")
            body = start + HEADER
            end = body + length
            if end > size:
                break
            start = end
            try:
                frame = _decode(data[body:end])
            except _UNDECODABLE as error:
                _skip_unknown(data[body:end], error)
                continue
            if type(frame) is not Text or frame.epoch != self._epoch or frame.re is not None:
                self._check(frame)
            frames.append(frame)
        if start < size:
            held += data[start:]
        return frames

    def _incomplete(self, held: bytearray) -> bool:
        """Whether the first frame in `held` still lacks bytes; one that is too long is not waited for."""
        if len(held) < HEADER:
            return True
        length: int = _unpack(held, 0)[0]
        return 0 < length <= self._frame_bytes and len(held) < HEADER + length

    def _check(self, frame: Frame) -> None:
        problem = _CHECKS[type(frame)](frame)
        if problem:
            raise RemoteError(f"{frame_name(frame)}: {problem}")
        if type(frame) is Text:
            self._epoch = frame.epoch


# What msgspec raises for bytes that are no msgpack, not of the right shape, no UTF-8, or nested too deeply.
_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)


def _skip_unknown(body: bytes | bytearray | memoryview, error: Exception) -> None:
    """Returns for a well-formed frame of a later version; everything else is a RemoteError."""
    try:
        tag = _decode_head(body).tag
    except _UNDECODABLE as undecodable:
        raise RemoteError(f"not a frame: {undecodable}") from None
    if tag in _KNOWN_TAGS:
        raise RemoteError(f"frame {tag}: {error}") from None


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


# What the types above do not say: the shape of names, epochs, ids and reasons. Empty when it is all right.
_CHECKS: Final[Mapping[type, Callable[[Any], str]]] = {
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
    """The name of a frame's type in docs/wire.md, e.g. `Ack`, for error messages."""
    return type(frame).__name__.removesuffix("Frame")


def encode(frame: Frame, frame_bytes: int = FRAME_BYTES) -> bytes:
    """The bytes of one frame, checked as the receiver will check them. Raises LocalError."""
    problem = _CHECKS[type(frame)](frame)
    if problem:
        raise LocalError(f"{frame_name(frame)}: {problem}")
    return encode_many((frame,), frame_bytes)


def encode_many(frames: Iterable[Frame | bytes], frame_bytes: int = FRAME_BYTES) -> bytes:
    """The bytes of many frames, for one write. Raises LocalError for a frame that is over `frame_bytes`.

    What is bytes already is a frame as `encode` gives it: one that goes to many links is encoded once. Nothing but the
    size is checked: what came out of our own journal is known to be well-formed.
    """
    parts: list[bytes] = []
    pack = _length.pack
    for frame in frames:
        if type(frame) is bytes:
            size = len(frame) - HEADER
            parts.append(frame)
        else:
            try:
                body = _encode(frame)
            except (UnicodeError, OverflowError) as error:
                raise LocalError(f"{frame_name(frame)}: {error}") from None
            size = len(body)
            parts += pack(size), body
        if size > frame_bytes:
            raise LocalError(f"a frame of {size} bytes (at most {frame_bytes} are allowed)")
    return b"".join(parts)
