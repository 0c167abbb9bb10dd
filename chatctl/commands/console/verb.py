"""`chatctl console`: the seeds' eight commands, and a few more, at a prompt; or with `--room` what is said in a room.

Messages appear above the half-typed line. With prompt_toolkit on a terminal; plain lines otherwise, so `printf
'list\n' | chatctl console` works. One session follows the events in a thread, the App's own serves the commands. Errors
are shown and never end it.
"""

import signal
import sys

import click

from chatctl.cli.verb import Verb, usage
from chatctl.commands.console.room_console import TYPED, Lounge
from chatctl.commands.console.watcher import Watcher
from chatctl.errors import Failure
from chatctl.text.format import event_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from chatctl.cli.app import App

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
SPOKEN = ("send", "ask", "reply")  # a word and a text
WORDS = [usage_line.split()[0] for usage_line in COMMANDS]


def run(app: "App", room: str | None) -> None:
    """Read commands until `exit` or the end of the input."""
    if app.out.json:
        raise Failure("usage", "the console is for people", "tail and send speak JSON")
    app.attend()
    signal.signal(signal.SIGHUP, _hung_up)
    if room is not None:
        lounge = Lounge(app, room)
        lounge.begin()
        try:
            _prompt(lounge.execute, lounge.words)
        finally:
            lounge.end()
        return
    watcher = Watcher(app, lambda events: _show(app, events))
    watcher.start()
    try:
        _prompt(lambda line: execute(app, line), WORDS)
    finally:
        watcher.stop()


def _hung_up(_number: int, _frame: "FrameType | None") -> None:
    """The terminal, or the reader of stdout, has gone: end in order, so that a room is left."""
    raise BrokenPipeError


def _show(app: "App", events: list[dict[str, object]]) -> None:
    """All but our own messages: those were typed here."""
    for event in events:
        if event.get("type") != "message" or event.get("direction") != "out":
            app.out.entries([event_line(event)])


def execute(app: "App", line: str) -> bool:
    """Do one line; False to leave."""
    words = line.split()
    if not words:
        return True
    if words[0] == "exit":
        return False
    json_before, socket, timeout = app.out.json, app.socket, app.timeout
    app.refresh()
    try:
        _dispatch(app, words[0], line)
    except Failure as failure:
        app.out.failure(failure)
    except click.UsageError as error:
        app.out.failure(usage(error))
    except click.exceptions.Exit:
        pass
    except KeyboardInterrupt:
        app.close()  # the reply may still come, and nobody would wait for it
    finally:
        app.out.json, app.socket, app.timeout = json_before, socket, timeout
    return True


def _dispatch(app: "App", word: str, line: str) -> None:
    if word == "help":
        width = max(len(usage_line) for usage_line in COMMANDS)
        app.out.line("\n".join(f"{usage_line.ljust(width)}  {summary}" for usage_line, summary in COMMANDS.items()))
        return
    from chatctl.cli.table import cli

    context = click.Context(cli, info_name="chatctl", obj=app)
    command = cli.get_command(context, word) if word in WORDS else None
    if command is None:
        raise Failure("usage", f"no such command: {word}", "try help")
    with command.make_context(word, _arguments(word, line), parent=context) as inner:
        command.invoke(inner)


def _arguments(word: str, line: str) -> list[str]:
    """The words after the first; the text of a message as it was typed."""
    if word not in SPOKEN:
        return line.split()[1:]
    _, *rest = line.strip().split(None, 2)
    return [rest[0], "--", rest[1]] if len(rest) == 2 else rest


def _prompt(execute_line: "Callable[[str], bool]", words: "Sequence[str]") -> None:
    """Do lines until one of them is the last."""
    fancy = _fancy(words) if sys.stdin.isatty() and sys.stdout.isatty() else None
    (fancy or _plain)(execute_line)


def _plain(execute_line: "Callable[[str], bool]") -> None:
    """Lines in, lines out."""
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(errors="surrogateescape")
    prompt = PROMPT if sys.stdin.isatty() and sys.stdout.isatty() else ""
    while True:
        try:
            line = input(prompt)
        except EOFError:
            return
        if not execute_line(line):
            return


def _fancy(words: "Sequence[str]") -> "Callable[[Callable[[str], bool]], None] | None":
    """The prompt of prompt_toolkit, where it is installed."""
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.patch_stdout import patch_stdout
    except ImportError:
        return None

    def loop(execute_line: "Callable[[str], bool]") -> None:
        session: PromptSession[str] = PromptSession(
            completer=WordCompleter(list(words), WORD=True), complete_while_typing=False
        )
        with patch_stdout(raw=True):  # what is shown has been made harmless; raw keeps our colours
            while True:
                try:
                    line = session.prompt(PROMPT)
                except EOFError:
                    return
                except KeyboardInterrupt:
                    continue
                if not execute_line(line):
                    return

    return loop


command = Verb(
    "console",
    run,
    [click.Option(["--room"], metavar="ROOM", help="Talk in a room; *help there says how.")],
    help=f"Talk at a prompt: {', '.join(WORDS)}. Messages appear above the line. "
    "exit leaves the console; the daemon stays. With --room, what is typed is said in the room.",
    epilog=f"With --room: {', '.join(TYPED)}.",
)
