"""Every parameter of every method at its extremes: a result or an error, but never an internal error."""

import json
import logging
from typing import Any

import msgspec
import pytest

from chatd.control.methods.table import METHODS
from tests.harness.cases import cases
from tests.harness.control_node import BOB_ID, FakeLink, Stand

SIMPLE: dict[str, Any] = {"peer": 0, "room": "lobby", "text": "hi", "key": "k", "name": "carol", "host": "192.0.2.9"}
NUMBERS = [0, -1, 1 << 31, (1 << 63) - 1, 1 << 63, -(1 << 63) - 1, 10**30, 10**4000, 0.5, -0.5, 1e15, 1e308, -1e308]
TEXTS = ["", " ", "\x00", "\n", "\x1b[2J", "\u202e", "\ufffe", "\U0010ffff", "9" * 30, "9" * 5000, "x" * 5000]
TEXTS += ["aaaaaaaa:" + "9" * 19, "aaaaaaaa:" + "9" * 5000, ":", ":0", "lobby@", "@", "1" * 400 + ":7420", "٣", "²"]
TEXTS += ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "2026-11-30T00:00:00.5+24:00"]
LONE = ["\ud800", "a\udfffb"]  # refused before they are looked at
SKIPPED = ("shutdown",)
PARTS = 4  # of the methods, each on a node of its own


def starts() -> list[Any]:
    """Points in a journal."""
    moments = [{"position": text} for text in TEXTS] + [{"since": text} for text in TEXTS]
    return [*moments, *({"last": number} for number in NUMBERS)]


def lines_of(name: str) -> list[bytes]:
    """Requests with one extreme parameter each, and the required ones."""
    fields = msgspec.structs.fields(METHODS[name].params)
    usual = {field.encode_name: SIMPLE.get(field.encode_name, "x") for field in fields if field.required}
    lines = list[bytes]()
    for field in fields:
        for value in [*NUMBERS, *TEXTS, *LONE, [], ["x" * 5000], {}, None, True, *starts()]:
            params = json.dumps({**usual, field.encode_name: value})
            lines.append(f'{{"jsonrpc":"2.0","id":0,"method":"{name}","params":{params}}}\n'.encode())
    return lines


@pytest.mark.parametrize("stand", [{"requests_per_session": 1000, "consumers": 5}], indirect=True)
@pytest.mark.parametrize("part", range(PARTS))
async def test_extreme_parameters_are_answered_or_refused(
    stand: Stand, part: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    for name in cases([name for name in METHODS if name not in SKIPPED][part::PARTS]):
        bob = stand.registry.native(BOB_ID, "bob", "127.0.0.1:7421")
        if not bob.is_up:
            stand.registry.link_up(bob, FakeLink())
        async with (client := await stand.connect()).stream:
            await client.ask("room.host", room="lobby")
            await client.write(b"".join(lines_of(name)) + b'{"jsonrpc":"2.0","id":"last","method":"whoami"}\n')
            kinds = set()
            while (line := await client.line()) is not None and line.get("id") != "last":
                kinds.add(line["error"]["data"]["kind"] if "error" in line else "")
            assert line is not None, caplog.text
            assert "internal_error" not in kinds
            assert caplog.text == ""
