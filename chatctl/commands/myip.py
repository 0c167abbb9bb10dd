"""`chatctl myip`: the address at which others can reach this node."""

from chatctl.cli.verb import lookup_verb

command = lookup_verb(
    "myip",
    lambda result: str(result.get("ip")),
    help="The address of this machine that others can reach; --json tells all of them.",
)
