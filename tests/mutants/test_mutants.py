"""Every change is noticed; and what tries the changes would report one that is not."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants.mutant import PYTEST, SEED, SEEDS, BadMutant, Catcher, Mutant, again, caught_by
from tests.mutants.mutants import MUTANTS
from tests.mutants.trial import ROOT, Trial
from tests.sim.plan import FAULTS, ROOM_TRAITS, TRAITS

WATERMARKS = "chatd.journal.watermarks"
NOTICES = caught_by("tests/journal/test_watermarks.py")
SLOWEST_S = 900


@cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def exists(catcher: Catcher) -> bool:
    if catcher[0] == SEEDS:
        return set(catcher[2:]) <= FAULTS.keys() | TRAITS.keys() | ROOM_TRAITS.keys()
    words = [word.partition("[")[0].partition("::") for word in catcher if word.startswith("tests/")]
    return bool(words) and all(not name or name in names_in(file) for file, _, name in words)


def test_each_has_a_name_of_its_own() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_mutant_changes_its_module_and_its_catcher_exists(mutant: Mutant) -> None:
    assert mutant.old != mutant.new
    assert mutant.broken(ROOT)
    assert exists(mutant.catcher)


@pytest.mark.parametrize(
    "where", ["chatd.journal.watermarks:Watermarks.revert", f"{WATERMARKS}:Watermarks.raze", "chatd.no.such.module:f"]
)
def test_a_mutant_that_cannot_be_made_names_itself(where: str) -> None:
    with pytest.raises(BadMutant, match=f"'it' cannot change {re.escape(where)}: "):
        Mutant("it", where, "no.such.thing", "1", NOTICES).broken(ROOT)


def test_what_noticed_runs_again_in_parts_and_seeds_beside_them() -> None:
    noticed = [f"{SEED}7", "tests/a.py::a", "tests/b.py::b", "tests/c.py::c"]
    assert again(noticed, 2) == [
        ([f"{SEED}7"], (SEEDS, f"{SEED}7")),
        (["tests/a.py::a", "tests/b.py::b"], (*PYTEST, "tests/a.py::a", "tests/b.py::b")),
        (["tests/c.py::c"], (*PYTEST, "tests/c.py::c")),
    ]
    assert again([], 2) == []


def report_of(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mutant: Mutant) -> tuple[int, str]:
    monkeypatch.setattr(command, "MUTANTS", (mutant,))
    monkeypatch.setattr(command, "PARALLEL", 1)
    return command.main([]), capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize(
    ("old", "new", "catcher", "verdict"),
    [
        ("self._appended = dict(self._committed)", "self._appended = {**self._committed}", NOTICES, "SURVIVED"),
        ("self._appended = dict(self._committed)", "", caught_by("tests/no/such/test.py"), "BROKEN"),
        ("self._appended = dict(self._committed)", "", NOTICES, "caught"),
    ],
)
def test_only_a_test_that_fails_catches(
    old: str,
    new: str,
    catcher: Catcher,
    verdict: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutant = Mutant("it", f"{WATERMARKS}:Watermarks.revert", old, new, catcher)
    status, report = report_of(capsys, monkeypatch, mutant)
    assert (status == 0, verdict in report) == (verdict == "caught", True), report


@pytest.mark.long
def test_a_mutant_that_cannot_even_be_imported_is_not_caught(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant = Mutant("it", f"{WATERMARKS}:", "from collections.abc import Iterable", "import no_such_module", NOTICES)
    status, report = report_of(capsys, monkeypatch, mutant)
    assert (status, "BROKEN" in report) == (1, True), report


@pytest.mark.long
def test_a_test_that_fails_anyway_catches_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "test_it.py"
    file.write_text("def test_it() -> None:\n    raise AssertionError\n", encoding="utf-8")
    mutant = Mutant(
        "it", f"{WATERMARKS}:Watermarks.revert", "self._appended = dict(self._committed)", "", caught_by(str(file))
    )
    status, report = report_of(capsys, monkeypatch, mutant)
    assert (status, "NOT TRIED" in report) == (1, True), report


@pytest.mark.long
def test_the_copy_is_what_is_run_and_whole_again_afterwards() -> None:
    mutant = Mutant("it", "chatd.paths:", 'DEFAULT_NODE = "default"', 'DEFAULT_NODE = "other"', ())
    shown = ("chatd", "--check-config", "--state", "/nowhere")
    with Trial() as trial:
        assert 'node = "other"' in trial.run(shown, mutant).output
        assert 'node = "other"' not in trial.run(shown).output


@pytest.mark.long
@pytest.mark.deadline(SLOWEST_S)
def test_every_mutant_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    status = command.main([])
    assert status == 0, capsys.readouterr().out
