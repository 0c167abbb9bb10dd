"""The room checker itself: a sound run passes, and every kind of damage to the journals is noticed."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.sim.plan import Room
from tests.sim.roomchecker import check_room
from tests.sim.truth import Attempt, Journal, Row, Stay

ALICE, BOB, CAROL = "a" * 52, "b" * 52, "c" * 52
E, F, G = "eeeeeeee", "ffffffff", "gggggggg"  # epochs of alice, bob and carol
LABEL = "lobby@alice"
ROOM = Room("lobby", "alice", ("bob", "carol"), is_in=False)


def row(seq: int, epoch: str, kind: str, direction: str | None = None, peer: str = ALICE, **body: Any) -> Row:
    content = {"position": f"{epoch}:{seq}", "id": f"{epoch}:{seq}", "peer": {"node": peer}, "room": LABEL, **body}
    return Row(seq, kind, direction, content)


def come(seq: int, nick: str, node: str, epoch: str = E, place: int = 0) -> Row:
    return row(seq, epoch, "room.join", nick=nick, node=node, room_position=f"{E}:{place or seq}")


def heard(seq: int, peer: str, nick: str, id_: str, text: str, *, epoch: str = E, place: int = 0, **more: Any) -> Row:
    place = place or seq
    id_ = f"{peer}/{id_}" if epoch == E else f"{ALICE}/{E}:{place}"  # at the host as its author says
    more["room_position"] = f"{E}:{place}"
    return row(seq, epoch, "message", "in", peer, nick=nick, global_id=id_, text=text, **more)


class Run:
    """Alice hosts. Bob and carol come; bob says m1 to all, carol p1 to bob, bob m2, when carol has gone."""

    def __init__(self) -> None:
        self.alice = Journal(
            "alice",
            ALICE,
            [(1, E)],
            [
                row(1, E, "daemon.start"),
                come(2, "bob", BOB),
                come(3, "carol", CAROL),
                heard(4, BOB, "bob", f"{F}:4", "m1"),
                heard(5, CAROL, "carol", f"{G}:4", "p1", to="bob", to_node=BOB),
                row(6, E, "room.leave", nick="carol", node=CAROL, reason="kicked", room_position=f"{E}:6"),
                heard(7, BOB, "bob", f"{F}:5", "m2"),
                row(8, E, "room.refused", "out", CAROL, global_id=f"{CAROL}/{G}:6", reason="not in the room"),
            ],
            members={(LABEL, BOB, "bob")},
        )
        self.bob = Journal(
            "bob",
            BOB,
            [(1, F)],
            [
                row(1, F, "daemon.start"),
                come(2, "bob", BOB, F, 2),
                come(3, "carol", CAROL, F, 3),
                self.said(4, F, "bob", "m1"),
                self.said(5, F, "bob", "m2"),
                self.receipt(6, F, 4, 4),
                heard(7, ALICE, "carol", f"{G}:4", "p1", epoch=F, place=5, to="bob"),
                row(8, F, "room.leave", nick="carol", node=CAROL, reason="kicked", room_position=f"{E}:6"),
                self.receipt(9, F, 5, 7),
            ],
            joined={LABEL: "bob"},
        )
        self.carol = Journal(
            "carol",
            CAROL,
            [(1, G)],
            [
                row(1, G, "daemon.start"),
                come(2, "carol", CAROL, G, 3),
                heard(3, ALICE, "bob", f"{F}:4", "m1", epoch=G, place=4),
                self.said(4, G, "carol", "p1", to="bob", to_node=BOB),
                self.receipt(5, G, 4, 5),
                self.said(6, G, "carol", "late"),
                row(7, G, "room.gone", reason="kicked"),
                row(8, G, "receipt", state="rejected", id=f"{G}:6", room_position=None),
            ],
            outcomes={6: "rejected"},
        )
        self.attempts = [
            self.attempt("bob", "m1", f"{F}:4"),
            self.attempt("bob", "m2", f"{F}:5"),
            self.attempt("carol", "p1", f"{G}:4", to="bob"),
            self.attempt("carol", "late", f"{G}:6"),
        ]
        self.stays = [Stay("bob", LABEL, is_host=False), Stay("carol", LABEL, is_host=False)]
        self.states = {
            ("bob", f"{F}:4"): "delivered",
            ("bob", f"{F}:5"): "delivered",
            ("carol", f"{G}:4"): "delivered",
            ("carol", f"{G}:6"): "rejected",
        }
        self.shown = {("bob", LABEL): [f"{E}:4", f"{E}:5", f"{E}:7"]}

    def said(self, seq: int, epoch: str, nick: str, text: str, **more: Any) -> Row:
        id_ = f"{BOB if epoch == F else CAROL}/{epoch}:{seq}"
        return row(seq, epoch, "message", "out", nick=nick, global_id=id_, text=text, state="queued", **more)

    def receipt(self, seq: int, epoch: str, of: int, place: int) -> Row:
        return row(seq, epoch, "receipt", state="delivered", id=f"{epoch}:{of}", room_position=f"{E}:{place}")

    def attempt(self, sender: str, text: str, id_: str, to: str | None = None) -> Attempt:
        return Attempt(sender, LABEL, text, step=1, session=1, id=id_, answered=2, to=to)

    def problems(self) -> list[str]:
        journals = {"alice": self.alice, "bob": self.bob, "carol": self.carol}
        return list(check_room(ROOM, journals, self.attempts, self.stays, self.states, self.shown))


def lose_at_a_member(run: Run) -> None:
    del run.bob.rows[6]


def lose_an_echo(run: Run) -> None:
    del run.bob.rows[5]


def double_at_a_member(run: Run) -> None:
    again = deepcopy(run.bob.rows[6])
    again.seq, again.body["position"] = 10, f"{F}:10"
    run.bob.rows.append(again)


def swap_at_a_member(run: Run) -> None:
    one, other = run.bob.rows[6], run.bob.rows[7]
    run.bob.rows[6:8] = [other, one]


def misname_at_a_member(run: Run) -> None:
    run.bob.rows[6].body["global_id"] = f"{CAROL}/{G}:4"


def change_at_a_member(run: Run) -> None:
    run.bob.rows[6].body["text"] = "p2"


def show_an_echo(run: Run) -> None:
    run.bob.rows.append(heard(10, ALICE, "bob", f"{F}:4", "m1", epoch=F, place=4))


def show_what_is_private(run: Run) -> None:
    run.alice.rows[4].body |= {"to": "bob", "to_node": BOB}
    run.alice.rows[3].body |= {"to": "bob", "to_node": BOB}
    run.attempts[0].to = "bob"


def show_what_came_later(run: Run) -> None:
    run.carol.rows.insert(6, heard(7, ALICE, "bob", f"{F}:5", "m2", epoch=G, place=7))


def stay_though_kicked(run: Run) -> None:
    run.carol.joined[LABEL] = "carol"


def forget_a_member(run: Run) -> None:
    run.alice.members.clear()


def take_twice(run: Run) -> None:
    run.alice.rows.append(heard(9, BOB, "bob", f"{F}:4", "m1"))


def take_from_outside(run: Run) -> None:
    run.alice.rows.append(heard(9, CAROL, "carol", f"{G}:6", "late"))
    del run.alice.rows[7]


def take_and_refuse(run: Run) -> None:
    run.alice.rows.append(row(9, E, "room.refused", "out", BOB, global_id=f"{BOB}/{F}:5", reason="not in the room"))


def take_nothing(run: Run) -> None:
    del run.alice.rows[6], run.bob.rows[8]
    run.shown.clear()


def refuse_in_silence(run: Run) -> None:
    del run.carol.rows[7]


def come_twice(run: Run) -> None:
    run.alice.rows.append(come(9, "Bob", CAROL))
    run.alice.members.add((LABEL, CAROL, "Bob"))


def place_wrongly(run: Run) -> None:
    run.bob.rows[5].body["room_position"] = f"{E}:7"


def stay_queued(run: Run) -> None:
    run.states[("bob", f"{F}:5")] = "sent"


def tell_a_gap(run: Run) -> None:
    run.bob.rows.append(row(10, F, "gap", after=f"{E}:3", through=f"{E}:4"))


def take_refused(run: Run) -> None:
    run.attempts[1].id, run.attempts[1].error = None, "storage_full"


def forget_what_was_accepted(run: Run) -> None:
    del run.carol.rows[5]


def show_another_history(run: Run) -> None:
    run.shown[("bob", LABEL)] = [f"{E}:5", f"{E}:4", f"{E}:7"]


def leave_out_of_history(run: Run) -> None:
    run.shown[("bob", LABEL)] = [f"{E}:7"]


DAMAGES: list[tuple[Callable[[Run], None], str]] = [
    (lose_at_a_member, "1 times something is missing, from eeeeeeee:5 on; 0 may be"),
    (lose_an_echo, "1 times something is missing, from eeeeeeee:4 on; 0 may be"),
    (double_at_a_member, "place 'eeeeeeee:5' 2 times"),
    (swap_at_a_member, "eeeeeeee:5 is behind eeeeeeee:6"),
    (misname_at_a_member, f"ffffffff:7 has the global id {CAROL}/gggggggg:4"),
    (change_at_a_member, "the host has"),
    (show_an_echo, "text 'm1' 2 times"),
    (show_what_is_private, "at carol: eeeeeeee:4 is seen, which is for bob alone"),
    (show_what_came_later, "eeeeeeee:7 is seen, which happened while it was not in the room"),
    (stay_though_kicked, "it is in the room as carol, by its host as None"),
    (forget_a_member, "members are []"),
    (take_twice, "'m1' is there 2 times"),
    (take_from_outside, "was said by carol, who is not there"),
    (take_and_refuse, "ffffffff:5 was taken and refused"),
    (take_nothing, "lost ffffffff:5 'm2'"),
    (refuse_in_silence, "gggggggg:6 was refused, and nobody was told"),
    (come_twice, "Bob comes, and is there"),
    (place_wrongly, "its receipt says delivered eeeeeeee:7"),
    (stay_queued, "ffffffff:5 has come back, and is sent"),
    (tell_a_gap, "and the host has forgotten nothing"),
    (take_refused, "refused 'm2' (storage_full), and it is there"),
    (forget_what_was_accepted, "accepted 'late' as gggggggg:6, which is not in the journal"),
    (show_another_history, "history shows"),
    (leave_out_of_history, "which is not all of"),
]


def test_a_sound_room_has_no_problems() -> None:
    assert Run().problems() == []


@pytest.mark.parametrize(("damage", "told"), DAMAGES, ids=[damage.__name__ for damage, _ in DAMAGES])
def test_the_checker_notices_a_damaged_room(damage: Callable[[Run], None], told: str) -> None:
    run = Run()
    damage(run)
    assert any(told in problem for problem in run.problems()), run.problems()


def test_what_retention_took_away_may_be_missing_if_a_gap_says_so() -> None:
    run = Run()
    run.alice.floor = 5
    run.bob.rows[6] = row(7, F, "gap", after=f"{E}:4", through=f"{E}:5")
    run.shown.clear()
    assert run.problems() == []


def test_whoever_goes_by_itself_may_miss_what_was_under_way_but_nothing_behind_it() -> None:
    run = Run()
    del run.bob.rows[6:8]
    run.shown.clear()
    run.stays[0].drops = 1
    assert run.problems() == []
    run.bob.rows.insert(6, row(7, F, "room.leave", nick="carol", node=CAROL, reason="kicked", room_position=f"{E}:6"))
    del run.bob.rows[7]
    assert any("2 times something is missing" in problem for problem in run.problems())
