"""`python -m tests.mutants.seeds COUNT FAULT…`: simulate until something is wrong, with COUNT seeds at most.

Only those are taken in whose plan all these faults and traits are on, and no journal is wiped or restored: what is
lost then is another question.
"""

import itertools
import sys
from collections.abc import Iterator

from tests.sim import simulation
from tests.sim.plan import Plan, draw

LOSSES = frozenset({"wipe", "restore"})


def plans(faults: frozenset[str]) -> Iterator[Plan]:
    """All that fit."""
    for seed in itertools.count():
        plan = draw(seed)
        if plan.on >= faults and not plan.on & LOSSES:
            yield plan


def main(count: int, faults: frozenset[str]) -> int:
    """The exit status: 1 if something was wrong."""
    for plan in itertools.islice(plans(faults), count):
        result = simulation.run_plan(plan)
        if result.problems:
            print(f"FAILED seed-{plan.seed}", *result.problems[:5], sep="\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), frozenset(sys.argv[2:])))
