"""The codec of native frames: any chunking gives the same frames, and no bytes raise anything but RemoteError."""

import re
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd import paths
from chatd.wire.frames import (
    BYE_REASONS,
    FRAME_BYTES,
    TEXT_OVERHEAD,
    Ack,
    Bye,
    Decoder,
    Frame,
    Hello,
    LocalError,
    Ping,
    Pong,
    RemoteError,
    Resume,
    Text,
    encode,
    encode_many,
    valid_epoch,
    valid_name,
)

EPOCH = "7kq2m4xa"
WIRE_MD = Path(__file__).parents[2] / "docs" / "wire.md"

epochs = st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=8, max_size=8)
seqs = st.integers(0, 2**63 - 1)
names = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=63).filter(lambda s: not s.isdigit())
texts = st.text(st.characters(codec="utf-8"), max_size=300)
ids = st.builds("{}:{}".format, epochs, seqs)
hellos = st.builds(
    Hello,
    version=st.integers(1, 2**31 - 1),
    name=names,
    epoch=epochs,
    mark_epoch=epochs,
    mark_seq=seqs,
    dial=st.sampled_from(["connect", "redial", "answer"]),
    text_bytes=st.integers(1, 2**31),
    text_chars=seqs,
    frame_bytes=st.integers(2**31 + 64, 2**63 - 1),
)
frames: st.SearchStrategy[Frame] = st.one_of(
    hellos,
    st.builds(Resume, epochs, seqs),
    st.builds(Text, epochs, seqs, texts, st.none() | ids),
    st.builds(Ack, epochs, seqs),
    st.builds(Ping, seqs),
    st.builds(Pong, seqs),
    st.builds(Bye, st.sampled_from(BYE_REASONS)),
)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in pieces, cut at the given places; never an empty piece, which would be the end."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(places)]


def framed(body: bytes) -> bytes:
    """`body` with its length before it."""
    return len(body).to_bytes(4, "big") + body


def packed(*elements: object) -> bytes:
    """One frame of whatever elements."""
    return framed(msgspec.msgpack.encode(elements))


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


values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.integers(0, 9), st.lists(values, max_size=10))
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


@given(st.integers(8, 2**63 - 1) | st.just(0), st.lists(values, max_size=4))
def test_frames_with_an_unknown_tag_are_skipped(tag: int, elements: list[Any]) -> None:
    assert Decoder().receive(packed(tag, *elements) + encode(Ping(1))) == [Ping(1)]


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


def test_the_longest_text_of_any_limit_fits_into_a_frame() -> None:
    for size in (0, 31, 255, 256, 65535, 65536, 100_000):
        frame = Text(EPOCH, 2**63 - 1, "x" * size, f"{EPOCH}:{2**63 - 1}")
        assert len(encode(frame, size + TEXT_OVERHEAD)) <= size + TEXT_OVERHEAD + 4


def test_an_end_between_frames_is_none_of_the_decoders_business() -> None:
    decoder = Decoder()
    decoder.receive(encode(Ping(1)))
    assert decoder.receive(b"") == []
    with pytest.raises(LocalError):
        decoder.receive(encode(Ping(1)))


@pytest.mark.parametrize("cut", [1, 3, 4, 5])
def test_an_end_in_the_middle_of_a_frame_is_a_remote_error(cut: int) -> None:
    decoder = Decoder()
    decoder.receive(encode(Ping(1))[:cut])
    with pytest.raises(RemoteError, match="middle of a frame"):
        decoder.receive(b"")


def test_after_an_error_every_call_raises_it_again() -> None:
    decoder = Decoder()
    with pytest.raises(RemoteError) as first:
        decoder.receive(b"\xff" * 8)
    with pytest.raises(RemoteError) as second:
        decoder.receive(encode(Ping(1)))
    assert first.value is second.value


def test_deep_nesting_is_a_remote_error() -> None:
    for deep in (b"\x91" * 60000, b"\x93\x03" + b"\x91" * 60000, b"\x92\x63" + b"\x91" * 60000, b"\x81" * 60000):
        with pytest.raises(RemoteError):
            Decoder().receive(framed(deep))


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
        (7, ""),
        (7, "no reason\x1b[2J"),
        (7, "x" * 33),
        (1, 1, "bob", EPOCH, None, 1, "connect", 1, 0, 65536),
        (1, 1, "bob", EPOCH, "x", 1, "connect", 1, 0, 65536),
        (1, 1, "bob", "x", None, 0, "connect", 1, 0, 65536),
        (1, 1, "Bob", EPOCH, None, 0, "connect", 1, 0, 65536),
        (1, 1, "42", EPOCH, None, 0, "connect", 1, 0, 65536),
        (1, 1, "bob", EPOCH, None, 0, "phone", 1, 0, 65536),
        (1, 1, "bob", EPOCH, None, 0, "connect", 1, 0, 1023),
        (1, 1, "bob", EPOCH, None, 0, "connect", 0, 0, 65536),
        (1, 1, "bob", EPOCH, None, 0, "connect", 65473, 0, 65536),
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
    body = encode(Ping(1))[4:]
    with pytest.raises(RemoteError):
        Decoder().receive(framed(body + body))


def test_a_bye_reason_of_a_later_version_is_taken() -> None:
    assert Decoder().receive(packed(7, "moved_house")) == [Bye("moved_house")]


def test_what_the_receiver_would_refuse_is_not_encoded() -> None:
    for frame in (Text("nope", 1, "x"), Bye("Not A Reason"), Ack("", 0), Text(EPOCH, 1, "\ud800")):
        with pytest.raises(LocalError):
            encode(frame)
    with pytest.raises(LocalError):
        encode_many([Text(EPOCH, 1, "\ud800")])
    with pytest.raises(LocalError):
        encode_many([Text(EPOCH, 2**70, "x")])


@given(st.text(max_size=70) | names)
def test_names_are_those_that_a_node_may_have(name: str) -> None:
    assert valid_name(name) == paths.valid_name(name)


def test_an_epoch_is_eight_characters_of_base32() -> None:
    assert valid_epoch(EPOCH)
    assert not any(map(valid_epoch, ("", "7kq2m4x", "7kq2m4xaa", "7kq2m4x8", "7KQ2M4XA", "7kq2m4x\n")))


def test_the_examples_in_the_documents_are_what_the_codec_says() -> None:
    page = WIRE_MD.read_text(encoding="utf-8")
    examples = re.findall(r"<!-- example: (.+?) -->\s*```\n(.+?)```", page, re.DOTALL)
    assert len(examples) >= 3
    known = {kind.__name__: kind for kind in (Hello, Resume, Text, Ack, Ping, Pong, Bye)}
    for source, block in examples:
        kind, _, arguments = source.partition(" ")
        frame: Frame = msgspec.convert([known[kind].__struct_config__.tag, *msgspec.json.decode(arguments)], Frame)
        data = bytes.fromhex("".join(line.split("  ")[0] for line in block.splitlines()))
        assert encode(frame) == data
        assert Decoder().receive(data) == [frame]
