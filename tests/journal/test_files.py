"""When a file counts as lost, and that only `stat` is used to find out."""

import errno
import os
from pathlib import Path

import pytest

from chatd.journal import files as location_module
from chatd.journal.files import CHECK_S, WARN_S, JournalFiles, inode


class Place:
    """A file, the object that watches it, and a clock."""

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        self.path = path
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        self.location = JournalFiles(str(path), clock=lambda: self.now)

    def look(self, times: int = 1) -> bool:
        for _ in range(times):
            self.now += CHECK_S
            assert self.location.check() == self.location.lost
        return self.location.lost


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "state" / "journal.db")


def test_a_file_in_its_place_is_never_lost(place: Place) -> None:
    assert not place.look(100)


@pytest.mark.parametrize("how", ["removed", "replaced", "renamed over", "directory moved", "directory is a file"])
def test_it_is_lost_after_three_looks_in_a_row_whatever_was_done_to_it(place: Place, how: str) -> None:
    path, aside = place.path, place.path.parent.with_name("aside")
    if how == "directory moved":
        path.parent.rename(aside)
    elif how == "directory is a file":
        path.parent.rename(aside)
        path.parent.write_text("")
    elif how == "renamed over":
        aside.write_text("a restored copy")
        aside.rename(path)
    else:
        path.rename(aside)
        if how == "replaced":
            path.write_text("a restored copy")
    assert [place.look() for _ in range(4)] == [False, False, True, True]


def test_what_is_gone_for_a_moment_is_not_lost(place: Place) -> None:
    aside = place.path.with_suffix(".aside")
    for _ in range(3):
        place.path.rename(aside)
        assert not place.look(2)
        aside.rename(place.path)
        assert not place.look()


def test_the_same_file_back_in_its_place_ends_it_and_the_count_begins_anew(place: Place) -> None:
    aside = place.path.with_suffix(".aside")
    place.path.rename(aside)
    assert place.look(10)
    aside.rename(place.path)
    assert not place.look()
    place.path.rename(aside)
    assert not place.look(2)
    assert place.look()


def test_any_of_several_files_may_be_the_one_that_is_lost(tmp_path: Path) -> None:
    first, second = tmp_path / "journal.db", tmp_path / "journal.db-wal"
    now = 0.0
    first.write_text("")
    second.write_text("")
    location = JournalFiles(str(first), str(second), clock=lambda: now)
    second.unlink()
    for _ in range(3):
        now += CHECK_S
        location.check()
    assert location.lost


def test_it_looks_at_most_once_a_second(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []

    def counted(path: str) -> tuple[int, int] | None:
        looks.append(path)
        return inode(path)

    monkeypatch.setattr(location_module, "inode", counted)
    for _ in range(100):
        place.now += CHECK_S / 10
        place.location.check()
    assert 9 <= len(looks) <= 10


def test_it_is_in_doubt_from_the_first_miss_until_it_is_there_again(place: Place) -> None:
    aside = place.path.with_suffix(".aside")
    place.look()
    assert not place.location.is_in_doubt
    place.path.rename(aside)
    for _ in range(5):
        place.look()
        assert place.location.is_in_doubt
    aside.rename(place.path)
    place.look()
    assert not place.location.is_in_doubt


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE, errno.ELOOP])
def test_a_path_that_cannot_be_looked_at_is_only_warned_about_once_a_minute(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    def refuse(path: str) -> os.stat_result:
        raise OSError(number, os.strerror(number), path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        assert not place.look(int(2 * WARN_S))
    lines = [record.getMessage() for record in caplog.records]
    text = f"journal file cannot be checked: {place.path}: {os.strerror(number)} (logged once a minute)"
    assert lines == [text] * 2


def test_a_look_that_fails_breaks_the_row_and_ends_no_loss(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> os.stat_result:
        raise OSError(errno.EIO, "I/O error", path)

    place.path.unlink()
    assert not place.look(2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        assert not place.look()
    assert not place.look(2)
    assert place.look()
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", refuse)
        assert place.look()
    assert place.look()


def test_both_turns_are_logged_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    aside = place.path.with_suffix(".aside")
    place.path.rename(aside)
    place.look(20)
    aside.rename(place.path)
    place.look(20)
    gone, back = [record.getMessage() for record in caplog.records]
    assert gone == f"journal file removed or replaced while this node runs: {place.path}"
    assert back == f"journal file is back: {place.path}"


def test_nothing_is_opened_to_look(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*args: object, **kwargs: object) -> None:
        raise AssertionError("a file was opened")

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr("builtins.open", opened)
    assert not place.look(5)
