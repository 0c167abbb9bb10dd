"""`chatctl topo`: the verb, the model of the network, and its drawing as a tree, DOT or Mermaid."""

from chatctl.commands.topo.verb import command

__all__ = ["command"]
