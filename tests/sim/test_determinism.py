"""One seed is one run: in this process, in another one, and whatever the order of sets there."""

import os
import subprocess
import sys

import pytest
import trio
from trio._core import _run as trio_run

from tests.sim import simulation

SEEDS = (3, 258, 14)  # two to four machines, with and without rooms and liars, faults of most kinds
CODE = "import sys; from tests.sim import simulation; print(*(simulation.run(int(n)).digest for n in sys.argv[1:]))"


def in_another_process() -> list[str]:
    """The digests of a process whose sets have another order, and that runs the seeds in the opposite one."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, reversed(SEEDS))],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    return done.stdout.split()[::-1]


@pytest.mark.no_cover
def test_a_seed_gives_the_same_run_in_every_process() -> None:
    here = [simulation.run(seed).digest for seed in SEEDS]
    assert len(set(here)) == len(SEEDS)
    assert in_another_process() == here


@pytest.mark.no_cover
def test_looking_at_a_run_does_not_change_it() -> None:
    lines: list[str] = []
    assert simulation.run(SEEDS[0], lines.append).digest == simulation.run(SEEDS[0]).digest
    assert any("peace" in line for line in lines)


def test_trio_can_be_scheduled_by_a_seed() -> None:
    """The private names that the simulation stands on, with what they do."""

    def order(seed: int) -> list[int]:
        found: list[int] = []

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(note, number)

        async def note(number: int) -> None:
            await trio.lowlevel.checkpoint()
            found.append(number)

        trio_run._r.seed(seed)
        trio.run(main)
        return found

    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    try:
        assert order(1) == order(1)
        assert order(1) != order(2)
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
