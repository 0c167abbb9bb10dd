"""Native query frames: which nodes are connected, what happened to a message, how many messages arrived.

They carry current values, have no position in a journal and are not acknowledged. An answer after the asker's deadline
is ignored. `token` is chosen by the asker and repeated in the answer. Exported by `wire/frames.py`; the layout is
specified in docs/wire.md.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

from chatd.wire.fields import Seq, valid_epoch, valid_kind, valid_name, valid_node

NEIGHBOURS_MOST: Final = 256  # in one page of a FoundFrame
STEPS_MOST: Final = 64  # in a TracedFrame
HOPS_MOST: Final = 64
NAME_MOST: Final = 128  # characters of a node's name for a peer (`bob~k3v9abcd`, an address) or a consumer
WITHIN_MOST_MS: Final = 60_000

Token = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Seconds since 1970 by the sender's clock. Finite, and small enough that the sum of two is before the year 10000, the
# last that datetime can represent.
Wall = Annotated[float, msgspec.Meta(ge=0, le=1e11)]
RoundTrip = Annotated[float, msgspec.Meta(ge=0, le=1e9)]  # in ms


class Explore(msgspec.Struct, array_like=True, tag=16, frozen=True, gc=False):
    """Request for the receiver's links. The receiver forwards it to its peers, at most `hops` further.

    The token identifies the exploration and is drawn by the node that starts it. A node reports its links once per
    token and answers a repeated request with Explored only, unless the repeated one may go further. Answers after
    `within_ms` are ignored. `own`: the sender started the exploration. It always gets the links, because it
    believes no other node about the receiver.
    """

    token: Token
    hops: Annotated[int, msgspec.Meta(ge=0, le=HOPS_MOST)]
    within_ms: Annotated[int, msgspec.Meta(ge=0, le=WITHIN_MOST_MS)]
    own: bool = False


class FoundFrame(msgspec.Struct, array_like=True, tag=17, frozen=True, gc=False):
    """One node's report about itself, returned along the path of the request.

    `private`: the node does not report its links. `plain`: number of connected plain peers. `links`: native peers that
    are connected or dialed: (node, name, state, round trip in ms or None). In pages: `more` is true for all but the
    last one.
    """

    token: Token
    node: str
    name: str
    private: bool
    plain: Seq
    links: list[tuple[str, str, Literal["up", "dialing", "pending", "down"], RoundTrip | None]]
    more: bool


class Explored(msgspec.Struct, array_like=True, tag=18, frozen=True, gc=False):
    """The sender has no more answers for this token."""

    token: Token


class Inquire(msgspec.Struct, array_like=True, tag=19, frozen=True, gc=False):
    """Request for the steps of a message that one of the two nodes sent to the other.

    `node`, `epoch` and `seq`: its position in the journal of its sender, or, for a message in a room, in the journal of
    the host. `node` is one of the two.
    """

    token: Token
    node: str
    epoch: str
    seq: Seq


class TracedFrame(msgspec.Struct, array_like=True, tag=20, frozen=True, gc=False):
    """Answer to Inquire: steps as (what, when, who), in order. `known` is false if the journal lacks the message.

    `what`: "accepted" or "arrived", "committed", "sent", "acknowledged" or "delivered", "taken" (consumer `who` has
    processed it) or "awaited" (consumer `who` has not). `when` is 0 if the step happened at an unknown time.
    """

    token: Token
    known: bool
    steps: list[tuple[str, Wall, str]]


class Count(msgspec.Struct, array_like=True, tag=21, frozen=True, gc=False):
    """Request for the number of messages received from the sender's journal, from `first` through `last`."""

    token: Token
    epoch: str
    first: Seq
    last: Seq


class Counted(msgspec.Struct, array_like=True, tag=22, frozen=True, gc=False):
    """Answer to Count: stored messages, and distinct ones among them."""

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
    """Whether a peer's or consumer's name can be printed as it is."""
    return len(name) <= NAME_MOST and name.isascii() and name.isprintable()


# Checks beyond the types. Each returns the problem; empty: none.
QUERY_CHECKS: Final[Mapping[type, Callable[[Any], str]]] = {
    Explore: _no_problem,
    FoundFrame: _found_problem,
    Explored: _no_problem,
    Inquire: _inquire_problem,
    TracedFrame: _traced_problem,
    Count: _count_problem,
    Counted: _counted_problem,
}
