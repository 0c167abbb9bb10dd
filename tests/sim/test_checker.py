"""The checker itself: a sound run passes, and every kind of damage to a journal is noticed."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.sim.checker import check
from tests.sim.truth import Attempt, Consumer, Journal, Row

ALICE, BOB = "a" * 52, "b" * 52
E, F = "eeeeeeee", "ffffffff"  # epochs of alice and bob


def row(seq: int, epoch: str, kind: str, direction: str | None = None, peer: str = "", **body: Any) -> Row:
    content = {"position": f"{epoch}:{seq}", "id": f"{epoch}:{seq}", "peer": {"node": peer}, **body}
    return Row(seq, kind, direction, content)


class Run:
    """Alice has sent three messages to bob, whose consumer has got them."""

    def __init__(self) -> None:
        sent = [row(n, E, "message", "out", BOB, global_id=f"{ALICE}/{E}:{n}", text=f"m{n}") for n in (2, 3, 4)]
        got = [row(n, F, "message", "in", ALICE, global_id=f"{ALICE}/{E}:{n}", text=f"m{n}") for n in (2, 3, 4)]
        self.alice = Journal("alice", ALICE, [(1, E)], [row(1, E, "daemon.start"), *sent])
        self.bob = Journal("bob", BOB, [(1, F)], [row(1, F, "daemon.start"), *got])
        self.attempts = [
            Attempt("alice", "bob", f"m{n}", step=n, session=1, id=f"{E}:{n}", answered=10 + n) for n in (2, 3, 4)
        ]
        self.consumer = Consumer("bot", "bob", [[(20 + n, f"{F}:{n}") for n in (2, 3, 4)]])
        self.states = {("alice", f"{E}:{n}"): "delivered" for n in (2, 3, 4)}

    def problems(self) -> list[str]:
        return check({"alice": self.alice, "bob": self.bob}, self.attempts, [self.consumer], self.states)


def lose(run: Run) -> None:
    del run.bob.rows[2]
    run.consumer.sessions[0].pop(1)


def double(run: Run) -> None:
    again = deepcopy(run.bob.rows[2])
    again.seq, again.body["position"] = 5, f"{F}:5"
    run.bob.rows.append(again)


def swap(run: Run) -> None:
    one, other = run.bob.rows[1], run.bob.rows[2]
    for key in ("global_id", "text"):
        one.body[key], other.body[key] = other.body[key], one.body[key]


def invent(run: Run) -> None:
    run.bob.rows.append(row(5, F, "message", "in", ALICE, global_id=f"{ALICE}/{E}:5", text="who said that?"))


def misname(run: Run) -> None:
    run.bob.rows[1].body["global_id"] = f"{BOB}/{E}:2"


def call_by_another_id(run: Run) -> None:
    run.bob.rows[1].body["id"] = f"{E}:2"


def change(run: Run) -> None:
    run.bob.rows[1].body["text"] = "m4"


def forget(run: Run) -> None:
    del run.alice.rows[2]


def take_refused(run: Run) -> None:
    run.attempts[1].id, run.attempts[1].error = None, "storage_full"


def take_cancelled(run: Run) -> None:
    run.attempts[1].gave_up = 30, 31


def expire_and_deliver(run: Run) -> None:
    run.alice.outcomes[3] = "expired"


def stay_queued(run: Run) -> None:
    run.states[("alice", f"{E}:3")] = "queued"


def tell_a_gap(run: Run) -> None:
    run.bob.rows.append(row(5, F, "gap", None, ALICE, after=None, through=f"{E}:2"))


def skip_for_consumer(run: Run) -> None:
    run.consumer.sessions[0].pop(1)


def repeat_acknowledged(run: Run) -> None:
    run.consumer.acknowledged.append((29, 30, f"{F}:3"))
    run.consumer.sessions.append([(31, f"{F}:3"), (32, f"{F}:4")])


def go_on_too_late(run: Run) -> None:
    run.consumer.sessions = [[(21, f"{F}:2")], [(22, f"{F}:4")], [(23, f"{F}:3")]]


def reorder_pipeline(run: Run) -> None:
    run.attempts.reverse()


def use_an_old_epoch(run: Run) -> None:
    run.bob.epochs = [(1, "gggggggg")]


DAMAGES: list[tuple[Callable[[Run], None], str]] = [
    (lose, "lost eeeeeeee:3 'm3'"),
    (double, "received 2 times: 'm3'"),
    (swap, "received eeeeeeee:2 after eeeeeeee:3"),
    (invent, "which nobody sent"),
    (misname, f"received 'm2' as ffffffff:2 {BOB}/eeeeeeee:2"),
    (call_by_another_id, "received 'm2' as eeeeeeee:2"),
    (change, "received 'm4' as eeeeeeee:2, its sender was told eeeeeeee:4"),
    (forget, "accepted 'm3' as eeeeeeee:3, which is not in the journal"),
    (take_refused, "refused 'm3' (storage_full), and it is there"),
    (take_cancelled, "was cancelled and received"),
    (expire_and_deliver, "eeeeeeee:3 is expired and was received"),
    (stay_queued, "eeeeeeee:3 is still queued"),
    (tell_a_gap, "and no journal was lost"),
    (skip_for_consumer, "never got ffffffff:3"),
    (repeat_acknowledged, "got ffffffff:3 again, which it had acknowledged"),
    (go_on_too_late, "went on at ffffffff:4, past ffffffff:3"),
    (reorder_pipeline, "eeeeeeee:3 was sent after eeeeeeee:4 in one session"),
    (use_an_old_epoch, "says that it is ffffffff:1"),
]


def test_a_sound_run_has_no_problems() -> None:
    assert Run().problems() == []


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_the_checker_notices_a_damaged_run(damage: Callable[[Run], None], told: str) -> None:
    run = Run()
    damage(run)
    assert any(told in problem for problem in run.problems()), run.problems()


def wiped(run: Run, through: int) -> None:
    """Bob has lost his journal, and alice told him that she goes on behind `through`."""
    run.bob.losses = [(0, 50)]
    rows = [row(1, F, "daemon.start"), row(2, F, "gap", None, ALICE, after=None, through=f"{E}:{through}")]
    rows += [
        row(n, F, "message", "in", ALICE, global_id=f"{ALICE}/{E}:{n}", text=f"m{n}") for n in (3, 4) if n > through
    ]
    run.bob.rows = rows
    run.consumer.sessions = [[(60, one.position) for one in rows[2:]]]


def test_what_a_gap_tells_may_be_missing_after_a_wipe() -> None:
    run = Run()
    wiped(run, 2)
    assert run.problems() == []


def test_nothing_but_what_a_gap_tells_may_be_missing_after_a_wipe() -> None:
    run = Run()
    wiped(run, 2)
    del run.bob.rows[2]
    assert any("lost eeeeeeee:3" in problem for problem in run.problems())


def test_a_gap_must_not_tell_of_what_is_there() -> None:
    run = Run()
    wiped(run, 2)
    run.bob.rows[1].body["through"] = f"{E}:4"
    assert any("is there, and a gap says that it is not" in problem for problem in run.problems())


def test_what_a_restored_sender_had_sent_is_no_surprise() -> None:
    run = Run()
    run.alice.losses = [(3, 50)]  # the copy had m2 and m3
    run.alice.rows = run.alice.rows[:3]
    run.alice.epochs = [(1, E), (4, "gggggggg")]
    run.attempts[1].answered = 2
    run.attempts[0].answered = 1
    assert run.problems() == []
