"""Models: the scaffold of the state machines that compare a journal, or a node without tasks, with plain Python.

A machine states its rules and its model. The journal's task runs only during `run`, so appended events wait until a
rule commits them. The scaffold commits, fails commits, restarts and crashes. Its directories are in memory where the
system has a file system there, because no machine tests fsync.
"""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
import trio
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from trio.testing import MockClock

from chatd.journal.batch import Batch
from chatd.journal.journal import Journal
from chatd.journal.store import DiskFull
from tests.harness.linked_node import build_node, config_of
from tests.harness.parts import SELF, World, copy_as_crashed, open_journal
from tests.harness.places import directory_for_files

T = TypeVar("T")
Test = Callable[[int], None]
STEPS = 40


def play(machine: type[RuleBasedStateMachine], examples: int) -> None:
    """Run that many sequences of rules."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, suppress_health_check=[HealthCheck.too_slow]
        ),
    )


def at_two_lengths(examples: int, at_length: int) -> Callable[[Test], Test]:
    """Run the test with that many examples, and as a long test with many more. Hypothesis tests have no coverage."""
    many = pytest.param(at_length, marks=[pytest.mark.long, pytest.mark.deadline(600)])

    def mark(test: Test) -> Test:
        marked: Test = pytest.mark.no_cover(pytest.mark.parametrize("examples", [examples, many])(test))
        return marked

    return mark


class JournalMachine(RuleBasedStateMachine):
    """Rules over one journal. A machine sets up its model before it calls `__init__`, which starts the first run."""

    def __init__(self, tail_bytes: int = 8 << 20) -> None:
        super().__init__()
        self.tail_bytes = tail_bytes
        self.folder = TemporaryDirectory(prefix="chatd-", dir=directory_for_files())
        self.world = World(inline=True)
        self.clock = MockClock(autojump_threshold=0)
        self.crashes = 0
        self.full = False  # the next commit finds a full disk
        self.directory.mkdir()
        self.start()

    @property
    def directory(self) -> Path:
        return Path(self.folder.name, str(self.crashes))

    def start(self) -> None:
        """Begin a run. A machine adds its own parts, and discards from its model what was not committed."""
        self.journal = self.reopen()
        write = self.journal.store.write

        def write_or_fail(batch: Batch) -> None:
            if self.full:
                self.full = False
                raise DiskFull("no room")
            write(batch)

        self.journal.store.write = write_or_fail  # type: ignore[method-assign]

    def reopen(self) -> Journal:
        return open_journal(self.directory, self.world, tail_bytes=self.tail_bytes)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[1] is None:  # no rule has failed
                self.finish()
        finally:
            self.journal.close()
            self.folder.cleanup()

    def run(self, step: Callable[[], Awaitable[T]]) -> T:
        """Run one step together with the journal's task."""

        async def main() -> T:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.journal.run)
                result = await step()
                while not self.journal.is_idle:  # another run could not go on with half a commit
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
            return result

        return trio.run(main, clock=self.clock)

    # -- for a machine to say

    def saved(self) -> None:
        """Everything that was appended is committed."""

    def lost(self) -> None:
        """Everything that was appended has failed."""

    def finish(self) -> None:
        """All rules were run, and none has failed."""

    @property
    def waits(self) -> bool:
        """Whether something is not on disk."""
        return bool(self.journal.next_batch)

    async def save(self) -> None:
        await self.journal.settled()

    # -- the rules of all journals

    @rule()
    def commit(self) -> None:
        if self.waits:
            self.run(self.save)
            self.saved()
        assert self.journal.appended == self.journal.committed

    @rule()
    def fill_disk(self) -> None:
        """Fail everything that waits; notes go on waiting."""
        self.full = True
        self.run(self.journal.settled)
        self.full = False
        assert self.journal.appended == self.journal.committed
        self.lost()

    @rule()
    def restart(self) -> None:
        self.commit()
        self.journal.close()
        self.start()

    @rule()
    def crash(self) -> None:
        """Restart on the present files: what was not committed is lost."""
        old = self.directory
        self.crashes += 1
        copy_as_crashed(old, self.directory)
        self.journal.close()
        self.start()


class NodeMachine(JournalMachine):
    """Rules over the parts of one node. No task of it runs but the journal's."""

    def __init__(self, **config: Any) -> None:
        self.config = config
        super().__init__()

    def reopen(self) -> Journal:
        config = config_of(str(self.directory), **self.config)
        self.node = build_node(config, self.world, SELF, self.clock.current_time())
        return self.node.journal
