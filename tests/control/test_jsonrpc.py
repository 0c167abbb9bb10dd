"""Lines, requests and responses, without a socket."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.api.errors import INVALID_PARAMS, INVALID_REQUEST, PARSE_ERROR, ControlError
from chatd.api.params import List, Nothing, Send
from chatd.control.jsonrpc import BadLine, LineBuffer, RpcError, RpcReply, decode_params, encode, error_line, parse

LIMIT = 64


def collected(buffer: LineBuffer, data: bytes, cuts: list[int]) -> list[bytes | None]:
    lines: list[bytes | None] = []
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        lines += buffer.receive(data[start:end])
    return lines + buffer.close()


@given(st.lists(st.integers(0, 3 * LIMIT), max_size=8), st.lists(st.integers(0, 10_000), max_size=20), st.booleans())
def test_lines_are_the_same_however_they_arrive(lengths: list[int], cuts: list[int], ended: bool) -> None:
    lines = [bytes([97 + index % 26]) * length for index, length in enumerate(lengths)]
    data = b"".join(line + b"\n" for line in lines)
    if not ended:
        data = data.removesuffix(b"\n")
    expected = [line if len(line) <= LIMIT else None for line in lines]
    if not ended and expected and lines[-1] == b"":
        expected.pop()
    assert collected(LineBuffer(LIMIT), data, cuts) == expected


def test_a_line_over_the_limit_is_told_once_and_not_held() -> None:
    buffer = LineBuffer(LIMIT)
    told = [line for _ in range(100) for line in buffer.receive(b"x" * LIMIT)]
    assert told == [None]
    assert buffer.receive(b"x\nnext\n") == [b"next"]


def test_a_request_is_decoded() -> None:
    request = parse(b'{"jsonrpc":"2.0","id":7,"method":"send","params":{"peer":0,"text":"hi"},"more":[1]}\r')
    assert (request.id, request.method) == (7, "send")
    assert decode_params(msgspec.json.Decoder(Send), request) == Send(0, "hi")


def test_params_may_be_left_out() -> None:
    assert decode_params(msgspec.json.Decoder(List), parse(b'{"jsonrpc":"2.0","id":7,"method":"list"}')) == List()


def test_no_id_is_a_notification_and_null_is_an_id() -> None:
    assert parse(b'{"jsonrpc":"2.0","method":"status"}').id is msgspec.UNSET
    assert parse(b'{"jsonrpc":"2.0","id":null,"method":"status"}').id is None


@pytest.mark.parametrize(
    ("line", "code", "id_"),
    [
        (b"[" * 60_000, INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","y":' + b"[" * 60_000, PARSE_ERROR, None),
        (b'{"a":' * 60_000, PARSE_ERROR, None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"status"}]', INVALID_REQUEST, None),
        (b"5", INVALID_REQUEST, None),
        (b'"x"', INVALID_REQUEST, None),
        (b"{", PARSE_ERROR, None),
        (b"hello", PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}', PARSE_ERROR, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"text":"\\ud800"}}', PARSE_ERROR, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":"x","params":NaN}', PARSE_ERROR, 1),
        (b'{"jsonrpc":"1.0","id":1,"method":"x"}', INVALID_REQUEST, 1),
        (b'{"id":"abc","method":"x"}', INVALID_REQUEST, "abc"),
        (b'{"jsonrpc":"2.0","id":1}', INVALID_REQUEST, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', INVALID_REQUEST, 1),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":{},"method":"x"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":' + b"9" * 5000 + b',"method":"x"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":1e999,"method":"x"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":"' + b"x" * 300 + b'","method":"x"}', INVALID_REQUEST, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"x"}{}', PARSE_ERROR, None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_line_that_is_no_request_is_refused(line: bytes, code: int, id_: Any) -> None:
    with pytest.raises(BadLine) as caught:
        parse(line)
    assert (caught.value.code, caught.value.id) == (code, id_)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("id_", ['"\\ud800"', '"a\\udfff\\ud800b"', '"\\udc00\\n\u00fc\\u0007"', '"\\ud83d"'])
@pytest.mark.parametrize("rest", ['"jsonrpc":"2.0","method":"status"', '"jsonrpc":"2.0"', '"method":5'])
def test_an_id_with_a_lone_surrogate_comes_back(id_: str, rest: str) -> None:
    with pytest.raises(BadLine) as caught:
        parse(f'{{"id":{id_},{rest}}}'.encode())
    answer = json.loads(bytes(error_line(caught.value.id, caught.value)))
    assert answer["id"] == json.loads(id_)
    assert answer["error"]["code"] in (PARSE_ERROR, INVALID_REQUEST)


@given(st.text(st.characters(codec=None), max_size=300), st.booleans())
def test_every_id_is_answered_with_itself_or_with_null(id_: str, escaped: bool) -> None:
    line = json.dumps({"jsonrpc": "1.0", "id": id_}, ensure_ascii=escaped).encode(errors="surrogatepass")
    with pytest.raises(BadLine) as caught:
        parse(line)
    assert json.loads(bytes(error_line(caught.value.id, caught.value)))["id"] == (id_ if len(id_) <= 256 else None)


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(line: bytes) -> None:
    try:
        parse(line)
    except BadLine as fault:
        error_line(fault.id, fault)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params"]), JSON | st.just("2.0")), JSON)
def test_no_object_raises_anything_else(body: dict[str, Any], params: Any) -> None:
    for line in (json.dumps(body), json.dumps({"jsonrpc": "2.0", "method": "send", "params": params})):
        try:
            decode_params(msgspec.json.Decoder(Send), parse(line.encode()))
        except RpcError as fault:
            error_line(1, fault)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"peer": 0}, "text"),
        ({"peer": [], "text": "x"}, "peer"),
        ({"peer": 0, "text": 5}, "text"),
        ([0, "x"], "object"),
        (None, "object"),
    ],
)
def test_params_that_do_not_fit_are_named(params: Any, said: str) -> None:
    line = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "send", "params": params}).encode()
    with pytest.raises(RpcError) as caught:
        decode_params(msgspec.json.Decoder(Send), parse(line))
    assert caught.value.code == INVALID_PARAMS
    assert said in caught.value.message
    assert caught.value.hint == "send takes an object of: peer, text, wait, timeout, ttl, key, queue"


def test_unknown_fields_of_params_are_ignored() -> None:
    line = b'{"jsonrpc":"2.0","method":"status","params":{"later":[{}]}}'
    assert decode_params(msgspec.json.Decoder(Nothing), parse(line)) == Nothing()


def test_answers_are_a_line_each() -> None:
    error = error_line(2, ControlError("unknown_peer", "no\nbob", "hint", near=["bo"]))
    lines = encode([RpcReply("2.0", 1, List(all=True)), error]).splitlines()
    assert json.loads(lines[0]) == {"jsonrpc": "2.0", "id": 1, "result": {"all": True}}
    assert json.loads(lines[1]) == {
        "jsonrpc": "2.0",
        "id": 2,
        "error": {
            "code": 201,
            "message": "no\nbob",
            "data": {"kind": "unknown_peer", "hint": "hint", "retryable": False, "near": ["bo"]},
        },
    }
