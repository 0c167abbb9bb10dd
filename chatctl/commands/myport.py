"""`chatctl myport`: the port at which others can reach this node."""

from chatctl.cli.verb import lookup_verb

command = lookup_verb(
    "myport", lambda result: str(result.get("port")), help="Print the port of the daemon's first listener."
)
