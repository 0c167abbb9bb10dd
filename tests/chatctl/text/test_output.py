"""Tables and folded lines."""

from chatctl.text.output import fold, table


def test_a_line_that_fits_is_left_alone() -> None:
    assert fold("x" * 40, 40) == "x" * 40


def test_a_line_that_does_not_is_folded_by_the_columns_it_takes() -> None:
    assert fold("x" * 50, 40) == "x" * 40 + "\n    " + "x" * 10
    assert fold("名" * 12, 20) == "名" * 10 + "\n    " + "名" * 2


def test_a_terminal_too_narrow_for_an_indent_folds_by_itself() -> None:
    assert fold("x" * 50, 8) == "x" * 50


def test_a_table_shows_nothing_as_a_dash_and_has_no_spaces_at_its_ends() -> None:
    assert table(("A", "BB"), [(None, "x"), ("long", None)]) == ["A     BB", "-     x", "long  -"]
