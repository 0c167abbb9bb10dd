"""`chatctl completion`: the script with which a shell completes verbs and options."""

import click

from chatctl.cli.table import COMPLETE_VARIABLE, cli
from chatctl.cli.verb import App, Verb

SHELLS = ("bash", "zsh", "fish")


def run(app: App, shell: str) -> None:
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"click knows no completion for {shell}")
    script = kind(cli, {}, "chatctl", COMPLETE_VARIABLE)
    app.out.line((script.source_template % script.source_vars()).strip())


command = Verb(
    "completion",
    run,
    [click.Argument(["shell"], type=click.Choice(SHELLS))],
    help="Print the completion script of a shell.",
)
