"""`python -m tests.mutants.forks`: runs modules in forks of one process that has imported pytest and its plugins.

Reads a line of JSON for each run: the words after `python -m`, the file for its output, and the seconds it may take.
Prints the exit status. It never imports anything of the tree that it runs in, so each fork imports the tree as it is at
that moment. `trial.py` starts and feeds it.
"""

import gc
import json
import os
import runpy
import select
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import entry_points

SLOW_IMPORTS = (
    *("asyncio", "msgspec", "pdb", "sqlite3", "ssl", "trio.testing", "unittest.mock"),
    *("click", "cryptography.hazmat.primitives.serialization", "cryptography.x509", "hypothesis.stateful"),
)
TOO_LATE = 124  # the exit status for a run that was killed because it took too long


def main() -> None:
    """Serve until the input ends."""
    for plugin in entry_points(group="pytest11"):
        plugin.load()
    for name in SLOW_IMPORTS:
        import_module(name)
    gc.freeze()  # pytest collects garbage several times at its end
    for line in sys.stdin:
        words, output, seconds = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(words, output)
            return  # the fork ends as any program does
        print(_wait(pid, seconds), flush=True)


def _run(words: Sequence[str], output: str) -> None:
    os.setsid()
    nothing, out = os.open(os.devnull, os.O_RDONLY), os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    sys.argv = [*words]
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


def _wait(pid: int, seconds: float) -> int:
    """Return the exit status. What the fork has left running in its session is killed."""
    poll = select.poll()
    ended = os.pidfd_open(pid)
    poll.register(ended, select.POLLIN)
    try:
        in_time = bool(poll.poll(seconds * 1000))
    finally:
        os.close(ended)
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) if in_time else TOO_LATE


if __name__ == "__main__":
    main()
