"""Global ids: two parts, and nothing that merely looks like them."""

import pytest

from chatd.journal.global_id import GlobalId, parts, position_in
from tests.harness.parts import BOB


def test_a_global_id_is_a_node_and_a_position_in_its_journal() -> None:
    found = GlobalId.parse(f"{BOB}/7kq2m4xa:42")
    assert found == (BOB, "7kq2m4xa", 42)
    assert (str(found), found.position) == (f"{BOB}/7kq2m4xa:42", "7kq2m4xa:42")
    assert position_in(str(found)) == "7kq2m4xa:42"
    assert parts("7kq2m4xa:42") == ("7kq2m4xa", 42)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", BOB, "7kq2m4xa:42", "/7kq2m4xa:42", f"{BOB}/", f"{BOB}/7kq2m4xa", f"{BOB}/7kq2m4xa:042"),
        *(f"{BOB[:8]}/7kq2m4xa:42", f"bob/{BOB}/7kq2m4xa:42", f"{BOB}/7kq2m4xa:42/", f"{BOB.upper()}/7kq2m4xa:42"),
    ],
)
def test_what_is_none_is_not_taken_for_one(text: str) -> None:
    assert GlobalId.parse(text) is None
