import pytest

from chatd.api.errors import ControlError
from chatd.core.epochs import Epochs

# The second run wrote nothing.
THREE = [(1, "aaaaaaaa"), (11, "bbbbbbbb"), (11, "cccccccc")]


@pytest.mark.parametrize(
    ("seq", "epoch"), [(0, "aaaaaaaa"), (1, "aaaaaaaa"), (10, "aaaaaaaa"), (11, "cccccccc"), (99, "cccccccc")]
)
def test_a_seq_lies_in_one_epoch(seq: int, epoch: str) -> None:
    assert Epochs(THREE).of(seq) == epoch


def test_an_epoch_ends_where_the_next_begins_and_the_last_with_the_journal() -> None:
    epochs = Epochs(THREE)
    assert epochs.span("aaaaaaaa", 15) == (1, 10)
    assert epochs.span("bbbbbbbb", 15) == (11, 10)
    assert epochs.span("cccccccc", 15) == (11, 15)
    assert epochs.span("dddddddd", 15) is None


@pytest.mark.parametrize("position", ["aaaaaaaa:0", "aaaaaaaa:1", "aaaaaaaa:10", "cccccccc:11", "cccccccc:15"])
def test_a_position_within_its_epoch_is_valid(position: str) -> None:
    assert Epochs(THREE).resolve(position, 15) == int(position.split(":")[1])


@pytest.mark.parametrize(
    "position",
    [
        "bbbbbbbb:0",
        "aaaaaaaa:00",
        "aaaaaaaa:11",  # of the next epoch
        "bbbbbbbb:10",
        "bbbbbbbb:11",  # an empty epoch
        "cccccccc:10",
        "cccccccc:0",
        "cccccccc:16",  # not yet
        "dddddddd:1",
        "aaaaaaaa:",
        "aaaaaaaa",
        "aaaaaaaa:-1",
        "aaaaaaaa:+1",
        "aaaaaaaa: 1",
        "aaaaaaaa:1:2",
        "aaaaaaaa:٣",  # a digit, but not one of ours
        "aaaaaaaa:²",
        "aaaaaaaa:" + "9" * 5000,
        "",
        ":1",
    ],
)
def test_every_other_position_is_gone(position: str) -> None:
    with pytest.raises(ControlError) as refused:
        Epochs(THREE).resolve(position, 15)
    assert refused.value.kind == "cursor_gone"
    assert refused.value.hint
