"""The completion scripts, and the completions that they get."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chatctl.conftest import Chatctl

PACKAGED = {"bash": "chatctl.bash", "zsh": "_chatctl", "fish": "chatctl.fish"}
COMPLETIONS = Path(__file__).parents[3] / "packaging" / "completions"


@pytest.mark.pinned
@pytest.mark.parametrize("shell", PACKAGED)
def test_the_packaged_script_is_the_one_that_is_printed(chatctl: Chatctl, shell: str) -> None:
    script = chatctl("completion", shell).out
    assert "_CHATCTL_COMPLETE" in script
    assert (COMPLETIONS / PACKAGED[shell]).read_text() == script


def test_verbs_are_completed() -> None:
    env = {**os.environ, "_CHATCTL_COMPLETE": "bash_complete", "COMP_WORDS": "chatctl wa", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-m", "chatctl"], env=env, capture_output=True, text=True, timeout=20)
    assert done.stdout == "plain,wait\n"
    assert done.stderr == ""
