"""A client of a control socket in the simulation: JSON lines, pipelining, events by subscription."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import trio

from tests.harness.memory.network import MemoryStream

READ_BYTES = 4096


class Gone(Exception):
    """The session has ended; what was not answered may or may not have been done."""


class Refused(Exception):
    """The daemon said no."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.kind = str(error.get("data", {}).get("kind", error["code"]))
        self.details: dict[str, Any] = error.get("data", {})


class _Call:
    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = trio.Event()
        self.answer: dict[str, Any] | None = None


class Client:
    """One session. `run` reads until it ends; `on_note` gets every notification's method and parameters."""

    def __init__(self, stream: MemoryStream, on_note: "Callable[[str, dict[str, Any]], None] | None" = None) -> None:
        self.over = trio.Event()
        self._stream = stream
        self._on_note = on_note
        self._calls: dict[int, _Call] = {}
        self._given = 0

    async def run(self, pace: Callable[[], float] = lambda: 0.0) -> None:
        """Read, pausing between reads as `pace` says."""
        held = b""
        try:
            while data := await self._stream.receive_some(READ_BYTES):
                *lines, held = (held + data).split(b"\n")
                for line in lines:
                    self._take(msgspec.json.decode(line))
                await trio.sleep(pace())
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.close()

    def _take(self, line: dict[str, Any]) -> None:
        if "method" in line:
            if self._on_note is not None:
                self._on_note(line["method"], line["params"])
            return
        call = self._calls.pop(line["id"], None) if line["id"] is not None else None
        if call is not None:
            call.answer = line
            call.done.set()

    def close(self) -> None:
        """End the session; every open call is Gone."""
        self._stream.socket.close()
        self.over.set()
        for call in self._calls.values():
            call.done.set()
        self._calls.clear()

    async def post(self, requests: Sequence[tuple[str, dict[str, Any]]]) -> list[_Call]:
        """Write requests in one piece. Raises Gone."""
        calls, lines = list[_Call](), list[bytes]()
        for method, params in requests:
            self._given += 1
            call = _Call()
            calls.append(call)
            if not self.over.is_set():
                self._calls[self._given] = call
            body = {"jsonrpc": "2.0", "id": self._given, "method": method, "params": params}
            lines.append(msgspec.json.encode(body))
        try:
            await self._stream.send_all(b"\n".join(lines) + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.close()
            for call in calls:
                call.done.set()
        return calls

    async def answer(self, call: _Call) -> Any:
        """The result. Raises Refused, Gone."""
        await call.done.wait()
        if call.answer is None:
            raise Gone
        if "error" in call.answer:
            raise Refused(call.answer["error"])
        return call.answer["result"]

    async def call(self, method: str, **params: Any) -> Any:
        """One request and its result. Raises Refused, Gone. `from_` and the like are their words without the dash."""
        (call,) = await self.post([(method, {name.rstrip("_"): value for name, value in params.items()})])
        return await self.answer(call)
