"""Draws a network as text: the tree of shortest paths from this node, and beside each node its links outside the tree.

A line that is folded continues under its text, so that no continuation looks like a node. Prints nothing.
"""

from chatctl.commands.topo.network import Network, NetworkLink, NetworkNode, count_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Paint = Callable[..., str]

MANY, TOO_MANY = 200, 2000  # links in the network: above, extra links are shown by name only, or only counted
MAX_NAME_COLUMNS = 40  # wider names are not padded for alignment
MIN_EXTRA_COLUMNS, MIN_LABEL_COLUMNS = 30, 12  # for the extra links, and for a round trip
INDENTS = (4, 2, 1)  # the first one with which the tree fits is used
GAP = "  "
COLOURS = {"silent": "red", "private": "dim", "unasked": "dim", "dialing": "yellow", "pending": "yellow", "down": "red"}


def summary(network: Network) -> str:
    """`5 nodes, 4 links, 1 link not up, 1 node silent (0.03 s)`."""
    up = sum(link.up for link in network.links)
    silent = sum(node.status == "silent" for node in network.nodes)
    parts = [count_text(len(network.nodes), "node"), count_text(up, "link")]
    if up < len(network.links):
        parts.append(f"{count_text(len(network.links) - up, 'link')} not up")
    if silent:
        parts.append(f"{count_text(silent, 'node')} silent")
    return f"{', '.join(parts)} ({network.seconds:.2f} s)"


def tree(network: Network, columns: int, paint: "Paint") -> list[str]:
    """Lines for a terminal with `columns`. `paint(text, colour)` colours a part of a line."""
    drawing = _TreeDrawing(network, columns, paint)
    return [line for tree_node, bars in _walk(drawing.roots, drawing.indent) for line in drawing.lines(tree_node, bars)]


class _TreeNode:
    """A node in the tree: the link to its parent, its depth, its children and its extra links outside the tree."""

    __slots__ = ("children", "depth", "extra_links", "last", "link", "node")

    def __init__(self, node: NetworkNode, link: "NetworkLink | None", depth: int) -> None:
        self.node = node
        self.link = link
        self.depth = depth
        self.last = False  # of its siblings
        self.children: list[_TreeNode] = []
        self.extra_links: list[NetworkLink] = []


class _SpanningTree:
    """Every node of the network once. More than one root if parts of the network are not connected."""

    def __init__(self, network: Network) -> None:
        self._by_node: dict[NetworkNode, _TreeNode] = {}
        self.roots: list[_TreeNode] = []
        for node in network.nodes:
            if node not in self._by_node:
                self._grow(node)
        for tree_node in self._by_node.values():
            for child in tree_node.children[-1:]:
                child.last = True
        self._add_extra_links()
        self.tree_nodes = list(self._by_node.values())
        self.depth = max((tree_node.depth for tree_node in self.tree_nodes), default=0)

    def _grow(self, root: NetworkNode) -> None:
        """Add nodes by shortest paths over links that are up; then those beyond a link that is not up."""
        self.roots.append(self._add(root, None, 0))
        edge = [root]
        while edge:
            while edge:
                edge = self._add_neighbours(edge, over_broken=False)
            edge = self._add_neighbours(list(self._by_node), over_broken=True)

    def _add_neighbours(self, nodes: "list[NetworkNode]", *, over_broken: bool) -> "list[NetworkNode]":
        """Add the neighbours of `nodes` that are not in the tree, and return them."""
        added = []
        for node in nodes:
            for link in _sorted_links(node):
                far = link.other_end(node)
                if far not in self._by_node and (over_broken or link.maybe_up):
                    parent = self._by_node[node]
                    parent.children.append(self._add(far, link, parent.depth + 1))
                    added.append(far)
        return added

    def _add(self, node: NetworkNode, link: "NetworkLink | None", depth: int) -> _TreeNode:
        tree_node = self._by_node[node] = _TreeNode(node, link, depth)
        return tree_node

    def _add_extra_links(self) -> None:
        """Assign each link outside the tree to the one of its ends that is drawn first."""
        shown = {tree_node.link for tree_node in self._by_node.values()}
        for tree_node, _ in _walk(self.roots, 0):
            for link in _sorted_links(tree_node.node):
                if link not in shown:
                    shown.add(link)
                    tree_node.extra_links.append(link)


class _TreeDrawing:
    def __init__(self, network: Network, columns: int, paint: "Paint") -> None:
        spanning = _SpanningTree(network)
        self.roots = spanning.roots
        self._paint = paint
        self._columns = columns
        self._count = len(network.links)
        longest = max((len(node.label) for node in network.nodes), default=0)
        fits = [indent for indent in INDENTS if spanning.depth * indent + longest + MIN_LABEL_COLUMNS <= columns]
        self.indent = fits[0] if fits else INDENTS[-1]
        self._deepest = max(columns - longest - MIN_LABEL_COLUMNS, columns // 2)  # longer bars are cut
        names = max(
            (tree_node.depth * self.indent + len(tree_node.node.label) for tree_node in spanning.tree_nodes), default=0
        )
        self._names = names if names <= MAX_NAME_COLUMNS else 0

    def lines(self, tree_node: _TreeNode, bars: str) -> list[str]:
        """Lines of one node: label, round trip and extra links. `bars` connect it with its surroundings."""
        bars = bars[-self._deepest :]
        head = bars + self._branch(tree_node) + tree_node.node.label
        remarks = self._remarks(tree_node)
        width = len(head)
        if remarks or tree_node.extra_links:
            width = max(width, self._names)
        painted = head.ljust(width)
        for text, colour in remarks:
            painted += GAP + (self._paint(text, colour) if colour else text)
            width += len(GAP) + len(text)
        if not tree_node.extra_links:
            return [painted]
        under = bars if tree_node.link is None else bars + _bar(tree_node, self.indent)
        return self._with_extra_links(tree_node, painted, width, under + ("│" if tree_node.children else ""))

    def _branch(self, tree_node: _TreeNode) -> str:
        if tree_node.link is None:
            return ""
        dashes = ("─" if tree_node.link.up else "╌") * (self.indent - 2)
        return ("└" if tree_node.last else "├") + dashes + (" " if self.indent > 1 else "")

    def _remarks(self, tree_node: _TreeNode) -> "list[tuple[str, str]]":
        node, link, remarks = tree_node.node, tree_node.link, []
        if link is not None:
            remarks.append((link.label, "" if link.up else COLOURS.get(link.state, "yellow")))
        if node.remark:
            remarks.append((node.remark, COLOURS.get(node.status, "")))
        if node.plain:
            remarks.append((f"+{node.plain} plain", "dim"))
        return remarks

    def _with_extra_links(self, tree_node: _TreeNode, line: str, width: int, under: str) -> list[str]:
        """Append the extra links to the line, or below it if less than MIN_EXTRA_COLUMNS are left."""
        start = width + len(GAP)
        lines = [line + GAP]
        if self._columns - start < MIN_EXTRA_COLUMNS:
            start = min(len(under) + len(GAP), self._columns // 2)
            lines = [line, under.ljust(start)]
        lines[-1] += "also "
        start += len("also ")
        at = start
        for number, word in enumerate(self._extra_words(tree_node)):
            if number and at + len(", ,") + len(word) > self._columns:
                lines[-1] += ","
                lines.append(under.ljust(start))
                at = start
            elif number:
                lines[-1] += ", "
                at += len(", ")
            lines[-1] += word
            at += len(word)
        return lines

    def _extra_words(self, tree_node: _TreeNode) -> list[str]:
        """The pieces between which a line may be folded: one for each extra link."""
        if self._count > TOO_MANY:
            return [count_text(len(tree_node.extra_links), "more link")]
        links = [(link, link.other_end(tree_node.node).label) for link in tree_node.extra_links]
        if self._count > MANY:
            return [label if link.up else f"{label} ({link.state})" for link, label in links]
        return [f"{label} {link.label}" if link.up else f"{label} ({link.state})" for link, label in links]


def _walk(roots: "list[_TreeNode]", indent: int) -> "Iterator[tuple[_TreeNode, str]]":
    """Yield every node of the tree from the top down, with the bars before it."""
    stack = [(root, "") for root in reversed(roots)]
    while stack:
        tree_node, bars = stack.pop()
        yield tree_node, bars
        under = bars if tree_node.link is None else bars + _bar(tree_node, indent)
        stack += [(child, under) for child in reversed(tree_node.children)]


def _bar(tree_node: _TreeNode, indent: int) -> str:
    return (" " if tree_node.last else "│").ljust(indent)


def _sorted_links(node: NetworkNode) -> "list[NetworkLink]":
    return sorted(node.links, key=lambda link: link.other_end(node).order)
