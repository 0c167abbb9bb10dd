"""`chatctl exit`: the seeds' word for `shutdown`."""

from chatctl.commands.shutdown import HELP, run
from chatctl.verb import Verb

command = Verb("exit", run, help=HELP)
