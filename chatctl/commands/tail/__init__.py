"""`chatctl tail`: the verb, and the execution of `--exec` commands."""

from chatctl.commands.tail.verb import command

__all__ = ["command"]
