"""`python -m tests.mutants [NAME…]`: break the code on purpose, one change at a time, and see which test notices.

Afterwards the tests that noticed run together in a copy without any change, where they must pass. The exit status is 1
if a mutant survives, or could not be tried.
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future

from tests.mutants.mutant import BadMutant, Catcher, Mutant, again
from tests.mutants.mutants import MUTANTS
from tests.mutants.trial import Outcome, Trials

PARALLEL = 2 * (os.cpu_count() or 1)  # some wait for a deadline only
CAUGHT = 1  # the exit status of tests that have found something
TAIL = 2000  # characters of the output of what went wrong otherwise


def main(names: Sequence[str]) -> int:
    """Try those mutants, or all."""
    unknown = set(names) - {mutant.name for mutant in MUTANTS}
    if unknown:
        print(f"there is no mutant {', '.join(sorted(unknown))}")
        return 2
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    with Trials(PARALLEL) as trials:
        runs = [(mutant, trials.start(mutant.catcher, mutant)) for mutant in chosen]
        noticed = {mutant.name: _report(mutant, run) for mutant, run in runs}
        wrong = _fail_anyway(trials, {test for test in noticed.values() if test})
    caught = [name for name, test in noticed.items() if test and test not in wrong]
    for name, test in noticed.items():
        if test in wrong:
            print(f"{name:44} NOT TRIED: {test} fails without it")
    print(f"{len(chosen)} mutants, {len(caught)} caught, {len(chosen) - len(caught)} not")
    return 0 if len(caught) == len(chosen) else 1


def _report(mutant: Mutant, run: Future[Outcome]) -> str:
    """Wait for the run and print its result. Return the test that has noticed the mutant, or an empty string."""
    try:
        outcome = run.result()
    except BadMutant as bad:
        verdict, noticed = f"NOT TRIED: {bad}", ""
    else:
        verdict, noticed = _verdict(mutant.catcher, outcome)
    print(f"{mutant.name:44} {verdict}", flush=True)
    return noticed


def _verdict(catcher: Catcher, outcome: Outcome) -> tuple[str, str]:
    if outcome.status == 0:
        return f"SURVIVED {' '.join(catcher)}", ""
    if outcome.status != CAUGHT or not outcome.failed:
        return f"BROKEN: exit status {outcome.status}:\n{outcome.output[-TAIL:]}", ""
    return f"caught in {outcome.seconds:.1f} s by {outcome.failed[0]}", outcome.failed[0]


def _fail_anyway(trials: Trials, noticed: set[str]) -> set[str]:
    """Return those of these tests that fail without any mutant: together with the others, and then alone, too."""
    together = _failures(trials, sorted(noticed), PARALLEL)
    return {test for test in together if _failures(trials, [test], 1)}


def _failures(trials: Trials, tests: Sequence[str], parts: int) -> set[str]:
    """Run the tests in so many parts. Return those that fail; all of a part that ends in another way."""
    wrong: set[str] = set()
    runs = [(part, trials.start(catcher)) for part, catcher in again(tests, parts)]
    for part, run in runs:
        outcome = run.result()
        if outcome.status not in (0, CAUGHT):
            print(f"BROKEN without a mutant: exit status {outcome.status}:\n{outcome.output[-TAIL:]}")
            wrong.update(part)
        wrong.update(outcome.failed)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
