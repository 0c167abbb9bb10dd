"""`python -m tests.mutants.seeds COUNT FAULT…`: simulate until something is wrong, with COUNT seeds at most.

Only those seeds count in whose plan all these faults and traits are on. Plans that wipe or restore a journal are left
out: messages may be lost in them. With `seed-17 seed-20 …` instead, exactly those seeds are simulated.
"""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence

from tests.mutants.mutant import SEED
from tests.sim import simulation
from tests.sim.plan import Plan, draw

LOSSES = frozenset({"wipe", "restore"})


def plans(faults: frozenset[str]) -> Iterator[Plan]:
    """All that fit."""
    for seed in itertools.count():
        plan = draw(seed)
        if plan.on >= faults and not plan.on & LOSSES:
            yield plan


def failures(chosen: Iterable[Plan]) -> Iterator[int]:
    """Simulate them; yield each seed in which something is wrong."""
    for plan in chosen:
        result = simulation.run_plan(plan)
        if result.problems:
            print(f"FAILED {SEED}{plan.seed}", *result.problems[:5], sep="\n", flush=True)
            yield plan.seed


def main(words: Sequence[str]) -> int:
    """The exit status: 1 if something was wrong."""
    if words[0].startswith(SEED):
        return 1 if list(failures(draw(int(word.removeprefix(SEED))) for word in words)) else 0
    first = next(failures(itertools.islice(plans(frozenset(words[1:])), int(words[0]))), None)
    return 0 if first is None else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
