"""Selection: which entries of the journal a client asked for, after which of them its reading begins, and what is said
of those that are gone.

`subscribe` and `history` share it. Entries are judged by their columns; nothing is decoded.
"""

import difflib
from collections.abc import Callable
from typing import Self

import msgspec

from chatd.api.errors import INVALID_PARAMS
from chatd.api.events import EVENT_TYPES, Gap
from chatd.api.requests import Filter, From
from chatd.control.jsonrpc import Fault
from chatd.core.batch import Entry
from chatd.core.consumers import Consumer
from chatd.core.journal import PAGE_ROWS, Journal, Page
from chatd.core.registry import Registry
from chatd.core.seek import seek_last, seek_time
from chatd.runtime import Runtime, parse_stamp, stamp

ALWAYS = "gap"  # a hole in what was asked for is always told
STARTS = 'from is "now", "start", or one of {"position":…}, {"since":…}, {"last":…}'
Match = Callable[[Entry], bool]
_encode = msgspec.json.Encoder().encode


class Selection:
    """A filter, resolved: the journal's topic (None: all), and the test of an entry (None: every one matches)."""

    __slots__ = ("match", "topic")

    def __init__(self, registry: Registry, wanted: Filter | None, until_ms: int | None = None) -> None:
        """Raises Fault, and ControlError for a peer that there is not."""
        self.topic: int | None = None
        tests: list[Match] = []
        if wanted is not None:
            if wanted.peer is not None:
                self.topic = registry.find(wanted.peer).key
            tests = _tests(wanted)
        if until_ms is not None:
            tests.append(lambda entry: entry.at_ms < until_ms)
        self.match = _all_of(tests)

    @classmethod
    def of(cls, registry: Registry, consumer: Consumer) -> Self:
        """A consumer's filter; its peer is the one that was meant when the consumer was made."""
        selection = cls(registry, msgspec.structs.replace(consumer.filter, peer=None))
        selection.topic = consumer.topic
        return selection

    def matches(self, entry: Entry) -> bool:
        """Whether an entry of the topic was asked for."""
        return self.match is None or self.match(entry)


def _tests(wanted: Filter) -> list[Match]:
    tests: list[Match] = []
    if wanted.types is not None:
        for name in wanted.types:
            _check_type(name)
        types = frozenset([*wanted.types, ALWAYS])
        tests.append(lambda entry: entry.type in types)
    direction = wanted.direction
    if direction is not None:
        if direction not in ("in", "out"):
            raise Fault(INVALID_PARAMS, f"filter.direction: {direction!r} is neither in nor out")
        tests.append(lambda entry: entry.direction == direction or entry.type == ALWAYS)
    if wanted.room is not None:
        tests.append(lambda entry: entry.type == ALWAYS)  # no event of this version is in a room
    return tests


def _all_of(tests: list[Match]) -> Match | None:
    if len(tests) < 2:
        return tests[0] if tests else None
    if len(tests) == 2:  # types and a direction: what bots ask for, of every event
        first, second = tests
        return lambda entry: first(entry) and second(entry)
    return lambda entry: all(test(entry) for test in tests)


def _check_type(name: str) -> None:
    if name in EVENT_TYPES:
        return
    near = difflib.get_close_matches(name[:64], EVENT_TYPES, n=1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(EVENT_TYPES)}"
    raise Fault(INVALID_PARAMS, f"filter.types: there are no events of the type {name[:64]!r}", hint)


def known_start(journal: Journal, start: str | From) -> int | None:
    """The seq after which to read; None if it has to be sought. Raises Fault, ControlError cursor_gone.

    Only a position may lie below the journal's floor: whoever names one has been there, and is told of the gap.
    """
    if isinstance(start, From):
        if [start.position, start.since, start.last].count(None) != 2:
            raise Fault(INVALID_PARAMS, "from names more or less than one start", STARTS)
        if start.position is not None:
            return journal.resolve(start.position)
        if start.since is not None:
            seconds_of("from.since", start.since)
        elif start.last is not None and start.last < 0:
            raise Fault(INVALID_PARAMS, "from.last is negative", STARTS)
        return None
    if start not in ("now", "start"):
        raise Fault(INVALID_PARAMS, f"from: {start[:64]!r} is no start", STARTS)
    return journal.committed if start == "now" else journal.floor


async def sought_start(journal: Journal, start: From, selection: Selection) -> int:
    """The same for `since` and `last`, which `known_start` has checked."""
    if start.since is not None:
        found = await seek_time(journal, seconds_of("from.since", start.since))
    else:
        found = await seek_last(journal, start.last or 0, selection.matches, selection.topic)
    return max(found, journal.floor)


async def read_on(journal: Journal, runtime: Runtime, after: int, topic: int | None, limit: int = PAGE_ROWS) -> Page:
    """The next entries; for a reader below the floor the gap instead, behind which it goes on.

    The floor is looked at behind the read: what it takes away meanwhile is not silently missing.
    """
    page = await journal.read(after, topic, limit)
    return page if after >= journal.floor else Page([_gap(journal, runtime, after)], journal.floor)


def _gap(journal: Journal, runtime: Runtime, after: int) -> Entry:
    floor = journal.position(journal.floor)
    event = Gap(position=floor, at=stamp(runtime.wall()), after=journal.position(after), through=floor)
    return Entry(journal.floor, 0, ALWAYS, None, None, _encode(event))  # (it is as old as what is gone)


def seconds_of(field: str, moment: str) -> float:
    """A point in time. Raises Fault."""
    try:
        return parse_stamp(moment)
    except (ValueError, OverflowError):
        hint = "RFC 3339, as 2026-11-21T03:00:00.000Z"
        raise Fault(INVALID_PARAMS, f"{field}: {moment[:64]!r} is no point in time", hint) from None
