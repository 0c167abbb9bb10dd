"""docs/control.md describes every method, parameter, error and event of the control socket."""

from pathlib import Path

import pytest

from chatctl.errors import EXIT_STATUS
from chatd.api.errors import TABLE
from chatd.api.events import EVENT_TYPES
from chatd.control.methods.table import METHODS

DOCUMENT = (Path(__file__).parents[2] / "docs" / "control.md").read_text()
ROWS = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]


def parameters_of(method: str) -> str:
    """Parameters in the table. `reply` shares some with `send`."""
    row = next(row for row in ROWS if f"`{method}`" in row.split("|")[1])  # further down may be events of that name
    told = row.split("|")[2]
    return told + parameters_of("send") if "what `send` has" in told else told


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_told_with_its_parameters(method: str) -> None:
    told = parameters_of(method)
    for parameter in METHODS[method].params.__struct_encode_fields__:
        assert f"`{parameter}`" in told or f"`{parameter}?`" in told


@pytest.mark.parametrize("kind", TABLE)
def test_every_error_is_told_with_its_code_and_exit_status(kind: str) -> None:
    code, status, _ = TABLE[kind]
    assert any(row.startswith(f"| {code} | `{kind}` | {status} | ") for row in ROWS)


@pytest.mark.parametrize("kind", EXIT_STATUS)
def test_every_kind_of_chatctl_is_told(kind: str) -> None:
    assert f"`{kind}`" in DOCUMENT


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_event_is_told(name: str) -> None:
    assert any(row.startswith(f"| `{name}` | ") for row in ROWS)
