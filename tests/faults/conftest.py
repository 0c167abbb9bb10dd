"""The fixture of the fault tests: nodes that are made to suffer, with the checks of every node at their end."""

from collections.abc import Callable, Iterator

import pytest

from tests.harness.processes import processing
from tests.harness.victims import Victim

MakeVictim = Callable[..., Victim]


@pytest.fixture
def victim() -> Iterator[MakeVictim]:
    """Make a victim, not started yet: `victim("alice", FLAGS…)`."""
    with processing() as nodes:
        yield lambda name, *flags: nodes.add(Victim(name, *flags))
