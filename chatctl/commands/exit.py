"""`chatctl exit`: another name for `shutdown`, known from other chat programs (see docs/origins.md)."""

from chatctl.cli.verb import Verb
from chatctl.commands.shutdown import HELP, run

command = Verb("exit", run, help=HELP)
