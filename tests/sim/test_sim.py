"""Whole nodes, simulated: see `python -m tests.sim --help`. `make sim SEEDS=20000` runs more of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.plan import FAULTS, ROOM_TRAITS, TRAITS, draw

SEEDS = 500
QUICK = 100  # those of `make test`
DEADLINE_S = 300  # about 80 s on two cores that do nothing else


@pytest.mark.no_cover
@pytest.mark.deadline(DEADLINE_S + 20)
@pytest.mark.parametrize(("first", "count"), [(0, QUICK), pytest.param(QUICK, SEEDS - QUICK, marks=pytest.mark.long)])
def test_nothing_accepted_is_lost_whatever_fails(first: int, count: int) -> None:
    """In processes of their own, which are not measured for coverage: that would take twice the time."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.sim", "--first", str(first), "--seeds", str(count)],
        cwd=Path(__file__).parents[2],
        env=env,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_seeds_draw_every_fault_alone_and_together() -> None:
    plans = [draw(seed) for seed in range(SEEDS)]
    assert {kind for plan in plans for kind in plan.on} == FAULTS.keys() | TRAITS.keys() | ROOM_TRAITS.keys()
    assert {len(plan.machines) for plan in plans} == {2, 3, 4}
    assert {len(plan.rooms) for plan in plans} == {0, 1, 2}
    assert any(len(room.members) == 3 for plan in plans for room in plan.rooms)
    assert any(not plan.on & FAULTS.keys() for plan in plans)
    assert any(len(plan.on & FAULTS.keys()) == 1 for plan in plans)
    assert any(len(plan.on & FAULTS.keys()) > 5 for plan in plans)
