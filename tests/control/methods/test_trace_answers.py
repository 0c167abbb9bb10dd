"""`trace` and `tally` with an answer of the other end: both ends together, by one clock; or why there is none."""

from random import Random
from typing import Any, cast

import pytest
import trio

from chatd.api.errors import ControlError
from chatd.journal.epochs import GlobalId
from chatd.net.native.link import NativeLink
from chatd.net.native.queries import Queries
from chatd.net.pings import PendingPing, Pings
from chatd.runtime import parse_stamp
from chatd.wire.frames import Counted, TracedFrame
from tests.harness.control_node import Client, Refused, Stand

WALL = 1000.0
HOUR = 3600.0
ENDED = ControlError("peer_offline", "the link to bob has ended")


class OtherEnd(NativeLink):
    """A native link whose other end answers at once what a test sets; with None it never does."""

    reason: str | None = None
    direction = "out"
    address = "127.0.0.1:7421"

    def __init__(self) -> None:
        self.queries = cast(Queries, self)
        self.answer: TracedFrame | Counted | ControlError | None = None
        self.asked: list[object] = []
        self.clock = WALL  # what it says in a Pong; 0: it does not say it
        self._pings = Pings(Random(1), lambda: WALL)

    def ping(self) -> PendingPing:
        ping = self._pings.queue()
        for token in self._pings.take_due():
            self._pings.record_pong(token, self.clock)
        return ping

    async def inquire(self, message: GlobalId) -> TracedFrame:
        return cast(TracedFrame, await self._answer(message))

    async def count(self, epoch: str, first: int, last: int) -> Counted:
        return cast(Counted, await self._answer((epoch, first, last)))

    async def _answer(self, question: object) -> TracedFrame | Counted:
        self.asked.append(question)
        if self.answer is None:
            await trio.sleep_forever()
        await trio.lowlevel.checkpoint()
        if isinstance(self.answer, ControlError):
            raise self.answer
        assert self.answer is not None
        return self.answer


@pytest.fixture
def bob(stand: Stand) -> OtherEnd:
    """Bob's link."""
    (old,) = stand.bob.links
    made = OtherEnd()
    stand.registry.link_up(stand.bob, made)
    stand.registry.link_down(stand.bob, old)
    return made


async def delivered(stand: Stand, client: Client) -> tuple[str, float]:
    """The id of a message that bob has acknowledged, and when it was accepted."""
    sent = await client.ask("send", peer="bob", text="hi")
    stand.bob.delivery.mark_written(stand.journal.committed)
    assert stand.chat.acknowledge(stand.bob, stand.journal.epoch, stand.journal.committed)
    await stand.journal.settled()
    return sent["id"], parse_stamp((await traced(client, sent["id"], timeout=0))["steps"][0]["at"])


async def traced(client: Client, message_id: str, timeout: float = 10) -> dict[str, Any]:
    found: dict[str, Any] = await client.ask("trace", id=message_id, timeout=timeout)
    return found


async def test_the_steps_of_both_ends_are_told_in_order_and_by_our_clock(
    stand: Stand, client: Client, bob: OtherEnd
) -> None:
    message_id, accepted = await delivered(stand, client)
    bob.clock += HOUR
    said = [("arrived", accepted + HOUR + 0.5, ""), ("committed", accepted + HOUR + 0.75, "")]
    said += [("taken", accepted + HOUR + 1, "bot"), ("taken", 0.0, "former"), ("awaited", 0.0, "lazy")]
    bob.answer = TracedFrame(1, True, said)
    found = await traced(client, message_id)
    assert bob.asked[-1] == GlobalId.parse(found["global_id"])
    assert [(step["node"], step["step"], step["consumer"], step["done"]) for step in found["steps"]] == [
        ("alice", "accepted", None, True),
        ("alice", "committed", None, True),
        ("alice", "sent", None, True),
        ("bob", "arrived", None, True),
        ("bob", "committed", None, True),
        ("alice", "acknowledged", None, True),
        ("bob", "taken", "bot", True),
        ("bob", "taken", "former", True),
        ("bob", "taken", "lazy", False),
    ]
    theirs = [step for step in found["steps"] if not step["here"]]
    assert [step["after_ms"] for step in theirs[:3]] == pytest.approx([500, 750, 1000], abs=2)  # stamps are cut to ms
    ahead = [parse_stamp(step["at"]) - parse_stamp(step["at_here"]) for step in theirs[:3]]
    assert ahead == pytest.approx([HOUR] * 3, abs=0.002)
    assert {(step["at"], step["at_here"], step["after_ms"]) for step in theirs[3:]} == {(None, None, None)}
    assert (found["clock_ms"], found["clock_error_ms"], found["silent"]) == (
        HOUR * 1000,
        pytest.approx(0, abs=1000),
        None,
    )


async def test_by_a_clock_that_is_not_known_nothing_is_compared(stand: Stand, client: Client, bob: OtherEnd) -> None:
    message_id, _ = await delivered(stand, client)
    bob.clock = 0
    bob.answer = TracedFrame(1, True, [("arrived", 2e9, "")])
    found = await traced(client, message_id)
    (arrived,) = [step for step in found["steps"] if not step["here"]]
    assert (arrived["at"], arrived["at_here"], arrived["after_ms"]) == ("2033-05-18T03:33:20.000Z", None, None)
    assert found["clock_ms"] is found["clock_error_ms"] is None


async def test_nonsense_of_the_other_end_changes_nothing_of_what_is_known_here(
    stand: Stand, client: Client, bob: OtherEnd
) -> None:
    message_id, _ = await delivered(stand, client)
    bob.clock = 9.5e10
    bob.answer = TracedFrame(1, True, [("arrived", 9e10, ""), ("sat_on", 5.0, ""), ("acknowledged", 3.0, "")])
    steps = (await traced(client, message_id))["steps"]
    ours = [step for step in steps if step["here"]]
    assert [step["step"] for step in ours] == ["accepted", "committed", "sent", "acknowledged"]
    assert all(step["at"] == step["at_here"] for step in ours)
    theirs = {step["step"]: step for step in steps if not step["here"]}
    assert set(theirs) == {"arrived", "acknowledged"}
    assert theirs["arrived"]["at"].startswith("4821-")
    assert all(step["at_here"] is step["after_ms"] is None for step in theirs.values())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "bob does not answer"),
        (ENDED, "the link to bob has ended"),
        (TracedFrame(1, False, []), "bob does not know it"),
    ],
    ids=["none", "the link ends", "unknown"],
)
async def test_where_the_other_end_tells_nothing_it_is_said_why(
    stand: Stand, client: Client, bob: OtherEnd, answer: TracedFrame | ControlError | None, why: str
) -> None:
    message_id, _ = await delivered(stand, client)
    bob.answer = answer
    found = await traced(client, message_id, timeout=0.01 if answer is None else 3600)
    assert found["silent"] == why
    assert {step["node"] for step in found["steps"]} == {"alice"}


async def test_a_count_is_that_of_the_other_end(stand: Stand, client: Client, bob: OtherEnd) -> None:
    ids = [(await client.ask("send", peer="bob", text=text))["id"] for text in "123"]
    bob.answer = Counted(1, 4, 3)
    found = await client.ask("tally", peer="bob", first=ids[0], last=ids[2])
    assert (found["messages"], found["distinct"], found["peer"]["name"]) == (4, 3, "bob")
    assert bob.asked == [(stand.journal.epoch, stand.journal.committed - 2, stand.journal.committed)]


@pytest.mark.parametrize(
    ("answer", "kind"), [(None, "timeout"), (ENDED, "peer_offline")], ids=["none", "the link ends"]
)
async def test_a_count_that_does_not_come_is_refused(
    stand: Stand, client: Client, bob: OtherEnd, answer: ControlError | None, kind: str
) -> None:
    sent = await client.ask("send", peer="bob", text="hi")
    bob.answer = answer
    with pytest.raises(Refused) as refused:
        await client.ask(
            "tally", peer="bob", first=sent["id"], last=sent["id"], timeout=0.01 if answer is None else 3600
        )
    assert refused.value.kind == kind
