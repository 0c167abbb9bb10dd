"""Brokers: what people take today for messages that must not get lost, each from its Debian package if it is there."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from bench import jetstream, mqtt, race
from bench.broker import Broker, installed, version
from bench.nodes import folder
from bench.process import Process
from bench.result import Beside


class Kind(NamedTuple):
    """One of them. `clients` is the module with its clients, `synced` what is on disk when it acknowledges."""

    name: str
    program: str
    version: str  # the flag
    clients: str
    running: Callable[[Path], AbstractContextManager[Broker]]
    synced: str

    @property
    def missing(self) -> bool:
        """It cannot be measured here."""
        return installed(self.program) is None


JETSTREAM = Kind(
    "NATS JetStream, file storage",
    "nats-server",
    "--version",
    "jetstream",
    jetstream.running,
    "the message is written, not synced; that comes every 2 minutes (its `sync_interval`)",
)
MOSQUITTO = Kind(
    "Mosquitto, QoS 1, persistence",
    "mosquitto",
    "-h",
    "mqtt",
    mqtt.running,
    "nothing is written; that comes every 30 minutes (its `autosave_interval`) and at its end",
)
KINDS = (JETSTREAM, MOSQUITTO)


def throughput(kind: Kind, count: int) -> float:
    """One that publishes, one durable consumer that acknowledges each; 0 where it is not installed."""
    if kind.missing:
        return 0.0
    with (
        folder() as path,
        kind.running(path) as broker,
        Process(kind.clients, "consume", str(broker.port), str(count)) as sink,
        Process(kind.clients, "publish", str(broker.port), str(count)) as source,
    ):
        return race.run(source, sink, count).rate


def backlog(kind: Kind, count: int) -> float:
    """First one that publishes, then one durable consumer that was away; 0 where it is not installed."""
    if kind.missing:
        return 0.0
    with folder() as path, kind.running(path) as broker:
        words = (str(broker.port), str(count))
        with Process(kind.clients, "publish", *words) as source:
            race.alone(source, count)
        with Process(kind.clients, "consume", *words) as sink:
            return race.alone(sink, count)[0]


def beside(kind: Kind, rate: float, ours: float) -> Beside:
    """Its line in the table: never a number that was not measured."""
    if not rate:
        return Beside(kind.name, f"not measured: {kind.program} is not installed", "–")
    return Beside(kind.name, f"{rate:,.0f}/s", f"1 : {rate / ours:.2g}")


def note(kind: Kind) -> str:
    """What its answers are worth."""
    if kind.missing:
        return f"{kind.name}: not measured, because Debian's package {kind.program} is not installed"
    return f"when {kind.name} ({version(kind.program, kind.version)}) answers: {kind.synced}"
