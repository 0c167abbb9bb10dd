"""A fake daemon with a peer behind it: takes messages, says when they are delivered, and counts them at the end."""

from typing import Any

from tests.harness.fake_daemon import BOB, BOB_RECORD, FakeDaemon, Handler, Refusal, Session

AT = "2026-11-21T03:00:00.000Z"


class Far:
    """Installs itself in `daemon`. Every `every`th message brings a receipt for all before it; the others wait."""

    def __init__(self, daemon: FakeDaemon, every: int = 1) -> None:
        self.texts: list[str] = []  # that were accepted
        self.refusals: dict[int, Refusal] = {}  # of the nth request
        self.silent = False  # nothing is delivered any more
        self.lost = 0  # of what was accepted
        self.twice = 0
        self.others = 0  # messages that somebody else sends meanwhile
        self.gone: set[int] = set()  # seqs of those that were given up
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
        """Bob, as `list` has it."""
        return {**BOB_RECORD, "sent": 9 + len(self.texts) + self.others}

    def subscribe(self, session: Session, params: dict[str, Any]) -> dict[str, Any]:
        """From now on."""
        here = f"aaaaaaaa:{self.seq}"
        return {"subscription": 1, "position": here, "after": here, "snapshot": {"peers": [self.record()]}}

    def send(self, session: Session, params: dict[str, Any]) -> dict[str, Any]:
        """Accept it, unless it is one to be refused."""
        self._requests += 1
        if self._requests in self.refusals:
            raise self.refusals[self._requests]
        self.texts.append(params["text"])
        self.seq += 1
        if self.seq not in self.gone and not self.silent and len(self.texts) % self._every == 0:
            session.event(receipt(f"aaaaaaaa:{self.seq}"))
        return {"id": f"aaaaaaaa:{self.seq}", "state": "queued", "peer": BOB}

    def wait(self, session: Session, params: dict[str, Any]) -> dict[str, Any] | None:
        """It is so, unless nothing is delivered any more."""
        if self.silent:
            return None
        return {"peers": [BOB_RECORD]}

    def history(self, session: Session, params: dict[str, Any]) -> dict[str, Any]:
        """Ours and those of the others, up to the end."""
        seqs = range(101, 101 + len(self.texts) + self.others)
        states = {seq: "cancelled" if seq in self.gone else "delivered" for seq in seqs}
        events = [{"type": "message", "position": f"aaaaaaaa:{seq}", "state": states[seq]} for seq in seqs]
        return {"events": events, "next": None}

    def tally(self, session: Session, params: dict[str, Any]) -> dict[str, Any]:
        """What bob has got."""
        distinct = len(self.texts) + self.others - self.lost - len(self.gone)
        return {"peer": BOB, "messages": distinct + self.twice, "distinct": distinct}


def receipt(through: str) -> dict[str, Any]:
    """Everything up to there is delivered."""
    event = {"type": "receipt", "position": "aaaaaaaa:1", "at": AT, "peer": BOB, "state": "delivered"}
    return {**event, "through": through, "id": None}


def happened(kind: str, **fields: Any) -> dict[str, Any]:
    """Another event of bob."""
    return {"type": kind, "position": "aaaaaaaa:1", "at": AT, "peer": BOB, **fields}


def then(first: Handler, count: int, what: Any) -> Handler:
    """`first`, and with its answer number `count` also `what(session)`."""
    done = 0

    def handler(session: Session, params: dict[str, Any]) -> Any:
        nonlocal done
        done += 1
        answer = first(session, params)
        if done == count:
            what(session)
        return answer

    return handler
