"""`python -m tests.mutants [NAME…]`: break the code on purpose, one line at a time, and see which test notices.

Every catcher also runs in a copy that nobody has broken, where it must find nothing. The exit status is 1 if a mutant
survives, or could not be tried.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

from tests.mutants.mutants import MUTANTS
from tests.mutants.trial import BadMutant, Catcher, Mutant, Outcome, run

CAUGHT = 1  # the exit status of tests that have found something
TAIL = 2000  # characters of the output of what went wrong otherwise


def main(names: Sequence[str]) -> int:
    """Try those mutants, or all."""
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        print(f"there is no mutant {', '.join(sorted(unknown))}")
        return 2
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        submit = cache(lambda catcher: pool.submit(run, catcher))
        trials = [(mutant, submit(mutant.catcher), pool.submit(run, mutant.catcher, mutant)) for mutant in chosen]
        caught = [_report(*trial) for trial in trials]
    print(f"{len(caught)} mutants, {caught.count(True)} caught, {caught.count(False)} not")
    return 0 if all(caught) else 1


def _report(mutant: Mutant, clean: Future[Outcome], broken: Future[Outcome]) -> bool:
    """Wait for both runs of a mutant, and print what came of it; whether it was caught."""
    try:
        before, after = clean.result(), broken.result()
    except BadMutant as bad:
        verdict, more = f"NOT TRIED: {bad}", ""
    else:
        verdict, more = _verdict(mutant.catcher, before, after)
    print(f"{mutant.name:44} {verdict}{more}", flush=True)
    return verdict == "caught"


def _verdict(catcher: Catcher, before: Outcome, after: Outcome) -> tuple[str, str]:
    if before.status != 0:
        return "NOT TRIED", f": {' '.join(catcher)} fails without it:\n{before.output[-TAIL:]}"
    if after.status == 0:
        return "SURVIVED", f" {' '.join(catcher)}"
    if after.status != CAUGHT or not after.noticed:
        return "BROKEN", f": exit status {after.status}:\n{after.output[-TAIL:]}"
    return "caught", f" in {after.seconds:.0f} s by {after.noticed}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
