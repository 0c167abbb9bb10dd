"""A client of the control socket for tests: requests by id, pipelined or not, and feeds of events."""

import json
from collections.abc import Iterable
from typing import Any, cast

import trio

RECEIVE_BYTES = 262144


class Refused(Exception):
    """The node answered with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.code: int = error["code"]
        self.data: dict[str, Any] = error.get("data", {})
        self.kind: str = self.data.get("kind", "")


class Hung(Exception):
    """The node has ended the session, or never answered."""


class Feed:
    """The events of one subscription, in order. `seen` is all that came so far."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.number = 0
        self._next = 0
        self._changed = trio.Event()
        self._ended = False

    def add(self, event: dict[str, Any]) -> None:
        """Called by the client."""
        self.seen.append(event)
        self._tell()

    def end(self) -> None:
        """Called by the client: nothing more will come."""
        self._ended = True
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def next(self) -> dict[str, Any]:
        """The next event."""
        while self._next >= len(self.seen):
            if self._ended:
                raise Hung("the feed has ended")
            await self._changed.wait()
        self._next += 1
        return self.seen[self._next - 1]

    async def until(self, type_: str, **match: object) -> dict[str, Any]:
        """The next event of that type whose fields are these."""
        while True:
            event = await self.next()
            if event["type"] == type_ and all(event.get(name) == value for name, value in match.items()):
                return event

    async def texts(self, count: int) -> list[str]:
        """The texts of the next messages, `count` of them."""
        return [(await self.until("message"))["text"] for _ in range(count)]

    async def rest(self) -> list[dict[str, Any]]:
        """Everything up to the end of the feed."""
        found = []
        while True:
            try:
                found.append(await self.next())
            except Hung:
                return found


class Client:
    """One session. Its `run` reads for all who wait for answers."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.ended = trio.Event()
        self._given = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._waiting: dict[int, trio.Event] = {}
        self._feeds: dict[int, Feed] = {}
        self._writing = trio.Lock()

    async def run(self) -> None:
        """Read until the node ends the session."""
        held = b""
        try:
            while data := await self.stream.receive_some(RECEIVE_BYTES):
                *lines, held = (held + data).split(b"\n")
                for line in lines:
                    self._take(json.loads(line))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            held = b""
        finally:
            self.stream.socket.close()
            self.ended.set()
            for event in self._waiting.values():
                event.set()
            for feed in self._feeds.values():
                feed.end()

    def _take(self, line: dict[str, Any]) -> None:
        if line.get("method") == "event":
            params = line["params"]
            self._feed(params["subscription"]).add(params["event"])
        else:
            self._answers[line["id"]] = line
            self._waiting.setdefault(line["id"], trio.Event()).set()

    def _feed(self, number: int) -> Feed:
        return self._feeds.setdefault(number, Feed())

    async def post(self, requests: Iterable[tuple[str, dict[str, Any]]]) -> list[int]:
        """Write requests in one piece; their ids. Words with a dash at the end are without it."""
        ids, lines = [], []
        for method, params in requests:
            self._given += 1
            ids.append(self._given)
            self._waiting[self._given] = trio.Event()
            named = {name.rstrip("_"): value for name, value in params.items()}
            lines.append(json.dumps({"jsonrpc": "2.0", "id": self._given, "method": method, "params": named}))
        async with self._writing:
            try:
                await self.stream.send_all("".join(line + "\n" for line in lines).encode())
            except trio.BrokenResourceError:
                raise Hung("the session has ended") from None
        return ids

    async def answer(self, id_: int) -> Any:
        """The result for that id. Raises Refused, Hung."""
        await self._waiting[id_].wait()
        del self._waiting[id_]
        if id_ not in self._answers:
            raise Hung("no answer, and the session has ended")
        line = self._answers.pop(id_)
        if "error" in line:
            raise Refused(line["error"])
        return line["result"]

    async def ask(self, method: str, **params: Any) -> Any:
        """One request, one result. Raises Refused, Hung."""
        (id_,) = await self.post([(method, params)])
        return await self.answer(id_)

    async def send_many(self, peer: int | str, texts: Iterable[str]) -> list[str]:
        """Send them pipelined; the ids of the messages."""
        ids = await self.post(("send", {"peer": peer, "text": text}) for text in texts)
        return [cast(str, (await self.answer(id_))["id"]) for id_ in ids]

    async def subscribe(self, from_: object = "now", **filter_: object) -> Feed:
        """The events from there on that match."""
        result = await self.ask("subscribe", from_=from_, filter=filter_)
        feed = self._feed(result["subscription"])
        feed.number = result["subscription"]
        return feed
