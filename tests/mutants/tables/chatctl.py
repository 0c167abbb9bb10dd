"""Mutants of `chatctl/`: sessions with the daemon, verbs, exit statuses, what reaches a terminal."""

from tests.mutants.mutant import Mutant, caught_by

MUTANTS = (
    Mutant(
        "what crossed an eviction is not asked again",
        "chatctl.rpc.connection:Connection.call",
        "not left",
        "True",
        caught_by(
            "tests/chatctl/test_client.py::test_what_crossed_the_end_of_an_idle_session_is_asked_again_also_without_a_key"
        ),
    ),
    Mutant(
        "a daemon that has not answered has stopped",
        "chatctl.commands.shutdown:_stop",
        "_is_gone(app)",
        "True",
        caught_by(
            "tests/chatctl/commands/test_verbs.py::test_a_daemon_that_ends_without_an_answer_and_is_there_has_not_stopped"
        ),
    ),
    Mutant(
        "while nothing happens no verb looks whether stdout is read",
        "chatctl.rpc.session:ControlSession.read_lines",
        "self._watches_stdout",
        "False",
        caught_by("tests/chatctl/rpc/test_hangup.py::test_an_idle_verb_ends_when_the_reader_of_its_stdout_has_gone"),
    ),
    Mutant(
        "a file in the place of the control socket is called a socket that is left over",
        "chatctl.rpc.connection:_unreachable",
        "error.errno == ECONNREFUSED and not _is_socket(path)",
        "False",
        caught_by("tests/chatctl/test_main.py::test_what_is_at_the_path_and_is_no_socket_is_to_be_moved_away"),
    ),
    Mutant(
        "annotations that hide a part of a line reach the terminal",
        "chatctl.text.sanitize:",
        'JOINERS = "\\u200c\\u200d"',
        'JOINERS = "\\u200c\\u200d\\ufff9\\ufffa\\ufffb"',
        caught_by("tests/chatctl/text/test_sanitize.py::test_what_hides_or_annotates_a_part_of_a_line_is_shown"),
    ),
    Mutant(
        "a message counts as processed when a signal ended its command",
        "chatctl.commands.tail.command_runner:CommandRunner._run_once",
        "SIGNALLED - status if status < 0 else status",
        "max(status, 0)",
        caught_by(
            "tests/chatctl/commands/test_command_runner.py::test_a_command_ended_by_a_signal_is_told_as_a_shell_does"
        ),
    ),
    Mutant(
        "a command inherits the variables of another message",
        "chatctl.commands.tail.command_runner:environment",
        "not name.startswith(b'MSG_')",
        "True",
        caught_by(
            "tests/chatctl/commands/test_command_runner.py::test_the_command_gets_the_message_on_stdin_and_in_variables"
        ),
    ),
    Mutant(
        "an error that chatctl does not know is a success",
        "chatctl.errors:Failure.exit_status",
        "EXIT_STATUS.get(self.kind, FAILED)",
        "EXIT_STATUS.get(self.kind, DONE)",
        caught_by("tests/chatctl/test_main.py::test_a_refusal_is_one_line_and_its_exit_status"),
    ),
    Mutant(
        "the second line of a text looks like the next entry",
        "chatctl.text.sanitize:block",
        "f'\\n{INDENT}'",
        "'\\n'",
        caught_by("tests/chatctl/text/test_format.py::test_what_is_said_in_a_room_is_told_with_who_said_it"),
    ),
    Mutant(
        "a stopping daemon is asked for the same acknowledgement without end",
        "chatctl.rpc.consumer:ConsumerCursor.send_ack",
        "self._open_request or self._refused or self.is_confirmed",
        "self._open_request or self.is_confirmed",
        caught_by(
            "tests/chatctl/rpc/test_consumer.py::test_an_ack_that_a_stopping_daemon_refused_is_left_for_the_next_one"
        ),
    ),
    Mutant(
        "with --ack manual what is shown is acknowledged",
        "chatctl.commands.tail.verb:_print_new",
        "printed and not manual",
        "printed",
        caught_by("tests/chatctl/rpc/test_consumer.py::test_manual_leaves_it_to_the_ack_verb"),
    ),
)
