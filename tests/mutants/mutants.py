"""The mutants: each breaks one promise of the journal or of the delivery, and must be caught by what stands beside it.

A breakage is as small as the slip of a pen. When the code changes, its old text has to follow: a test looks for it.
"""

from tests.mutants.trial import Catcher, Mutant


def tests(*words: str) -> Catcher:
    """Those files or tests, long ones too, up to the first that fails."""
    return "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "long or not long", *words


def simulation(count: int, *faults: str) -> Catcher:
    """So many seeds that have these faults, up to the first that fails."""
    return "tests.mutants.seeds", str(count), *faults


JOURNAL = "chatd/journal/journal.py"
STORE = "chatd/journal/store.py"
MARKS = "chatd/journal/watermarks.py"
CHAT = "chatd/messages/chat.py"
OUTCOMES = "chatd/messages/states.py"
CONSUMERS = "chatd/messages/consumers.py"
ROOMS = "chatd/rooms/hosted.py"
DECLARATIONS = "chatd/rooms/declarations.py"
MODERATION = "chatd/rooms/moderation.py"
POSTING = "chatd/rooms/posting.py"
FOLLOWING = "chatd/rooms/following.py"
TEXTS = "chatd/net/native/sending.py"
ROOM_UPDATES = "chatd/net/room_updates.py"
INCOMING = "chatd/net/native/receiving.py"
SHAPER = "chatd/net/faults/shaper.py"
FAULTY = "chatd/net/faults/connection.py"
FAULTS = "chatd/net/faults/faults.py"
EXPLORER = "chatd/net/topology/explorer.py"
QUERIES = "chatd/net/native/queries.py"
DIRECTORY = "chatd/peers/directory.py"
SESSION = "chatd/control/session.py"

MUTANTS = (
    # -- the journal
    Mutant(
        "synchronous is NORMAL, and the power fails",
        STORE,
        'run("PRAGMA synchronous = FULL")',
        'run("PRAGMA synchronous = NORMAL")',
        tests("tests/faults/test_power_loss.py"),
    ),
    Mutant(
        "a file that is replaced counts as there",
        "chatd/journal/files.py",
        "if opened is None or inode(path) != opened]",
        "if opened is None or inode(path) is None]",
        tests("tests/journal/test_files.py"),
    ),
    Mutant(
        "one look is enough to lose the journal",
        "chatd/journal/files.py",
        "MISSES = 3 ",
        "MISSES = 1 ",
        tests("tests/journal/test_files.py", "tests/test_maintenance.py"),
    ),
    Mutant(
        "a commit does not look for the journal's files",
        STORE,
        "        self.files.check()\n        with",
        "        with",
        tests("tests/journal/test_journal_faults.py"),
    ),
    Mutant(
        "pipelined sends are accepted where the journal is lost",
        "chatd/control/dispatch.py",
        "or self._stopping or self._node.journal.lost or len",
        "or self._stopping or len",
        tests("tests/control/methods/test_lost.py"),
    ),
    Mutant(
        "what was not taken is passed over once the journal is back",
        "chatd/net/native/link.py",
        "self._has_gap = self._has_gap or self._journal.lost",
        "self._has_gap = self._journal.lost",
        tests("tests/net/native/test_link.py", "tests/integration/test_lost_storage.py"),
    ),
    Mutant(
        "a node without its files stops before its outbox is empty",
        "chatd/maintenance.py",
        "(DELIVER_S if undelivered else STOP_AFTER_S)",
        "STOP_AFTER_S",
        tests("tests/test_maintenance.py"),
    ),
    Mutant(
        "the dates of certificates are checked",
        "chatd/peers/identity.py",
        "    context.verify_flags |= NO_CHECK_TIME\n",
        "",
        tests("tests/peers/test_certificate.py::test_the_times_of_certificates_mean_nothing_to_either_end"),
    ),
    Mutant(
        "a disk that is full at the start is final",
        STORE,
        "if code == sqlite3.SQLITE_FULL or (is_unclear and _is_out_of_space(path)):",
        "if code == sqlite3.SQLITE_FULL:",
        tests("tests/integration/test_full_start.py"),
    ),
    Mutant(
        "a send is answered before its commit",
        "chatd/control/responses.py",
        "return self.batch is None or self.batch.done",
        "return True",
        tests("tests/control/test_session.py::test_no_send_is_answered_before_its_commit_and_nothing_overtakes_it"),
    ),
    Mutant(
        "who waits for a commit is told before it",
        JOURNAL,
        "            await self._runtime.in_thread(self.store.write, batch)",
        "            batch.settle(None)\n            await self._runtime.in_thread(self.store.write, batch)",
        tests("tests/journal/test_journal_faults.py::test_a_full_disk_refuses_what_was_appended_and_takes_it_later"),
    ),
    Mutant(
        "an epoch is kept across a start",
        JOURNAL,
        "        store.add_epoch(self.epoch, self.committed + 1)",
        '        known = store.query("SELECT epoch FROM epochs")\n'
        "        self.epoch = known[-1][0] if known else self.epoch\n"
        "        known or store.add_epoch(self.epoch, self.committed + 1)",
        tests("tests/journal/test_journal.py::test_every_start_begins_an_epoch_and_old_positions_stay"),
    ),
    Mutant(
        "what was appended behind a failed batch goes on",
        JOURNAL,
        "for batch in (self._committing, self._next_batch) if batch is not None]\n"
        "        self._committing, self._next_batch, self._urgent = None, Batch(), False",
        "for batch in (self._committing,) if batch is not None]\n        self._committing, self._urgent = None, False",
        tests("tests/journal/test_journal_faults.py::test_a_failed_commit_takes_what_was_appended_behind_it"),
    ),
    Mutant(
        "a mark is not committed with its message",
        STORE,
        "                run(_RAISE_WATERMARK, (node, epoch, seq))",
        "                continue",
        tests("tests/messages/test_inbox.py::test_marks_survive_a_restart_and_a_forgotten_peer"),
    ),
    Mutant(
        "a seq is given again when its event has gone",
        STORE,
        "return int(max(newest, first - 1, floor))",
        "return int(newest)",
        tests("tests/journal/test_retention.py::test_a_seq_is_never_given_twice_though_the_newest_event_is_gone"),
    ),
    # -- what was received
    Mutant(
        "an acknowledgement goes out before the commit",
        INCOMING,
        'watermark = self._journal.watermarks.committed_in(self._peer.node or "", epoch)',
        'watermark = self._journal.watermarks.appended(self._peer.node or "", epoch)',
        tests("tests/faults/test_promises.py::test_no_acknowledgement_goes_out_before_the_commit_whatever_else_does"),
    ),
    Mutant(
        "Hello says the appended mark",
        MARKS,
        "(epoch, self._committed[(node, epoch)])",
        "(epoch, self._appended[(node, epoch)])",
        tests("tests/journal/test_watermarks.py::test_an_appended_mark_is_not_said_before_it_is_committed"),
    ),
    Mutant(
        "duplicates are judged by the committed mark",
        "chatd/messages/inbox.py",
        "watermark = watermarks.get(epoch) or journal.watermarks.appended(node, epoch)",
        "watermark = watermarks.get(epoch) or journal.watermarks.committed_in(node, epoch)",
        tests("tests/messages/test_inbox.py::test_a_message_that_was_appended_is_a_duplicate_before_its_commit"),
    ),
    Mutant(
        "marks are forgotten at a restart",
        JOURNAL,
        'store.query("SELECT node, epoch, seq FROM marks ORDER BY ord")',
        "[]",
        tests("tests/messages/test_inbox.py::test_marks_survive_a_restart_and_a_forgotten_peer"),
    ),
    Mutant(
        "a link goes on after a failed batch",
        "chatd/messages/inbox.py",
        'batch.if_failed(("in", link), partial(_close, peer, link))',
        "pass",
        tests("tests/messages/test_inbox.py::test_a_full_disk_closes_every_link_of_the_peer_and_takes_its_marks_back"),
    ),
    Mutant(
        "marks stay where a failed batch has put them",
        MARKS,
        'is not on disk."""\n        self._appended = dict(self._committed)',
        'is not on disk."""',
        tests("tests/journal/test_watermarks.py::test_what_was_not_committed_is_taken_back"),
    ),
    Mutant(
        "a link that its side has lost lives on beside the next one",
        "chatd/net/native/handshake.py",
        'link.drop("replaced by a new link")',
        "continue",
        tests(
            "tests/integration/test_duplicates.py::test_the_first_link_is_dropped_before_anything_is_read_from_the_second"
        ),
    ),
    # -- what is sent
    Mutant(
        "acknowledgements are not kept",
        JOURNAL,
        'self.note(("ack", node), lambda: (ACK, (node, self.watermarks.acked[node])))',
        "return",
        tests("tests/journal/test_journal.py::test_acknowledgements_alone_wait_for_the_next_commit_or_a_flush"),
    ),
    Mutant(
        "a key is forgotten at a restart",
        "chatd/messages/keys.py",
        "        self._journal.execute(INSERT, key, *message)\n",
        "",
        tests("tests/messages/test_keys.py::test_a_key_is_known_after_a_restart"),
    ),
    Mutant(
        "two links share one send cursor",
        TEXTS,
        "        self.position = self._rooms_through = seq",
        "        self.position = self._rooms_through = max(seq, self._peer.delivery.written)",
        tests("tests/faults/test_promises.py::test_each_of_two_links_sends_everything_from_its_own_start"),
    ),
    Mutant(
        "an acknowledgement is not final",
        CHAT,
        "        if seq <= span[1]:\n            return max(acked, seq)",
        "        if seq <= span[1]:\n            return seq",
        tests("tests/messages/test_inbox.py::test_a_link_starts_at_the_later_of_mark_and_acknowledgement"),
    ),
    Mutant(
        "what is behind an expired message is written before the expiry is committed",
        TEXTS,
        "        if delivery.uncommitted_end is not None:\n            return []\n",
        "",
        tests("tests/net/native/test_sending.py::test_a_rejection_is_on_disk_before_anything_behind_it_is_written"),
    ),
    Mutant(
        "what may have been written is cancelled for good",
        OUTCOMES,
        "if not peer.delivery.may_have_written(seq):",
        "if True:",
        tests("tests/messages/test_states.py::test_what_may_have_been_written_is_only_not_sent_again"),
    ),
    Mutant(
        "what was owed is not owed after a restart",
        "chatd/peers/delivery.py",
        "        if messages > 0:\n",
        "        if messages < 0:\n",
        simulation(40, "kill"),
    ),
    Mutant(
        "that a link is open is not written down",
        "chatd/peers/delivery.py",
        "written = _OPEN if self._is_open else",
        "written =",
        tests(
            "tests/messages/test_states.py::test_what_was_in_flight_when_a_node_was_killed_is_decided_by_the_next_hello"
        ),
    ),
    # -- readers
    Mutant(
        "a write to the client moves the consumer's cursor",
        "chatd/control/subscription.py",
        "            self.reader.add_sent([entry.seq for entry in entries])",
        "            self.reader.consumer.seq = through",
        simulation(20, "consumers", "hasty"),
    ),
    Mutant(
        "an acknowledgement moves a cursor back",
        CONSUMERS,
        "UPDATE consumers SET seq = max(seq, ?), seen = ?",
        "UPDATE consumers SET seq = ?, seen = ?",
        tests("tests/messages/test_consumers.py::test_an_acknowledgement_is_cumulative_and_never_goes_back"),
    ),
    Mutant(
        "retention deletes what is owed",
        "chatd/journal/retention.py",
        'f"DELETE FROM events WHERE seq > ? AND seq <= ? AND NOT EXISTS ({_UNDELIVERED})"',
        '"DELETE FROM events WHERE seq > ? AND seq <= ?"',
        tests(
            "tests/journal/test_retention.py::test_single_rows_that_are_owed_stay_below_the_floor_until_they_are_acknowledged"
        ),
    ),
    # -- rooms
    Mutant(
        "no mark is raised for what comes of rooms",
        "chatd/rooms/router.py",
        "raise_watermarks(self._journal, node, new[:done])",
        "pass",
        tests("tests/rooms/test_posting.py::test_the_same_again_is_a_duplicate"),
    ),
    Mutant(
        "members get what happened before they came",
        "chatd/rooms/intervals.py",
        "return self.since <= seq <= self.until",
        "return seq <= self.until",
        tests("tests/net/test_room_updates.py::test_a_member_gets_what_happens_from_its_coming_to_its_going"),
    ),
    Mutant(
        "members get what happens after they went",
        "chatd/rooms/intervals.py",
        "return self.since <= seq <= self.until",
        "return self.since <= seq",
        tests("tests/net/test_room_updates.py::test_a_member_gets_what_happens_from_its_coming_to_its_going"),
    ),
    Mutant(
        "the end of a time in a room is not written down",
        ROOMS,
        "self._journal.execute(SAVE_INTERVAL, room.stream_id, member.node, member.nick, interval.since, seq)\n",
        "pass\n",
        tests("tests/rooms/test_hosted.py::test_rooms_are_as_before_after_a_restart"),
    ),
    Mutant(
        "what is private is told to all members",
        ROOM_UPDATES,
        "node not in (message.to_node, message.peer.node):",
        "not node:",
        simulation(20, "rooms", "private"),
    ),
    Mutant(
        "the host does not look who has a nick by now",
        POSTING,
        "return None if to.node == say.to_node else",
        "return None if to else",
        tests(
            "tests/integration/test_rooms.py"
            "::test_a_nick_that_has_another_owner_by_then_does_not_get_what_was_said_to_the_first"
        ),
    ),
    Mutant(
        "a refusal is not owed",
        POSTING,
        "            peer.delivery.add_refusal(batch)\n",
        "            pass\n",
        simulation(20, "rooms", "kick"),
    ),
    Mutant(
        "our own message is shown again when it comes back",
        FOLLOWING,
        "            if frame.id is not None:\n                self._append_messages",
        "            if not frame.nick:\n                self._append_messages",
        simulation(5, "rooms"),
    ),
    Mutant(
        "what a member said is told to all others as if they had said it",
        ROOM_UPDATES,
        "            if message.peer.node == node:\n",
        "            if message.peer.node:\n",
        simulation(10, "rooms"),
    ),
    Mutant(
        "a host speaks of messages that were not said in its room",
        FOLLOWING,
        "in_room = seq in peer.delivery.unechoed if reference is None else reference.room == frame.room",
        "in_room = reference is not None or seq in peer.delivery.unechoed",
        tests("tests/rooms/test_joined.py::test_no_host_speaks_of_what_was_said_to_others"),
    ),
    Mutant(
        "what was said in a room is delivered when the host has read it",
        OUTCOMES,
        "return DELIVERED if not in_room or seq <= peer.delivery.echoed else",
        "return DELIVERED if True else",
        tests("tests/rooms/test_joined.py::test_our_own_message_is_delivered_when_it_comes_back"),
    ),
    Mutant(
        "who was kicked while away is let in again",
        DECLARATIONS,
        "if not is_join and not is_member and hosted_rooms.intervals.has_past(node, name):",
        "if not node:",
        tests(
            "tests/integration/test_rooms.py"
            "::test_who_was_kicked_while_away_gets_what_was_before_and_what_it_says_is_refused"
        ),
    ),
    Mutant(
        "a member is told that it is in before that is on disk",
        DECLARATIONS,
        "return member is not None and member.since <= self._journal.committed",
        "return member is not None",
        tests("tests/net/native/test_room_sync.py::test_a_member_is_told_that_it_is_in_once_that_is_on_disk"),
    ),
    Mutant(
        "what came back is dealt with though its commit fails",
        "chatd/peers/delivery.py",
        "if batch.if_failed(key, partial(self._revert_echo, self.echoed)):",
        "if True:",
        simulation(80, "rooms", "full"),
    ),
    Mutant(
        "who could not be let in stays in",
        ROOMS,
        "        batch.if_failed(None, partial(self._undo_enter, room, member))\n",
        "",
        tests("tests/rooms/test_hosted.py::test_nothing_has_happened_when_its_commit_fails"),
    ),
    Mutant(
        "a ban ends with the run",
        MODERATION,
        "saved = self._journal.execute(SAVE_BAN, room.stream_id, who, member.nick)",
        "saved = self._journal.next_batch",
        tests("tests/rooms/test_hosted.py::test_rooms_are_as_before_after_a_restart"),
    ),
    Mutant(
        "a nick lifts the ban of whoever was banned under it",
        MODERATION,
        "if len(found) > 1:",
        "if not found:",
        tests("tests/rooms/test_hosted.py"),
    ),
    Mutant(
        "two nicks are the same only if they are written so",
        "chatd/rooms/room.py",
        "return self.by_fold.get(fold(nick))",
        "return self.by_fold.get(nick)",
        tests("tests/rooms/test_hosted.py::test_who_cannot_be_in_a_room_is_told_why"),
    ),
    Mutant(
        "nobody is told what retention took from a room",
        TEXTS,
        "        if is_below_floor:\n            self._add_missing",
        "        if is_below_floor and not by_seq:\n            self._add_missing",
        simulation(40, "rooms", "short"),
    ),
    # -- faults on purpose
    Mutant(
        "what is cut gets through",
        SHAPER,
        "        if self.is_cut(now):\n            return\n",
        "        if now < 0:\n            return\n",
        tests("tests/net/faults/test_shaper.py::test_a_cut_holds_everything_until_it_is_healed"),
    ),
    Mutant(
        "a rate is that of each piece by itself",
        SHAPER,
        "return max(at, self._out_at) + (",
        "return at + (",
        tests("tests/net/faults/test_shaper.py::test_a_rate_lets_bytes_out_at_its_pace_and_smoothly"),
    ),
    Mutant(
        "twice as much is lost as was asked",
        SHAPER,
        "if not loss or self._random.random() >= loss:",
        "if not loss or self._random.random() >= 2 * loss:",
        tests("tests/net/faults/test_shaper.py::test_the_share_of_resent_segments_is_what_was_asked"),
    ),
    Mutant(
        "megabytes wait for a slow rate",
        SHAPER,
        "int(rate * (2 * delay + QUEUE_S)))) if rate else WINDOW",
        "int(rate * (2 * delay + QUEUE_S)))) if rate < 0 else WINDOW",
        tests("tests/net/faults/test_shaper.py::test_only_so_much_is_under_way_and_with_a_rate_much_less"),
    ),
    Mutant(
        "a cut connection tells the other end when it is closed",
        FAULTY,
        "or (self._out.is_empty and not cut):",
        "or self._out.is_empty:",
        tests(
            "tests/net/faults/test_connection.py::test_one_with_nothing_under_way_that_is_closed_while_cut_says_nothing_either"
        ),
    ),
    Mutant(
        "a cut connection is read",
        FAULTY,
        "        if cut or not capacity:\n",
        "        if not capacity:\n",
        tests("tests/net/faults/test_connection.py::test_a_cut_link_is_not_read_so_its_sender_is_slowed"),
    ),
    Mutant(
        "a stop loses what is on its way",
        FAULTY,
        "                    await self._write(self._out.rest())\n",
        "                    self._out.rest()\n",
        tests("tests/net/faults/test_connection.py::test_when_the_node_stops_what_is_on_its_way_goes_out_at_once"),
    ),
    Mutant(
        "a stop tells what a cut has held",
        FAULTY,
        "self._out_error is None and not self._out.is_cut(trio.current_time()):",
        "self._out_error is None:",
        tests("tests/net/faults/test_connection.py::test_when_the_node_stops_a_cut_link_still_says_nothing"),
    ),
    Mutant(
        "what was accepted and closed while cut is closed by who accepted it",
        "chatd/net/listener.py",
        "        await self._faults.wait_closed(stream)",
        "        await trio.lowlevel.checkpoint()",
        tests("tests/integration/test_faults.py::test_a_plain_peer_that_is_cut_hears_nothing_not_even_the_end"),
    ),
    Mutant(
        "a dial gets through a cut",
        FAULTS,
        "(faults.out.cut or faults.in_.cut):",
        "not faults:",
        tests("tests/net/faults/test_faults.py::test_a_dial_gets_through_only_when_nothing_is_cut"),
    ),
    Mutant(
        "faults for a while never end",
        FAULTS,
        "                self._set(peer, timed.restored)\n",
        "                continue\n",
        tests("tests/net/faults/test_faults.py::test_after_its_time_what_was_before_comes_back"),
    ),
    Mutant(
        "connections that are kept silent pile up",
        FAULTS,
        "                other.close_now()\n",
        "                continue\n",
        tests("tests/net/faults/test_faults.py::test_only_so_many_closed_connections_are_kept_silent"),
    ),
    Mutant(
        "faults are made where they are not allowed",
        FAULTS,
        "        if not self.allowed:\n            hint",
        "        if not self:\n            hint",
        tests(
            "tests/net/faults/test_faults.py::test_where_faults_are_not_allowed_connections_are_left_alone_and_changes_refused"
        ),
    ),
    # -- questions
    Mutant(
        "a question goes round in circles",
        EXPLORER,
        "further = frame.hops > before",
        "further = True",
        tests("tests/net/topology/test_explorer.py::test_a_mesh_says_everything_twice_and_is_asked_once"),
    ),
    Mutant(
        "a question goes as far as there are links",
        EXPLORER,
        "Explore(exploration.token, hops - 1, left_ms, own",
        "Explore(exploration.token, hops, left_ms, own",
        tests("tests/net/topology/test_explorer.py::test_a_line_of_thirty_is_found_to_its_end"),
    ),
    Mutant(
        "who is deep inside has as much time as who asks",
        EXPLORER,
        "int((within * SHARE) * 1000 - (link.peer.rtt_ms or 0.0))",
        "int(within * 1000)",
        tests("tests/net/topology/test_explorer.py::test_a_silent_node_takes_the_time_that_was_given_and_nothing_else"),
    ),
    Mutant(
        "a node is believed whoever speaks in its name",
        "chatd/net/topology/graph.py",
        "if report is None or report.link is not link or report.whole:",
        "if report is None or report.whole:",
        tests("tests/net/topology/test_graph.py::test_pages_of_one_way_are_put_together_and_those_of_another_are_not"),
    ),
    Mutant(
        "a neighbour is believed whoever speaks in its name",
        "chatd/net/topology/graph.py",
        "if self._neighbours.get(frame.node, link) is not link:",
        "if frame.node == self._node:",
        tests(
            "tests/net/topology/test_explorer.py::test_a_neighbour_is_heard_from_itself_and_not_from_who_speaks_in_its_name"
        ),
    ),
    Mutant(
        "a node passes on what is said in its name",
        EXPLORER,
        "        elif frame.node == self._node:\n",
        "        elif not frame.node:\n",
        tests("tests/adversary/test_topology.py"),
    ),
    Mutant(
        "a name that two nodes announce satisfies a wait",
        "chatd/control/methods/link_conditions.py",
        "if len(candidates) > 1 or len(meant) < len(candidates):",
        "if len(meant) < len(candidates):",
        tests("tests/control/methods/test_link_conditions.py"),
    ),
    Mutant(
        "a node that is shown with its id only is not there",
        "chatd/control/methods/link_conditions.py",
        "if len(candidates) > 1 or len(meant) < len(candidates):",
        "if len(candidates) > 1:",
        tests("tests/control/methods/test_link_conditions.py"),
    ),
    Mutant(
        "a peer whose id begins like the name of a far node is taken for it",
        "chatd/control/methods/link_conditions.py",
        "not node.node.startswith(end) or not others:",
        "others == others:",
        tests("tests/control/methods/test_link_conditions.py"),
    ),
    Mutant(
        "the beginning of an id that no link has proven is certain",
        "chatd/control/methods/link_conditions.py",
        "return _EndMatch(meant[0] if meant else None, sure=False)",
        "return _EndMatch(meant[0] if meant else None, sure=len(end) >= STRANGER_PREFIX)",
        tests("tests/control/methods/test_link_conditions.py"),
    ),
    # -- who is meant
    Mutant(
        "a whole node id may be a name",
        DIRECTORY,
        "if isinstance(spec, str) and is_node_id(spec):",
        "if isinstance(spec, str) and spec in self._by_node:",
        tests("tests/peers/test_directory.py"),
    ),
    Mutant(
        "a stranger is found by four characters of its id",
        DIRECTORY,
        "if peer.known or len(start) >= STRANGER_PREFIX]",
        "if peer.node]",
        tests("tests/peers/test_registry.py"),
    ),
    Mutant(
        "an announced name may begin the id of another node",
        "chatd/peers/naming.py",
        "return means_us or reads_as_other(name) or begins_an_id(name, self._directory.ids)",
        "return means_us or reads_as_other(name)",
        tests("tests/peers/test_registry.py"),
    ),
    Mutant(
        "the first digits of a long number are a slot",
        DIRECTORY,
        "                return self._only(spec, [])\n            spec = int(spec)\n",
        "                spec = spec[:SLOT_DIGITS]\n            spec = int(spec)\n",
        tests("tests/peers/test_directory.py"),
    ),
    Mutant(
        "a stranger displaces the report of another one, and is logged each time",
        "chatd/peers/clones.py",
        "if not peer.known or not strangers:",
        "if not strangers:",
        tests("tests/peers/test_clones.py"),
    ),
    Mutant(
        "whoever answers at the address of a peer may have its name",
        "chatd/peers/registry.py",
        "dialed.known and dialed.node in (None, node)",
        "dialed.known",
        tests("tests/peers/test_registry.py"),
    ),
    Mutant(
        "whoever has taken the address of a peer is known once it is redialed",
        "chatd/peers/registry.py",
        "dialed is not None and dialed.known and dialed.node",
        "dialed is not None and dialed.node",
        tests("tests/peers/test_registry.py"),
    ),
    Mutant(
        "a node decides about itself",
        "chatd/peers/trust.py",
        "ID_PREFIX.fullmatch(spec) and self._registry.node.startswith(spec):",
        "spec.isspace():",
        tests("tests/peers/test_trust.py"),
    ),
    Mutant(
        "a peer is meant by the beginning of our own id",
        "chatd/peers/naming.py",
        "if begins_ours and peer.name != spec:",
        "if not begins_ours and peer.name == self._node:",
        tests("tests/peers/test_registry.py"),
    ),
    Mutant(
        "a name that was given here is ambiguous with the beginning of our own id",
        "chatd/peers/naming.py",
        "if begins_ours and peer.name != spec:",
        "if begins_ours:",
        tests("tests/peers/test_registry.py"),
    ),
    Mutant(
        "the id of a stranger ends a wait for a node with that name",
        "chatd/control/methods/wait.py",
        'if error.kind != "unknown_peer":',
        'if error.kind != "unknown_peer" or error.details.get("reason") == SHORT_PREFIX:',
        tests("tests/control/methods/test_wait.py"),
    ),
    Mutant(
        "a stranger is accepted by the name that it chose",
        "chatd/peers/trust.py",
        "        if len(matching) == 1:\n",
        "        matching = matching or self._registry.candidates(spec)\n        if len(matching) == 1:\n",
        tests("tests/peers/test_trust.py"),
    ),
    Mutant(
        "everybody is told of everybody's messages",
        "chatd/query/trace.py",
        "if entry.stream_id == peer.stream_id or self._is_from(peer, entry):",
        "if entry.stream_id or self._is_from(peer, entry):",
        tests("tests/net/native/test_queries.py::test_of_others_messages_nothing_is_told"),
    ),
    Mutant(
        "who has asked waits on when the link has ended",
        QUERIES,
        "        for question in self._questions.values():\n            question.answered.set()\n",
        "",
        tests("tests/net/native/test_queries.py::test_who_waits_is_told_when_the_link_ends_and_then_nobody_is_asked"),
    ),
    Mutant(
        "what came twice counts as two different messages",
        "chatd/query/tally.py",
        "        if not bits[place] & bit:\n",
        "        if bits:\n",
        tests("tests/query/test_tally.py"),
    ),
    Mutant(
        "a time is told of what was before it was kept",
        "chatd/journal/timings.py",
        "return self._times[index] if self.floor < seq and index",
        "return self._times[index] if index",
        tests("tests/journal/test_timings.py::test_the_oldest_give_way_and_the_newest_stay"),
    ),
    # -- false claims
    Mutant(
        "a peer answers messages that were sent to others",
        "chatd/messages/references.py",
        " and entry.stream_id == peer.stream_id",
        "",
        tests("tests/messages/test_references.py"),
    ),
    Mutant(
        "an answer to somebody who has gone goes to who has the slot now",
        "chatd/messages/lookup.py",
        "self._registry.by_node(ref.node) if ref.node else None",
        "self._registry.find(ref.slot or 0)",
        tests("tests/messages/test_lookup.py"),
    ),
    Mutant(
        "what others said is found under our own node id",
        "chatd/messages/lookup.py",
        "return entry if (is_ours and wanted.node",
        "return entry if (wanted.node",
        tests("tests/messages/test_lookup.py"),
    ),
    Mutant(
        "answers of an old journal are believed whatever they name",
        "chatd/journal/upgrade.py",
        ' and sent["peer"]["node"] == event["peer"]["node"]',
        "",
        tests("tests/journal/test_upgrade.py"),
    ),
    Mutant(
        "a peer may use the epoch of this node's own journal",
        INCOMING,
        "if self._journal.epoch in {frame.epoch for frame in frames}:",
        "if not frames:",
        tests("tests/net/native/test_receiving.py"),
    ),
    Mutant(
        "a reply is sent with the id that the message has here",
        TEXTS,
        "re = None if answered_id is msgspec.UNSET else position_part(answered_id)",
        "re = None if answered_id is msgspec.UNSET else message.re",
        tests("tests/integration/test_ask.py::test_answers_find_their_questions_in_whatever_order_they_come"),
    ),
    Mutant(
        "a node that restarts is taken for two",
        "chatd/peers/epochs.py",
        "        if epoch in self._known:\n",
        "        if self._known:\n",
        tests("tests/peers/test_clones.py"),
    ),
    # -- sessions and descriptors
    Mutant(
        "a request that was read while its session was evicted is done",
        SESSION,
        "if self.farewell is not None:  # decided",
        "if False:  # decided",
        tests("tests/control/test_server.py::test_a_request_that_crosses_an_eviction_is_done_and_answered_or_neither"),
    ),
    Mutant(
        "a session that waits for events counts as idle",
        SESSION,
        "self._responses or self.subscriptions\n        return",
        "self._responses\n        return",
        tests("tests/control/test_server.py", "-k", "idle_for_longest"),
    ),
    Mutant(
        "a session with an open request counts as idle",
        SESSION,
        "self._starting or self._requests.open_count or",
        "self._starting or",
        tests("tests/control/test_server.py", "-k", "idle_for_longest"),
    ),
    Mutant(
        "in the reserve everything is answered",
        SESSION,
        "if self.reserved and method not in OPERATOR_METHODS:",
        "if False:",
        tests("tests/control/test_server.py", "-k", "any_other_request"),
    ),
    Mutant(
        "silent clients keep operators out",
        "chatd/control/session_limit.py",
        "            silent.treat_as_ordinary()\n            self._reserve.pop(silent, None)\n",
        "            pass\n",
        tests("tests/control/test_server.py", "-k", "silent_clients"),
    ),
    Mutant(
        "what a refused client still writes resets its connection",
        "chatd/control/server.py",
        "            await self._closing.shut_down(sock, farewell)",
        "            await sock.send(farewell)",
        tests("tests/control/test_server.py", "-k", "reads_its_refusal"),
    ),
    Mutant(
        "what crossed an eviction is not asked again",
        "chatctl/rpc/connection.py",
        "                if not left:",
        "                if True:",
        tests("tests/chatctl/test_client.py", "-k", "crossed"),
    ),
    Mutant(
        "a daemon that has not answered has stopped",
        "chatctl/commands/shutdown.py",
        "            if _is_gone(app):",
        "            if True:",
        tests("tests/chatctl/commands/test_verbs.py", "-k", "has_not_stopped"),
    ),
    Mutant(
        "without a descriptor clients are not refused but wait",
        "chatd/acceptor.py",
        "if short and not self._spares:",
        "if short:",
        tests("tests/test_acceptor.py", "-k", "uses_a_spare"),
    ),
    Mutant(
        "while nothing happens no verb looks whether stdout is read",
        "chatctl/rpc/session.py",
        "if self._watches_stdout:",
        "if False:",
        tests("tests/chatctl/rpc/test_hangup.py"),
    ),
    Mutant(
        "a control socket that cannot be made for lack of descriptors ends the node",
        "chatd/control/unix.py",
        "    sock = _make_socket(path)\n",
        "    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)\n",
        tests("tests/control/test_unix.py", "-k", "no_descriptor"),
    ),
    Mutant(
        "a removed control socket is not made again while descriptors are short",
        "chatd/control/server.py",
        "        self._acceptor.lend_spare()\n",
        "",
        tests("tests/control/test_server.py", "-k", "held_back"),
    ),
    Mutant(
        "a limit of open files with which no node can start is tried",
        "chatd/__main__.py",
        "    if files < _least_files(config):",
        "    if False:",
        tests("tests/e2e/test_descriptors.py", "-k", "too_low and 12"),
    ),
    Mutant(
        "a file in the place of the control socket is called a socket that is left over",
        "chatctl/rpc/connection.py",
        "        if error.errno == ECONNREFUSED and not _is_socket(path):",
        "        if False:",
        tests("tests/chatctl/test_main.py", "-k", "moved_away"),
    ),
    Mutant(
        "a second daemon makes a new identity where the state directory of the first was",
        "chatd/daemon.py",
        "    _refuse_moved_state_directory(config)\n",
        "",
        tests("tests/e2e/test_lifecycle.py", "-k", "state_directory_of_the_first"),
    ),
    Mutant(
        "the log counts the reserve among the sessions that are taken",
        "chatd/control/server.py",
        "            most = self._node.config.sessions\n",
        "            most = len(self._sessions)\n",
        tests("tests/control/test_server.py", "-k", "log_counts"),
    ),
    # -- what grows
    Mutant(
        "what is owed to strangers is remembered, though it is nothing",
        "chatd/rooms/intervals.py",
        "            if node not in self._by_node:\n                return ()",
        "            if node not in self._by_node:\n                self._by_node[node] = []",
        tests("tests/rooms/test_intervals.py"),
    ),
    Mutant(
        "a batch that is done holds what was in it",
        "chatd/journal/batch.py",
        "        self.entries, self.watermarks, self.statements, self.notes = [], {}, [], {}\n        if error",
        "        if error",
        tests("tests/journal/test_batch.py"),
    ),
    Mutant(
        "when something was written to a stranger is known for good",
        "chatd/peers/registry.py",
        "                self._journal.timings.writes.drop(peer.stream_id)\n",
        "",
        tests("tests/integration/test_growth.py::test_nothing_grows_with_events_connections_and_room_joins[native]"),
    ),
    Mutant(
        "a node may leave a room as often as it likes without acknowledging it",
        DECLARATIONS,
        "if node not in room.by_node and hosted_rooms.intervals.count_past(node) >= MOST_PAST:",
        "if False:",
        tests("tests/rooms/test_hosted.py"),
    ),
    # -- history
    Mutant(
        "who asks for a rare type looks at every message",
        "chatd/journal/conditions.py",
        "if self.types is not None and MESSAGE not in self.types:",
        "if False:",
        tests("tests/journal/test_conditions.py"),
    ),
    Mutant(
        "one look with conditions looks at everything",
        STORE,
        "        if where == ANYTHING or (where.indexed",
        "        if True or (where.indexed",
        tests("tests/journal/test_conditions.py"),
    ),
    Mutant(
        "a page of history reads all events from disk, whatever was asked for",
        "chatd/control/methods/history.py",
        "selection.stream_id, after or 0, end, params.n, selection.where\n",
        "selection.stream_id, after or 0, end, params.n\n",
        tests("tests/control/methods/test_history.py"),
    ),
    Mutant(
        "the newest events of a kind are sought among all events",
        "chatd/control/selection.py",
        "heads=selection.heads, where=selection.where",
        "heads=selection.heads",
        tests("tests/control/methods/test_history.py"),
    ),
    Mutant(
        "a message in a room is sought among the newest events of the room only",
        "chatd/messages/lookup.py",
        "rows[-1][0] if len(rows) == ROWS else None",
        "None",
        tests("tests/rooms/test_posting.py"),
    ),
    Mutant(
        "a peer may speak of its own messages as of ours",
        "chatd/messages/references.py",
        'entry.type == "message" and entry.direction == "out" and',
        'entry.type == "message" and',
        tests("tests/messages/test_references.py"),
    ),
    Mutant(
        "the id of a request that cannot be encoded ends the session",
        "chatd/control/jsonrpc.py",
        "if isinstance(id_, str) and not id_.isprintable():",
        "if False:",
        tests("tests/control/test_jsonrpc.py"),
    ),
    Mutant(
        "the epoch of a row that is owed is let go of",
        "chatd/journal/retention.py",
        "oldest_to_keep(min(left or floor, floor))",
        "oldest_to_keep(floor)",
        tests("tests/journal/test_retention.py"),
    ),
    Mutant(
        "a peer is told that it lacks what an epoch had that was let go of",
        "chatd/journal/epochs.py",
        "seq if seq >= self._firsts[0] else 0",
        "seq",
        tests("tests/net/native/test_link.py", "tests/journal/test_epochs.py"),
    ),
    # -- what mutants from outside broke
    Mutant(
        "a change that is committed is undone",
        "chatd/journal/batch.py",
        "        if error is not None:\n            for undo in reversed(self._undo.values()):",
        "        if True:\n            for undo in reversed(self._undo.values()):",
        tests("tests/journal/test_batch.py"),
    ),
    Mutant(
        "the changes of a failed commit are undone before those after it",
        "chatd/journal/journal.py",
        "for batch in reversed(failed):",
        "for batch in failed:",
        tests("tests/journal/test_journal_faults.py::test_a_failed_commit_takes_what_was_appended_behind_it"),
    ),
    Mutant(
        "two that come in one tick drop the same one",
        "chatd/net/listener.py",
        "            del self._unauthenticated[oldest]  # now: the next connection must drop another one\n",
        "",
        tests("tests/net/test_listener.py::test_each_of_two_that_come_in_one_tick_drops_another_one"),
    ),
    Mutant(
        "a link is dead whose reader waits for the disk",
        "chatd/net/native/link.py",
        '            scope.deadline = float("inf")\n',
        "",
        tests("tests/net/native/test_link.py"),
    ),
    Mutant(
        "a peer hears nothing while its reader waits for the disk",
        "chatd/net/native/link.py",
        "            self._writer.pong(0)\n",
        "",
        tests("tests/net/native/test_link.py"),
    ),
    Mutant(
        "all addresses of a peer are given up for one at which another node refuses",
        "chatd/net/dialer.py",
        "registry.persistent.remove(peer, None if refused.peer else address)",
        "registry.persistent.remove(peer)",
        tests("tests/net/test_dialer.py"),
    ),
    Mutant(
        "a peer that refuses is dialed at its other addresses",
        "chatd/net/dialer.py",
        "registry.persistent.remove(peer, None if refused.peer else address)",
        "registry.persistent.remove(peer, address)",
        tests("tests/net/test_dialer.py"),
    ),
    Mutant(
        "a question that returns with equal hops is asked again",
        EXPLORER,
        "further = frame.hops > before",
        "further = frame.hops >= before",
        tests("tests/net/topology/test_explorer.py::test_a_question_that_returns_with_equal_hops_is_over_at_once"),
    ),
    Mutant(
        "annotations that hide a part of a line reach the terminal",
        "chatctl/text/sanitize.py",
        'JOINERS = "\\u200c\\u200d"',
        'JOINERS = "\\u200c\\u200d\\ufff9\\ufffa\\ufffb"',
        tests("tests/chatctl/text/test_sanitize.py"),
    ),
    Mutant(
        "a nick may have a character that is not seen",
        "chatd/wire/fields.py",
        "\\ufff0-\\uffff",
        "\\ufffe-\\uffff",
        tests("tests/wire/test_fields.py"),
    ),
    Mutant(
        "a mark is that of an epoch, whoever says it",
        MARKS,
        "return self._appended.get((node, epoch), 0)",
        "return max((seq for (_, one), seq in self._appended.items() if one == epoch), default=0)",
        simulation(40, "liar"),
    ),
    Mutant(
        "a host speaks for what was said in any room",
        FOLLOWING,
        "return seq if in_room else 0",
        "return seq",
        simulation(40, "liar"),
    ),
    Mutant(
        "a host speaks for another room of its own",
        FOLLOWING,
        "in_room = seq in peer.delivery.unechoed if reference is None else reference.room == frame.room",
        "in_room = seq in peer.delivery.unechoed or (reference is not None and reference.room == frame.room)",
        tests(
            "tests/adversary/test_rooms.py"
            "::test_a_host_tells_what_became_of_a_message_only_in_the_room_where_it_was_said"
        ),
    ),
    Mutant(
        "an acknowledgement is believed of what was never sent",
        CHAT,
        "if seq < first or (seq > min(last, peer.delivery.written) and epoch == self._journal.epoch):",
        "if seq < first:",
        tests("tests/adversary/test_acknowledgements.py"),
    ),
    Mutant(
        "every peer is told of every message",
        "chatd/query/trace.py",
        "if entry.stream_id == peer.stream_id or self._is_from(peer, entry):",
        "if entry.stream_id or self._is_from(peer, entry):",
        tests("tests/adversary/test_counts.py"),
    ),
)
