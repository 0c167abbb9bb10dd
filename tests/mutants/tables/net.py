"""Mutants of `chatd/net/`: dialing, accepting, native and plain links, room ports."""

from tests.mutants.mutant import Mutant, caught_by, simulation

MUTANTS = (
    Mutant(
        "what was not taken is passed over once the journal is back",
        "chatd.net.native.link:NativeLink._is_accepting",
        "self._has_gap or self._journal.lost",
        "self._journal.lost",
        caught_by(
            "tests/net/native/test_link.py::test_after_a_frame_that_was_not_taken_no_other_is_and_the_link_ends_when_the_journal_is_back"
        ),
    ),
    Mutant(
        "an acknowledgement goes out before the commit",
        "chatd.net.native.receiving:Receiver.acknowledgements",
        "self._journal.watermarks.committed_in",
        "self._journal.watermarks.appended",
        caught_by(
            "tests/faults/test_promises.py::test_no_acknowledgement_goes_out_before_the_commit_whatever_else_does"
        ),
    ),
    Mutant(
        "a link that its side has lost lives on beside the next one",
        "chatd.net.native.handshake:_drop_lost_links",
        'link.drop("replaced by a new link")',
        "continue",
        caught_by(
            "tests/integration/test_duplicates.py::test_the_first_link_is_dropped_before_anything_is_read_from_the_second"
        ),
    ),
    Mutant(
        "two links share one send cursor",
        "chatd.net.native.sending:SendCursor.start",
        "self.position = self._rooms_through = seq",
        "self.position = self._rooms_through = max(seq, self._peer.delivery.written)",
        caught_by("tests/faults/test_promises.py::test_each_of_two_links_sends_everything_from_its_own_start"),
    ),
    Mutant(
        "what is behind an expired message is written before the expiry is committed",
        "chatd.net.native.sending:SendCursor.next",
        """
        if delivery.uncommitted_end is not None:
            return []
        """,
        "",
        caught_by("tests/net/native/test_sending.py::test_a_rejection_is_on_disk_before_anything_behind_it_is_written"),
    ),
    Mutant(
        "what is private is told to all members",
        "chatd.net.room_updates:RoomUpdates.frame_for",
        "node not in (message.to_node, message.peer.node)",
        "not node",
        simulation(20, "rooms", "private"),
    ),
    Mutant(
        "what a member said is told to all others as if they had said it",
        "chatd.net.room_updates:RoomUpdates.frame_for",
        "message.peer.node == node",
        "message.peer.node",
        simulation(10, "rooms"),
    ),
    Mutant(
        "nobody is told what retention took from a room",
        "chatd.net.native.sending:SendCursor._merge_room_events",
        """
        if is_below_floor:
            self._add_missing(by_seq, min(through, floor))
        """,
        """
        if is_below_floor and not by_seq:
            self._add_missing(by_seq, min(through, floor))
        """,
        simulation(40, "rooms", "short"),
    ),
    Mutant(
        "what was accepted and closed while cut is closed by who accepted it",
        "chatd.net.listener:Listener._serve",
        "self._faults.wait_closed(stream)",
        "trio.lowlevel.checkpoint()",
        caught_by("tests/integration/test_faults.py::test_a_plain_peer_that_is_cut_hears_nothing_not_even_the_end"),
    ),
    Mutant(
        "a peer may use the epoch of this node's own journal",
        "chatd.net.native.receiving:Receiver._check_epochs",
        "self._journal.epoch in {frame.epoch for frame in frames}",
        "not frames",
        caught_by(
            "tests/net/native/test_receiving.py::test_our_own_present_epoch_in_a_peers_frame_is_a_protocol_error"
        ),
    ),
    Mutant(
        "a reply is sent with the id that the message has here",
        "chatd.net.native.sending:frames_of",
        "position_part(answered_id)",
        "message.re",
        caught_by("tests/integration/test_ask.py::test_answers_find_their_questions_in_whatever_order_they_come"),
    ),
    Mutant(
        "two that come in one tick drop the same one",
        "chatd.net.listener:Listener._unauthenticated_place",
        "del self._unauthenticated[oldest]",
        "",
        caught_by("tests/net/test_listener.py::test_each_of_two_that_come_in_one_tick_drops_another_one"),
    ),
    Mutant(
        "a link is dead whose reader waits for the disk",
        "chatd.net.native.link:NativeLink._wait_for_journal",
        'scope.deadline = float("inf")',
        "",
        caught_by(
            "tests/net/native/test_link.py::test_a_reader_that_waits_long_for_the_disk_is_not_dead_and_the_peer_hears_from_it"
        ),
    ),
    Mutant(
        "a peer hears nothing while its reader waits for the disk",
        "chatd.net.native.link:NativeLink._wait_for_journal",
        "self._writer.pong(0)",
        "",
        caught_by(
            "tests/net/native/test_link.py::test_while_the_journal_has_no_room_the_link_is_not_read_and_still_makes_itself_heard"
        ),
    ),
    Mutant(
        "all addresses of a peer are given up for one at which another node refuses",
        "chatd.net.dialer:Dialer._apply_refusal",
        "registry.persistent.remove(peer, None if refused.peer else address)",
        "registry.persistent.remove(peer)",
        caught_by(
            "tests/net/test_dialer.py::test_of_two_addresses_one_that_refuses_is_given_up_and_the_other_is_dialed"
        ),
    ),
    Mutant(
        "a peer that refuses is dialed at its other addresses",
        "chatd.net.dialer:Dialer._apply_refusal",
        "None if refused.peer else address",
        "address",
        caught_by("tests/net/test_dialer.py::test_a_peer_that_refuses_at_one_of_its_addresses_is_dialed_at_none"),
    ),
    Mutant(
        "all nodes redial at the same moment",
        "chatd.net.backoff:Backoff.next",
        "self._random.uniform(0, self._ceiling)",
        "self._ceiling",
        caught_by("tests/net/test_backoff.py"),
    ),
    Mutant(
        "a server that speaks other TLS is taken for a node",
        "chatd.net.native.handshake:_Handshake.authenticate",
        "self.stream.selected_alpn_protocol() != ALPN",
        "False",
        caught_by("tests/net/native/test_handshake.py::test_tls_without_our_protocol_is_no_chatd"),
    ),
    Mutant(
        "who accepts a link says a mark that is about to change",
        "chatd.net.native.handshake:as_acceptor",
        "await parts.journal.settled()",
        "",
        caught_by(
            "tests/net/native/test_handshake.py::test_hello_waits_for_the_commit_of_what_former_links_have_received"
        ),
    ),
    Mutant(
        "who dials a link says a mark that is about to change",
        "chatd.net.native.handshake:as_dialer",
        "await parts.journal.settled()",
        "",
        caught_by(
            "tests/net/native/test_handshake.py::test_hello_waits_for_the_commit_of_what_former_links_have_received"
        ),
    ),
    Mutant(
        "a Hello that has come before the cut gets through",
        "chatd.net.native.handshake:_Handshake.authenticate",
        "await self._parts.faults.wait_passable(peer)",
        "pass",
        caught_by("tests/net/native/test_handshake.py::test_no_hello_gets_through_a_cut_however_early_it_has_come"),
    ),
    Mutant(
        "a message after a failed one is written before its commit",
        "chatd.net.plain.link:PlainLink._head_is_committed",
        "return False",
        "return True",
        caught_by("tests/net/plain/test_link.py::test_a_message_after_one_whose_commit_failed_still_waits_for_its_own"),
    ),
    Mutant(
        "a line whose commit failed is written with its neighbours",
        "chatd.net.plain.link:PlainLink._write_some",
        "ends and (not lines or len(data) >= WRITE_BYTES or not batch.done or batch.error is not None)",
        "ends and (not lines or len(data) >= WRITE_BYTES or not batch.done)",
        caught_by(
            "tests/net/plain/test_link.py::test_lines_that_are_written_together_end_before_one_whose_commit_failed"
        ),
    ),
    Mutant(
        "a plain peer does not see our end before its own",
        "chatd.net.plain.link:PlainLink._shut_down",
        "self._sock.shutdown(socket.SHUT_WR)",
        "",
        caught_by("tests/net/plain/test_link.py::test_a_peer_sees_our_end_before_it_has_closed_itself"),
    ),
    Mutant(
        "who comes to a room port gets what was said before",
        "chatd.net.roomport.fanout:_Rendering.bytes_for",
        "member.since >= self._first or member.fold in self._addressed",
        "member.fold in self._addressed",
        caught_by("tests/net/roomport/test_fanout.py::test_somebody_hears_what_is_said_after_coming"),
    ),
)
