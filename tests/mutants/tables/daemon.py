"""Mutants of the files in `chatd/` itself and of `chatd/config/`: start, descriptors, logs, settings."""

from tests.mutants.mutant import Mutant, caught_by

MUTANTS = (
    Mutant(
        "a node without its files stops before its outbox is empty",
        "chatd.maintenance:Files._stop_if_lost",
        "DELIVER_S if undelivered else STOP_AFTER_S",
        "STOP_AFTER_S",
        caught_by("tests/test_maintenance.py::test_what_is_owed_gets_a_minute_to_be_delivered"),
    ),
    Mutant(
        "without a descriptor clients are not refused but wait",
        "chatd.acceptor:Acceptor._accept_if_possible",
        "short and not self._spares",
        "short",
        caught_by("tests/test_acceptor.py::test_without_a_descriptor_it_waits_for_a_client_and_uses_a_spare_one"),
    ),
    Mutant(
        "a limit of open files with which no node can start is tried",
        "chatd.__main__:_run",
        "files < _least_files(config)",
        "False",
        caught_by(
            "tests/e2e/test_descriptors.py::test_a_limit_of_files_that_is_too_low_for_a_node_is_refused_in_one_line"
        ),
    ),
    Mutant(
        "a second daemon makes a new identity where the state directory of the first was",
        "chatd.daemon:run",
        "_refuse_moved_state_directory(config)",
        "",
        caught_by(
            "tests/e2e/test_lifecycle.py::test_a_second_daemon_makes_nothing_where_the_state_directory_of_the_first_was"
        ),
    ),
    Mutant(
        "a configuration file overrules a flag",
        "chatd.config.loading:_merge",
        "(from_file, _variable_layer(env, node_given=node_flag is not None), _flag_layer(flags))",
        "(_flag_layer(flags), _variable_layer(env, node_given=node_flag is not None), from_file)",
        caught_by("tests/config/test_loading.py::test_a_flag_beats_a_variable_beats_the_file_beats_the_default"),
    ),
    Mutant(
        "with -n the variables of another node count",
        "chatd.config.loading:_variable_layer",
        "text and not (node_given and name in NODE_SPECIFIC)",
        "text",
        caught_by(
            "tests/config/test_loading.py::test_with_a_node_given_the_places_of_the_environment_are_another_nodes"
        ),
    ),
    Mutant(
        "connections that are being closed pile up",
        "chatd.closing:GracefulClose._limited",
        "oldest.cancel()",
        "",
        caught_by("tests/test_closing.py"),
    ),
    Mutant(
        "a spare descriptor that was lent is not replaced",
        "chatd.acceptor:Acceptor._accept",
        "self.refill()",
        "",
        caught_by("tests/test_acceptor.py::test_a_spare_that_was_lent_is_replaced_with_the_next_connection"),
    ),
    Mutant(
        "a log line goes on where another one was cut",
        "chatd.logs:LineHandler._write",
        "'\\n' if self._torn else ''",
        "''",
        caught_by("tests/test_logs.py::test_the_line_after_one_that_was_cut_is_a_line_of_its_own"),
    ),
    Mutant(
        "a traceback in the log reaches the terminal",
        "chatd.logs:TextFormatter.format",
        "harmless(traceback_line)",
        "traceback_line",
        caught_by("tests/test_logs.py::test_a_traceback_in_text_is_marked_and_harmless"),
    ),
)
