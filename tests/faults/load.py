"""Load: clients that go on sending to nodes that are killed, and remember what each was told.

A `Sender` has a thread of its own. It numbers what it says and never says it twice, so that whatever arrives can be
told apart: accepted, refused, or unknown (no answer, or one that says so), which may be there at most once. A `Load`
is all of them.
"""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tests.harness.session import Gone, Json, Session
from tests.harness.victims import Victim

PATIENCE_S = 60.0
BURST = 24  # requests that are written together, at most
PAUSE_S = 0.005  # between two bursts: the nodes share the processors with everybody else
RETRY_S = 0.01
UNKNOWN = "outcome_unknown"
AWAY = frozenset({"peer_offline", "unknown_peer", "outbox_full", "shutting_down"})  # refused: it must not be there


class Sender(threading.Thread):
    """Sends to the peers of one node, whether that runs or not."""

    method, whom = "send", "peer"

    def __init__(self, node: Victim, peers: Sequence[str], told: Callable[[], None], refusals: frozenset[str]) -> None:
        super().__init__(name=f"sender of {node.name}", daemon=True)
        self.node = node
        self.peers = peers
        self.offered: dict[str, list[str]] = {peer: [] for peer in peers}
        self.accepted: dict[str, str] = {}  # text -> id
        self.refused: dict[str, str] = {}  # text -> kind
        self.kinds: Counter[str] = Counter()
        self.failure: BaseException | None = None
        self.size = 1  # of a text, about
        self._refusals = refusals
        self._told = told
        self._random = random.Random(node.name)
        self._ending = threading.Event()

    @property
    def count(self) -> int:
        """How many were accepted."""
        return len(self.accepted)

    def finish(self) -> None:
        """Stop after the present burst; raises what went wrong."""
        self._ending.set()
        self.join(PATIENCE_S)
        assert not self.is_alive(), f"{self.name} does not end"
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        """The thread: one session after the other."""
        try:
            while not self._ending.is_set():
                try:
                    self._talk(Session(self.node.socket))
                except Gone:
                    self._told()
                    time.sleep(RETRY_S)
        except BaseException as error:  # noqa: BLE001  (`finish` raises it where the test is)
            self.failure = error
        finally:
            self._told()

    def _talk(self, session: Session) -> None:
        try:
            while not self._ending.wait(PAUSE_S):
                self._burst(session)
        finally:
            session.close()

    def _burst(self, session: Session) -> None:
        said = [self._next() for _ in range(self._random.randint(1, BURST))]
        ids = session.post(self.method, [{self.whom: peer, "text": text} for peer, text in said])
        waiting = {number: text for number, (_, text) in zip(ids, said, strict=True)}
        while waiting:
            for reply in session.replies():
                self._note(waiting.pop(reply["id"]), reply)
            self._told()

    def _next(self) -> tuple[str, str]:
        peer = self._random.choice(self.peers)
        said = self.offered[peer]
        said.append(f"{self.node.name}>{peer} {len(said)} {'x' * self._random.randrange(self.size)}")
        return peer, said[-1]

    def _note(self, text: str, reply: Json) -> None:
        if "error" not in reply:
            self.accepted[text] = reply["result"]["id"]
            return
        kind = reply["error"]["data"]["kind"]
        assert kind in self._refusals, reply
        self.kinds[kind] += 1
        if kind != UNKNOWN:
            self.refused[text] = kind


class Speaker(Sender):
    """Says something in the rooms that one node is in."""

    method, whom = "room.say", "room"


class Load:
    """The senders of several nodes: who sends to whom."""

    def __init__(
        self,
        who: Mapping[Victim, Sequence[str]],
        *,
        refusals: frozenset[str] = frozenset(),
        kind: type[Sender] = Sender,
    ) -> None:
        self._changed = threading.Condition()
        self.senders = [kind(node, peers, self._told, AWAY | refusals) for node, peers in who.items()]

    def _told(self) -> None:
        with self._changed:
            self._changed.notify_all()

    @contextmanager
    def running(self) -> Iterator[None]:
        """For as long as the block."""
        for sender in self.senders:
            sender.start()
        try:
            yield
        finally:
            for sender in self.senders:
                sender.finish()

    def wait(self, reached: Callable[[], bool], what: str) -> None:
        """Until it is so, or something has failed; looked at whenever somebody was told something."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._failed or reached(), PATIENCE_S)
        assert done, f"{what}: not within {PATIENCE_S:g} s"

    @property
    def _failed(self) -> bool:
        return any(sender.failure for sender in self.senders)

    @property
    def count(self) -> int:
        """How many were accepted, by whomever."""
        return sum(sender.count for sender in self.senders)

    def more(self, count: int) -> None:
        """Wait until that many more are accepted, by whomever."""
        target = self.count + count
        self.wait(lambda: self.count >= target, f"{count} more messages")

    def more_each(self, count: int) -> None:
        """Wait until each sender was told of that many more."""
        targets = [(sender, sender.count + count) for sender in self.senders]
        self.wait(lambda: all(sender.count >= target for sender, target in targets), f"{count} more messages of each")

    def of(self, node: Victim) -> Sender:
        """The sender of a node."""
        (found,) = [sender for sender in self.senders if sender.node is node]
        return found
