"""Trace: what happened in a run, line by line, and its hash. The same seed must give the same trace."""

from collections.abc import Callable
from hashlib import sha256

import trio


class Trace:
    """Lines with the virtual time. `step` counts them: the order of everything that happens."""

    def __init__(self, show: "Callable[[str], object] | None" = None) -> None:
        self.step = 0
        self._hash = sha256()
        self._show = show

    def note(self, who: str, what: str) -> int:
        """One more line; gives its step."""
        self.step += 1
        line = f"{trio.current_time():12.6f} {who:<12} {what}"
        self._hash.update(line.encode())
        if self._show is not None:
            self._show(line)
        return self.step

    @property
    def digest(self) -> str:
        """Of everything up to now."""
        return self._hash.hexdigest()
