"""The entry point: runs a verb and converts its outcome to an exit status."""

import os
import sys

import click

from chatctl.cli.table import COMPLETE_VARIABLE, cli
from chatctl.cli.verb import App, usage_failure
from chatctl.errors import DONE, INTERRUPTED, Failure


def main() -> None:
    """Exits without tearing the interpreter down, which would take a seventh of the time of a `send`."""
    status = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        status = DONE
    os._exit(status)


def run(argv: list[str]) -> int:
    """Run one command line and return the exit status."""
    if COMPLETE_VARIABLE in os.environ:
        cli.main(argv, "chatctl", complete_var=COMPLETE_VARIABLE, obj=App())
    app = App()
    try:
        return _invoke(app, argv)
    except Failure as failure:
        return _report(app, failure)
    except click.UsageError as error:
        app.out.json = app.out.json or "--json" in argv
        return _report(app, usage_failure(error))
    except BrokenPipeError:  # keeps the interpreter from complaining at exit
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


def _report(app: App, failure: Failure) -> int:
    app.out.failure(failure)
    return failure.exit_status


if __name__ == "__main__":
    main()
