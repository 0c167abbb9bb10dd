"""The test networks of examples/networks/: the script that writes them, and its words."""

import runpy
import shlex
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

from tests.harness.children import ROOT
from tests.harness.until import PATIENCE_S

FOLDER = ROOT / "examples" / "networks"
GENERATE = FOLDER / "generate"
WRITTEN_BY = "# Written by examples/networks/generate "


def generate(*words: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """What the script does with these words in that folder; run in this process."""
    with chdir(folder), redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        try:
            status: int = _script()["main"](list(words))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


@cache
def _script() -> dict[str, Any]:
    return runpy.run_path(str(GENERATE))


def generate_alone(script: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a copy of it with an interpreter that has no chatd: nothing but the standard library."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script), *words],
        cwd=script.parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def links(*words: str) -> str:
    """The links of a network, as `chatctl wait topo` takes them."""
    done = generate(*words, "--links")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def words_of(file: Path) -> list[str]:
    """What it was generated with."""
    (line,) = [line for line in file.read_text(encoding="utf-8").splitlines() if line.startswith(WRITTEN_BY)]
    return shlex.split(line.removeprefix(WRITTEN_BY))
