"""The model of a network: labels, and the reports of both ends of a link."""

from chatctl.commands.topo.network import Network, count_text, round_trip_text
from tests.harness.topologies import FIVE, RING, node_id, topology


def test_each_link_is_there_once_and_known_at_both_ends() -> None:
    network = Network(topology(FIVE, RING))
    assert len(network.links) == 5
    assert all(len(node.links) == 2 for node in network.nodes)
    assert all(link.other_end(link.ends[0]) is link.ends[1] for link in network.links)


def test_a_link_is_up_when_all_that_say_anything_say_so() -> None:
    for states, status, up, perhaps in (
        ({}, {}, True, True),
        ({("a", "b"): "down"}, {}, False, True),
        ({("b", "a"): "no link"}, {}, False, True),
        ({}, {"b": "silent"}, True, True),
        ({}, {"b": "private"}, True, True),
        ({("a", "b"): "dialing"}, {"b": "unasked"}, False, False),
    ):
        (link,) = Network(topology(["a", "b"], [("a", "b")], states=states, status=status)).links
        assert (link.up, link.maybe_up) == (up, perhaps)


def test_of_two_ends_that_say_not_up_the_one_that_says_more_is_shown() -> None:
    for one, other, shown in (
        ("down", "dialing", "dialing"),
        ("down", "no link", "down"),
        ("pending", "down", "pending"),
    ):
        states = {("a", "b"): one, ("b", "a"): other}
        (link,) = Network(topology(["a", "b"], [("a", "b")], states=states)).links
        assert link.state == shown


def test_a_node_with_the_id_of_another_in_short_has_its_whole_one() -> None:
    found = topology(["node#1", "node#2", "node#3"], [])
    found["nodes"][1]["node"] = other = node_id("node#1")[:8] + "a" * 44
    labels = [node.label for node in Network(found).nodes]
    assert labels == [f"node~{node_id('node#1')}", f"node~{other}", f"node~{node_id('node#3')[:8]}"]


def test_a_name_that_looks_like_that_of_another_gets_no_chance() -> None:
    found = topology(["node#1", "node#2", "x"], [])
    found["nodes"][2]["name"] = f"node~{node_id('node#1')[:8]}"
    labels = [node.label for node in Network(found).nodes]
    assert len(set(labels)) == 3


def test_links_to_nobody_that_is_known_are_left_out() -> None:
    found = topology(["a", "b"], [("a", "b")])
    found["nodes"].pop()
    assert Network(found).links == []


def test_numbers_and_words() -> None:
    assert [count_text(number, "link") for number in (0, 1, 2)] == ["0 links", "1 link", "2 links"]
    assert [round_trip_text(ms) for ms in (None, 0.04, 99.94, 100, 1234.5)] == [
        "? ms",
        "0.0 ms",
        "99.9 ms",
        "100 ms",
        "1234 ms",
    ]
