"""Mutants of `chatd/journal/`: commits, epochs, watermarks, retention, reads."""

from tests.mutants.mutant import Mutant, caught_by, simulation

MUTANTS = (
    Mutant(
        "synchronous is NORMAL, and the power fails",
        "chatd.journal.store:Store._prepare",
        '"PRAGMA synchronous = FULL"',
        '"PRAGMA synchronous = NORMAL"',
        caught_by(
            "tests/faults/test_power_loss.py::test_nodes_that_lose_their_power_lose_and_double_nothing_of_what_they_answered"
        ),
    ),
    Mutant(
        "a file that is replaced counts as there",
        "chatd.journal.files:JournalFiles._compare",
        "inode(path) != opened",
        "inode(path) is None",
        caught_by("tests/journal/test_files.py"),
    ),
    Mutant(
        "one look is enough to lose the journal",
        "chatd.journal.files:",
        "MISSES = 3",
        "MISSES = 1",
        caught_by("tests/journal/test_files.py::test_it_is_lost_after_three_looks_in_a_row_whatever_was_done_to_it"),
    ),
    Mutant(
        "a commit does not look for the journal's files",
        "chatd.journal.store:Store.write",
        "self.files.check()",
        "",
        caught_by(
            "tests/journal/test_journal_faults.py::test_commits_notice_that_the_file_is_gone_and_go_on_in_what_is_open"
        ),
    ),
    Mutant(
        "a disk that is full at the start is final",
        "chatd.journal.store:_startup_failure",
        "code == sqlite3.SQLITE_FULL or (is_unclear and _is_out_of_space(path))",
        "code == sqlite3.SQLITE_FULL",
        caught_by(
            "tests/integration/test_full_start.py::test_a_start_without_room_for_another_file_is_temporary_whichever_file_that_is"
        ),
    ),
    Mutant(
        "who waits for a commit is told before it",
        "chatd.journal.journal:Journal._commit",
        "await self._runtime.in_thread(self.store.write, batch)",
        """
        batch.settle(None)
        await self._runtime.in_thread(self.store.write, batch)
        """,
        caught_by(
            "tests/journal/test_journal_faults.py::test_a_full_disk_refuses_what_was_appended_and_takes_it_later"
        ),
    ),
    Mutant(
        "an epoch is kept across a start",
        "chatd.journal.journal:Journal.__init__",
        "store.add_epoch(self.epoch, self.committed + 1)",
        """
        known = store.query("SELECT epoch FROM epochs")
        self.epoch = known[-1][0] if known else self.epoch
        known or store.add_epoch(self.epoch, self.committed + 1)
        """,
        caught_by("tests/journal/test_journal.py::test_every_start_begins_an_epoch_and_old_positions_stay"),
    ),
    Mutant(
        "what was appended behind a failed batch goes on",
        "chatd.journal.journal:Journal._fail",
        """
        failed = [batch for batch in (self._committing, self._next_batch) if batch is not None]
        self._committing, self._next_batch, self._urgent = None, Batch(), False
        """,
        """
        failed = [batch for batch in (self._committing,) if batch is not None]
        self._committing, self._urgent = None, False
        """,
        caught_by("tests/journal/test_journal_faults.py::test_a_failed_commit_takes_what_was_appended_behind_it"),
    ),
    Mutant(
        "a mark is not committed with its message",
        "chatd.journal.store:Store.write",
        "run(_RAISE_WATERMARK, (node, epoch, seq))",
        "continue",
        caught_by("tests/messages/test_inbox.py::test_marks_survive_a_restart_and_a_forgotten_peer"),
    ),
    Mutant(
        "a seq is given again when its event has gone",
        "chatd.journal.store:Store.last_seq",
        "max(newest, first - 1, floor)",
        "newest",
        caught_by("tests/journal/test_retention.py::test_a_seq_is_never_given_twice_though_the_newest_event_is_gone"),
    ),
    Mutant(
        "Hello says the appended mark",
        "chatd.journal.watermarks:Watermarks.committed",
        "self._committed",
        "self._appended",
        caught_by("tests/journal/test_watermarks.py::test_an_appended_mark_is_not_said_before_it_is_committed"),
    ),
    Mutant(
        "marks are forgotten at a restart",
        "chatd.journal.journal:Journal.__init__",
        'store.query("SELECT node, epoch, seq FROM marks ORDER BY ord")',
        "[]",
        caught_by("tests/messages/test_inbox.py::test_marks_survive_a_restart_and_a_forgotten_peer"),
    ),
    Mutant(
        "marks stay where a failed batch has put them",
        "chatd.journal.watermarks:Watermarks.revert",
        "self._appended = dict(self._committed)",
        "",
        caught_by("tests/journal/test_watermarks.py::test_what_was_not_committed_is_taken_back"),
    ),
    Mutant(
        "acknowledgements are not kept",
        "chatd.journal.journal:Journal.note_ack",
        'self.note(("ack", node), lambda: (ACK, (node, self.watermarks.acked[node])))',
        "return",
        caught_by("tests/journal/test_journal.py::test_acknowledgements_alone_wait_for_the_next_commit_or_a_flush"),
    ),
    Mutant(
        "retention deletes what is owed",
        "chatd.journal.retention:",
        'f"DELETE FROM events WHERE seq > ? AND seq <= ? AND NOT EXISTS ({_UNDELIVERED})"',
        '"DELETE FROM events WHERE seq > ? AND seq <= ?"',
        caught_by(
            "tests/journal/test_retention.py::test_single_rows_that_are_owed_stay_below_the_floor_until_they_are_acknowledged"
        ),
    ),
    Mutant(
        "a time is told of what was before it was kept",
        "chatd.journal.timings:Track.at",
        "self.floor < seq and index < len(self.seqs)",
        "index < len(self.seqs)",
        caught_by("tests/journal/test_timings.py::test_the_oldest_give_way_and_the_newest_stay"),
    ),
    Mutant(
        "answers of an old journal are believed whatever they name",
        "chatd.journal.upgrade:_Naming._answers_ours",
        'sent["position"] == event["re"] and sent["peer"]["node"] == event["peer"]["node"]',
        'sent["position"] == event["re"]',
        caught_by("tests/journal/test_upgrade.py::test_an_answer_names_the_message_here"),
    ),
    Mutant(
        "a batch that is done holds what was in it",
        "chatd.journal.batch:Batch.settle",
        "self.entries, self.watermarks, self.statements, self.notes = [], {}, [], {}",
        "",
        caught_by("tests/journal/test_batch.py"),
    ),
    Mutant(
        "who asks for a rare type looks at every message",
        "chatd.journal.conditions:Condition.indexed_types",
        "self.types is not None and MESSAGE not in self.types",
        "False",
        caught_by("tests/journal/test_conditions.py::test_events_of_a_rare_type_are_found_without_looking_at_messages"),
    ),
    Mutant(
        "one look with conditions looks at everything",
        "chatd.journal.store:Store._last_to_examine",
        "where == ANYTHING",
        "True",
        caught_by("tests/journal/test_conditions.py::test_one_look_never_looks_at_more_rows_than_it_may"),
    ),
    Mutant(
        "the epoch of a row that is owed is let go of",
        "chatd.journal.retention:Retention._delete",
        "min(left or floor, floor)",
        "floor",
        caught_by("tests/journal/test_retention.py::test_epochs_of_which_nothing_is_left_go_with_the_floor"),
    ),
    Mutant(
        "a peer is told that it lacks what an epoch had that was let go of",
        "chatd.journal.epochs:Epochs.as_watermark",
        "seq if seq >= self._firsts[0] else 0",
        "seq",
        caught_by(
            "tests/net/native/test_link.py::test_after_an_epoch_that_was_let_go_of_the_link_starts_without_a_gap"
        ),
    ),
    Mutant(
        "a change that is committed is undone",
        "chatd.journal.batch:Batch.settle",
        "error is not None",
        "True",
        caught_by("tests/journal/test_batch.py"),
    ),
    Mutant(
        "the changes of a failed commit are undone before those after it",
        "chatd.journal.journal:Journal._fail",
        "reversed(failed)",
        "failed",
        caught_by("tests/journal/test_journal_faults.py::test_a_failed_commit_takes_what_was_appended_behind_it"),
    ),
    Mutant(
        "a mark is that of an epoch, whoever says it",
        "chatd.journal.watermarks:Watermarks.appended",
        "self._appended.get((node, epoch), 0)",
        "max((seq for (_, one), seq in self._appended.items() if one == epoch), default=0)",
        simulation(40, "liar"),
    ),
    Mutant(
        "a clock that jumps ahead deletes the history",
        "chatd.journal.retention:Retention._too_old",
        "not old or old[0][0] >= limit_ms or after[0][0] - old[0][0] > JUMP_MS",
        "not old or old[0][0] >= limit_ms",
        caught_by("tests/journal/test_retention.py::test_a_clock_that_jumps_into_the_future_deletes_nothing"),
    ),
    Mutant(
        "a read is done for who has gone",
        "chatd.journal.read_queue:ReadQueue.serve",
        "not read.abandoned",
        "True",
        caught_by("tests/journal/test_read_queue.py"),
    ),
)
