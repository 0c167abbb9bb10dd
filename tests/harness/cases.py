"""Cases of one test that share its node, because building one costs more than asking it."""

from collections.abc import Iterable, Iterator
from typing import Any


def cases(given: Iterable[Any]) -> Iterator[Any]:
    """Each of them. They are printed, so the output of a failed test ends with the one that failed."""
    for case in given:
        print(f"case: {repr(case)[:200]}")
        yield case
