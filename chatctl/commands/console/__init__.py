"""`chatctl console`: the verb, the console in a room, and the thread that receives events."""

from chatctl.commands.console.verb import command

__all__ = ["command"]
