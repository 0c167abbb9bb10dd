import pytest

from chatd.api.errors import ControlError
from chatd.journal import epochs as epochs_module
from chatd.journal.epochs import KEPT, TRIMMED, Epochs, GlobalId, position_part, split_position
from tests.harness.parts import BOB

# The second run wrote nothing.
THREE = [(1, "aaaaaaaa"), (11, "bbbbbbbb"), (11, "cccccccc")]


@pytest.mark.parametrize(
    ("seq", "epoch"), [(0, "aaaaaaaa"), (1, "aaaaaaaa"), (10, "aaaaaaaa"), (11, "cccccccc"), (99, "cccccccc")]
)
def test_a_seq_lies_in_one_epoch(seq: int, epoch: str) -> None:
    assert Epochs(THREE).epoch_of(seq) == epoch


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


@pytest.fixture
def trimmed(monkeypatch: pytest.MonkeyPatch) -> Epochs:
    """Of five epochs with ten events each, with nothing left up to 35, the first two are dropped."""
    monkeypatch.setattr(epochs_module, "KEPT", 1)
    epochs = Epochs([(first, chr(97 + first // 10) * 8) for first in range(1, 51, 10)])
    assert epochs.oldest_to_keep(20) == "aaaaaaaa"
    assert epochs.oldest_to_keep(21) == "bbbbbbbb"
    assert epochs.oldest_to_keep(35) == "cccccccc"
    epochs.drop_before(epochs.oldest_to_keep(35))
    epochs.drop_before("cccccccc")
    return epochs


def test_positions_of_an_epoch_that_was_let_go_of_are_gone(trimmed: Epochs) -> None:
    for position in ("aaaaaaaa:0", "aaaaaaaa:5", "bbbbbbbb:15"):
        with pytest.raises(ControlError, match="not in this journal"):
            trimmed.resolve(position, 50)
    assert trimmed.span("bbbbbbbb", 50) is None


def test_the_oldest_that_is_left_stands_for_all_before_it(trimmed: Epochs) -> None:
    for seq in range(51):
        assert trimmed.resolve(f"{trimmed.epoch_of(seq)}:{seq}", 50) == seq
    assert [trimmed.epoch_of(seq)[0] for seq in (0, 5, 20, 30, 31, 41, 50)] == ["c", "c", "c", "c", "d", "e", "e"]
    assert trimmed.span("cccccccc", 50) == (1, 30)
    assert trimmed.span("dddddddd", 50) == (31, 40)


def test_another_node_is_told_nothing_of_an_epoch_that_was_let_go_of(trimmed: Epochs) -> None:
    assert trimmed.as_watermark(20) == ("cccccccc", 0)
    assert trimmed.as_watermark(21) == ("cccccccc", 21)
    assert trimmed.as_watermark(45) == ("eeeeeeee", 45)


def test_of_a_hundred_thousand_each_is_found_at_once_and_they_go_in_steps() -> None:
    count = 100_000
    epochs = Epochs([(seq, f"{seq:08}") for seq in range(1, count + 1)])
    for seq in range(1, count + 1):
        assert epochs.epoch_of(seq) == f"{seq:08}"
        assert epochs.span(f"{seq:08}", count) == (seq, seq)
    steps = 0
    while (oldest := epochs.oldest_to_keep(count)) != epochs.epoch_of(0):
        epochs.drop_before(oldest)
        steps += 1
    assert oldest == f"{count - KEPT:08}"
    assert steps == -(-(count - 1 - KEPT) // TRIMMED)


def test_a_global_id_is_a_node_and_a_position_in_its_journal() -> None:
    found = GlobalId.parse(f"{BOB}/7kq2m4xa:42")
    assert found == (BOB, "7kq2m4xa", 42)
    assert (str(found), found.position) == (f"{BOB}/7kq2m4xa:42", "7kq2m4xa:42")
    assert position_part(str(found)) == "7kq2m4xa:42"
    assert split_position("7kq2m4xa:42") == ("7kq2m4xa", 42)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", BOB, "7kq2m4xa:42", "/7kq2m4xa:42", f"{BOB}/", f"{BOB}/7kq2m4xa", f"{BOB}/7kq2m4xa:042"),
        *(f"{BOB[:8]}/7kq2m4xa:42", f"bob/{BOB}/7kq2m4xa:42", f"{BOB}/7kq2m4xa:42/", f"{BOB.upper()}/7kq2m4xa:42"),
    ],
)
def test_what_is_none_is_not_taken_for_one(text: str) -> None:
    assert GlobalId.parse(text) is None
