"""The table of commands, and the click group that imports a verb's file when the verb is used."""

from importlib import import_module

import click

from chatctl.cli.verb import global_options, write_examples
from chatctl.errors import Failure

COMPLETE_VARIABLE = "_CHATCTL_COMPLETE"  # set by the completion scripts

# Heading in the overview -> command -> its summary. The daily commands come first.
VERBS: dict[str, dict[str, str]] = {
    "Common commands": {
        "send": "Send a message to a peer.",
        "tail": "Print messages as they arrive, or run a command for each.",
        "history": "Print past messages.",
        "list": "List peers and their connection state.",
        "connect": "Connect to a peer.",
        "console": "Open an interactive prompt.",
        "status": "Show the state of the daemon.",
    },
    "Messages": {
        "ask": "Send a message and print the reply.",
        "reply": "Reply to a message.",
        "msg": "Show one message and its delivery state.",
        "trace": "Show the steps of one message, with times at both ends.",
        "cancel": "Cancel a message that has not been delivered.",
    },
    "Rooms": {
        "room": "Host, join and manage rooms.",
        "say": "Send a message to a room.",
    },
    "Peers": {
        "terminate": "Close the connection to a peer.",
        "peer": "Accept, deny, rename or forget a peer.",
        "myip": "Print the address of this machine that peers can reach.",
        "myport": "Print the port that peers can reach.",
        "whoami": "Print the name and id of this node.",
    },
    "Network": {
        "topo": "Draw the network: all nodes and their links.",
        "link": "Delay, lose, slow down or cut the traffic of a link, for tests.",
        "ping": "Measure the round-trip time to a peer.",
        "bench": "Measure the message rate to a peer.",
    },
    "Consumers": {
        "consumers": "List named readers and their positions.",
        "consumer": "Remove a named reader.",
        "ack": "Set the position that a named reader has processed.",
    },
    "Daemon": {
        "health": "Check the daemon; the exit status is the result.",
        "wait": "Wait until a condition holds.",
        "exit": "Stop the daemon.",
        "shutdown": "Stop the daemon.",
    },
    "Other commands": {
        "help": "Show this help, or the help of one command.",
        "completion": "Print the completion script of a shell.",
    },
}
SUMMARY = {verb: summary for verbs in VERBS.values() for verb, summary in verbs.items()}


class VerbGroup(click.Group):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Like click, but without any argument print the help; with options only, it is a usage error."""
        if not args and not ctx.resilient_parsing:
            ctx.obj.out.line(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click gives it
        return list(SUMMARY)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click gives it
        if cmd_name not in SUMMARY:
            return None
        command: click.Command = import_module(f"chatctl.commands.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Like click, but name the nearest verb for an unknown one."""
        command = self.get_command(ctx, args[0])
        if command is not None or ctx.resilient_parsing:
            return args[0], command, args[1:]
        from difflib import get_close_matches

        near = get_close_matches(args[0], SUMMARY, 1)
        raise Failure(
            "usage", f"no such command: {args[0]}", f"did you mean {near[0]}?" if near else "see chatctl help"
        )

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click gives it
        for group, verbs in VERBS.items():
            with formatter.section(group):
                formatter.write_dl(list(verbs.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        write_examples(ctx, formatter)


cli = VerbGroup(
    "chatctl",
    params=global_options(),
    no_args_is_help=False,
    add_help_option=False,
    help="Control chatd, the headless chat daemon.",
    epilog="Run `chatctl help COMMAND` for the options and examples of a command.",
    subcommand_metavar="COMMAND [ARGS]...",
)
