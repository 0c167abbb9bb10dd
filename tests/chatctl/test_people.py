"""Times and records as people read them."""

import time
from collections.abc import Iterator

import pytest

from chatctl.people import local_time, peer_line
from chatctl.template import Template
from tests.chatctl.fake import BOB_RECORD, message


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "NPT-5:45")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_kathmandu")
def test_a_time_is_the_one_of_this_place() -> None:
    assert local_time("2026-11-20T23:00:01.500Z") == "2026-11-21 04:45:01"
    assert Template("{time} {at}").line(message(1)) == "2026-11-21 08:45:00 2026-11-21T03:00:00.000Z"


def test_what_is_no_time_is_shown_harmlessly() -> None:
    assert local_time("\x1bsoon") == "\\x1bsoon"
    assert local_time(None) == "None"


def test_a_peer_is_one_harmless_line() -> None:
    assert peer_line({**BOB_RECORD, "name": "b\nb"}) == "slot 0, b\\nb, node k3v9abcd (10.0.0.2:7420)"
    assert peer_line({}) == "slot None, None, plain"
