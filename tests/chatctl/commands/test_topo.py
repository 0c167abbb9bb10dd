"""`chatctl topo` and `wait topo`: requests and output."""

import json

import pytest

from tests.chatctl.conftest import Chatctl
from tests.harness.fake_daemon import FakeDaemon, refusing
from tests.harness.topologies import FIVE, RING, topology


@pytest.fixture(autouse=True)
def ring(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    daemon.on["topo"] = topology(FIVE, RING)


def test_the_network_is_drawn(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ran = chatctl("topo")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("5 nodes, 5 links (0.03 s)\n\nalice\n├── bob        0.4 ms\n")
    assert daemon.params("topo") == [{}]


def test_hops_and_time_are_bounded(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("topo", "--hops", "3", "--timeout", "500ms").status == 0
    (params,) = daemon.params("topo")
    assert params["hops"] == 3
    assert 0.3 < params["timeout"] <= 0.5
    assert chatctl("topo", "--hops", "65").status == 2


def test_json_is_what_the_daemon_says(chatctl: Chatctl) -> None:
    assert chatctl("topo", "--json").records == [topology(FIVE, RING)]
    assert chatctl("--json", "topo").records == [topology(FIVE, RING)]


def test_graphs_are_printed(chatctl: Chatctl) -> None:
    assert chatctl("topo", "--dot").out.startswith("graph chatd {\n")
    assert chatctl("topo", "--mermaid").out.startswith("graph LR\n")


@pytest.mark.parametrize("argv", [("--dot", "--mermaid"), ("--json", "--dot"), ("--json", "--mermaid")])
def test_one_kind_of_output_excludes_the_others(daemon: FakeDaemon, chatctl: Chatctl, argv: tuple[str, str]) -> None:
    ran = chatctl("topo", *argv)
    assert (ran.status, ran.out) == (2, "")
    assert "--json, --dot and --mermaid exclude each other" in ran.err
    assert daemon.requests == []


def test_silent_nodes_are_no_failure(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["topo"] = topology(FIVE, RING, status={"carol": "silent"})
    ran = chatctl("topo")
    assert ran.status == 0
    assert "1 node silent" in ran.out
    assert "carol  0.4 ms  (no answer)" in ran.out


def test_that_there_is_more_is_noted(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["topo"] = topology(FIVE, RING, status={"carol": "unasked"})
    assert chatctl("topo").err == "too far away to be asked: 1 node; --hops N asks further\n"
    gone = topology(FIVE, [("alice", "bob")], status=dict.fromkeys(FIVE[2:], "unasked"))
    daemon.on["topo"] = gone
    assert chatctl("topo").err == ""


def test_a_daemon_that_refuses_is_believed(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["topo"] = refusing("rate_limited", 402, "64 explorations are under way")
    assert chatctl("topo").status == 5


def test_links_are_waited_for(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    daemon.on["wait"] = {"peers": []}
    ran = chatctl("wait", "topo", "alice-bob,!bob-carol")
    assert (ran.status, ran.out) == (0, "alice-bob,!bob-carol\n")
    assert daemon.params("wait") == [{"for": "topo", "links": "alice-bob,!bob-carol"}]
    assert json.loads(chatctl("wait", "topo", "a-b", "--json", "--timeout", "2s").out) == {"peers": []}
    assert daemon.params("wait")[1]["timeout"] <= 2
    daemon.on["wait"] = refusing("invalid_params", -32602, "'x' is no link between two nodes")
    assert chatctl("wait", "topo", "x").status == 2
