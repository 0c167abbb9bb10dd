"""Senders: clients that send numbered messages, to another machine or to a room, and at times take them back."""

from typing import TYPE_CHECKING, Any

import trio

from tests.sim.client import Client, Gone, Refused
from tests.sim.machine import Machine
from tests.sim.plan import Room, nicks_of
from tests.sim.truth import Attempt, Stay

if TYPE_CHECKING:
    from tests.sim.workload import Workload

AGAIN_S = 0.5  # before the next session
BURSTS = (1, 1, 2, 5, 12)  # messages in one write
TURNS = 3  # that it takes at least to send everything
HASTE = 1.3  # most of it is to be sent before the faults are over
LEAVES = 0.15  # how often a hasty client does not wait
PRIVATE = 0.3  # how much of what is said is for one member only, where that is done
STUBBORN = 0.05  # how often somebody says something though it is not in the room


class Sender:
    """Sends numbered messages from one machine to another."""

    def __init__(self, work: "Workload", machine: Machine, receiver: Machine) -> None:
        self._work, self._machine, self._receiver = work, machine, receiver
        self._begin(receiver.name, work.messages)

    def _begin(self, name: str, messages: int) -> None:
        self._random = self._work.random("send", self._machine.name, name)
        self._name, self._count, self._left = name, messages, messages
        self._bursts = [size for size in BURSTS if size * TURNS <= messages] or [1]
        turns = messages * len(self._bursts) / sum(self._bursts)
        self._rate = HASTE * turns / self._work.seconds  # so that faults find something under way
        self._again: list[Attempt] = []  # with a key, and not answered: once more
        self._accepted: list[Attempt] = []

    async def run(self) -> None:
        while (self._left or self._again) and not self._work.quiet.is_set():
            try:
                async with self._work.session(self._machine, self._random) as (number, client):
                    while (self._left or self._again) and not self._work.quiet.is_set():
                        with trio.move_on_after(self._random.expovariate(self._rate)):
                            await self._work.hurried.wait()
                        if client.over.is_set():
                            raise Gone
                        if not self._work.quiet.is_set():
                            await self._turn(number, client)
            except Gone:
                await trio.sleep(AGAIN_S)

    async def _turn(self, number: int, client: Client) -> None:
        if self._accepted and self._work.has("cancel") and self._random.random() < 0.3:
            await self._cancel(client, self._accepted.pop())
        again = [one for one in self._again if not self._machine.lost(one.step)]  # else the key went with the journal
        burst = again or [self._next() for _ in range(min(self._left, self._random.choice(self._bursts)))]
        self._again = []
        step = self._work.note(self._machine.name, f"sends {' '.join(one.text for one in burst)}")
        for attempt in burst:
            attempt.step, attempt.session = attempt.step or step, number
        calls = await client.post([self._request(one) for one in burst])
        if self._work.has("hasty") and self._random.random() < LEAVES:
            await trio.sleep(self._random.expovariate(50))
            for attempt in burst:
                self._unanswered(attempt)
            raise Gone
        for attempt, call in zip(burst, calls, strict=True):
            await self._answer(attempt, client.answer(call))

    def _next(self) -> Attempt:
        self._left -= 1
        text = f"{self._machine.name}>{self._name}:{self._count - self._left}"
        attempt = Attempt(self._machine.name, self._name, text, 0)
        self._work.attempts.append(attempt)
        self._vary(attempt)
        return attempt

    def _vary(self, attempt: Attempt) -> None:
        if self._work.has("key") and self._random.random() < 0.4:
            attempt.key = f"k{attempt.text}"
        if self._work.has("ttl") and self._random.random() < 0.3:
            attempt.ttl = round(self._random.expovariate(0.2) + 0.01, 3)

    def _request(self, attempt: Attempt) -> tuple[str, dict[str, Any]]:
        params: dict[str, Any] = {"peer": self._receiver.node_id, "text": attempt.text}
        options = {name: value for name in ("key", "ttl") if (value := getattr(attempt, name)) is not None}
        return "send", params | options

    async def _answer(self, attempt: Attempt, answer: Any) -> None:
        try:
            result = await answer
        except Gone:
            self._unanswered(attempt)
            return
        except Refused as refused:
            attempt.error = refused.kind
            attempt.answered = self._work.note(self._machine.name, f"{attempt.text} refused: {refused.kind}")
            return
        attempt.id = result["id"]
        attempt.answered = self._work.note(self._machine.name, f"{attempt.text} is {attempt.id} {result['state']}")
        self._accepted.append(attempt)

    def _unanswered(self, attempt: Attempt) -> None:
        attempt.unanswered = True
        if attempt.key:
            self._again.append(attempt)

    async def _cancel(self, client: Client, attempt: Attempt) -> None:
        attempt.taken_back, asked = True, self._work.step
        try:
            state = (await client.call("cancel", id=attempt.id))["state"]
        except Refused as refused:
            self._work.note(self._machine.name, f"cancel {attempt.text}: {refused.kind}")
            return
        step = self._work.note(self._machine.name, f"cancel {attempt.text}: {state}")
        if state == "cancelled":
            attempt.gave_up = asked, step


class Speaker(Sender):
    """Says numbered messages in a room, while it is in it."""

    def __init__(self, work: "Workload", machine: Machine, host: Machine, room: Room, stay: Stay) -> None:
        super().__init__(work, machine, host)
        self._room, self._stay = room, stay
        self._spec = f"{room.name}@{host.node_id}"
        self._begin(room.label, work.sayings)

    async def _turn(self, number: int, client: Client) -> None:
        if self._stay.is_in or self._random.random() < STUBBORN:
            await super()._turn(number, client)

    def _vary(self, attempt: Attempt) -> None:
        if self._work.has("private") and self._random.random() < PRIVATE:
            attempt.to = self._random.choice([nick for name in self._room.people for nick in nicks_of(name)])

    def _request(self, attempt: Attempt) -> tuple[str, dict[str, Any]]:
        params = {"room": self._spec, "text": attempt.text}
        return "room.say", params | ({"to": attempt.to} if attempt.to is not None else {})
