"""Trial: a copy of the tree in which one thing at a time is changed, and what the tests of the copy say.

Nothing is ever changed in the tree itself. A copy is imported from its own folder only, which is looked at first:
otherwise a mutant that no test notices would be one that no test has run.
"""

import compileall
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple, Self

from tests.mutants.mutant import Catcher, Mutant

ROOT = Path(__file__).parent.parent.parent
COPIED = ("chatd", "chatctl", "tests", "pyproject.toml")
REWRITTEN = shutil.ignore_patterns("*-pytest-*.pyc")  # bytecode with rewritten assertions
TRIAL_S = 180
SEEN = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)
WHENCE = "import chatd, chatctl, tests.mutants.trial as t; print(chatd.__file__, chatctl.__file__, t.__file__)"


class Outcome(NamedTuple):
    """The result of a run: exit status 0 means that the tests found nothing wrong."""

    status: int
    seconds: float
    output: str

    @property
    def failed(self) -> list[str]:
        """What the tests found wrong: the ids of tests, or seeds."""
        return SEEN.findall(self.output)


class Trials:
    """Several trials at once. Resource handling: a context manager."""

    def __init__(self, count: int) -> None:
        self._stack = ExitStack()
        self._free: SimpleQueue[Trial] = SimpleQueue()
        for _ in range(count):
            self._free.put(self._stack.enter_context(Trial()))
        self._threads = ThreadPoolExecutor(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._stack.close()

    def start(self, catcher: Catcher, mutant: Mutant | None = None) -> Future[Outcome]:
        """Run the catcher as soon as a trial is free, with the mutant if there is one. The future raises BadMutant."""
        return self._threads.submit(self._run, catcher, mutant)

    def _run(self, catcher: Catcher, mutant: Mutant | None) -> Outcome:
        trial = self._free.get()
        try:
            return trial.run(catcher, mutant)
        finally:
            self._free.put(trial)


class Trial:
    """A copy of the tree, and a process that runs its tests in forks.

    Resource handling: a context manager; it removes the copy and ends the process.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="chatd-mutant-")
        self._copy = Path(self._folder.name)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self._copy / name, ignore=REWRITTEN)
            else:
                shutil.copy2(ROOT / name, self._copy / name)
        compileall.compile_dir(self._copy, quiet=2)
        self._check_imports()
        self._forks = subprocess.Popen(
            [sys.executable, "-m", "tests.mutants.forks"],
            cwd=self._copy,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._forks.communicate()
        self._folder.cleanup()

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST", "CHATD_"))}
        # A mutant that wrote bytecode could be taken for the next one, which may have the same size and time.
        own = {"PYTHONPATH": str(self._copy), "PYTHONDONTWRITEBYTECODE": "1"}
        # Runs of pytest that share their temporary folder remove it under each other.
        return {**kept, **own, "PYTEST_ADDOPTS": f"--basetemp={self._copy}/t"}

    def _check_imports(self) -> None:
        whence = subprocess.check_output(
            [sys.executable, "-c", WHENCE], cwd=self._copy, env=self._environment, text=True
        )
        strangers = [path for path in whence.split() if not path.startswith(f"{self._copy}{os.sep}")]
        assert not strangers, f"the copy in {self._copy} imports {strangers}"

    def run(self, catcher: Catcher, mutant: Mutant | None = None) -> Outcome:
        """Run the catcher, with the mutant if there is one. Raises BadMutant."""
        if mutant is None:
            return self._run(catcher)
        with self._broken(mutant):
            return self._run(catcher)

    @contextmanager
    def _broken(self, mutant: Mutant) -> Iterator[None]:
        file = self._copy / mutant.file
        broken = mutant.broken(ROOT)
        whole = file.rename(file.with_suffix(".whole"))
        file.write_text(broken, encoding="utf-8")
        try:
            yield
        finally:
            whole.replace(file)

    def _run(self, catcher: Catcher) -> Outcome:
        began = time.monotonic()
        output = self._copy / "output"
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        print(json.dumps([catcher, str(output), TRIAL_S]), file=self._forks.stdin, flush=True)
        status = int(self._forks.stdout.readline())
        return Outcome(status, time.monotonic() - began, output.read_text(encoding="utf-8", errors="replace"))
