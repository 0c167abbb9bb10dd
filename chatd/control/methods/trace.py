"""`trace` and `tally`: the steps of a message, and a count of received messages, at this node and at the other end.

The report of the other end is shown as such; nothing is decided by it. Its times are from its own clock. A few pings
estimate the offset of that clock; the one with the shortest round trip has the smallest error.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import msgspec
import trio

from chatd.api.errors import INVALID_PARAMS, ControlError
from chatd.api.events import Message
from chatd.api.network import Step, Tallied, Traced
from chatd.api.params import Tally, Trace
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
# Order in which steps are shown: those of the sender, of the receiver, the end of the message, and then consumers.
_SENDER_ORDER: Final = {ACCEPTED: 0, ARRIVED: 0, COMMITTED: 1, SENT: 2, TAKEN: 6}
_RECEIVER_ORDER: Final = {ARRIVED: 3, COMMITTED: 4, TAKEN: 7}
_END_ORDER: Final = 5
_KNOWN_STEPS: Final = frozenset({ACCEPTED, ARRIVED, COMMITTED, SENT, ACKNOWLEDGED, DELIVERED, TAKEN})


class Report(NamedTuple):
    """The steps at the other end. `silent`: why there are none. `clock`: seconds its clock is ahead, ± `error`."""

    moments: list[Moment]
    silent: str | None = None
    clock: float | None = None
    error: float | None = None


async def trace(node: Node, _session: Session, params: Trace) -> Traced:
    """The steps of one message; those at this node also if the other end is silent."""
    check_timeout(params.timeout)
    entry = await node.chat.lookup.find_any(params.id)
    message, ours = cast(Message, entry.event), await node.traces.trace(entry)
    peer = _other_end(node, entry)
    silent = _why_silent(entry, peer, ours)
    report = Report([], silent)
    if peer is not None and silent is None:
        report = await _ask(peer, _question(node.identity.node, peer, entry, ours), params.timeout)
    return Traced(
        id=message.id,
        global_id=message.global_id,
        direction=message.direction,
        peer=peer.ref if peer is not None else message.peer,
        room=message.room,
        steps=_steps(node.config.name, peer.name if peer else "", entry, ours, report),
        clock_ms=_millis(report.clock),
        clock_error_ms=_millis(report.error),
        silent=report.silent,
        room_position=ours.room_position
        or (message.room_position if message.room_position is not msgspec.UNSET else None),
    )


# -- the other end


def _other_end(node: Node, entry: Entry) -> Peer | None:
    """The peer at the other end; None for an unknown one, and for a member of a hosted room that is no peer."""
    try:
        return None if is_settled(entry.raw) else node.chat.lookup.peer_of(entry)
    except ControlError:
        return None


def _why_silent(entry: Entry, peer: Peer | None, ours: MessageTrace) -> str | None:
    """The reason for which the other end is not asked; None if it is asked."""
    message = cast(Message, entry.event)
    name = message.peer.name if peer is None else peer.name
    if is_settled(entry.raw):
        return f"{message.room} is hosted here: who is in it gets it from this node"
    if message.peer.kind == "plain":
        return f"{name} is a plain peer: it tells nothing of messages"
    if peer is None:
        return f"{name} is not known any more"
    if ours.state not in ("", "sent", "delivered"):
        return f"{name} has not got it" if ours.state != "rejected" else f"{name} has not taken it"
    if ours.state and message.room is not None and ours.room_position is None:
        return f"{name} has not said where it stands in {message.room}"
    return None if isinstance(peer.link, NativeLink) else f"{name} is not connected"


def _question(our_node: str, peer: Peer, entry: Entry, ours: MessageTrace) -> GlobalId:
    """The global id by which the other end finds the message: its position in the sender's journal, or in its room.

    `our_node` is our present node id: the other end may know a message that we accepted under
    a former id only by the present one.
    """
    message = cast(Message, entry.event)
    if ours.room_position is not None:
        return GlobalId(peer.node or "", *split_position(ours.room_position))
    if entry.direction == "out":
        return GlobalId(our_node, *split_position(message.id))
    known = GlobalId.parse(message.global_id or "")
    assert known is not None  # only a message direct from a plain peer has none, and that peer is not asked
    return known


async def _ask(peer: Peer, question: GlobalId, timeout: float) -> Report:
    """Ask the other end, and measure its clock meanwhile."""
    link, answers, pings = cast(NativeLink, peer.link), list[frames.TracedFrame](), list[PendingPing]()
    silent: str | None = f"{peer.name} does not answer"
    try:
        with trio.move_on_after(timeout):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_measure, link, pings)
                answers.append(await link.queries.inquire(question))
    except* ControlError as group:
        silent = str(group.exceptions[0])
    for answer in answers:
        silent = None if answer.known else f"{peer.name} does not know it"
    best = min((ping for ping in pings if ping.answered.is_set()), key=lambda ping: ping.rtt_s, default=None)
    clock = best.clock_s if best is not None else None
    error = best.rtt_s / 2 if best is not None and clock is not None else None
    return Report([moment for answer in answers for moment in _moments(answer)], silent, clock, error)


async def _measure(link: NativeLink, pings: list[PendingPing]) -> None:
    for _ in range(PINGS):
        pings.append(link.ping())
        await pings[-1].answered.wait()


def _moments(answer: frames.TracedFrame) -> Iterator[Moment]:
    """The steps that the other end reports, without unknown ones."""
    for what, when, who in answer.steps:
        if what == AWAITED:
            yield Moment(TAKEN, done=False, consumer=who)
        elif what in _KNOWN_STEPS:
            yield Moment(what, at=when or None, consumer=who)


# -- both ends together


def _steps(here: str, there: str, entry: Entry, ours: MessageTrace, report: Report) -> list[Step]:
    """The steps of both ends in order."""
    our_order, their_order = (
        (_SENDER_ORDER, _RECEIVER_ORDER) if entry.direction == "out" else (_RECEIVER_ORDER, _SENDER_ORDER)
    )
    ranked = [(our_order.get(moment.step, _END_ORDER), _step(here, moment, 0.0, here=True)) for moment in ours.moments]
    ranked += [
        (their_order.get(moment.step, _END_ORDER), _step(there, moment, report.clock, here=False))
        for moment in report.moments
    ]
    ranked.sort(key=lambda pair: pair[0])
    times = [at for _, (_, at) in ranked]
    first = next((at for at in times if at is not None), 0.0)
    return [
        msgspec.structs.replace(step, after_ms=_millis(at - first if at is not None else None))
        for _, (step, at) in ranked
    ]


def _step(node: str, moment: Moment, clock: float | None, *, here: bool) -> tuple[Step, float | None]:
    """One step, and its time by our clock; the clock of its node is `clock` seconds ahead."""
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
    """The number of our messages in a range that a native peer has, as it counts them in its journal."""
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
        for epoch, begin, end in _ranges_by_epoch(node, first, last):
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


def _ranges_by_epoch(node: Node, first: int, last: int) -> Iterator[tuple[str, int, int]]:
    """The parts of the range by epoch, e.g. if a restart is within it."""
    while first <= last:
        epoch = node.journal.epoch_of(first)
        span = node.journal.span(epoch)
        end = min(last, span[1]) if span is not None else last
        yield epoch, first, end
        first = end + 1
