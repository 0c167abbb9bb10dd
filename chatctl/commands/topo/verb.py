"""`chatctl topo`: the nodes and links of the network, as text or as a document for drawing programs."""

import click

from chatctl.cli.verb import App, Verb
from chatctl.errors import Failure

MAX_HOPS = 64


def run(app: App, hops: "int | None", dot: bool, mermaid: bool) -> None:
    if dot + mermaid + app.out.json > 1:
        raise Failure("usage", "--json, --dot and --mermaid exclude each other", "choose one of them")
    result = app.call_with_timeout("topo", {} if hops is None else {"hops": hops})
    if app.out.json:
        app.out.result(result)
        return
    from chatctl.commands.topo import graphs, tree
    from chatctl.commands.topo.network import Network, count_text

    network = Network(result)
    if dot or mermaid:
        app.out.line(graphs.dot(network) if dot else graphs.mermaid(network))
        return
    from shutil import get_terminal_size

    drawn = tree.tree(network, get_terminal_size().columns, app.out.paint)
    app.out.line("\n".join([app.out.paint(tree.summary(network), "bold"), "", *drawn]))
    far = sum(node.status == "unasked" and node.hops is not None for node in network.nodes)
    if far:
        app.out.note(f"too far away to be asked: {count_text(far, 'node')}; --hops N asks further")


command = Verb(
    "topo",
    run,
    [
        click.Option(
            ["--hops"], type=click.IntRange(0, MAX_HOPS), metavar="N", help="Visit nodes up to N links away (16)."
        ),
        click.Option(["--dot"], is_flag=True, help="Print a graph for Graphviz."),
        click.Option(["--mermaid"], is_flag=True, help="Print a graph for Mermaid."),
    ],
    help="Ask all nodes of the network for their connections and draw a tree of the shortest paths "
    "from this node, with the round-trip time of each link. Each node's other links are listed "
    "beside it. A node that does not answer within --timeout (5s) is shown as silent.",
)
