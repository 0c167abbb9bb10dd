"""A node that has done the same work for long holds no more than before: no object, no block and no memory is left."""

import json
import os

import pytest

from tests.harness.processes import run
from tests.integration.growth import KINDS

OBJECTS = 1_000  # for what a cache or a timer happens to hold at one of the two moments
BLOCKS = 3_000
KIB = 1_792  # 50,000 times the smallest object (48 bytes) is 2,343 KiB
QUICK = [name for name, kind in KINDS.items() if kind.quick]


def measure(kind: str, how: str) -> dict[str, int]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # it grows too
    status, out, err = run("tests.integration.growth", [how, kind], clean, within=800)
    assert status == 0, err
    found: dict[str, int] = json.loads(out)[kind]
    return found


def check(found: dict[str, int]) -> None:
    most = found["count"] * 3 // 5  # one that is left each time is more than that
    assert found["objects"] < min(OBJECTS, most), found
    assert found["blocks"] < min(BLOCKS, most), found
    assert found["kib"] < KIB, found


@pytest.mark.parametrize("kind", QUICK)
def test_nothing_grows_with_events_connections_and_room_joins(kind: str) -> None:
    check(measure(kind, "quick"))


@pytest.mark.long
@pytest.mark.deadline(900)
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_grows_with_fifty_thousand_of_each(kind: str) -> None:
    check(measure(kind, "long"))
