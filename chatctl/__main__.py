"""The entry point: runs a verb and turns what became of it into an exit status."""

import os
import sys

import click

from chatctl.cli.app import App
from chatctl.cli.table import cli
from chatctl.cli.verb import usage
from chatctl.errors import DONE, INTERRUPTED, Failure

COMPLETE = "_CHATCTL_COMPLETE"  # what the completion scripts set


def main() -> None:
    """`chatctl`. Ends without taking the interpreter apart: that would be a seventh of a `send`."""
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = DONE
    os._exit(status)


def run(argv: list[str]) -> int:
    """Run one command line; the exit status."""
    if COMPLETE in os.environ:
        cli.main(argv, "chatctl", complete_var=COMPLETE, obj=App())
    app = App()
    try:
        return _invoke(app, argv)
    except Failure as failure:
        return _failed(app, failure)
    except click.UsageError as error:
        app.out.json = app.out.json or "--json" in argv
        return _failed(app, usage(error))
    except BrokenPipeError:  # whoever read stdout has enough; the interpreter shall not complain at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        app.close()


def _invoke(app: App, argv: list[str]) -> int:
    try:
        with cli.make_context("chatctl", argv, obj=app) as ctx:
            status = cli.invoke(ctx)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    return status if isinstance(status, int) else DONE


def _failed(app: App, failure: Failure) -> int:
    app.out.failure(failure)
    return failure.exit_status


if __name__ == "__main__":
    main()
