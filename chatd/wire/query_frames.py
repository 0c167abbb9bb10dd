"""The native frames of questions: who is connected with whom, what became of a message, how many came.

Values of now, not at a position of any journal, and not acknowledged: an answer that does not come in time is none.
A `token` is the asker's; an answer repeats it. Part of the vocabulary of `wire/frames.py`, which reads and writes them;
the layout is written down in docs/wire.md.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from chatd.wire.fields import Seq, valid_epoch, valid_kind, valid_name, valid_node

NEIGHBOURS_MOST: Final = 256  # in one page of a Found
STEPS_MOST: Final = 64  # in a TracedFrame
HOPS_MOST: Final = 64
NAME_MOST: Final = 128  # characters of what a node calls a peer (`bob~k3v9abcd`, an address) or a consumer
WITHIN_MOST_MS: Final = 60_000

Token = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Seconds since 1970 by the clock of who says it; neither infinite nor NaN, and with another such difference added still
# before the year 10000, where dates end.
Wall = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
RoundTrip = Annotated[float, msgspec.Meta(ge=0, le=1e9)]  # in ms


class Explore(msgspec.Struct, array_like=True, tag=16, frozen=True, gc=False):
    """Say who you are connected with, and ask those that you are connected with, `hops` further at most.

    The token is that of the exploration, drawn where it begins: a node says what it knows once, and answers a second
    time with Explored alone, unless that may go further. What has not come `within_ms` counts for nothing.
    `own`: the sender is the node where it began, which is told in any case: it believes no other node about this one.
    """

    token: Token
    hops: Annotated[int, msgspec.Meta(ge=0, le=HOPS_MOST)]
    within_ms: Annotated[int, msgspec.Meta(ge=0, le=WITHIN_MOST_MS)]
    own: bool = False


class FoundFrame(msgspec.Struct, array_like=True, tag=17, frozen=True, gc=False):
    """What one node says of itself; it goes back the way the question came.

    `private`: it does not say more. `plain`: how many plain peers it is connected with. `links`: its native peers that
    it is, or wants to be, connected with: (node, name, state, round trip in ms or None). In pages: `more` is true for
    all but the last one.
    """

    token: Token
    node: str
    name: str
    private: bool
    plain: Seq
    links: list[tuple[str, str, Literal["up", "dialing", "pending", "down"], RoundTrip | None]]
    more: bool


class Explored(msgspec.Struct, array_like=True, tag=18, frozen=True, gc=False):
    """Nothing more comes for that token from the sender of this."""

    token: Token


class Inquire(msgspec.Struct, array_like=True, tag=19, frozen=True, gc=False):
    """When did what happen to a message that one of the two has sent to the other?

    `node` is one of the two, epoch and seq its position in that node's journal: in the sender's, or of one that was
    said in a room of the receiver, its place there.
    """

    token: Token
    node: str
    epoch: str
    seq: Seq


class TracedFrame(msgspec.Struct, array_like=True, tag=20, frozen=True, gc=False):
    """The answer: (what, when, who) in order; `known` is false for a message that is not, or no more, in the journal.

    `what` is "accepted" or "arrived", "committed", "sent", "acknowledged" or "delivered", "taken" (by the consumer
    `who`) or "awaited" (that one has still to take it). When is 0 where it happened, and the time was not kept.
    """

    token: Token
    known: bool
    steps: list[tuple[str, Wall, str]]


class Count(msgspec.Struct, array_like=True, tag=21, frozen=True, gc=False):
    """How many messages have you got of mine, from that position of my journal through the last seq?"""

    token: Token
    epoch: str
    first: Seq
    last: Seq


class Counted(msgspec.Struct, array_like=True, tag=22, frozen=True, gc=False):
    """The answer: as they lie in the journal, and how many different ones that are."""

    token: Token
    messages: Seq
    distinct: Seq


QueryFrame = Explore | FoundFrame | Explored | Inquire | TracedFrame | Count | Counted


def _found_problem(frame: FoundFrame) -> str:
    if not valid_node(frame.node):
        return "no such node id"
    if not valid_name(frame.name):
        return "no such name"
    if len(frame.links) > NEIGHBOURS_MOST:
        return f"more than {NEIGHBOURS_MOST} links"
    named = all(valid_node(node) and name and _shown(name) for node, name, _, _ in frame.links)
    return "" if named else "no such peer"


def _traced_problem(frame: TracedFrame) -> str:
    if len(frame.steps) > STEPS_MOST:
        return f"more than {STEPS_MOST} steps"
    if frame.steps and not frame.known:
        return "steps of an unknown message"
    return "" if all(valid_kind(what) and _shown(who) for what, _, who in frame.steps) else "no such step"


def _inquire_problem(frame: Inquire) -> str:
    if not valid_node(frame.node):
        return "no such node id"
    return "" if valid_epoch(frame.epoch) else "no such epoch"


def _count_problem(frame: Count) -> str:
    return "" if valid_epoch(frame.epoch) else "no such epoch"


def _counted_problem(frame: Counted) -> str:
    return "" if frame.distinct <= frame.messages else "more different ones than there are"


def _no_problem(_: Explore | Explored) -> str:
    return ""


def _shown(name: str) -> bool:
    """What a node calls a peer or a consumer, and is shown as it is."""
    return len(name) <= NAME_MOST and name.isascii() and name.isprintable()


# What the types above do not say. Empty when it is all right.
QUERY_CHECKS: Final[Mapping[type, Callable[[Any], str]]] = {
    Explore: _no_problem,
    FoundFrame: _found_problem,
    Explored: _no_problem,
    Inquire: _inquire_problem,
    TracedFrame: _traced_problem,
    Count: _count_problem,
    Counted: _counted_problem,
}
