"""The codec of native frames: any chunking gives the same frames, and no bytes raise anything but RemoteError."""

import re
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.formats import TEXT_OVERHEAD
from chatd.wire.codec import Decoder, encode, encode_many
from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.frames import FRAME_BYTES, AckFrame, Bye, Frame, PingFrame, PongFrame, Said, Say, Text
from tests.wire.samples import EPOCH, NODE, framed, frames, packed, values

WIRE_MD = Path(__file__).parents[2] / "docs" / "wire.md"


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in pieces, cut at the given places; never an empty piece, which would be the end."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


@given(st.lists(frames, max_size=20), st.lists(st.integers(0, 10000), max_size=30))
def test_any_chunking_gives_the_same_frames(sent: list[Frame], cuts: list[int]) -> None:
    decoder = Decoder()
    received = [frame for chunk in chunked(encode_many(sent), cuts) for frame in decoder.receive(chunk)]
    assert received == sent
    assert decoder.receive(b"") == []


@given(st.lists(frames, min_size=1, max_size=5))
def test_one_byte_at_a_time_gives_the_same_frames(sent: list[Frame]) -> None:
    decoder = Decoder()
    data = b"".join(map(encode, sent))
    assert [frame for byte in data for frame in decoder.receive(bytes([byte]))] == sent


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=10))
def test_no_bytes_raise_anything_but_remote_error(data: bytes, cuts: list[int]) -> None:
    decoder = Decoder()
    with suppress(RemoteError):
        for chunk in [*chunked(data, cuts), b""]:
            decoder.receive(chunk)


@given(st.binary(min_size=1, max_size=300))
def test_no_frame_body_raises_anything_but_remote_error(body: bytes) -> None:
    with suppress(RemoteError):
        Decoder().receive(framed(body))


@given(st.integers(0, 24), st.lists(values, max_size=10))
def test_no_elements_raise_anything_but_remote_error(tag: int, elements: list[Any]) -> None:
    try:
        received = Decoder().receive(packed(tag, *elements))
    except RemoteError:
        return
    for frame in received:  # what passes is well-formed: it can be said again
        assert Decoder().receive(encode(frame)) == [frame]


@given(frames, st.lists(values, max_size=3))
def test_unknown_trailing_elements_are_ignored(frame: Frame, more: list[Any]) -> None:
    elements = msgspec.msgpack.decode(encode(frame)[4:])
    assert Decoder().receive(packed(*elements, *more)) == [frame]


@given(st.integers(24, 2**63 - 1) | st.just(0), st.lists(values, max_size=4))
def test_frames_with_an_unknown_tag_are_skipped(tag: int, elements: list[Any]) -> None:
    assert Decoder().receive(packed(tag, *elements) + encode(PingFrame(1))) == [PingFrame(1)]


@pytest.mark.parametrize("size", [0, FRAME_BYTES + 1, 2**31, 2**32 - 1])
def test_a_declared_length_out_of_range_is_refused_before_the_body(size: int) -> None:
    with pytest.raises(RemoteError, match=f"a frame of {size} bytes"):
        Decoder().receive(size.to_bytes(4, "big"))
    decoder = Decoder()
    assert decoder.receive(size.to_bytes(4, "big")[:3]) == []
    with pytest.raises(RemoteError):
        decoder.receive(size.to_bytes(4, "big")[3:])


def test_a_frame_of_exactly_the_limit_passes_and_one_more_does_not() -> None:
    frame = Text(EPOCH, 1, "x" * 100)
    size = len(encode(frame)) - 4
    assert Decoder(size).receive(encode(frame, size)) == [frame]
    with pytest.raises(RemoteError):
        Decoder(size - 1).receive(encode(frame))
    with pytest.raises(LocalError, match="at most"):
        encode(frame, size - 1)
    with pytest.raises(LocalError, match="at most"):
        encode_many([encode(frame)], size - 1)


def test_the_longest_text_of_any_limit_fits_into_a_frame_whoever_says_it_to_whom() -> None:
    seq, room, nick, longest_id = 2**63 - 1, "x" * 63, "\U0001e900" * 32, f"{EPOCH}:{2**63 - 1}"
    for size in (0, 31, 255, 256, 65535, 65536, 100_000):
        text = "x" * size
        for frame in (
            Text(EPOCH, seq, text, longest_id),
            Say(EPOCH, seq, room, text, nick, NODE),
            Said(EPOCH, seq, room, nick, text, longest_id, nick),
        ):
            assert len(encode(frame, size + TEXT_OVERHEAD)) <= size + TEXT_OVERHEAD + 4


@given(st.lists(frames, max_size=5))
def test_what_is_encoded_already_goes_between_the_others_as_it_is(sent: list[Frame]) -> None:
    mixed = [encode(frame) if place % 2 else frame for place, frame in enumerate(sent)]
    assert encode_many(mixed) == encode_many(sent)


def test_an_end_between_frames_is_none_of_the_decoders_business() -> None:
    decoder = Decoder()
    decoder.receive(encode(PingFrame(1)))
    assert decoder.receive(b"") == []
    with pytest.raises(LocalError):
        decoder.receive(encode(PingFrame(1)))


@pytest.mark.parametrize("cut", [1, 3, 4, 5])
def test_an_end_in_the_middle_of_a_frame_is_a_remote_error(cut: int) -> None:
    decoder = Decoder()
    decoder.receive(encode(PingFrame(1))[:cut])
    with pytest.raises(RemoteError, match="middle of a frame"):
        decoder.receive(b"")


def test_after_an_error_every_call_raises_it_again() -> None:
    decoder = Decoder()
    with pytest.raises(RemoteError) as first:
        decoder.receive(b"\xff" * 8)
    with pytest.raises(RemoteError) as second:
        decoder.receive(encode(PingFrame(1)))
    assert first.value is second.value


def test_deep_nesting_is_a_remote_error() -> None:
    for deep in (b"\x91" * 60000, b"\x93\x03" + b"\x91" * 60000, b"\x92\x63" + b"\x91" * 60000, b"\x81" * 60000):
        with pytest.raises(RemoteError):
            Decoder().receive(framed(deep))


def test_the_pong_of_an_earlier_version_says_no_time() -> None:
    assert Decoder().receive(packed(6, 7)) == [PongFrame(7, 0.0)]


def test_an_array_that_declares_more_than_it_has_is_a_remote_error() -> None:
    for body in (b"\xdd\xff\xff\xff\xff", b"\x94\x03\xdb\xff\xff\xff\xff", b"\xdd\xff\xff\xff\xff\x63"):
        with pytest.raises(RemoteError):
            Decoder().receive(framed(body))


def test_invalid_utf_8_in_a_text_is_a_remote_error() -> None:
    good = encode(Text(EPOCH, 1, "hello"))
    for bad in (b"hel\xff\xfe", b"h\xed\xa0\x80o", b"hell\xc3"):
        with pytest.raises(RemoteError):
            Decoder().receive(good.replace(b"hello", bad))


@pytest.mark.parametrize(
    "elements",
    [
        (3, EPOCH, -1, "x"),
        (3, EPOCH, 2**63, "x"),
        (3, EPOCH, 1.5, "x"),
        (3, EPOCH, 1),
        (3, EPOCH, 1, b"x"),
        (3, "7KQ2M4XA", 1, "x"),
        (3, "7kq2m4x1", 1, "x"),
        (3, "short", 1, "x"),
        (3, EPOCH, 1, "x", "no id"),
        (3, EPOCH, 1, "x", EPOCH),
        (3, EPOCH, 1, "x", f"{EPOCH}:"),
        (3, EPOCH, 1, "x", f"{EPOCH}:-1"),
        (3, EPOCH, 1, "x", f"{EPOCH}:٣"),
        (4, "", 1),
        (2, EPOCH, None),
        (5, "x"),
        (5, -1),
        (5,),
        (6, 1, -1.0),
        (6, 1, float("nan")),
        (6, 1, float("inf")),
        (6, 1, 1e12),
        (6, 1, None),
        (7, ""),
        (7, "no reason\x1b[2J"),
        (7, "x" * 33),
        (1, 1, "bob", EPOCH, None, 1, "connect", 1, 0, 65536),
        (1, 1, "bob", EPOCH, "x", 1, "connect", 1, 0, 65536),
        (1, 1, "bob", "x", None, 0, "connect", 1, 0, 65536),
        (1, 1, "Bob", EPOCH, None, 0, "connect", 1, 0, 65536),
        (1, 1, "42", EPOCH, None, 0, "connect", 1, 0, 65536),
        (1, 1, "bob", EPOCH, None, 0, "phone", 1, 0, 65536),
        (1, 1, "bob", EPOCH, None, 0, "connect", 1, 0, 65535),
        (1, 1, "bob", EPOCH, None, 0, "connect", 0, 0, 65536),
        (1, 1, "bob", EPOCH, None, 0, "connect", 65025, 0, 65536),
        (1, 0, "bob", EPOCH, None, 0, "connect", 1, 0, 65536),
        ("3", EPOCH, 1, "x"),
        (-1,),
        (),
    ],
)
def test_what_is_no_frame_is_refused(elements: tuple[object, ...]) -> None:
    with pytest.raises(RemoteError):
        Decoder().receive(packed(*elements))


def test_two_values_in_one_frame_are_refused() -> None:
    body = encode(PingFrame(1))[4:]
    with pytest.raises(RemoteError):
        Decoder().receive(framed(body + body))


def test_a_bye_reason_of_a_later_version_is_taken() -> None:
    assert Decoder().receive(packed(7, "moved_house")) == [Bye("moved_house")]


def test_what_the_receiver_would_refuse_is_not_encoded() -> None:
    for frame in (Text("nope", 1, "x"), Bye("Not A Reason"), AckFrame("", 0), Text(EPOCH, 1, "\ud800")):
        with pytest.raises(LocalError):
            encode(frame)
    with pytest.raises(LocalError):
        encode_many([Text(EPOCH, 1, "\ud800")])
    with pytest.raises(LocalError):
        encode_many([Text(EPOCH, 2**70, "x")])


def test_the_examples_in_the_documents_are_what_the_codec_says() -> None:
    page = WIRE_MD.read_text(encoding="utf-8")
    examples = re.findall(r"<!-- example: (.+?) -->\s*```\n(.+?)```", page, re.DOTALL)
    assert len(examples) >= 3
    known = {kind.__name__.removesuffix("Frame"): kind for kind in get_args(Frame)}
    for source, block in examples:
        kind, _, arguments = source.partition(" ")
        frame: Frame = msgspec.convert([known[kind].__struct_config__.tag, *msgspec.json.decode(arguments)], Frame)
        data = bytes.fromhex("".join(line.split("  ")[0] for line in block.splitlines()))
        assert encode(frame) == data
        assert Decoder().receive(data) == [frame]
