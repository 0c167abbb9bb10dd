"""Wait for what other threads and processes make true."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_S = 60  # a loaded machine is slow; what hangs is ended all the same
POLL_S = 0.01


def until(condition: Callable[[], T | None], what: Callable[[], str] = lambda: "") -> T:
    """The first result of `condition` that counts as true; `what` says what is wrong if there is none in time."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what()
        time.sleep(POLL_S)
    return found
