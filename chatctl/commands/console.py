"""`chatctl console`: the seeds' eight commands, and a few more, at a prompt. Messages appear above the half-typed line.

With prompt_toolkit on a terminal; plain lines otherwise, so `printf 'list\n' | chatctl console` works. One session
follows the events in a thread, the App's own serves the commands. Errors are shown and never end it.
"""

import json
import sys
import threading

import click

from chatctl.errors import Failure
from chatctl.follower import Follower
from chatctl.people import event_line
from chatctl.verb import Verb, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from chatctl.app import App

PROMPT = "> "
RETRY_S = 1.0
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


class Watcher:
    """The thread that shows what happens. A daemon that is gone is said once, and followed again when it is back."""

    def __init__(self, app: "App") -> None:
        self._app = app.twin()
        self._leaving = threading.Event()
        self._follower = Follower(self._app, "now", {})
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Show events from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._leaving.set()
        self._follower.stop()
        self._thread.join(RETRY_S)
        self._app.close()

    def _run(self) -> None:
        said = False
        while not self._leaving.is_set():
            try:
                for events in self._follower.batches():
                    said = False
                    self._show([json.loads(event) for event in events])
            except BrokenPipeError:  # the prompt's own thread meets it too, and ends
                return
            except Failure as failure:
                if not said and not self._leaving.is_set():
                    self._app.out.failure(failure)
                said = failure.kind == "no_daemon"
                if failure.kind == "cursor_gone":
                    self._follower.position = ""
            self._leaving.wait(RETRY_S)

    def _show(self, events: list[dict[str, object]]) -> None:
        """All but our own messages: those were typed here."""
        for event in events:
            if event.get("type") != "message" or event.get("direction") != "out":
                self._app.out.entries([event_line(event)])


def run(app: "App") -> None:
    """Read commands until `exit` or the end of the input."""
    if app.out.json:
        raise Failure("usage", "the console is for people", "tail and send speak JSON")
    watcher = Watcher(app)
    watcher.start()
    try:
        fancy = _fancy() if sys.stdin.isatty() and sys.stdout.isatty() else None
        (fancy or _plain)(lambda line: execute(app, line))
    finally:
        watcher.stop()


def execute(app: "App", line: str) -> bool:
    """Do one line; False to leave."""
    words = line.split()
    if not words:
        return True
    if words[0] == "exit":
        return False
    json_before, socket, timeout = app.out.json, app.socket, app.timeout
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
    from chatctl.verbs import cli

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


def _fancy() -> "Callable[[Callable[[str], bool]], None] | None":
    """The prompt of prompt_toolkit, where it is installed."""
    try:
        from prompt_toolkit import PromptSession
        from prompt_toolkit.completion import WordCompleter
        from prompt_toolkit.patch_stdout import patch_stdout
    except ImportError:
        return None

    def loop(execute_line: "Callable[[str], bool]") -> None:
        session: PromptSession[str] = PromptSession(completer=WordCompleter(WORDS), complete_while_typing=False)
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
    help=f"Talk at a prompt: {', '.join(WORDS)}. Messages appear above the line. "
    "exit leaves the console; the daemon stays.",
)
