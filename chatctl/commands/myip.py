"""`chatctl myip`: the address at which others can reach this node."""

from chatctl.cli.verb import lookup_verb

command = lookup_verb(
    "myip",
    lambda result: str(result.get("ip")),
    help="Print the address of this machine that peers can reach; --json prints all of them.",
)
