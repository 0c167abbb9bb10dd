"""A fake daemon with one peer: accepts messages, sends receipts, and counts the messages at the end."""

from typing import Any

from tests.harness.fake_daemon import BOB, BOB_RECORD, FakeDaemon, FakeSession, Handler, Refusal

AT = "2026-11-21T03:00:00.000Z"


class FakePeer:
    """Installs its handlers in `daemon`. Every `every`th message gets a receipt for all messages up to it."""

    def __init__(self, daemon: FakeDaemon, every: int = 1) -> None:
        self.texts: list[str] = []  # of accepted messages
        self.refusals: dict[int, Refusal] = {}  # number of the request -> refusal
        self.silent = False  # True: nothing is delivered
        self.lost = 0  # accepted messages that the peer does not have
        self.duplicated = 0
        self.foreign = 0  # messages that another client sends
        self.given_up: set[int] = set()  # sequence numbers of messages that were given up
        self._every = every
        self._requests = 0
        self.seq = 100
        daemon.on["ping"] = {"peer": BOB, "rtt_ms": 0.4, "clock_ms": 0.0}
        daemon.on["subscribe"] = self.subscribe
        daemon.on["send"] = self.send
        daemon.on["wait"] = self.wait
        daemon.on["list"] = lambda session, params: {"peers": [self.record()]}
        daemon.on["history"] = self.history
        daemon.on["tally"] = self.tally

    def record(self) -> dict[str, Any]:
        """The peer's record in `list`."""
        return {**BOB_RECORD, "sent": 9 + len(self.texts) + self.foreign}

    def subscribe(self, session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        here = f"aaaaaaaa:{self.seq}"
        return {"subscription": 1, "position": here, "after": here, "snapshot": {"peers": [self.record()]}}

    def send(self, session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        self._requests += 1
        if self._requests in self.refusals:
            raise self.refusals[self._requests]
        self.texts.append(params["text"])
        self.seq += 1
        if self.seq not in self.given_up and not self.silent and len(self.texts) % self._every == 0:
            session.add_events(receipt(f"aaaaaaaa:{self.seq}"))
        return {"id": f"aaaaaaaa:{self.seq}", "state": "queued", "peer": BOB}

    def wait(self, session: FakeSession, params: dict[str, Any]) -> dict[str, Any] | None:
        if self.silent:
            return None
        return {"peers": [BOB_RECORD]}

    def history(self, session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        seqs = range(101, 101 + len(self.texts) + self.foreign)
        states = {seq: "cancelled" if seq in self.given_up else "delivered" for seq in seqs}
        events = [{"type": "message", "position": f"aaaaaaaa:{seq}", "state": states[seq]} for seq in seqs]
        return {"events": events, "next": None}

    def tally(self, session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        distinct = len(self.texts) + self.foreign - self.lost - len(self.given_up)
        return {"peer": BOB, "messages": distinct + self.duplicated, "distinct": distinct}


def receipt(through: str) -> dict[str, Any]:
    """A receipt: everything up to and including `through` is delivered."""
    event = {"type": "receipt", "position": "aaaaaaaa:1", "at": AT, "peer": BOB, "state": "delivered"}
    return {**event, "through": through, "id": None}


def peer_event(kind: str, **fields: Any) -> dict[str, Any]:
    """An event of the peer that is not a message."""
    return {"type": kind, "position": "aaaaaaaa:1", "at": AT, "peer": BOB, **fields}


def at_call(first: Handler, count: int, action: Any) -> Handler:
    """A handler that calls `first`, and at call number `count` also `action(session)`."""
    calls = 0

    def handler(session: FakeSession, params: dict[str, Any]) -> Any:
        nonlocal calls
        calls += 1
        answer = first(session, params)
        if calls == count:
            action(session)
        return answer

    return handler
