"""Victim: a node that is started in odd ways, asked over a session, and killed."""

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.e2e.processes import PATIENCE_S, ROOT, Node, environment
from tests.faults.session import Gone, Json, Session

POLL_S = 0.02
QUICK = ("--redial-min", "20ms", "--redial-max", "200ms")  # tests redial often and wait for it


class Victim(Node):
    """A node with a quick back-off. `module` is what is run in place of chatd."""

    def __init__(self, name: str, *flags: str) -> None:
        super().__init__(name, *QUICK, *flags)
        self.module: Sequence[str] = ("chatd",)

    def command(self, *flags: str) -> list[str]:
        """The command line of its daemon."""
        python, dash_m, _, *own = super().command(*flags)
        return [python, dash_m, *self.module, *own]

    def dials(self, *others: Node) -> None:
        """It stays connected to these from its next start on."""
        self.flags = (*self.flags, "--peers", ",".join(f"127.0.0.1:{other.port}" for other in others))

    def begin(self) -> None:
        """Start the daemon and do not wait for it."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=ROOT, env=environment(self.folder), stdin=subprocess.DEVNULL, stderr=log
            )

    @property
    def has_ended(self) -> bool:
        """There is no daemon any more."""
        return self.process is None or self.process.poll() is not None

    @property
    def pid(self) -> int:
        """Of the daemon."""
        assert self.process is not None
        return self.process.pid

    @property
    def journal(self) -> Path:
        """The database."""
        return self.state / "journal.db"

    def ask(self, method: str, **params: object) -> Json:
        """A request on a session of its own; asked again while there is no daemon that answers."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                session = Session(self.socket)
                try:
                    return session.ask(method, **params)
                finally:
                    session.close()
            except Gone:
                assert time.monotonic() < deadline, f"{self.name} does not answer:\n{self.log}"
                time.sleep(POLL_S)

    def subscribed(self, start: object, count: int, **filter_: object) -> list[Json]:
        """The first events of a subscription from there."""
        session = Session(self.socket)
        try:
            session.post("subscribe", [{"from": start, "filter": filter_}])
            events: list[Json] = []
            while len(events) < count:
                lines = session.replies()
                events += [line["params"]["event"] for line in lines if line.get("method") == "event"]
            return events[:count]
        finally:
            session.close()

    def until_linked(self, *others: Node) -> None:
        """Wait until it has a link to each of them."""
        self._until(lambda peers: all(peers.get(other.name, {}).get("state") == "up" for other in others), "linked")

    def until_drained(self) -> None:
        """Wait until nothing is owed to anybody."""
        self._until(lambda peers: not any(peer["queued"] for peer in peers.values()), "drained")

    def _until(self, reached: Callable[[dict[str, Json]], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached(peers := {peer["name"]: peer for peer in self.ask("list", all=True)["peers"]}):
            assert time.monotonic() < deadline, f"{self.name} is not {what}: {peers}\n{self.log}"
            time.sleep(POLL_S)
