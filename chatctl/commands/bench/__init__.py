"""`chatctl bench`: verb.py, and what it needs."""

from chatctl.commands.bench.verb import command

__all__ = ["command"]
