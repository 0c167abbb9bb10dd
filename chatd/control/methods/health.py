"""`health`: whether the node works, with problems and warnings for its operator.

Each check contributes lines. A problem makes the node unhealthy. A warning does not, e.g. a limit that strangers can
reach: otherwise they could make a supervisor restart the node.
"""

from collections.abc import Iterator

import trio

from chatd.api.params import Nothing
from chatd.api.results import Health
from chatd.control.session import Session
from chatd.journal.journal import LOST
from chatd.node import Node

ANSWER_WITHIN_S = 2.0  # for the journal


async def health(node: Node, session: Session, _params: Nothing) -> Health:
    """Run all checks, and wait for an answer of the journal."""
    with trio.move_on_after(ANSWER_WITHIN_S) as silence:
        await node.journal.responds()
    problems = [f"the journal has not answered within {ANSWER_WITHIN_S:g} s"] if silence.cancelled_caught else []
    problems += [line for part in PROBLEMS for line in part(node, session)]
    return Health(not problems, problems, [line for part in WARNINGS for line in part(node, session)])


def _disk(node: Node, _session: Session) -> Iterator[str]:
    if node.journal.full:
        yield "the journal's disk is full"


def _files(node: Node, _session: Session) -> Iterator[str]:
    if node.journal.lost:
        yield LOST.message
    yield from node.problems.values()


def _peer_port(node: Node, _session: Session) -> Iterator[str]:
    if not node.listener.addresses:
        yield "the peer port is not open"


def _descriptors(node: Node, _session: Session) -> Iterator[str]:
    if (problem := node.runtime.descriptors.problem) is not None:
        yield problem


def _links(node: Node, _session: Session) -> Iterator[str]:
    if node.listener.is_full:
        yield f"max_links is reached: {node.config.max_links} links were accepted, the next peer is refused"


def _clones(node: Node, _session: Session) -> Iterator[str]:
    yield from node.clones.warnings()


def _sessions(node: Node, session: Session) -> Iterator[str]:
    if session.limit.is_full:
        yield f"sessions is reached: {node.config.sessions} clients are connected, the next one may be refused"


PROBLEMS = (_disk, _files, _peer_port, _descriptors)
WARNINGS = (_links, _sessions, _clones)
