"""`chatctl console`: verb.py, and what it needs."""

from chatctl.commands.console.verb import command

__all__ = ["command"]
