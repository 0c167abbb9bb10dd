"""Mutant: one small change of the code, described by what it changes, and the tests that have to notice it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.mutants.pattern import NoMatch, replace

SEED = "seed-"  # what begins the name of a simulated seed
SEEDS = "tests.mutants.seeds"
PYTEST = ("pytest", "-q", "-p", "no:cacheprovider", "--assert=plain", "-m", "long or not long")
Catcher = tuple[str, ...]  # the words after `python -m`


class BadMutant(Exception):
    """It cannot be tried: the message says why."""


class Mutant(NamedTuple):
    """A change: `old`, which is exactly once in the function at `where`, becomes `new`.

    `where` is a module and a function, e.g. `chatd.journal.store:Store.write`; the name of a class, or no name, means
    what is outside functions. `old` and `new` are patterns (pattern.py).
    """

    name: str
    where: str
    old: str
    new: str
    catcher: Catcher

    @property
    def file(self) -> str:
        """The path of the module, relative to the root of the tree."""
        return f"{self.where.partition(':')[0].replace('.', '/')}.py"

    def broken(self, root: Path) -> str:
        """Return the source of the module with the change. Raises BadMutant."""
        try:
            source = (root / self.file).read_text(encoding="utf-8")
            return replace(source, self.where.partition(":")[2], self.old, self.new)
        except (OSError, SyntaxError, NoMatch) as error:
            raise BadMutant(f"{self.name!r} cannot change {self.where}: {error}") from None


def caught_by(*words: str) -> Catcher:
    """Run those files or tests, long ones too, up to the first that fails."""
    return (*PYTEST, "-x", *words)


def simulation(count: int, *faults: str) -> Catcher:
    """Simulate up to `count` seeds that have all these faults, up to the first that fails."""
    return SEEDS, str(count), *faults


def again(noticed: Sequence[str], parts: int) -> list[tuple[Sequence[str], Catcher]]:
    """Return what runs these tests and seeds again, in about so many parts, each with what it runs."""
    seeds = [name for name in noticed if name.startswith(SEED)]
    others = [name for name in noticed if not name.startswith(SEED)]
    size = -(-len(others) // parts)
    shares = [others[at : at + size] for at in range(0, len(others), size or 1)]
    return [*([(seeds, (SEEDS, *seeds))] if seeds else []), *((share, (*PYTEST, *share)) for share in shares)]
