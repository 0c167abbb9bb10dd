"""A network as a document for programs that draw: DOT (Graphviz) and Mermaid. Links that are not up are dashed."""

from chatctl.commands.topo.network import Network, Node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._~+:,()?-")  # nothing to Mermaid


def dot(network: Network) -> str:
    """For `dot -Tsvg`."""
    return "\n".join(["graph chatd {", "  node [shape=box];", *_dot_lines(network), "}"])


def _dot_lines(network: Network) -> "Iterator[str]":
    for number, node in enumerate(network.nodes):
        style = ', style="bold"' if not number else "" if node.answered else ', style="dashed"'
        yield f"  {_quoted(node.label)} [label={_quoted(_caption(node))}{style}];"
    for link in network.links:
        one, other = link.ends
        style = "" if link.up else ', style="dashed"'
        yield f"  {_quoted(one.label)} -- {_quoted(other.label)} [label={_quoted(link.shown)}{style}];"


def mermaid(network: Network) -> str:
    """For everything that renders Mermaid, as many wikis and forges do."""
    names = {node: f"n{number}" for number, node in enumerate(network.nodes)}
    lines = [f'  {name}["{_escaped(_caption(node))}"]' for node, name in names.items()]
    for link in network.links:
        one, other = link.ends
        line = "---" if link.up else "-.-"
        lines.append(f'  {names[one]} {line}|"{_escaped(link.shown)}"| {names[other]}')
    return "\n".join(["graph LR", *lines])


def _caption(node: Node) -> str:
    plain = f"+{node.plain} plain" if node.plain else ""
    return " ".join(part for part in (node.label, node.remark, plain) if part)


def _quoted(text: str) -> str:
    """A string of DOT."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    """What may stand between the quotes of Mermaid, which knows characters by their numbers."""
    return "".join(one if one in _PLAIN else f"#{ord(one)};" for one in text)
