"""`python -m tests.sim`: run seeds, or one of them with everything that happens in it.

python -m tests.sim --seed 17             one seed, and its events
python -m tests.sim --seeds 500 --jobs 2  many; with those of seeds.txt, which have failed before
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.sim import simulation, worker

KNOWN = Path(__file__).with_name("seeds.txt")
SHOWN = 20  # failures


def known_seeds() -> list[int]:
    """Seeds that have failed once: a line each, with what it was behind a #."""
    lines = (line.partition("#")[0].strip() for line in KNOWN.read_text().splitlines())
    return [int(line) for line in lines if line]


def main(argv: list[str] | None = None) -> int:
    """The exit status: 1 if any seed failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="simulate whole nodes")
    parser.add_argument("--seed", type=int, help="run this one and print its events")
    parser.add_argument("--seeds", type=int, default=500, help="how many (500)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes (one a core)")
    options = parser.parse_args(argv)
    if options.seed is not None:
        return _replay(options.seed)
    seeds = {*known_seeds(), *range(options.first, options.first + options.seeds)}
    return _many(sorted(seeds), options.jobs)


def _replay(seed: int) -> int:
    result = simulation.run(seed, print)
    print(result.plan)
    print(f"hash {result.digest}")
    for problem in result.problems:
        print(f"PROBLEM {problem}")
    return bool(result.problems)


def _many(seeds: list[int], jobs: int) -> int:
    began, failed, messages = time.monotonic(), 0, 0
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), worker.die_with, (os.getpid(),)) as pool:
        for result in pool.map(worker.run, seeds, chunksize=5):
            messages += result.messages
            if not result.problems:
                continue
            failed += 1
            if failed <= SHOWN:
                print(result.plan)
                for problem in result.problems[:SHOWN]:
                    print(f"  {problem}")
                sys.stdout.flush()
    took = time.monotonic() - began
    each = took / len(seeds) * 1000
    print(f"{len(seeds)} seeds, {messages} messages, {failed} failed, {took:.1f} s ({each:.0f} ms each)")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
