import random
import subprocess
import sys
from pathlib import Path

import pytest

from chatd.journal.journal import Journal
from tests.harness.parts import open_journal

ROOT = Path(__file__).parent.parent.parent


class Killing:
    """A writer that is killed repeatedly, and what it has reported as committed."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.random = random.Random(seed)
        self.acknowledged: dict[str, int] = {}
        self.next = 1

    def once(self) -> None:
        """Start the writer where the last one stopped, and kill it at a random moment."""
        words = [sys.executable, "-m", "tests.harness.writer", str(self.directory), str(self.next)]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            try:
                for _ in range(self.random.choice([1, 2, 50, 300, 1500])):
                    self.note(writer.stdout.readline())
            finally:
                writer.kill()
            for line in writer.stdout:
                self.note(line)
        self.check()

    def note(self, line: str) -> None:
        assert line, "the writer ended by itself"
        if line.endswith("\n"):  # else it was killed within the line
            position, number = line.split()
            assert position not in self.acknowledged
            self.acknowledged[position] = int(number)

    def check(self) -> None:
        """Every committed message is present exactly once, in order; after them only whole batches."""
        journal = open_journal(self.directory)
        try:
            assert journal.store.query("PRAGMA integrity_check") == [("ok",)]
            found = numbers_by_position(journal)
            assert {position: found.get(position) for position in self.acknowledged} == self.acknowledged
            numbers = list(found.values())
            assert numbers == list(range(1, len(numbers) + 1))
            mark = journal.watermarks.committed("bob")
            assert mark == ("aaaaaaaa", len(numbers) + 1)
            self.next = len(numbers) + 1
        finally:
            journal.close()


def numbers_by_position(journal: Journal) -> dict[str, int]:
    rows = journal.store.query("SELECT seq, json_extract(CAST(body AS TEXT), '$.text') FROM events ORDER BY seq")
    assert [seq for seq, _ in rows] == list(range(1, journal.committed + 1))
    return {journal.position(seq): int(text) for seq, text in rows}


def test_a_writer_that_is_killed_three_times_loses_nothing(tmp_path: Path) -> None:
    killing = Killing(tmp_path, seed=3)
    for _ in range(3):
        killing.once()
    assert killing.acknowledged


@pytest.mark.long
@pytest.mark.deadline(600)
def test_a_writer_that_is_killed_fifty_times_loses_nothing(tmp_path: Path) -> None:
    killing = Killing(tmp_path, seed=50)
    for _ in range(50):
        killing.once()
    assert killing.acknowledged
