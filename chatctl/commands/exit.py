"""`chatctl exit`: the seeds' word for `shutdown`."""

from chatctl.cli.verb import Verb
from chatctl.commands.shutdown import HELP, run

command = Verb("exit", run, help=HELP)
