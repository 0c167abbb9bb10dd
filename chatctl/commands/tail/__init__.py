"""`chatctl tail`: verb.py, and what it needs."""

from chatctl.commands.tail.verb import command

__all__ = ["command"]
