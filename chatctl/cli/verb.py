"""App and Verb: one run of chatctl, and the base of all verbs, with the options accepted before and after a verb.

Knows no particular verb. Used by the entry point, the table and every file in commands/.
"""

import click

from chatctl.errors import Failure
from chatctl.rpc.connection import Connection
from chatctl.text.output import Output
from chatctl.text.values import duration_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any


class App(Connection):
    """One run of chatctl: the connection with its global options, and the output."""

    def __init__(self) -> None:
        super().__init__()
        self.out = Output()


class Verb(click.Command):
    """Calls `run` with the App and the parameters. `run` may return an exit status."""

    def __init__(
        self, name: str, run: "Callable[..., int | None]", params: "Sequence[click.Parameter]" = (), **attrs: "Any"
    ) -> None:
        super().__init__(name, params=[*params, *common_options()], add_help_option=False, **attrs)
        self.run = run

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        write_examples(ctx, formatter)

    def invoke(self, ctx: click.Context) -> "int | None":
        app: App = ctx.obj
        app.start_clock()
        return self.run(app, **ctx.params)


class Family(click.Group):
    """A command with subcommands, e.g. `peer`."""

    def __init__(self, name: str, commands: "dict[str, click.Command]", help: str) -> None:  # noqa: A002 - click's name
        super().__init__(
            name,
            commands,
            params=common_options(),
            add_help_option=False,
            no_args_is_help=False,
            help=help,
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        write_examples(ctx, formatter)


def write_examples(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """The `Examples:` block at the end of the help of a command."""
    from chatctl.cli.examples import EXAMPLES

    _, _, path = ctx.command_path.partition(" ")
    with formatter.section("Examples"):
        formatter.write_text("\n".join(["\b", *EXAMPLES[path]]))


def lookup_verb(name: str, line: "Callable[[Mapping[str, Any]], str]", help: str) -> Verb:  # noqa: A002 - click's name
    """A verb without arguments that calls the method of its name and prints `line` of the result, e.g. `myip`."""

    def run(app: App) -> None:
        from chatctl.text.sanitize import inline

        result = app.call(name)
        if app.out.json:
            app.out.result(result)
        else:
            app.out.line(inline(line(result)))

    return Verb(name, run, help=help)


def common_options() -> list[click.Parameter]:
    """Options accepted before or after the verb, for commands made with `add_help_option=False`."""
    return [
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_json, help="Print JSON, for programs."),
        click.Option(
            ["--socket"],
            metavar="PATH",
            expose_value=False,
            callback=_store,
            help="Path of the daemon's control socket.",
        ),
        click.Option(
            ["--timeout"],
            type=duration_option,
            metavar="DURATION",
            expose_value=False,
            callback=_store,
            help="Give up after DURATION, e.g. 5s.",
        ),
        _help_option(),
    ]


def global_options() -> list[click.Parameter]:
    """Options accepted before the verb."""
    return [
        click.Option(
            ["-n", "--node"],
            metavar="NODE",
            expose_value=False,
            callback=_store,
            help="Node to control ($CHATD_NODE, else `default`).",
        ),
        *common_options(),
        click.Option(
            ["--connect-timeout"],
            type=duration_option,
            metavar="DURATION",
            expose_value=False,
            callback=_store,
            help="Retry a missing socket for DURATION (2s).",
        ),
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version."
        ),
    ]


def _help_option() -> click.Option:
    """Replaces click's own option, which loads translations at every start."""
    return click.Option(
        ["-h", "--help"], is_flag=True, expose_value=False, is_eager=True, callback=_help, help="Show this help."
    )


def _help(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        app: App = ctx.obj
        app.out.line(ctx.get_help())
        ctx.exit()


def _json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    app: App = ctx.obj
    app.out.json = app.out.json or value


def _store(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and param.name is not None:
        setattr(ctx.obj, param.name, value)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from chatd import __version__

    app: App = ctx.obj
    app.out.line(f"chatctl {__version__}")
    ctx.exit()


def usage_failure(error: click.UsageError) -> Failure:
    """Convert an error that click found in a command line, with the page to read as the hint."""
    message = " ".join(error.format_message().split())
    where = f"{error.ctx.command_path} --help" if error.ctx is not None else "chatctl help"
    return Failure("usage", message[:1].lower() + message[1:].rstrip("."), f"see {where}")
