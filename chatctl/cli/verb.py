"""The one shape of all verbs, and the options that are understood before and after them."""

import click

from chatctl.cli.app import App
from chatctl.errors import Failure
from chatctl.text.values import duration_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


class Verb(click.Command):
    """A verb: `run` is called with the App and the parameters, and may return an exit status."""

    def __init__(
        self, name: str, run: "Callable[..., int | None]", params: "Sequence[click.Parameter]" = (), **attrs: "Any"
    ) -> None:
        super().__init__(name, params=[*params, *common()], add_help_option=False, **attrs)
        self.run = run

    def invoke(self, ctx: click.Context) -> "int | None":
        """Start the clock and run."""
        app: App = ctx.obj
        app.begin()
        return self.run(app, **ctx.params)


def common() -> list[click.Parameter]:
    """The options that stand before or after the verb, of commands made with `add_help_option=False`."""
    return [
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_json, help="Print JSON, for programs."),
        click.Option(["--socket"], metavar="PATH", expose_value=False, callback=_keep, help="The daemon's socket."),
        click.Option(
            ["--timeout"],
            type=duration_option,
            metavar="DURATION",
            expose_value=False,
            callback=_keep,
            help="Give up after it.",
        ),
        _help_option(),
    ]


def leading() -> list[click.Parameter]:
    """The options that stand before the verb."""
    return [
        click.Option(
            ["-n", "--node"], metavar="NODE", expose_value=False, callback=_keep, help="The node (CHATD_NODE, default)."
        ),
        *common(),
        click.Option(
            ["--connect-timeout"],
            type=duration_option,
            metavar="DURATION",
            expose_value=False,
            callback=_keep,
            help="How long a missing socket is tried again (2s).",
        ),
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show it."
        ),
    ]


def _help_option() -> click.Option:
    """Click's own would look for translations at every start."""
    return click.Option(
        ["-h", "--help"], is_flag=True, expose_value=False, is_eager=True, callback=_help, help="Show this."
    )


def _help(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        app: App = ctx.obj
        app.out.line(ctx.get_help())
        ctx.exit()


def _json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    app: App = ctx.obj
    app.out.json = app.out.json or value


def _keep(ctx: click.Context, param: click.Parameter, value: object) -> None:
    if value is not None and param.name is not None:
        setattr(ctx.obj, param.name, value)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from chatd import __version__

    app: App = ctx.obj
    app.out.line(f"chatctl {__version__}")
    ctx.exit()


def usage(error: click.UsageError) -> Failure:
    """What click found wrong with a command line, as one line with where to read on."""
    message = " ".join(error.format_message().split())
    where = f"{error.ctx.command_path} --help" if error.ctx is not None else "chatctl help"
    return Failure("usage", message[:1].lower() + message[1:].rstrip("."), f"see {where}")
