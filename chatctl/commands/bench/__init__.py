"""`chatctl bench`: the verb, and the load generator."""

from chatctl.commands.bench.verb import command

__all__ = ["command"]
