"""Fixtures of the fault tests: nodes that are made to suffer, and are removed at the end."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.victim import Victim

MakeVictim = Callable[..., Victim]


@pytest.fixture
def victim() -> Iterator[MakeVictim]:
    """Make a node, not started yet; at the end it is gone, however the test went."""
    made: list[Victim] = []

    def make(name: str, *flags: str) -> Victim:
        made.append(Victim(name, *flags))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.remove()
