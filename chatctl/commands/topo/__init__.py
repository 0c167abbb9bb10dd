"""`chatctl topo`: verb.py, and what it needs."""

from chatctl.commands.topo.verb import command

__all__ = ["command"]
