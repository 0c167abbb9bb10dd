"""Codec of native frames: bytes to frames, and frames to bytes.

A frame is a 4-byte big-endian length and that many bytes of msgpack: one array, its first element the tag. Trailing
elements and unknown tags are ignored, so that later versions can add some. Knows what a well-formed frame is, but no
links, watermarks or limits on texts. Called by `net/native/`; the layout is specified in docs/wire.md.
"""

from collections.abc import Callable, Iterable
from struct import Struct as Packing
from typing import Annotated, Final, get_args

import msgspec

from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.frames import CHECKS, FRAME_BYTES, Frame, Text, frame_name

HEADER: Final = 4  # bytes


class _Head(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The tag alone, to distinguish a frame of a later version from a malformed one of this version."""

    tag: Annotated[int, msgspec.Meta(ge=0)]


_KNOWN_TAGS: Final = frozenset(kind.__struct_config__.tag for kind in get_args(Frame))

_length = Packing(">I")
_unpack = _length.unpack_from
_decode: Callable[[bytes | bytearray | memoryview], Frame] = msgspec.msgpack.Decoder(Frame).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode
_encode = msgspec.msgpack.Encoder().encode


class Decoder:
    """Decode the bytes of one direction of a link.

    Keeps at most one unfinished frame between calls. After a RemoteError every further call raises it again.
    """

    __slots__ = ("_epoch", "_error", "_frame_bytes", "_unfinished")

    def __init__(self, frame_bytes: int = FRAME_BYTES) -> None:
        self._frame_bytes = frame_bytes
        self._unfinished = bytearray()
        self._error: Exception | None = None
        self._epoch = ""  # the last valid one: nearly every Text repeats it, and is not checked again

    def receive(self, data: bytes | bytearray | memoryview) -> list[Frame]:
        """Return the frames that `data` completes, in order. `b""` is the end of the stream.

        Raises RemoteError for bytes that are not a frame, and for an end in the middle of one. Complete frames before
        that in the same chunk are dropped with it: none of them was acknowledged. Raises LocalError for data after
        the end.
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
        """Split the unfinished frame and `data` into frames, in linear time however the chunks are cut."""
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
        """Whether the first frame in `held` lacks bytes. False for an oversized frame: it is rejected at once."""
        if len(held) < HEADER:
            return True
        length: int = _unpack(held, 0)[0]
        return 0 < length <= self._frame_bytes and len(held) < HEADER + length

    def _check(self, frame: Frame) -> None:
        problem = CHECKS[type(frame)](frame)
        if problem:
            raise RemoteError(f"{frame_name(frame)}: {problem}")
        if type(frame) is Text:
            self._epoch = frame.epoch


# What msgspec raises for bytes that are not msgpack, have the wrong shape, are not UTF-8, or are nested too deeply.
_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError)


def _skip_unknown(body: bytes | bytearray | memoryview, error: Exception) -> None:
    """Return if `body` is a well-formed frame of a later version. Raises RemoteError for everything else."""
    try:
        tag = _decode_head(body).tag
    except _UNDECODABLE as undecodable:
        raise RemoteError(f"not a frame: {undecodable}") from None
    if tag in _KNOWN_TAGS:
        raise RemoteError(f"frame {tag}: {error}") from None


def encode(frame: Frame, frame_bytes: int = FRAME_BYTES) -> bytes:
    """Encode one frame, with the checks of the receiver. Raises LocalError."""
    problem = CHECKS[type(frame)](frame)
    if problem:
        raise LocalError(f"{frame_name(frame)}: {problem}")
    return encode_many((frame,), frame_bytes)


def encode_many(frames: Iterable[Frame | bytes], frame_bytes: int = FRAME_BYTES) -> bytes:
    """Encode many frames for one write. Raises LocalError for a frame of more than `frame_bytes`.

    An element of type bytes is a frame that `encode` returned before; a frame for many links is encoded once. Only the
    size is checked: frames from our own journal are well-formed.
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
