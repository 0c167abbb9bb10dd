"""`chatctl console`: the commands of the programs in docs/origins.md, and a few more, at a prompt; or a room.

Messages appear above the half-typed line. Uses prompt_toolkit on a terminal and plain lines otherwise, so `printf
'list\n' | chatctl console` works. A thread receives the events on a session of its own; the App's session serves the
commands. Errors are printed and never end the console.
"""

import signal
import sys

import click

from chatctl.cli.table import cli
from chatctl.cli.verb import App, Verb, usage_failure
from chatctl.commands.console.event_watcher import EventWatcher
from chatctl.commands.console.room_console import TYPED, RoomConsole
from chatctl.errors import Failure
from chatctl.text.format import event_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

PROMPT = "> "
COMMANDS = {
    "help": "show this",
    "myip": "the address that others can reach",
    "myport": "the port that others can reach",
    "connect HOST[:PORT] [PORT] [--plain]": "connect to a peer",
    "list": "the peers, with their slots",
    "terminate PEER": "close the connection to a peer",
    "send PEER TEXT": "send a message",
    "ask PEER TEXT": "send a message and wait for the reply to it; Ctrl-C ends the waiting",
    "reply ID TEXT": "answer a message",
    "msg ID": "show a message and what became of it",
    "cancel ID": "take back a message",
    "exit": "leave the console; the daemon stays",
}
TEXT_COMMANDS = ("send", "ask", "reply")  # one argument and a text
WORDS = [usage_line.split()[0] for usage_line in COMMANDS]


def run(app: App, room: str | None) -> None:
    """Read commands until `exit` or the end of input."""
    if app.out.json:
        raise Failure("usage", "the console is for people", "tail and send speak JSON")
    app.watch_stdout()
    signal.signal(signal.SIGHUP, _on_hangup)
    if room is not None:
        room_console = RoomConsole(app, room)
        room_console.open()
        try:
            _read_commands(room_console.execute, room_console.words)
        finally:
            room_console.close()
        return
    watcher = EventWatcher(app, lambda events: _print_events(app, events))
    watcher.start()
    try:
        _read_commands(lambda line: execute(app, line), WORDS)
    finally:
        watcher.stop()


def _on_hangup(_number: int, _frame: "FrameType | None") -> None:
    """The terminal or the reader of stdout has gone: unwind, so that a room is left."""
    raise BrokenPipeError


def _print_events(app: App, events: list[dict[str, object]]) -> None:
    """Print all events but our own messages, which were typed here."""
    for event in events:
        if event.get("type") != "message" or event.get("direction") != "out":
            app.out.entries([event_line(event)])


def execute(app: App, line: str) -> bool:
    """Execute one line; return False to leave the console."""
    words = line.split()
    if not words:
        return True
    if words[0] == "exit":
        return False
    json_before, socket, timeout = app.out.json, app.socket, app.timeout
    app.drop_dead_session()
    try:
        _dispatch(app, words[0], line)
    except Failure as failure:
        app.out.failure(failure)
    except click.UsageError as error:
        app.out.failure(usage_failure(error))
    except click.exceptions.Exit:
        pass
    except KeyboardInterrupt:
        app.close()  # the reply may still come on this session
    finally:
        app.out.json, app.socket, app.timeout = json_before, socket, timeout
    return True


def _dispatch(app: App, word: str, line: str) -> None:
    if word == "help":
        width = max(len(usage_line) for usage_line in COMMANDS)
        app.out.line("\n".join(f"{usage_line.ljust(width)}  {summary}" for usage_line, summary in COMMANDS.items()))
        return
    context = click.Context(cli, info_name="chatctl", obj=app)
    command = cli.get_command(context, word) if word in WORDS else None
    if command is None:
        raise Failure("usage", f"no such command: {word}", "try help")
    with command.make_context(word, _arguments(word, line), parent=context) as inner:
        command.invoke(inner)


def _arguments(word: str, line: str) -> list[str]:
    """The words after the command. The text of a message stays as it was typed, spaces included."""
    if word not in TEXT_COMMANDS:
        return line.split()[1:]
    _, *rest = line.strip().split(None, 2)
    return [rest[0], "--", rest[1]] if len(rest) == 2 else rest


def _read_commands(execute_line: "Callable[[str], bool]", words: "Sequence[str]") -> None:
    """Call `execute_line` for each line until it returns False."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        _edit_lines(execute_line, words)
    else:
        _read_plain_lines(execute_line)


def _read_plain_lines(execute_line: "Callable[[str], bool]") -> None:
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")
    while True:
        try:
            line = input()
        except EOFError:
            return
        if not execute_line(line):
            return


def _edit_lines(execute_line: "Callable[[str], bool]", words: "Sequence[str]") -> None:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.patch_stdout import patch_stdout

    session: PromptSession[str] = PromptSession(
        completer=WordCompleter(list(words), WORD=True), complete_while_typing=False
    )
    with patch_stdout(raw=True):  # output is escaped already; raw keeps our colours
        while True:
            try:
                line = session.prompt(PROMPT)
            except EOFError:
                return
            except KeyboardInterrupt:
                continue
            if not execute_line(line):
                return


command = Verb(
    "console",
    run,
    [click.Option(["--room"], metavar="ROOM", help="Open the prompt in a room; *help lists its commands.")],
    help=f"Open an interactive prompt. Its commands: {', '.join(WORDS)}. Messages appear above the line. "
    "exit leaves the console and keeps the daemon running. With --room, each line is sent to the room.",
    epilog=f"With --room: {', '.join(TYPED)}.",
)
