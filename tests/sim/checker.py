"""Checker: what a run promised against what the journals hold. Each check gives the sentences that say what is wrong.

Nothing accepted is lost, nothing comes twice, nothing unexpected, and all in order, for each pair of nodes. Where a
journal was wiped or restored, what is missing is what the `gap` events of the receiver say, and nothing else.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from tests.sim.truth import Attempt, Consumer, Journal, Row

FINAL = frozenset({"cancelled", "expired", "rejected"})


def check(
    journals: Mapping[str, Journal],
    attempts: Sequence[Attempt],
    consumers: Sequence[Consumer] = (),
    states: Mapping[tuple[str, str], str] | None = None,
) -> list[str]:
    """Everything that is wrong; `states` are what `msg` said at the end, by sender and id."""
    problems: list[str] = []
    for journal in journals.values():
        problems += _journal(journal)
    for sender in journals.values():
        for receiver in journals.values():
            if sender is not receiver:
                mine = [one for one in attempts if (one.sender, one.receiver) == (sender.name, receiver.name)]
                problems += _Pair(sender, receiver, mine, states or {}).problems()
    for consumer in consumers:
        problems += _consumer(consumer, journals)
    return problems


def _journal(journal: Journal) -> Iterator[str]:
    """Positions are where they say, and epochs begin one behind the other."""
    for row in journal.rows:
        if journal.order(row.position) is None or not row.position.endswith(f":{row.seq}"):
            yield f"{journal.name}: event {row.seq} says that it is {row.position}"
    for (before, _), (after, epoch) in pairwise(journal.epochs):
        if after < before:
            yield f"{journal.name}: epoch {epoch} begins at {after}, before {before}"


class _Pair:
    """Messages from one node to another."""

    def __init__(
        self, sender: Journal, receiver: Journal, attempts: list[Attempt], states: Mapping[tuple[str, str], str]
    ) -> None:
        self.sender, self.receiver, self.attempts, self.states = sender, receiver, attempts, states
        self.sent = sender.messages("out", receiver.node_id)
        self.got = receiver.messages("in", sender.node_id)
        self.by_text = {attempt.text: attempt for attempt in attempts}
        self.got_ids = {row.said_at: row for row in self.got}
        self.label = f"{sender.name} to {receiver.name}"

    def problems(self) -> Iterator[str]:
        for found in (
            *(self.twice(), self.unexpected(), self.disorder(), self.lost(), self.promised(), self.refused()),
            *(self.given_up(), self.gaps(), self.disagreeing(), self.pipelined()),
        ):
            for problem in found:
                yield f"{self.label}: {problem}"

    def twice(self) -> Iterator[str]:
        for what, rows in (("accepted", self.sent), ("received", self.got)):
            for key in ("text", "id", "global_id"):
                counted = Counter(row.body[key] for row in rows)
                yield from (f"{what} {count} times: {value!r}" for value, count in counted.items() if count > 1)

    def unexpected(self) -> Iterator[str]:
        """What was got is what somebody sent, under the id that he was told."""
        sent = {row.position: row for row in self.sent}
        for row in self.got:
            id_, text = row.said_at, row.body["text"]
            attempt = self.by_text.get(text)
            if row.body["global_id"] != f"{self.sender.node_id}/{id_}" or row.body["id"] != row.position:
                yield f"received {text!r} as {row.body['id']} {row.body['global_id']} at {row.position}"
            elif attempt is None:
                yield f"received {text!r}, which nobody sent"
            elif attempt.id is not None and attempt.id != id_:
                yield f"received {text!r} as {id_}, its sender was told {attempt.id}"
            elif id_ in sent:
                if sent[id_].body["text"] != text:
                    yield f"received {text!r} as {id_}, which is another message"
            elif self.sender.order(id_) is not None:
                yield f"received {text!r} as {id_}, which is no message to it"
            elif not self._went_with_a_disk(attempt):
                yield f"received {text!r} as {id_}, which is not in its sender's journal"

    def disorder(self) -> Iterator[str]:
        for before, after in pairwise(self.got):
            first, second = before.said_at, after.said_at
            places = self.sender.order(first), self.sender.order(second)
            if first.partition(":")[0] == second.partition(":")[0]:
                places = (0, int(first.partition(":")[2])), (0, int(second.partition(":")[2]))
            if places[0] and places[1] and places[0] >= places[1]:
                yield f"received {second} after {first}"

    def lost(self) -> Iterator[str]:
        """What the sender's journal holds and has not given up is in the receiver's, or in a gap."""
        for row in self.sent:
            state = self.sender.outcomes.get(row.seq)
            there = row.position in self.got_ids
            if state in FINAL:
                if there and not self.sender.losses:
                    yield f"{row.position} is {state} and was received"
            elif not there and not self._excused(row):
                yield f"lost {row.position} {row.body['text']!r}"

    def promised(self) -> Iterator[str]:
        """What was answered is in the sender's journal."""
        sent = {row.position: row.body["text"] for row in self.sent}
        for attempt in self.attempts:
            if attempt.id is None or self.sender.lost(attempt.step, attempt.answered):
                continue
            if sent.get(attempt.id) != attempt.text:
                yield f"accepted {attempt.text!r} as {attempt.id}, which is not in the journal"

    def refused(self) -> Iterator[str]:
        texts = {row.body["text"] for row in (*self.sent, *self.got)}
        for attempt in self.attempts:
            if attempt.was_refused and attempt.text in texts:
                yield f"refused {attempt.text!r} ({attempt.error}), and it is there"

    def given_up(self) -> Iterator[str]:
        """`cancel` said "cancelled": that is for good."""
        for attempt in self.attempts:
            if attempt.gave_up and attempt.id in self.got_ids and not self.sender.lost(*attempt.gave_up):
                yield f"{attempt.id} {attempt.text!r} was cancelled and received"

    def disagreeing(self) -> Iterator[str]:
        """The state that the sender shows in the end is what became of the message."""
        for row in self.sent:
            state = self.states.get((self.sender.name, row.position))
            if state is None:
                continue
            there = row.position in self.got_ids
            if state == "delivered" and not there and not self._excused(row):
                yield f"{row.position} is delivered and not there"
            elif state in FINAL and there and not self.sender.losses:
                yield f"{row.position} is {state} and there"
            elif state not in FINAL and state != "delivered":
                yield f"{row.position} is still {state}"

    def pipelined(self) -> Iterator[str]:
        """Messages of one session have their positions in the order in which they were sent."""
        accepted = [attempt for attempt in self.attempts if attempt.id is not None and attempt.key is None]
        for before, after in pairwise(accepted):
            epochs = {str(one.id).partition(":")[0] for one in (before, after)}
            if before.session == after.session and len(epochs) == 1 and _seq(before.id) >= _seq(after.id):
                yield f"{after.id} was sent after {before.id} in one session"

    # -- journals that were lost

    def _excused(self, row: Row) -> bool:
        """A gap tells of it; or it was given up, and its sender's disk has forgotten that."""
        attempt = self.by_text.get(row.body["text"])
        given_up = attempt is not None and (attempt.taken_back or attempt.ttl is not None)
        return self.in_gap(row.position) or (attempt is not None and given_up and self._went_with_a_disk(attempt))

    def _went_with_a_disk(self, attempt: Attempt) -> bool:
        return any(attempt.step < until for _, until in self.sender.losses)

    @cached_property
    def gap_rows(self) -> list[Row]:
        return [
            row
            for row in self.receiver.rows
            if row.type == "gap"
            and row.body["peer"]
            and row.body["peer"]["node"] == self.sender.node_id
            and not row.body.get("room")
        ]

    def in_gap(self, position: str) -> bool:
        return any(self.sender.is_told(row, position) for row in self.gap_rows)

    def gaps(self) -> Iterator[str]:
        """Nobody tells of a loss where there was none, or of the loss of what is there."""
        lossless = not self.sender.losses and not self.receiver.losses
        for row in self.gap_rows:
            if lossless:
                yield f"a gap through {row.body['through']}, and no journal was lost"
            for got in self.got:
                if not self.sender.losses and self.sender.is_told(row, got.said_at):
                    yield f"{got.said_at} is there, and a gap says that it is not"
        for row in self.sender.rows:
            if row.type == "peer.diverged" and row.body["peer"]["node"] == self.receiver.node_id and lossless:
                yield f"{row.position} says that {self.receiver.name} diverged, and no journal was lost"


def _seq(id_: str | None) -> int:
    return int(str(id_).partition(":")[2])


def _consumer(consumer: Consumer, journals: Mapping[str, Journal]) -> Iterator[str]:
    """It got every inbound message, in order and without a hole that it was not told of."""
    journal = journals[consumer.node]
    label = f"consumer {consumer.name} of {consumer.node}"
    wanted = [row.position for row in journal.rows if row.type == "message" and row.direction == "in"]
    place = {position: number for number, position in enumerate(wanted)}
    told = {number for number, position in enumerate(wanted) if _was_told(consumer, journal, position)}
    seen = {position for session in consumer.sessions for _, position in session}
    for number, position in enumerate(wanted):
        if position not in seen and number not in told:
            yield f"{label} never got {position}"
    reached = -1  # the newest that it got
    for session in consumer.sessions:
        known = [(step, place[position]) for step, position in session if position in place]
        if not known:
            continue
        begun, first = known[0]
        if not told.issuperset(range(reached + 1, first)):
            yield f"{label} went on at {wanted[first]}, past {wanted[reached + 1]}"
        if first <= max(_acknowledged(consumer, journal, place, begun), default=-1):
            yield f"{label} got {wanted[first]} again, which it had acknowledged"
        for (_, before), (_, after) in pairwise(known):
            if after <= before or not told.issuperset(range(before + 1, after)):
                yield f"{label} got {wanted[after]} after {wanted[before]}"
        reached = max(reached, known[-1][1])


def _acknowledged(consumer: Consumer, journal: Journal, place: Mapping[str, int], until: int) -> list[int]:
    """What the consumer knows that it had acknowledged before that step, and that no disk has taken away."""
    return [
        place[position]
        for asked, answered, position in consumer.acknowledged
        if answered < until and position in place and not journal.lost(asked, answered)
    ]


def _was_told(consumer: Consumer, journal: Journal, position: str) -> bool:
    """Retention has deleted it, and a gap said so; or it was gone before the consumer was there."""
    where = journal.order(position)
    for after, through in [*consumer.gaps, *((None, start) for start in consumer.starts)]:
        since, until = journal.order(after) if after else None, journal.order(through)
        if where and until and (since is None or since < where) and where <= until and where[1] <= journal.floor:
            return True
    return False
