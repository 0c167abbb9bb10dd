"""Patterns: what they find in a module, what they make of it, and what they refuse."""

import pytest

from tests.mutants.pattern import NoMatch, replace

SOURCE = '''
LIMIT = 3  # how many

class Box:
    """A box."""

    SIZE = 3

    async def fill(self, more):
        if (
            self.is_full  # a comment
            or not more
        ):
            return None
        self.note("insert one into boxes")
        self.count += 1
        return self.count

def fill(): return 3
'''


def replaced(function: str, old: str, new: str) -> list[str]:
    """The lines that are new."""
    return [line.strip() for line in replace(SOURCE, function, old, new).splitlines() if line not in plain()]


def plain() -> list[str]:
    return replace(SOURCE, "fill", "3", "3").splitlines()


def test_an_expression_is_found_however_it_is_written() -> None:
    assert replaced("Box.fill", "self . is_full or (not more)", "more") == ["if more:"]


def test_consecutive_statements_are_found_and_replaced_together() -> None:
    old = """
        self.count += 1
        return (self.count)
        """
    assert replaced("Box.fill", old, "return 7") == ["return 7"]


def test_an_empty_replacement_deletes_statements_and_leaves_a_body() -> None:
    assert "self.count += 1" not in replace(SOURCE, "Box.fill", "self.count += 1", "")
    assert replaced("Box.fill", "return None", "") == ["pass"]


def test_a_call_that_is_a_statement_may_become_another_statement() -> None:
    assert replaced("Box.fill", "self.note('insert one into boxes')", "return") == ["return"]


@pytest.mark.parametrize(
    ("function", "line"),
    [("", "LIMIT = 4"), ("Box", "SIZE = 4"), ("fill", "return 4")],
    ids=["module", "class", "function"],
)
def test_only_the_named_scope_is_searched(function: str, line: str) -> None:
    assert replaced(function, "3", "4") == [line]


def test_a_part_of_a_string_is_found_between_dots() -> None:
    assert replaced("Box.fill", '"…one into…"', '"…two into…"') == ["self.note('insert two into boxes')"]


@pytest.mark.parametrize(
    ("function", "old", "message"),
    [
        ("Box.fill", "more.fish", "Box.fill 0 times, not once: more.fish"),
        ("Box.fill", "self", "Box.fill 4 times, not once"),
        ("Box.empty", "3", "Box.empty is defined 0 times"),
        ("", "return 3", "the module 0 times"),
        ("Box.fill", '"…o…"', "Box.fill 3 times"),
    ],
)
def test_a_pattern_that_is_not_there_once_is_an_error(function: str, old: str, message: str) -> None:
    with pytest.raises(NoMatch) as caught:
        replace(SOURCE, function, old, old)
    assert message in str(caught.value)
