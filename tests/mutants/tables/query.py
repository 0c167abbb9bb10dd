"""Mutants of `chatd/net/topology/` and `chatd/query/`: questions to other nodes, traces, filters."""

from tests.mutants.mutant import Mutant, caught_by

MUTANTS = (
    Mutant(
        "a question goes round in circles",
        "chatd.net.topology.explorer:Explorer._receive_explore",
        "frame.hops > before",
        "True",
        caught_by("tests/net/topology/test_explorer.py::test_a_mesh_says_everything_twice_and_is_asked_once"),
    ),
    Mutant(
        "a question goes as far as there are links",
        "chatd.net.topology.explorer:Explorer._forward",
        "hops - 1",
        "hops",
        caught_by("tests/net/topology/test_explorer.py::test_a_line_of_thirty_is_found_to_its_end"),
    ),
    Mutant(
        "who is deep inside has as much time as who asks",
        "chatd.net.topology.explorer:Explorer._forward",
        "(within * SHARE) * 1000 - (link.peer.rtt_ms or 0.0)",
        "within * 1000",
        caught_by(
            "tests/net/topology/test_explorer.py::test_a_silent_node_takes_the_time_that_was_given_and_nothing_else"
        ),
    ),
    Mutant(
        "a node is believed whoever speaks in its name",
        "chatd.net.topology.graph:NetworkGraph.add",
        "report is None or report.link is not link or report.whole",
        "report is None or report.whole",
        caught_by(
            "tests/net/topology/test_graph.py::test_pages_of_one_way_are_put_together_and_those_of_another_are_not"
        ),
    ),
    Mutant(
        "a neighbour is believed whoever speaks in its name",
        "chatd.net.topology.graph:NetworkGraph.add",
        "self._neighbours.get(frame.node, link) is not link",
        "frame.node == self._node",
        caught_by(
            "tests/net/topology/test_explorer.py::test_a_neighbour_is_heard_from_itself_and_not_from_who_speaks_in_its_name"
        ),
    ),
    Mutant(
        "a node passes on what is said in its name",
        "chatd.net.topology.explorer:Explorer.receive",
        "frame.node == self._node",
        "not frame.node",
        caught_by(
            "tests/adversary/test_topology.py::test_what_a_liar_says_of_others_changes_neither_the_asker_nor_its_neighbours"
        ),
    ),
    Mutant(
        "everybody is told of everybody's messages",
        "chatd.query.trace:MessageTraces.visible_to",
        "entry.stream_id == peer.stream_id",
        "entry.stream_id",
        caught_by("tests/net/native/test_queries.py::test_of_others_messages_nothing_is_told"),
    ),
    Mutant(
        "who has asked waits on when the link has ended",
        "chatd.net.native.queries:Queries.close",
        """
        for question in self._questions.values():
            question.answered.set()
        """,
        "",
        caught_by(
            "tests/net/native/test_queries.py::test_who_waits_is_told_when_the_link_ends_and_then_nobody_is_asked"
        ),
    ),
    Mutant(
        "what came twice counts as two different messages",
        "chatd.query.tally:RangeTally._count",
        "not bits[place] & bit",
        "bits",
        caught_by("tests/query/test_tally.py"),
    ),
    Mutant(
        "a question that returns with equal hops is asked again",
        "chatd.net.topology.explorer:Explorer._receive_explore",
        "frame.hops > before",
        "frame.hops >= before",
        caught_by("tests/net/topology/test_explorer.py::test_a_question_that_returns_with_equal_hops_is_over_at_once"),
    ),
    Mutant(
        "every peer is told of every message",
        "chatd.query.trace:MessageTraces.visible_to",
        "entry.stream_id == peer.stream_id",
        "entry.stream_id",
        caught_by("tests/adversary/test_counts.py"),
    ),
    Mutant(
        "a filter hides gaps",
        "chatd.query.filters:column_tests",
        "[*wanted.types, ALWAYS]",
        "wanted.types",
        caught_by("tests/query/test_filters.py"),
    ),
)
