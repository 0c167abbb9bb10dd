"""The help of every command and subcommand: its width, its words, and that its examples parse."""

import re
import shlex
from collections.abc import Iterator
from itertools import groupby

import click
import pytest

from chatctl.cli.examples import EXAMPLES
from chatctl.cli.table import cli
from chatctl.cli.verb import App

COLUMNS = 80
SHELL = set("|&;<>()")  # characters that end a command
FORBIDDEN = re.compile(r"\b(?:verbs?|somebody|nobody|everybody|behind|said|for so long|is no)\b", re.IGNORECASE)


def _paths(command: click.Command = cli, path: str = "") -> Iterator[str]:
    """`""` for chatctl itself, `send`, `peer`, `peer accept`, and so on."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _paths(found, f"{path} {name}".strip())


PATHS = list(_paths())


def _help(path: str) -> str:
    command: click.Command = cli
    context = click.Context(cli, info_name="chatctl", obj=App(), terminal_width=COLUMNS)
    for name in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(context, name)
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    return command.get_help(context)


def _command_lines(line: str) -> list[list[str]]:
    """Arguments of each chatctl in a line of shell, also of one in `$(…)` or in a quoted command."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found = []
    for is_punctuation, words in groupby(lexer, lambda word: set(word) <= SHELL and word != ""):
        first, *args = words
        if not is_punctuation and first == "chatctl":
            found.append(args)
            found += [inner for word in args if "chatctl " in word for inner in _command_lines(word.strip("$()"))]
    return found


def _parse(args: list[str]) -> None:
    """Parse a command line to its last subcommand, and run none of it."""
    command: click.Command = cli
    context: click.Context | None = None
    name: str | None = "chatctl"
    app = App()
    while True:
        context = command.make_context(name, list(args), parent=context, obj=app)
        if not isinstance(command, click.Group):
            return
        given = vars(context)  # click 8.2 has renamed what holds the word of the subcommand
        held = given["_protected_args"] if "_protected_args" in given else given["protected_args"]
        name, found, args = command.resolve_command(context, [*held, *context.args])
        assert found is not None
        command = found


def test_examples_are_those_of_commands_that_exist() -> None:
    assert sorted(EXAMPLES) == sorted(PATHS)


@pytest.mark.parametrize("path", PATHS)
def test_every_command_ends_its_help_with_two_to_four_examples(path: str) -> None:
    _, found, block = _help(path).partition("\nExamples:\n")
    lines = block.splitlines()
    assert found
    assert 2 <= len(lines) <= 4
    assert tuple(line.removeprefix("  ") for line in lines) == EXAMPLES[path]


@pytest.mark.parametrize("path", PATHS)
def test_every_example_parses(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in EXAMPLES[path]:
        commands = _command_lines(line)
        assert commands, line
        for args in commands:
            _parse(args)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("path", PATHS)
def test_no_line_of_help_is_wider_than_a_terminal(path: str) -> None:
    assert [line for line in _help(path).splitlines() if len(line) > COLUMNS] == []


def test_an_example_with_an_unknown_option_does_not_parse() -> None:
    with pytest.raises(click.UsageError):
        _parse(["send", "--unknown", "bob", "hello"])


@pytest.mark.parametrize("path", PATHS)
def test_help_is_plain_english(path: str) -> None:
    words = " ".join(_help(path).split())
    assert FORBIDDEN.findall(words) == []
