"""Draws a network as a document for other programs: DOT (Graphviz) and Mermaid. Links that are not up are dashed."""

from chatctl.commands.topo.network import Network, NetworkNode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# Characters that need no escape in Mermaid.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._~+:,()?-")


def dot(network: Network) -> str:
    """A document for e.g. `dot -Tsvg`."""
    return "\n".join(["graph chatd {", "  node [shape=box];", *_dot_lines(network), "}"])


def _dot_lines(network: Network) -> "Iterator[str]":
    for number, node in enumerate(network.nodes):
        style = ', style="bold"' if not number else "" if node.answered else ', style="dashed"'
        yield f"  {_quoted(node.label)} [label={_quoted(_caption(node))}{style}];"
    for link in network.links:
        one, other = link.ends
        style = "" if link.up else ', style="dashed"'
        yield f"  {_quoted(one.label)} -- {_quoted(other.label)} [label={_quoted(link.label)}{style}];"


def mermaid(network: Network) -> str:
    """A document for e.g. wikis that render Mermaid."""
    names = {node: f"n{number}" for number, node in enumerate(network.nodes)}
    lines = [f'  {name}["{_escaped(_caption(node))}"]' for node, name in names.items()]
    for link in network.links:
        one, other = link.ends
        line = "---" if link.up else "-.-"
        lines.append(f'  {names[one]} {line}|"{_escaped(link.label)}"| {names[other]}')
    return "\n".join(["graph LR", *lines])


def _caption(node: NetworkNode) -> str:
    plain = f"+{node.plain} plain" if node.plain else ""
    return " ".join(part for part in (node.label, node.remark, plain) if part)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    """Escape text for quotes in Mermaid: every special character becomes its code, e.g. `#34;`."""
    return "".join(char if char in _PLAIN else f"#{ord(char)};" for char in text)
