"""The table of verbs, and the click group that imports a verb's file when the verb is used."""

from importlib import import_module

import click

from chatctl.cli.verb import global_options
from chatctl.errors import Failure

COMPLETE_VARIABLE = "_CHATCTL_COMPLETE"  # set by the completion scripts

# Heading in the overview -> verb -> its summary.
VERBS: dict[str, dict[str, str]] = {
    "Messages": {
        "send": "Send a message to a peer.",
        "ask": "Send a message and print the reply to it.",
        "reply": "Answer a message.",
        "tail": "Show messages as they come, or run a command for each.",
        "history": "Show messages of the past.",
        "msg": "Show a message and what became of it.",
        "trace": "Show a message's way, with times at both ends.",
        "cancel": "Take back a message.",
        "console": "Talk at a prompt.",
    },
    "Rooms": {
        "room": "Host rooms, join them, and who is in them.",
        "say": "Say something in a room.",
    },
    "Peers": {
        "list": "Who we are connected with.",
        "connect": "Connect to a peer.",
        "terminate": "Close the connection to a peer.",
        "peer": "Decide who may talk; names.",
        "myip": "The address that others can reach.",
        "myport": "The port that others can reach.",
        "whoami": "Name and id of this node.",
    },
    "Network": {
        "topo": "Who is connected with whom, all over the network.",
        "link": "Delay, lose, slow down or cut what goes over a link.",
        "ping": "How long a peer takes to answer.",
        "bench": "How many messages a second reach a peer.",
    },
    "Consumers": {
        "consumers": "The named readers, and how far they are.",
        "consumer": "Remove a named reader.",
        "ack": "Say how far a named reader is.",
    },
    "Daemon": {
        "status": "How the daemon is doing.",
        "health": "Whether the daemon is well, as an exit status.",
        "wait": "Wait until something is so.",
        "exit": "Stop the daemon.",
        "shutdown": "Stop the daemon.",
    },
    "Chatctl": {
        "help": "Show this, or the help of one verb.",
        "completion": "Print the completion script of a shell.",
    },
}
SUMMARY = {verb: summary for verbs in VERBS.values() for verb, summary in verbs.items()}


class VerbGroup(click.Group):
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
        raise Failure("usage", f"no such verb: {args[0]}", f"did you mean {near[0]}?" if near else "see chatctl help")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click gives it
        for group, verbs in VERBS.items():
            with formatter.section(group):
                formatter.write_dl(list(verbs.items()))


cli = VerbGroup(
    "chatctl",
    params=global_options(),
    no_args_is_help=False,
    add_help_option=False,
    help="Drives chatd, the headless chat daemon.",
    epilog="chatctl help VERB says more about a verb.",
    subcommand_metavar="VERB [ARGS]...",
)
