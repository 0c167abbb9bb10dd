"""examples/networks/generate: what it writes, and what it says when it cannot. Whether it runs: test_networks.py."""

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.children import ROOT
from tests.harness.networks import FOLDER, GENERATE, generate, generate_alone, links, words_of
from tests.harness.processes import environment, run

COMMITTED = ["ring.yml", "star.yml", "mesh.yml", "partition/compose.yml"]


def _variables(text: str) -> dict[str, str]:
    """The settings of every node."""
    return dict(re.findall(r'^  (CHATD_\w+): "(.*)"$', text, re.MULTILINE))


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_file_is_what_the_script_writes_in_a_checkout_without_anything_else(
    name: str, tmp_path: Path
) -> None:
    script = tmp_path / "examples" / "networks" / "generate"
    script.parent.joinpath("partition").mkdir(parents=True)
    shutil.copy(GENERATE, script)
    (tmp_path / "Dockerfile").touch()
    done = generate_alone(script, *words_of(FOLDER / name), "-o", str(script.parent / name))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (script.parent / name).read_text(encoding="utf-8") == (FOLDER / name).read_text(encoding="utf-8")


def test_all_committed_files_are_compared() -> None:
    assert sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yml")) == sorted(COMMITTED)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("line 3", "node1-node2,node2-node3"),
        ("ring 3", "node1-node2,node1-node3,node2-node3"),
        ("ring 2", "node1-node2"),
        ("ring 1", ""),
        ("star 4", "node1-node2,node1-node3,node1-node4"),
        ("mesh 4", "node1-node2,node1-node3,node2-node3,node1-node4,node2-node4,node3-node4"),
        ("tree 6", "node1-node2,node1-node3,node2-node4,node2-node5,node3-node6"),
        ("tree 5 --branches 3", "node1-node2,node1-node3,node1-node4,node2-node5"),
        ("line --names alice,bob-1", "alice-bob-1"),
    ],
)
def test_the_links_are_those_of_the_topology(words: str, expected: str) -> None:
    assert links(*words.split()) == expected


def test_a_random_network_is_connected_has_the_degree_and_is_the_same_again() -> None:
    found = links("random", "60", "--degree", "4", "--seed", "7")
    pairs = [tuple(link.split("-")) for link in found.split(",")]
    assert len(set(pairs)) == 120
    reached = {"node1"}
    for _ in pairs:
        reached |= {name for pair in pairs for name in pair if reached & set(pair)}
    assert len(reached) == 60
    assert max(Counter(name for pair in pairs for name in pair).values()) < 20
    assert links("random", "60", "--degree", "4", "--seed", "7") == found
    assert links("random", "60", "--degree", "4", "--seed", "8") != found
    assert len(links("random", "5", "--degree", "100").split(",")) == 10


def test_each_link_is_dialed_by_the_later_of_its_two_nodes() -> None:
    text = generate("ring", "4").stdout
    dials = dict(
        re.findall(r"^    hostname: (\w+)\n    environment:\n.*\n      CHATD_PEERS: (.*)$", text, re.MULTILINE)
    )
    assert dials == {"node2": "node1", "node3": "node2", "node4": "node1,node3"}


def test_faults_and_settings_are_those_of_every_node_and_chatd_takes_them(tmp_path: Path) -> None:
    text = generate(
        *("star", "3", "--delay", "20ms", "--jitter", "5ms", "--loss", "1.5%", "--rate", "512kbit"),
        *("--set", "ping_after=1s", "--set", "log_format=json"),
    ).stdout
    found = _variables(text)
    assert found == {
        "CHATD_ALLOW_FAULTS": "1",
        "CHATD_LINK_FAULTS": "* out.delay=20ms out.jitter=5ms out.loss=1.5% out.rate=512kbit",
        "CHATD_PING_AFTER": "1s",
        "CHATD_LOG_FORMAT": "json",
    }
    assert text.count("<<: *settings") == 2
    assert "  environment: *settings" in text
    status, _, err = run("chatd.__main__", ["--check-config"], environment(tmp_path, **found))
    assert status == 0, err


def test_what_compose_would_fill_in_is_left_as_it_was_said() -> None:
    found = _variables(generate("line", "2", "--set", 'name_of="$HOME"').stdout)
    assert found["CHATD_NAME_OF"] == r"\"$$HOME\""


def test_the_image_is_built_from_the_checkout_wherever_the_file_lies(tmp_path: Path) -> None:
    assert generate("ring", "3", "-o", str(tmp_path / "net.yml")).returncode == 0
    (context,) = re.findall(r"^    build: (.*)$", (tmp_path / "net.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert os.path.samefile(tmp_path / context, ROOT)
    assert "# Written by examples/networks/generate ring 3\n" in (tmp_path / "net.yml").read_text(encoding="utf-8")
    (context,) = re.findall(r"^    build: (.*)$", generate("ring", "3", folder=tmp_path).stdout, re.MULTILINE)
    assert os.path.samefile(tmp_path / context, ROOT)


def test_a_large_network_is_asked_less_often_how_it_is() -> None:
    assert "healthcheck" not in generate("mesh", "10").stdout
    text = generate("mesh", "200").stdout
    assert "healthcheck: {interval: 200s, timeout: 60s}" in text
    assert text.count("<<: *node") == 200
    assert sum(line.count(",") + 1 for line in text.splitlines() if "CHATD_PEERS: " in line) == 19900


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "the following arguments are required: TOPOLOGY"),
        ("cube 3", "invalid choice: 'cube' (choose from 'line', 'ring', 'star', 'mesh', 'tree', 'random')"),
        ("ring", "say how many nodes, like `generate ring 5`, or give --names"),
        ("ring 0", "'0': expected a number from 1 on"),
        ("ring 201", "201 nodes: 200 at most"),
        ("ring 99999999999", "99999999999 nodes: 200 at most"),
        ("ring 3 --names a,b", "3 nodes, but --names has 2"),
        ("ring --names a,b,a", "a is there twice"),
        ("ring --names a,,b", "'' cannot be a node"),
        ("ring --names alice,yes", "'yes' cannot be a node"),
        ("ring --names alice,x-b", "'x-b' cannot be a node"),
        ("ring 3 --delay fast", "'fast': expected a duration like 200ms or 2s"),
        ("ring 3 --loss 100%", "expected a share of less than 100%"),
        ("ring 3 --rate 1x", "expected bytes a second"),
        ("ring 3 --set ping_after", "expected NAME=VALUE"),
        ("ring 3 --set peers=node9", "peers is set already"),
        ("ring 3 --delay 1s --set link_faults=x", "link_faults is set already"),
        ("ring 3 --project No", "--project: 'No'"),
        ("ring 3 -o /dev/null/x", "/dev/null/x: Not a directory"),
        ("ring 3 --no-such-thing", "unrecognized arguments: --no-such-thing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words: str, said: str) -> None:
    done = generate(*words.split())
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("generate: ")
    assert said in done.stderr


def test_outside_of_a_checkout_it_says_so(tmp_path: Path) -> None:
    script = tmp_path / "a" / "b" / "generate"
    script.parent.mkdir(parents=True)
    shutil.copy(GENERATE, script)
    done = generate_alone(script, "ring", "3")
    assert (done.returncode, done.stdout) == (2, "")
    assert "run it where it is in a checkout of chatd" in done.stderr


def test_what_the_documents_show_can_be_written(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    shown = [line.partition("|")[0].split() for line in page.splitlines() if line.startswith("    generate ")]
    assert len(shown) == 5
    for _, *words in shown:
        done = generate(*words, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in tmp_path.iterdir()} == {"net.yml", "tree.yml", "far.yml", "quick.yml"}


def test_help_says_all_that_there_is() -> None:
    done = generate("--help")
    assert done.returncode == 0
    for option in ("--names", "--degree", "--seed", "--branches", "--delay", "--jitter", "--loss", "--rate", "--set"):
        assert option in done.stdout
