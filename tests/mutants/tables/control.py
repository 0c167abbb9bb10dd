"""Mutants of `chatd/control/`: sessions, responses, methods, the Unix socket."""

from tests.mutants.mutant import Mutant, caught_by, simulation

MUTANTS = (
    Mutant(
        "pipelined sends are accepted where the journal is lost",
        "chatd.control.dispatch:Dispatcher._start_many",
        "method.many is None or self._stopping or self._node.journal.lost or len(requests) == 1",
        "method.many is None or self._stopping or len(requests) == 1",
        caught_by("tests/control/methods/test_lost.py::test_pipelined_neighbours_are_refused_one_by_one"),
    ),
    Mutant(
        "a send is answered before its commit",
        "chatd.control.responses:Responses.is_due",
        "self.batch is None or self.batch.done",
        "True",
        caught_by("tests/control/test_session.py::test_no_send_is_answered_before_its_commit_and_nothing_overtakes_it"),
    ),
    Mutant(
        "a write to the client moves the consumer's cursor",
        "chatd.control.subscription:Subscription.pull",
        "self.reader.add_sent([entry.seq for entry in entries])",
        "self.reader.consumer.seq = through",
        simulation(20, "consumers", "hasty"),
    ),
    Mutant(
        "a name that two nodes announce satisfies a wait",
        "chatd.control.methods.link_conditions:_Nodes._distant_node",
        "len(candidates) > 1 or len(meant) < len(candidates)",
        "len(meant) < len(candidates)",
        caught_by("tests/control/methods/test_link_conditions.py"),
    ),
    Mutant(
        "a node that is shown with its id only is not there",
        "chatd.control.methods.link_conditions:_Nodes._distant_node",
        "len(candidates) > 1 or len(meant) < len(candidates)",
        "len(candidates) > 1",
        caught_by("tests/control/methods/test_link_conditions.py"),
    ),
    Mutant(
        "a peer whose id begins like the name of a far node is taken for it",
        "chatd.control.methods.link_conditions:_Nodes._peer",
        "node is None or node.name == end or not node.node.startswith(end) or not others",
        "node is None or node.name == end or others == others",
        caught_by("tests/control/methods/test_link_conditions.py"),
    ),
    Mutant(
        "the beginning of an id that no link has proven is certain",
        "chatd.control.methods.link_conditions:_Nodes._distant_node",
        "_EndMatch(meant[0] if meant else None, sure=False)",
        "_EndMatch(meant[0] if meant else None, sure=len(end) >= STRANGER_PREFIX)",
        caught_by("tests/control/methods/test_link_conditions.py"),
    ),
    Mutant(
        "the id of a stranger ends a wait for a node with that name",
        "chatd.control.methods.wait:_up",
        'error.kind != "unknown_peer"',
        'error.kind != "unknown_peer" or error.details.get("reason") == SHORT_PREFIX',
        caught_by(
            "tests/control/methods/test_wait.py::test_a_stranger_whose_id_begins_like_a_name_does_not_end_the_wait_for_it"
        ),
    ),
    Mutant(
        "a request that was read while its session was evicted is done",
        "chatd.control.session:Session._read",
        "self.farewell is not None",
        "False",
        caught_by(
            "tests/control/test_server.py::test_a_request_that_crosses_an_eviction_is_done_and_answered_or_neither"
        ),
    ),
    Mutant(
        "a session that waits for events counts as idle",
        "chatd.control.session:Session.idle_since",
        "self._starting or self._requests.open_count or self._responses or self.subscriptions",
        "self._starting or self._requests.open_count or self._responses",
        caught_by(
            "tests/control/test_server.py::test_at_the_bound_the_session_that_was_idle_for_longest_gives_up_its_place"
        ),
    ),
    Mutant(
        "a session with an open request counts as idle",
        "chatd.control.session:Session.idle_since",
        "self._starting or self._requests.open_count or self._responses or self.subscriptions",
        "self._starting or self._responses or self.subscriptions",
        caught_by(
            "tests/control/test_server.py::test_at_the_bound_the_session_that_was_idle_for_longest_gives_up_its_place"
        ),
    ),
    Mutant(
        "in the reserve everything is answered",
        "chatd.control.session:Session._refusal_of",
        "self.reserved and method not in OPERATOR_METHODS",
        "False",
        caught_by("tests/control/test_server.py::test_any_other_request_is_refused_in_the_reserve_and_not_done"),
    ),
    Mutant(
        "silent clients keep operators out",
        "chatd.control.session_limit:SessionLimit.free_reserve",
        """
        silent.treat_as_ordinary()
        self._reserve.pop(silent, None)
        """,
        "pass",
        caught_by("tests/control/test_server.py::test_silent_clients_do_not_keep_operators_out"),
    ),
    Mutant(
        "what a refused client still writes resets its connection",
        "chatd.control.server:ControlServer._supervise",
        "self._closing.shut_down(sock, farewell)",
        "sock.send(farewell)",
        caught_by("tests/control/test_server.py::test_a_refused_client_reads_its_refusal_whatever_it_writes"),
    ),
    Mutant(
        "a control socket that cannot be made for lack of descriptors ends the node",
        "chatd.control.unix:bind",
        "_make_socket(path)",
        "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
        caught_by(
            "tests/control/test_unix.py::test_a_socket_for_which_there_is_no_descriptor_is_a_failure_in_one_line"
        ),
    ),
    Mutant(
        "a removed control socket is not made again while descriptors are short",
        "chatd.control.server:ControlServer.bind_again",
        "self._acceptor.lend_spare()",
        "",
        caught_by(
            "tests/control/test_server.py::test_without_descriptors_a_removed_socket_is_made_again_with_one_that_was_held_back"
        ),
    ),
    Mutant(
        "the log counts the reserve among the sessions that are taken",
        "chatd.control.server:ControlServer._serve_client",
        "self._node.config.sessions",
        "len(self._sessions)",
        caught_by("tests/control/test_server.py::test_the_log_counts_the_sessions_that_are_set_and_not_the_reserve"),
    ),
    Mutant(
        "a page of history reads all events from disk, whatever was asked for",
        "chatd.control.methods.history:history",
        "_collect(node, selection.select, selection.stream_id, after or 0, end, params.n, selection.where)",
        "_collect(node, selection.select, selection.stream_id, after or 0, end, params.n)",
        caught_by(
            "tests/control/methods/test_history.py::test_of_many_events_only_those_that_are_asked_for_are_read_from_disk"
        ),
    ),
    Mutant(
        "the newest events of a kind are sought among all events",
        "chatd.control.selection:search_start",
        "seek_last(journal, n, selection.matches, selection.stream_id, heads=selection.heads, where=selection.where)",
        "seek_last(journal, n, selection.matches, selection.stream_id, heads=selection.heads)",
        caught_by(
            "tests/control/methods/test_history.py::test_of_many_events_only_those_that_are_asked_for_are_read_from_disk"
        ),
    ),
    Mutant(
        "the id of a request that cannot be encoded ends the session",
        "chatd.control.jsonrpc:_id_of",
        "isinstance(id_, str) and not id_.isprintable()",
        "False",
        caught_by("tests/control/test_jsonrpc.py::test_an_id_with_a_lone_surrogate_comes_back"),
    ),
    Mutant(
        "a group for the control socket lets everybody in",
        "chatd.control.unix:Credentials.may_enter",
        "gid is not None and gid in self.groups",
        "gid is not None",
        caught_by("tests/control/test_unix.py::test_the_same_user_root_and_the_group_may_enter"),
    ),
)
