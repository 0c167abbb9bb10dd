"""Mutants of `chatd/messages/`: states, duplicates, keys, look-ups, consumers."""

from tests.mutants.mutant import Mutant, caught_by

MUTANTS = (
    Mutant(
        "duplicates are judged by the committed mark",
        "chatd.messages.inbox:above_watermark",
        "journal.watermarks.appended",
        "journal.watermarks.committed_in",
        caught_by("tests/messages/test_inbox.py::test_a_message_that_was_appended_is_a_duplicate_before_its_commit"),
    ),
    Mutant(
        "a link goes on after a failed batch",
        "chatd.messages.inbox:close_if_failed",
        'batch.if_failed(("in", link), partial(_close, peer, link))',
        "pass",
        caught_by(
            "tests/messages/test_inbox.py::test_a_full_disk_closes_every_link_of_the_peer_and_takes_its_marks_back"
        ),
    ),
    Mutant(
        "a key is forgotten at a restart",
        "chatd.messages.keys:Keys.add",
        "self._journal.execute(INSERT, key, *message)",
        "",
        caught_by("tests/messages/test_keys.py::test_a_key_is_known_after_a_restart"),
    ),
    Mutant(
        "an acknowledgement is not final",
        "chatd.messages.chat:Chat._start_of",
        "max(acked, seq)",
        "seq",
        caught_by("tests/messages/test_inbox.py::test_a_link_starts_at_the_later_of_mark_and_acknowledgement"),
    ),
    Mutant(
        "what may have been written is cancelled for good",
        "chatd.messages.states:MessageStates.give_up",
        "not peer.delivery.may_have_written(seq)",
        "True",
        caught_by("tests/messages/test_states.py::test_what_may_have_been_written_is_only_not_sent_again"),
    ),
    Mutant(
        "an acknowledgement moves a cursor back",
        "chatd.messages.consumers:",
        '"UPDATE consumers SET seq = max(seq, ?), seen = ? WHERE name = ?"',
        '"UPDATE consumers SET seq = ?, seen = ? WHERE name = ?"',
        caught_by("tests/messages/test_consumers.py::test_an_acknowledgement_is_cumulative_and_never_goes_back"),
    ),
    Mutant(
        "what was said in a room is delivered when the host has read it",
        "chatd.messages.states:MessageStates.state_now",
        "not in_room or seq <= peer.delivery.echoed",
        "True",
        caught_by("tests/rooms/test_joined.py::test_our_own_message_is_delivered_when_it_comes_back"),
    ),
    Mutant(
        "a peer answers messages that were sent to others",
        "chatd.messages.references:_is_to",
        'entry.type == "message" and entry.direction == "out" and entry.stream_id == peer.stream_id',
        'entry.type == "message" and entry.direction == "out"',
        caught_by("tests/messages/test_references.py"),
    ),
    Mutant(
        "an answer to somebody who has gone goes to who has the slot now",
        "chatd.messages.lookup:MessageLookup.peer_of",
        "self._registry.by_node(ref.node) if ref.node else None",
        "self._registry.find(ref.slot or 0)",
        caught_by("tests/messages/test_lookup.py"),
    ),
    Mutant(
        "what others said is found under our own node id",
        "chatd.messages.lookup:MessageLookup._own",
        "is_ours and wanted.node == self._node",
        "wanted.node == self._node",
        caught_by("tests/messages/test_lookup.py"),
    ),
    Mutant(
        "a message in a room is sought among the newest events of the room only",
        "chatd.messages.lookup:_look_back",
        "rows[-1][0] if len(rows) == ROWS else None",
        "None",
        caught_by("tests/rooms/test_posting.py"),
    ),
    Mutant(
        "a peer may speak of its own messages as of ours",
        "chatd.messages.references:_is_to",
        'entry.type == "message" and entry.direction == "out" and entry.stream_id == peer.stream_id',
        'entry.type == "message" and entry.stream_id == peer.stream_id',
        caught_by("tests/messages/test_references.py"),
    ),
    Mutant(
        "an acknowledgement is believed of what was never sent",
        "chatd.messages.chat:Chat.acknowledge",
        "seq < first or (seq > min(last, peer.delivery.written) and epoch == self._journal.epoch)",
        "seq < first",
        caught_by(
            "tests/adversary/test_acknowledgements.py::test_a_lie_about_what_has_arrived_takes_no_message_from_another_node"
        ),
    ),
    Mutant(
        "a key stands for any text",
        "chatd.messages.keys:Keys.find",
        "(message.stream_id, message.digest) != (stream_id, _digest(text))",
        "message.stream_id != stream_id",
        caught_by("tests/messages/test_keys.py::test_a_key_with_another_peer_or_text_is_a_conflict"),
    ),
    Mutant(
        "a key outlives the commit that failed",
        "chatd.messages.keys:Keys.add",
        "batch.if_failed(('key', key), partial(self._forget, key))",
        "",
        caught_by("tests/messages/test_keys.py::test_a_key_is_not_said_before_its_commit_since_that_may_fail"),
    ),
    Mutant(
        "a cursor moves over what was sent and not acknowledged",
        "chatd.messages.consumers:ConsumerReader.advance",
        "self._newest <= consumer.seq < through and not self.is_lost",
        "consumer.seq < through and not self.is_lost",
        caught_by("tests/messages/test_consumers.py::test_it_stays_while_something_that_was_sent_is_not_acknowledged"),
    ),
)
