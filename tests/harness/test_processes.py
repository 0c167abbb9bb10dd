"""The checks of processes find what they are there for; a forked process is what a started one would be."""

import os
import signal
from pathlib import Path

import pytest

from tests.harness.processes import Processes, environment, processing, run


def test_a_process_has_the_streams_words_and_variables_that_it_is_given(tmp_path: Path) -> None:
    assert run("json.tool", ["--compact"], {}, stdin='{"a": 1}') == (0, '{"a":1}\n', "")
    status, out, err = run("json.tool", ["--nonsense"], {})
    assert (status, out, "--nonsense" in err) == (2, "", True)
    status, out, _ = run("chatd.__main__", ["--check-config"], environment(tmp_path, CHATD_NAME="zoe"))
    assert (status, "zoe" in out) == (0, True)


def test_a_forked_process_has_the_kinds_of_descriptors_of_a_started_one() -> None:
    with processing() as nodes:
        alone = nodes.node("alone")
        kinds = []
        for fresh in (True, False):
            alone.begin(fresh=fresh)
            with alone.session() as session:
                session.ask("status")
                folder = f"/proc/{alone.pid}/fd"
                kinds.append({os.readlink(f"{folder}/{number}").partition(":")[0] for number in os.listdir(folder)})
            alone.stop()
        assert kinds[0] == kinds[1]


def test_what_is_wrong_at_the_end_is_found() -> None:
    with processing() as nodes:
        alone = nodes.node("alone").start()
        alone.stop()
        alone.check()
        alone.socket.touch()
        with pytest.raises(AssertionError, match="still there"):
            alone.check()
        alone.socket.unlink()
        log = alone.folder / "log"
        whole = alone.log
        log.write_text(whole + '{"level":"error","msg":"odd"}\n', encoding="utf-8")
        with pytest.raises(AssertionError, match="odd"):
            alone.check()
        log.write_text(whole, encoding="utf-8")


def test_an_end_that_nobody_expected_is_found() -> None:
    nodes = Processes()
    nodes.node("alone").start().signal(signal.SIGSEGV)
    with pytest.raises(AssertionError, match="exited with -11"):
        nodes.finish()
    nodes.remove()
