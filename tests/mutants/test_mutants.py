"""Every breakage is noticed; and what tries them would notice one that is not."""

from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants.mutants import MUTANTS
from tests.mutants.trial import ROOT, BadMutant, Mutant, run

NOTICES = ("pytest", "-q", "-p", "no:cacheprovider", "tests/journal/test_watermarks.py")
SLOWEST_S = 900


def test_there_are_at_least_a_dozen_with_a_name_each() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS) >= 12


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_the_text_that_a_mutant_replaces_is_there_once(mutant: Mutant) -> None:
    assert mutant.broken(ROOT) != (ROOT / mutant.file).read_text(encoding="utf-8")


def test_a_mutant_whose_text_is_not_there_cannot_be_tried(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one two two", encoding="utf-8")
    assert Mutant("it", "file", "one", "1", NOTICES).broken(tmp_path) == "1 two two"
    for old in ("two", "three"):
        with pytest.raises(BadMutant, match="not once"):
            Mutant("it", "file", old, "", NOTICES).broken(tmp_path)


@pytest.mark.long
def test_a_mutant_that_does_no_harm_survives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    harmless = Mutant("harmless", "chatd/journal/watermarks.py", "of all nodes.", "of everybody.", NOTICES)
    monkeypatch.setattr(command, "MUTANTS", (harmless,))
    assert command.main([]) == 1
    assert "SURVIVED" in capsys.readouterr().out


@pytest.mark.long
def test_a_mutant_that_only_a_broken_test_notices_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    catcher = (*NOTICES[:-1], "tests/no/such/test.py")
    monkeypatch.setattr(
        command, "MUTANTS", (Mutant("it", "chatd/journal/watermarks.py", "of all nodes.", "", catcher),)
    )
    assert command.main([]) == 1
    assert "NOT TRIED" in capsys.readouterr().out


@pytest.mark.long
def test_a_mutant_that_cannot_even_be_imported_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        command, "MUTANTS", (Mutant("it", "chatd/journal/watermarks.py", "class Watermarks:", "class:", NOTICES),)
    )
    assert command.main([]) == 1
    assert "BROKEN" in capsys.readouterr().out


@pytest.mark.long
def test_the_copy_is_what_is_run() -> None:
    shown = run(("chatd", "--version"), Mutant("it", "chatd/__init__.py", '__version__ = "', '__version__ = "99.', ()))
    assert shown.output.startswith("chatd 99.")


@pytest.mark.long
@pytest.mark.deadline(SLOWEST_S)
def test_every_mutant_is_caught(capsys: pytest.CaptureFixture[str]) -> None:
    status = command.main([])
    assert status == 0, capsys.readouterr().out
