"""chatd that writes down every statement of its commits, and kills itself at one of them.

    python -m tests.harness.hooked LOG WHEN KIND NTH FLAGS…

WHEN is "before" or "after" the NTH statement of that kind, like "INSERT INTO events" or "COMMIT"; or "never".
What is after COMMIT is before the answer: the node has not come to know of it. The hook is in the connection that
SQLite's module makes; chatd has no part in it.
"""

import os
import re
import signal
import sqlite3
import sys
from collections import Counter
from typing import Any, NamedTuple

from chatd import __main__ as chatd

KIND = re.compile(
    r"BEGIN|COMMIT|(?:INSERT(?: OR \w+)? INTO|REPLACE INTO|UPDATE|DELETE FROM) \w+|CREATE (?:TABLE|INDEX)"
)
connect = sqlite3.connect


class Plan(NamedTuple):
    """Where the end is."""

    log: int
    when: str
    kind: str
    nth: int

    def is_now(self, when: str, kind: str, nth: int) -> bool:
        """Whether that is it."""
        return (when, kind, nth) == (self.when, self.kind, self.nth)


class Hooked(sqlite3.Connection):
    """A connection that counts the statements of its transactions."""

    plan: Plan

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: Counter[str] = Counter()

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        """Run it, unless this is the end."""
        found = KIND.match(sql)
        if found is None or not (self.in_transaction or found[0] == "BEGIN"):
            return super().execute(sql, *args)
        kind = found[0]
        self.counts[kind] += 1
        os.write(self.plan.log, f"{kind}\n".encode())
        self._die_at("before", kind)
        cursor = super().execute(sql, *args)
        self._die_at("after", kind)
        return cursor

    def _die_at(self, when: str, kind: str) -> None:
        if self.plan.is_now(when, kind, self.counts[kind]):
            os.kill(os.getpid(), signal.SIGKILL)


def hooked_connect(*args: Any, **kwargs: Any) -> sqlite3.Connection:
    """`sqlite3.connect` of this process."""
    return connect(*args, factory=Hooked, **kwargs)


def main() -> int:
    """Run chatd with the hook; the exit status."""
    log, when, kind, nth, *flags = sys.argv[1:]
    Hooked.plan = Plan(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), when, kind, int(nth))
    sqlite3.connect = hooked_connect  # type: ignore[assignment]
    return chatd.main(flags)


if __name__ == "__main__":
    sys.exit(main())
