"""JSON-RPC 2.0, one object per line: bytes in, requests out; responses in, bytes out. No I/O.

A line is decoded in two steps: the envelope, then its parameters into the struct of the method. Whatever a client
sends, `parse` returns a Request or raises BadLine, and nothing else.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, cast

import msgspec

from chatd.api.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    ControlError,
)

# 63 bits and 256 characters: enough for a counter or a UUID, and cheap to keep until the response.
Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[str, msgspec.Meta(max_length=256)] | None


class Request(msgspec.Struct, gc=False):
    """The envelope. Without an `id` it is a notification: executed without a response."""

    jsonrpc: Literal["2.0"]
    method: str
    id: Id | msgspec.UnsetType = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw(b"{}")


class RpcReply(msgspec.Struct, gc=False):
    """The response to a successful request."""

    jsonrpc: str
    id: Id
    result: msgspec.Struct


class RpcError(Exception):
    """A request that violates the protocol or the schema of its method; or an internal error."""

    KINDS: ClassVar[dict[int, str]] = {
        PARSE_ERROR: "parse_error",
        INVALID_REQUEST: "invalid_request",
        METHOD_NOT_FOUND: "unknown_method",
        INVALID_PARAMS: "invalid_params",
        INTERNAL_ERROR: "internal_error",
    }

    def __init__(self, code: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.kind = self.KINDS[code]
        self.message = message
        self.hint = hint
        self.retryable = False
        self.details: dict[str, object] = {}


class BadLine(RpcError):
    """A line that is not a request. `id` is the id in it, if it can be found; `blank`: the line is empty."""

    def __init__(self, code: int, message: str, hint: str, line: bytes) -> None:
        super().__init__(code, message, hint)
        self.id = _id_of(line)
        self.blank = not line.strip()


_decode = msgspec.json.Decoder(Request).decode
_encoder = msgspec.json.Encoder()
# What msgspec raises for bytes that are not JSON, have the wrong shape, are not UTF-8, or are nested too deeply. A
# MsgspecError is no ValueError in msgspec 0.19.
UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)
MESSAGE_CHARACTERS = 2000  # a message may quote what the client sent
ONE_OBJECT = 'a request is one line: {"jsonrpc":"2.0","id":1,"method":"status"}'


def parse(line: bytes) -> Request:
    """The request in a line. Raises BadLine."""
    try:
        return _decode(line)
    except msgspec.ValidationError as error:
        if line.lstrip()[:1] == b"[":
            raise BadLine(
                INVALID_REQUEST, "batches are not supported", "send the requests line by line", line
            ) from None
        raise BadLine(INVALID_REQUEST, f"not a request: {error}", ONE_OBJECT, line) from None
    except RecursionError:
        raise BadLine(PARSE_ERROR, "nested too deeply", ONE_OBJECT, line) from None
    except (msgspec.MsgspecError, ValueError) as error:  # malformed JSON, or not UTF-8
        raise BadLine(PARSE_ERROR, f"not JSON: {error}", ONE_OBJECT, line) from None


def parse_all(lines: Sequence[bytes | None]) -> list[Request] | None:
    """The requests in many lines; None if one of them is not a request."""
    try:
        return [*map(_decode, lines)]  # type: ignore[arg-type]  # (None is a TypeError)
    except (*UNDECODABLE, TypeError):
        return None


def decode_params(decoder: msgspec.json.Decoder[Any], request: Request) -> Any:
    """The decoded and validated parameters of a request. Raises RpcError."""
    try:
        return decoder.decode(request.params)
    except UNDECODABLE as error:
        problem = str(error)
    fields = [field.encode_name for field in msgspec.structs.fields(cast(type[msgspec.Struct], decoder.type))]
    hint = f"{request.method} takes an object of: {', '.join(fields)}" if fields else f"{request.method} takes nothing"
    raise RpcError(INVALID_PARAMS, f"{request.method}: {problem}", hint)


def encode(responses: list[RpcReply | msgspec.Raw]) -> bytes:
    """One line per response. (With anything but a list, msgspec before 0.23 leaks an iterator.)"""
    return _encoder.encode_lines(responses)


def result_line(reply: RpcReply) -> msgspec.Raw:
    return msgspec.Raw(_encoder.encode(reply))


def error_line(id_: Id | msgspec.Raw, error: ControlError | RpcError) -> msgspec.Raw:
    """The response to a rejected request."""
    return msgspec.Raw(_encoder.encode({"jsonrpc": "2.0", "id": id_, "error": _error(error)}))


def ended_line(number: int, error: ControlError) -> msgspec.Raw:
    """The notification that the daemon has ended a subscription."""
    params = {"subscription": number, "error": _error(error)}
    return msgspec.Raw(_encoder.encode({"jsonrpc": "2.0", "method": "ended", "params": params}))


def _error(error: ControlError | RpcError) -> dict[str, object]:
    data = {"kind": error.kind, "hint": error.hint, "retryable": error.retryable, **error.details}
    message = error.message if len(error.message) <= MESSAGE_CHARACTERS else error.message[:MESSAGE_CHARACTERS] + "…"
    return {"code": error.code, "message": message, "data": data}


def _id_of(line: bytes) -> Id | msgspec.Raw:
    """The id in a line that msgspec rejects; the standard library accepts more (lone surrogates, big numbers).

    An id with a lone surrogate is returned escaped, as it was received: it cannot be encoded as a string.
    """
    try:
        id_: Id = msgspec.convert(json.loads(line)["id"], Id)
    except (*UNDECODABLE, TypeError, LookupError):
        return None
    if isinstance(id_, str) and not id_.isprintable():
        return msgspec.Raw(json.dumps(id_).encode())
    return id_


class LineBuffer:
    """Splits received bytes into lines. A line over the limit is returned as None, once, and is not buffered."""

    __slots__ = ("_held", "_limit", "_skipping")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._skipping = False

    def receive(self, data: bytes) -> list[bytes | None]:
        """The lines that are complete now, including empty ones."""
        lines: list[bytes | None] = [*data.split(b"\n")]
        rest = lines.pop()
        if lines and self._skipping:
            self._skipping = False
            del lines[0]
        elif lines and self._held:
            lines[0] = bytes(self._held) + (lines[0] or b"")
            self._held.clear()
        if len(data) > self._limit or (lines and len(lines[0] or b"") > self._limit):
            lines = [line if line is None or len(line) <= self._limit else None for line in lines]
        if rest and not self._skipping:
            self._held += rest
            if len(self._held) > self._limit:
                self._held.clear()
                self._skipping = True
                lines.append(None)
        return lines

    def close(self) -> list[bytes | None]:
        """The unfinished line at the end of the input, if there is one."""
        rest = bytes(self._held)
        self._held.clear()
        return [rest] if rest else []
