"""`chatctl whoami`: name and node id of this node."""

from chatctl.cli.verb import lookup_verb

command = lookup_verb(
    "whoami",
    lambda result: f"{result.get('name')} {result.get('node')}",
    help="Print the name and the node id of this node.",
)
