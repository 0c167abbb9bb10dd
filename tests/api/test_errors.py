import re
from pathlib import Path

import pytest

from chatd.api.errors import TABLE, ControlError

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "control.md"
CODES = {
    "unknown_peer": (201, 4),
    "ambiguous_peer": (202, 4),
    "unknown_room": (203, 4),
    "unknown_message": (204, 4),
    "peer_offline": (301, 1),
    "outbox_full": (302, 5),
    "too_large": (303, 5),
    "expired": (304, 1),
    "rejected": (305, 5),
    "bad_text": (306, 2),
    "forbidden": (401, 5),
    "rate_limited": (402, 5),
    "conflict": (501, 6),
    "timeout": (502, 124),
    "shutting_down": (503, 3),
    "cursor_gone": (504, 7),
    "connect_failed": (505, 1),
    "storage_full": (506, 5),
    "outcome_unknown": (507, 1),
    "storage_lost": (508, 5),
    "session_evicted": (509, 3),
}


def test_the_table_is_the_contract() -> None:
    assert {kind: (code, exit_status) for kind, (code, exit_status, _) in TABLE.items()} == CODES
    assert len({code for code, _, _ in TABLE.values()}) == len(TABLE)


@pytest.mark.parametrize("kind", CODES)
def test_the_document_has_every_kind_with_its_code(kind: str) -> None:
    rows = re.findall(r"\|\s*(\d+)\s*\|\s*`?(\w+)`?", DOCUMENT.read_text(encoding="utf-8"))
    assert (str(CODES[kind][0]), kind) in rows


def test_an_error_knows_how_it_is_told() -> None:
    error = ControlError("peer_offline", "bob is not connected", "connect to it", slot=3)
    assert (error.code, error.exit_status, error.retryable) == (301, 1, True)
    assert str(error) == error.message == "bob is not connected"
    assert error.details == {"slot": 3}


def test_an_error_can_be_raised_again_without_the_traceback_of_the_first() -> None:
    first = ControlError("conflict", "taken", "choose another", reason="self")
    try:
        raise first
    except ControlError:
        again = first.again()
    assert again is not first
    assert again.__traceback__ is None
    assert (again.kind, again.message, again.hint, again.details) == (
        "conflict",
        "taken",
        "choose another",
        first.details,
    )


def test_a_kind_that_is_not_in_the_table_is_a_bug() -> None:
    with pytest.raises(KeyError):
        ControlError("nonsense", "what")
