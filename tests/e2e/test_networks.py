"""The test networks of examples/networks/ on a real engine: each comes up as drawn, and is broken and healed."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.children import ROOT
from tests.harness.compose import LIMIT_S, Compose, Json
from tests.harness.networks import FOLDER, generate, links, words_of

pytestmark = [pytest.mark.long, pytest.mark.deadline(300), pytest.mark.usefixtures("engine")]

PARTITION_S = 20.0
RECONNECT_S = 35.0
PACE_S = 0.05  # between two messages of a stream
DEMO = FOLDER / "partition" / "demo"
NO_LOSS = "Nothing was lost, nothing came twice, and the order was kept."


@contextmanager
def running(file: Path) -> Iterator[Compose]:
    """The network of that file, healthy and linked as it was drawn."""
    network = Compose(file)
    try:
        network("up", "-d", "--wait")
        assert {container["State"]["Health"]["Status"] for container in network.containers()} == {"healthy"}
        network.ctl("node1", "wait", "topo", links(*words_of(file)), "--timeout", "120s")
        yield network
    finally:
        network.remove()


def up(topology: Json) -> set[frozenset[str]]:
    """The links that are up, each as the names of its two ends."""
    return {
        frozenset((node["name"], link["name"]))
        for node in topology["nodes"]
        for link in node["links"]
        if link["state"] == "up"
    }


def pairs(words: list[str]) -> list[tuple[str, str]]:
    """The links of a network; its nodes are node1, node2, …"""
    return [(one, other) for one, _, other in (link.partition("-") for link in links(*words).split(","))]


def one_message_goes_over(network: Compose, sender: str, receiver: str) -> None:
    """It is delivered, and it is the one that arrives."""
    sent = network.ctl(sender, "send", "--wait", "delivered", "--timeout", "30s", receiver, "hi")
    (message,) = network.events(receiver, "history", sender)
    assert (message["text"], message["direction"]) == ("hi", "in")
    assert message["global_id"] == f"{message['peer']['node']}/{sent['id']}"


def is_as_drawn(network: Compose, words: list[str]) -> None:
    """Every node knows the whole network, and the last of its links carries a message."""
    expected = pairs(words)
    names = {name for pair in expected for name in pair}
    for name in ("node1", f"node{len(names)}"):
        topology = network.ctl(name, "topo")
        assert topology["complete"]
        assert topology["nodes"][0]["name"] == name
        assert {(node["name"], node["status"]) for node in topology["nodes"]} == {(each, "answered") for each in names}
        assert up(topology) == {frozenset(pair) for pair in expected}
    one_message_goes_over(network, *expected[-1])


@pytest.mark.parametrize("name", ["star.yml", "mesh.yml"])
def test_a_committed_network_comes_up_as_it_was_drawn(name: str) -> None:
    with running(FOLDER / name) as network:
        is_as_drawn(network, words_of(FOLDER / name))
        assert all(container["HostConfig"]["PortBindings"] in (None, {}) for container in network.containers())


@pytest.mark.parametrize("words", ["tree 6", "random 6 --degree 3 --seed 2", "line 4 --delay 20ms --loss 1%"])
def test_a_generated_network_comes_up_as_it_was_drawn(words: str, tmp_path: Path) -> None:
    file = tmp_path / "network.yml"
    assert generate(*words.split(), "-o", str(file)).returncode == 0
    with running(file) as network:
        is_as_drawn(network, words.split())
        if "--delay" in words:
            *_, summary = network.events("node1", "ping", "node2", "-c", "10", "-i", "100ms")
            assert 40 <= summary["min_ms"] < 75  # there and back, delayed once each way


class Streams:
    """Every node talks to both neighbours, one message each time, until it is told to stop."""

    def __init__(self, network: Compose, ways: list[tuple[str, str]]) -> None:
        self.written: dict[tuple[str, str], list[str]] = {way: [] for way in ways}
        self._feeds = {way: network.feed(way[0], "chatctl", "send", way[1], "-") for way in ways}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        number = 0
        while not self._ended.wait(PACE_S):
            for way, feed in self._feeds.items():
                text = f"{way[0]} to {way[1]}: {number}"
                assert feed.stdin is not None
                feed.stdin.write(f"{text}\n")
                feed.stdin.flush()
                self.written[way].append(text)
            number += 1

    def end(self) -> None:
        """Stop, and see that all of it was accepted."""
        self._ended.set()
        self._thread.join()
        for feed in self._feeds.values():
            _, said = feed.communicate(timeout=LIMIT_S)
            assert feed.returncode == 0, said

    def kill(self) -> None:
        """Leave nothing behind."""
        self._ended.set()
        self._thread.join()
        for feed in self._feeds.values():
            if feed.poll() is None:
                feed.kill()
                feed.communicate()


def conversation(network: Compose, service: str, peer: str, direction: str) -> list[tuple[str, str]]:
    """Global ids and texts of what a node sent to a peer, or got from it, in the order of its journal."""
    events = network.events(service, "history", peer, "-n", "1000000")
    return [(event["global_id"], event["text"]) for event in events if event["direction"] == direction]


def test_a_ring_that_is_cut_in_two_for_twenty_seconds_loses_nothing_and_keeps_the_order() -> None:
    file = FOLDER / "ring.yml"
    ring = pairs(words_of(file))
    ways = [way for one, other in ring for way in ((one, other), (other, one))]
    broken = [("node2", "node3"), ("node5", "node1")]
    across = [way for one, other in broken for way in ((one, other), (other, one))]
    with running(file) as network:
        is_as_drawn(network, words_of(file))
        before = {way: conversation(network, *way, "out") for way in ways}
        streams = Streams(network, ways)
        try:
            for one, other in ways:
                network.events(other, "tail", one, "-n", "1000", "--count", "10", "--timeout", "60s")
            for one, other in broken:
                network.ctl(one, "link", other, "--cut")
            began = time.monotonic()
            silent = network.ctl("node1", "topo", "--timeout", "2s")
            assert {node["name"] for node in silent["nodes"] if node["status"] == "answered"} == {"node1", "node2"}
            assert not silent["complete"]
            arrived = {way: len(conversation(network, way[1], way[0], "in")) for way in across}
            time.sleep(max(0.0, began + PARTITION_S - time.monotonic()))
            for way in across:
                assert len(conversation(network, way[1], way[0], "in")) == arrived[way]
                assert len(conversation(network, *way, "out")) > arrived[way] + PARTITION_S / PACE_S / 4
            healed = time.monotonic()
            for one, other in broken:
                network.ctl(one, "link", other, "--heal")
            for one, other in across:
                network.ctl(one, "send", "--wait", "delivered", "--timeout", "90s", other, "through")
            took = time.monotonic() - healed
            streams.end()
        finally:
            streams.kill()
        for node in {one for one, _ in ways}:
            network.ctl(node, "wait", "outbox-empty", "--timeout", "60s")
        network.ctl("node1", "wait", "topo", links(*words_of(file)), "--timeout", "60s")
        for way in ways:
            sent = conversation(network, *way, "out")[len(before[way]) :]
            assert [text for _, text in sent if text != "through"] == streams.written[way]
            assert len(set(sent)) == len(sent)
            assert before[way] + sent == conversation(network, way[1], way[0], "in")
    print(f"delivered {took:.1f} s after the heal; {sum(map(len, streams.written.values()))} messages")
    assert took < RECONNECT_S


def test_the_partition_demo_shows_that_nothing_was_lost_and_removes_what_it_made() -> None:
    network = Compose(FOLDER / "partition" / "compose.yml")
    try:
        done = subprocess.run(
            [str(DEMO)],
            cwd=ROOT,
            env={**network.environment, "COMPOSE_PROJECT_NAME": network.project},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        assert done.stdout.splitlines()[-1] == NO_LOSS
        assert network("ps", "--all", "--quiet").split() == []
        assert network.docker("volume", "ls", "--quiet", "--filter", f"name={network.project}").split() == []
    finally:
        network.remove()
