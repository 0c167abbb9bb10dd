"""The test networks of examples/networks/: the script that writes them, run as a user would, and its words."""

import shlex
import subprocess
import sys
from pathlib import Path

from tests.harness.children import ROOT
from tests.harness.processes import PATIENCE_S

FOLDER = ROOT / "examples" / "networks"
GENERATE = FOLDER / "generate"
WRITTEN_BY = "# Written by examples/networks/generate "


def generate(*words: str, script: Path = GENERATE, folder: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run it with an interpreter that has no chatd: nothing but the standard library."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(script), *words],
        cwd=folder,
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
