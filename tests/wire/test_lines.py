"""The codec of plain text: the same lines in any chunking, unframed chunks, hang-ups, and what may be sent."""

from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.lines import HANG_UP, LineDecoder, LineTooLong, TextRefused, check_text, encode_line

LIMIT = 4096


def all_texts(decoder: LineDecoder, *chunks: bytes) -> list[str]:
    """Decode the chunks and the end of the stream."""
    return [text for chunk in (*chunks, b"") for text in decoder.receive(chunk)]


sendable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=80).filter(
    lambda text: text != HANG_UP
)


@given(st.lists(sendable, max_size=10), st.lists(st.integers(0, 3000), max_size=20))
def test_any_chunking_gives_the_same_lines(sent: list[str], cuts: list[int]) -> None:
    data = b"".join(encode_line(text, speaks_lines=True) for text in sent)
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    chunks = [data[a:b] for a, b in pairwise(places)]
    decoder = LineDecoder(LIMIT)
    assert [text for chunk in chunks for text in decoder.receive(chunk)] == sent
    assert not decoder.pending


@given(sendable, st.lists(st.integers(0, 300), max_size=8))
def test_a_character_that_is_cut_in_two_is_put_together_even_over_a_quiet_time(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    decoder = LineDecoder(LIMIT)
    received: list[str] = []
    for a, b in pairwise(places):
        if data[a:b] != HANG_UP.encode():
            received += decoder.receive(data[a:b]) + decoder.flush()
    received += decoder.close()
    assert "".join(received) == text


@given(st.lists(st.binary(min_size=1, max_size=200) | st.just(HANG_UP.encode()), max_size=20), st.integers(1, 100))
def test_no_bytes_raise_anything_but_line_too_long(chunks: list[bytes], limit: int) -> None:
    decoder = LineDecoder(limit)
    texts: list[str] = []
    try:
        for chunk in chunks:
            texts += decoder.receive(chunk)
            if decoder.hung_up:
                break
            texts += decoder.flush() if len(chunk) % 2 else []
        else:
            texts += decoder.close()
    except LineTooLong as error:
        texts += error.texts
    for text in texts:
        assert text
        assert not {"\n", "\r", "\0"} & set(text)
        text.encode()  # no lone surrogates: the journal and JSON could not hold them


def test_a_chunk_without_a_newline_waits_for_the_quiet_time() -> None:
    decoder = LineDecoder(LIMIT)
    assert decoder.receive(b"hi") == []
    assert decoder.pending
    assert decoder.flush() == ["hi"]
    assert not decoder.pending
    assert decoder.flush() == []


def test_chunks_in_quick_succession_are_one_message() -> None:
    decoder = LineDecoder(LIMIT)
    assert decoder.receive(b"one ") == []
    assert decoder.receive(b"two") == []
    assert decoder.flush() == ["one two"]


def test_carriage_returns_and_nul_are_stripped_and_empty_pieces_dropped() -> None:
    assert LineDecoder(LIMIT).receive(b"a\r\n\r\n\n\0\nb\r\0\nc\rd\n  \n") == ["a", "b", "cd", "  "]


def test_invalid_bytes_become_replacement_characters() -> None:
    assert LineDecoder(LIMIT).receive(b"a\xffb\n\xed\xa0\x80\n\xc3\n") == ["a�b", "���", "�"]


def test_the_telnet_negotiation_of_a_real_client_ends_nothing() -> None:
    assert LineDecoder(LIMIT).receive(b"\xff\xfb\x1fhello\r\n") == ["��\x1fhello"]


def test_half_a_character_is_not_pending_and_comes_out_at_the_end() -> None:
    decoder = LineDecoder(LIMIT)
    decoder.receive("é".encode()[:1])
    assert decoder.flush() == []
    assert not decoder.pending
    assert decoder.close() == ["�"]


def test_half_a_character_that_is_not_continued_becomes_a_replacement_character() -> None:
    decoder = LineDecoder(LIMIT)
    decoder.receive(b"caf\xc3")
    assert decoder.flush() == ["caf"]
    assert decoder.receive(b"next\n") == ["�next"]


def test_a_line_over_the_limit_ends_the_link_and_what_stood_before_it_is_kept() -> None:
    for line in (b"x" * 11, b"x" * 11 + b"\n"):
        decoder = LineDecoder(10)
        with pytest.raises(LineTooLong, match="more than 10 bytes") as caught:
            decoder.receive(b"one\n" + b"y" * 10 + b"\n" + line)
        assert caught.value.texts == ["one", "y" * 10]
        assert isinstance(caught.value, RemoteError)
        assert decoder.close() == []


def test_an_unfinished_line_over_the_limit_is_not_waited_for() -> None:
    decoder = LineDecoder(10)
    decoder.receive(b"x" * 10)
    with pytest.raises(LineTooLong):
        decoder.receive(b"x")


def test_the_exact_chunk_close_connection_is_a_hang_up() -> None:
    decoder = LineDecoder(LIMIT)
    decoder.receive(b"bye")
    assert decoder.receive(b"Close Connection") == ["bye"]
    assert decoder.hung_up
    with pytest.raises(LocalError):
        decoder.receive(b"more")


def test_close_connection_as_a_line_or_as_part_of_a_chunk_is_text() -> None:
    assert all_texts(LineDecoder(LIMIT), b"Close Connection\n") == ["Close Connection"]
    assert all_texts(LineDecoder(LIMIT), b"Close Connection!") == ["Close Connection!"]
    assert all_texts(LineDecoder(LIMIT), b"Close ", b"Connection") == ["Close Connection"]


def test_the_end_gives_what_waits() -> None:
    decoder = LineDecoder(LIMIT)
    assert all_texts(decoder, b"one\ntwo") == ["one", "two"]
    assert not decoder.hung_up
    with pytest.raises(LocalError):
        decoder.receive(b"")


def test_whether_a_peer_speaks_lines_is_learnt_from_its_newest_text() -> None:
    decoder = LineDecoder(LIMIT)
    assert decoder.speaks_lines is None
    decoder.receive(b"half")
    assert decoder.speaks_lines is None
    decoder.flush()
    assert decoder.speaks_lines is False
    decoder.receive(b"a line\n")
    assert decoder.speaks_lines is True
    decoder.receive(b"\xc3")
    decoder.flush()
    assert decoder.speaks_lines is True


def test_a_newline_is_added_unless_the_peer_sends_none() -> None:
    assert encode_line("  hi  there ", None) == b"  hi  there \n"
    assert encode_line("hi", speaks_lines=True) == b"hi\n"
    assert encode_line("é", speaks_lines=False) == b"\xc3\xa9"


@pytest.mark.parametrize(
    "text",
    ["", "a\nb", "a\r", "\0", "tab\t", "\x1b[2J", "\x7f", "\x85", "\x9b", "Close Connection", "\ud800"],
)
def test_what_a_plain_peer_cannot_be_sent_is_bad_text(text: str) -> None:
    with pytest.raises(TextRefused) as caught:
        check_text(text, 1024)
    assert isinstance(caught.value, LocalError)
    assert caught.value.kind == "bad_text"
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_a_text_over_the_limit_in_bytes_is_too_large() -> None:
    check_text("é" * 512, 1024)
    with pytest.raises(TextRefused, match="1025 bytes") as caught:
        check_text("é" * 512 + "x", 1024)
    assert caught.value.kind == "too_large"


def test_other_texts_pass() -> None:
    for text in ("hi", " ", "Close Connection ", "close connection", "👋 naïve — ok"):
        check_text(text, 1024)


@given(st.lists(st.binary(min_size=1, max_size=300)), st.integers(1, 64))
def test_a_decoder_that_cuts_never_hangs_up_and_loses_nothing(chunks: list[bytes], limit: int) -> None:
    decoder, texts = LineDecoder(limit, cut=True), list[str]()
    chunks = [chunk for chunk in (chunk.translate(None, b"\r\0") for chunk in chunks) if chunk]
    assume(HANG_UP.encode() not in chunks)
    for chunk in chunks:
        texts += decoder.receive(chunk)
        assert len(decoder._unfinished) <= max(limit, 3)  # a character that is cut waits for its rest
    texts += decoder.close()
    assert "".join(texts) == b"".join(chunks).decode("utf-8", "replace").replace("\n", "")
