"""`chatctl help`: the overview of commands, or the help of one."""

import click

from chatctl.cli.table import cli
from chatctl.cli.verb import App, Verb
from chatctl.errors import Failure


def run(app: App, verb: tuple[str, ...]) -> None:
    context = click.Context(cli, info_name="chatctl", obj=app)
    command: click.Command = cli
    for word in verb:
        found = command.get_command(context, word) if isinstance(command, click.Group) else None
        if found is None:
            raise Failure("usage", f"no such command: {' '.join(verb)}", "see chatctl help")
        command, context = found, click.Context(found, info_name=word, parent=context)
    app.out.line(command.get_help(context))


command = Verb(
    "help",
    run,
    [click.Argument(["verb"], nargs=-1, metavar="[COMMAND]...")],
    help="List the commands, or show the help of one.",
)
