"""A blocking session on a control socket, for tests and threads that outlive the daemon they talk to. Knows JSON lines
only."""

import json
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.harness.client import Refused

Json = dict[str, Any]
READ_BYTES = 65536
ANSWER_S = 60.0


class Gone(Exception):
    """The daemon has ended, or is not there."""


class Session:
    """One connection. Raises Gone from everything once the daemon has ended."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(ANSWER_S)
        self._rest = b""
        self._asked = 0
        try:
            self._sock.connect(str(path))
        except OSError as error:
            self._sock.close()
            raise Gone(str(error)) from None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._sock.close()

    def post(self, method: str, many: Sequence[Json]) -> list[int]:
        """Write requests in one piece; their ids, which rise. Words with a dash at the end are without it."""
        first = self._asked + 1
        self._asked += len(many)
        ids = list(range(first, self._asked + 1))
        named = [{name.rstrip("_"): value for name, value in params.items()} for params in many]
        lines = [
            json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}) + "\n"
            for number, params in zip(ids, named, strict=True)
        ]
        try:
            self._sock.sendall("".join(lines).encode())
        except OSError as error:
            raise Gone(str(error)) from None
        return ids

    def replies(self) -> list[Json]:
        """The whole lines that come next, at least one."""
        while True:
            try:
                data = self._sock.recv(READ_BYTES)
            except TimeoutError:
                raise AssertionError(f"no answer within {ANSWER_S:g} s") from None
            except OSError as error:
                raise Gone(str(error)) from None
            if not data:
                raise Gone("end of file")
            *whole, self._rest = (self._rest + data).split(b"\n")
            if whole:
                return [json.loads(line) for line in whole]

    def ask(self, method: str, **params: Any) -> Json:
        """One request and its result; for sessions that ask one thing at a time. Raises Refused."""
        self.post(method, [params])
        (reply,) = self.replies()
        if "error" in reply:
            raise Refused(reply["error"])
        found: Json = reply["result"]
        return found

    def subscribed(self, start: object, count: int, **filter_: object) -> list[Json]:
        """The first events of a subscription from there, once they have come. The session is for nothing else then."""
        self.post("subscribe", [{"from_": start, "filter": filter_}])
        events: list[Json] = []
        while len(events) < count:
            for line in self.replies():
                if "error" in line:
                    raise Refused(line["error"])
                events += [line["params"]["event"]] if line.get("method") == "event" else []
        return events[:count]
