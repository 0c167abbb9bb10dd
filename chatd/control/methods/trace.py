"""`trace` and `tally`: what became of messages, as this node knows it and as the other end tells.

What the other end says is shown as what it says: nothing here is decided by it. Its times are by its own clock, whose
offset is estimated from a few pings; the one with the shortest round trip errs the least.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import msgspec
import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.events import Message
from chatd.api.params import Tally, Trace
from chatd.api.results import Step, Tallied, Traced
from chatd.control.jsonrpc import RpcError
from chatd.control.methods.peers import check_timeout
from chatd.control.session import Session
from chatd.journal.batch import Entry
from chatd.journal.epochs import GlobalId, split_position
from chatd.journal.rawjson import is_settled
from chatd.net.native.link import NativeLink
from chatd.net.native.queries import AWAITED
from chatd.net.pings import PendingPing
from chatd.node import Node
from chatd.peers.peer import Peer
from chatd.query.tally import SPAN
from chatd.query.trace import ACCEPTED, ACKNOWLEDGED, ARRIVED, COMMITTED, DELIVERED, SENT, TAKEN, MessageTrace, Moment
from chatd.runtime import stamp
from chatd.wire import frames

PINGS: Final = 4
# The order of things: of who has sent it, then of who has got it, then how that ended, then who has taken it.
_FROM: Final = {ACCEPTED: 0, ARRIVED: 0, COMMITTED: 1, SENT: 2, TAKEN: 6}
_TO: Final = {ARRIVED: 3, COMMITTED: 4, TAKEN: 7}
_END: Final = 5
_ELSEWHERE: Final = frozenset({ACCEPTED, ARRIVED, COMMITTED, SENT, ACKNOWLEDGED, DELIVERED, TAKEN})


class Told(NamedTuple):
    """What the other end says. `silent`: why it says nothing; clocks in seconds."""

    moments: list[Moment]
    silent: str | None = None
    clock: float | None = None
    error: float | None = None


async def trace(node: Node, _session: Session, params: Trace) -> Traced:
    """The life of one message. What is known here is told also where the other end is silent."""
    check_timeout(params.timeout)
    entry = await node.chat.lookup.find_any(params.id)
    message, life = cast(Message, entry.event), await node.traces.trace(entry)
    peer = _other(node, entry)
    silent = _silence(entry, peer, life)
    told = Told([], silent)
    if peer is not None and silent is None:
        told = await _told(peer, _question(node.identity.node, peer, entry, life), params.timeout)
    return Traced(
        id=message.id,
        global_id=message.global_id,
        direction=message.direction,
        peer=peer.ref if peer is not None else message.peer,
        room=message.room,
        steps=_steps(node.config.name, peer.name if peer else "", entry, life, told),
        clock_ms=_millis(told.clock),
        clock_error_ms=_millis(told.error),
        silent=told.silent,
        room_position=life.room_position
        or (message.room_position if message.room_position is not msgspec.UNSET else None),
    )


# -- the other end


def _other(node: Node, entry: Entry) -> Peer | None:
    """Who that is; None for one that is not known any more, and for somebody in a room of ours who is no peer."""
    try:
        return None if is_settled(entry.raw) else node.chat.lookup.peer_of(entry)
    except ControlError:
        return None


def _silence(entry: Entry, peer: Peer | None, life: MessageTrace) -> str | None:
    """Why the other end is not worth asking; None: it is."""
    message = cast(Message, entry.event)
    name = message.peer.name if peer is None else peer.name
    if is_settled(entry.raw):
        return f"{message.room} is hosted here: who is in it gets it from this node"
    if message.peer.kind == "plain":
        return f"{name} is a plain peer: it tells nothing of messages"
    if peer is None:
        return f"{name} is not known any more"
    if life.state not in ("", "sent", "delivered"):
        return f"{name} has not got it" if life.state != "rejected" else f"{name} has not taken it"
    if life.state and message.room is not None and life.room_position is None:
        return f"{name} has not said where it stands in {message.room}"
    return None if isinstance(peer.link, NativeLink) else f"{name} is not connected"


def _question(ours: str, peer: Peer, entry: Entry, life: MessageTrace) -> GlobalId:
    """How the other end knows the message: by its place where it was sent, or in the room of which that is the host.

    `ours` is our node id: one that we accepted under a former key, the other end may know under this one only.
    """
    message = cast(Message, entry.event)
    if life.room_position is not None:
        return GlobalId(peer.node or "", *split_position(life.room_position))
    if entry.direction == "out":
        return GlobalId(ours, *split_position(message.id))
    known = GlobalId.parse(message.global_id or "")
    assert known is not None  # only a message direct from a plain peer has none, and that peer is not asked
    return known


async def _told(peer: Peer, question: GlobalId, timeout: float) -> Told:
    """Ask, and measure meanwhile."""
    link, answers, asked = cast(NativeLink, peer.link), list[frames.TracedFrame](), list[PendingPing]()
    silent: str | None = f"{peer.name} does not answer"
    try:
        with trio.move_on_after(timeout):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_measure, link, asked)
                answers.append(await link.queries.inquire(question))
    except* ControlError as group:
        silent = str(group.exceptions[0])
    for answer in answers:
        silent = None if answer.known else f"{peer.name} does not know it"
    best = min((one for one in asked if one.answered.is_set()), key=lambda one: one.rtt_s, default=None)
    clock = best.clock_s if best is not None else None
    error = best.rtt_s / 2 if best is not None and clock is not None else None
    return Told([moment for answer in answers for moment in _moments(answer)], silent, clock, error)


async def _measure(link: NativeLink, asked: list[PendingPing]) -> None:
    for _ in range(PINGS):
        asked.append(link.ping())
        await asked[-1].answered.wait()


def _moments(answer: frames.TracedFrame) -> Iterator[Moment]:
    """What it says, as far as we know the words."""
    for what, when, who in answer.steps:
        if what == AWAITED:
            yield Moment(TAKEN, done=False, consumer=who)
        elif what in _ELSEWHERE:
            yield Moment(what, at=when or None, consumer=who)


# -- both ends together


def _steps(here: str, there: str, entry: Entry, life: MessageTrace, told: Told) -> list[Step]:
    """Those of both ends, in the order of things."""
    ours, theirs = (_FROM, _TO) if entry.direction == "out" else (_TO, _FROM)
    ranked = [(ours.get(one.step, _END), _step(here, one, 0.0, here=True)) for one in life.moments]
    ranked += [(theirs.get(one.step, _END), _step(there, one, told.clock, here=False)) for one in told.moments]
    ranked.sort(key=lambda pair: pair[0])
    moments = [at for _, (_, at) in ranked]
    first = next((at for at in moments if at is not None), 0.0)
    return [
        msgspec.structs.replace(step, after_ms=_millis(at - first if at is not None else None))
        for _, (step, at) in ranked
    ]


def _step(node: str, moment: Moment, clock: float | None, *, here: bool) -> tuple[Step, float | None]:
    """One step, and when it was by our clock, which that of its node is `clock` seconds before."""
    at_here = None if moment.at is None or clock is None else moment.at - clock
    step = Step(
        step=moment.step,
        node=node,
        here=here,
        done=moment.done,
        at=_stamp(moment.at),
        at_here=_stamp(at_here),
        consumer=moment.consumer or None,
    )
    return step, at_here if step.at_here is not None else None


def _stamp(seconds: float | None) -> str | None:
    return stamp(seconds) if seconds is not None and seconds > 0 else None  # before 1970 no clock is right


def _millis(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


# -- counting


async def tally(node: Node, _session: Session, params: Tally) -> Tallied:
    """How many of our messages of a range a native peer has, as it counts them itself in its journal."""
    check_timeout(params.timeout)
    peer = node.registry.find(params.peer)
    first, last = _seq(node, "first", params.first), _seq(node, "last", params.last)
    if not 0 <= last - first < SPAN:
        raise RpcError(INVALID_PARAMS, f"from first to last it is not 1 to {SPAN:,} positions", "count it in parts")
    if peer.kind == "plain":
        hint = "only another chatd does"
        raise ControlError("conflict", f"{peer.name} is a plain peer: it counts nothing", hint, reason="plain")
    link = peer.link
    if not isinstance(link, NativeLink):
        raise ControlError("peer_offline", f"{peer.name} is not connected", f"`chatctl wait peer {peer.name}`")
    messages = distinct = 0
    with trio.move_on_after(float("inf") if params.timeout is None else params.timeout) as scope:
        for epoch, begin, end in _parts(node, first, last):
            counted = await link.queries.count(epoch, begin, end)
            messages += counted.messages
            distinct += counted.distinct
    if scope.cancelled_caught:
        raise ControlError("timeout", f"{peer.name} has not counted within {params.timeout:g} s", "give it more time")
    return Tallied(peer.ref, messages, distinct)


def _seq(node: Node, field: str, message_id: str) -> int:
    try:
        return node.journal.resolve(message_id)
    except ControlError:
        raise RpcError(INVALID_PARAMS, f"{field}: {message_id[:64]!r} is no position of this journal") from None


def _parts(node: Node, first: int, last: int) -> Iterator[tuple[str, int, int]]:
    """The range, epoch by epoch: a restart may lie in it."""
    while first <= last:
        epoch = node.journal.epoch_of(first)
        span = node.journal.span(epoch)
        end = min(last, span[1]) if span is not None else last
        yield epoch, first, end
        first = end + 1
