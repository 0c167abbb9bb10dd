"""Mutants of `chatd/wire/`: frames, lines and dialects."""

from tests.mutants.mutant import Mutant, caught_by

MUTANTS = (
    Mutant(
        "a nick may have a character that is not seen",
        "chatd.wire.fields:",
        'r"…\\ufff0-\\uffff…"',
        'r"…\\ufffe-\\uffff…"',
        caught_by("tests/wire/test_fields.py::test_no_control_format_or_private_character_is_in_a_nick"),
    ),
    Mutant(
        "a private line without a text is said to all",
        "chatd.wire.dialects:_addressed",
        "Help()",
        "Speak(text)",
        caught_by("tests/wire/test_dialects.py::test_lines_of_a_named_client"),
    ),
    Mutant(
        "a character that comes in two pieces is lost",
        "chatd.wire.lines:LineDecoder.flush",
        "utf_8_decode(self._unfinished, 'replace', False)",
        "utf_8_decode(self._unfinished, 'replace', True)",
        caught_by(
            "tests/wire/test_lines.py::test_a_character_that_is_cut_in_two_is_put_together_even_over_a_quiet_time"
        ),
    ),
    Mutant(
        "the beginning of a line after *exit is said",
        "chatd.wire.dialects:_Server._commands",
        "self._decoder.close()",
        "",
        caught_by("tests/wire/test_dialects.py::test_the_beginning_of_a_line_after_a_leave_is_not_said_at_the_end"),
    ),
)
