"""Trial: a copy of the tree with one thing changed in it, and what the tests of the copy say.

Nothing is ever changed in the tree itself. A copy is imported from its own folder only, which is looked at first: else
a mutant that nobody notices would be one that nobody has run.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
COPIED = ("chatd", "chatctl", "tests", "pyproject.toml")
TRIAL_S = 180
SEEN = re.compile(r"^FAILED (.+)", re.MULTILINE)
WHENCE = "import chatd, chatctl, tests.mutants.trial as t; print(chatd.__file__, chatctl.__file__, t.__file__)"

Catcher = tuple[str, ...]  # the words behind `python -m`


class BadMutant(Exception):
    """It cannot be tried: what is wrong with it."""


class Mutant(NamedTuple):
    """A breakage: `old`, which is in the file exactly once, becomes `new`; what has to notice it."""

    name: str
    file: str
    old: str
    new: str
    catcher: Catcher

    def broken(self, root: Path) -> str:
        """The text of the file with the breakage. Raises BadMutant."""
        text = (root / self.file).read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise BadMutant(f"{self.name}: its old text is {text.count(self.old)} times in {self.file}, not once")
        return text.replace(self.old, self.new)


class Outcome(NamedTuple):
    """What the tests of a copy said: exit status 0 is that nothing is wrong."""

    status: int
    seconds: float
    output: str

    @property
    def noticed(self) -> str:
        """The first thing that they found wrong."""
        found = SEEN.search(self.output)
        return found[1] if found else ""


def run(catcher: Catcher, mutant: Mutant | None = None) -> Outcome:
    """Run the catcher in a copy, with the mutant in it if there is one. Raises BadMutant."""
    with _copy() as copy:
        if mutant is not None:
            (copy / mutant.file).write_text(mutant.broken(copy), encoding="utf-8")
        return _python(copy, "-m", *catcher)


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="chatd-mutant-") as folder:
        copy = Path(folder)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, copy / name)
        whence = _python(copy, "-B", "-c", WHENCE)
        strangers = [path for path in whence.output.split() if not path.startswith(f"{copy}{os.sep}")]
        assert whence.status == 0, whence.output
        assert not strangers, f"the copy in {copy} imports {strangers}"
        yield copy


def _python(copy: Path, *words: str) -> Outcome:
    """Run Python in the copy. A session of its own, so that what hangs is ended with everything it has started."""
    began = time.monotonic()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST", "CHATD_"))}
    environment = {**kept, "PYTHONPATH": str(copy)}
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=copy,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=TRIAL_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            output, _ = process.communicate()
            return Outcome(124, time.monotonic() - began, f"{output}\nnot done within {TRIAL_S} s")
    return Outcome(process.returncode, time.monotonic() - began, output)
