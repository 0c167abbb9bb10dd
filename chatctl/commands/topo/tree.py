"""A network as text: a tree of the shortest ways from this node, and beside each node the links that are not in it.

Where a line goes on, what follows stands under it, so that nothing looks like another node. Nothing in here prints.
"""

from chatctl.commands.topo.network import Link, Network, Node, counted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Paint = Callable[..., str]

MANY, TOO_MANY = 200, 2000  # links: then only the names of those beside the tree are shown, or how many there are
NAMES_MOST = 40  # columns up to which what stands behind the names is aligned
ALSO_LEAST, DISTANCE_LEAST = 30, 12  # columns that links beside the tree get at least, and a round trip
INDENTS = (4, 2, 1)  # the first by which the whole tree fits
GAP = "  "
COLOURS = {"silent": "red", "private": "dim", "unasked": "dim", "dialing": "yellow", "pending": "yellow", "down": "red"}


def summary(network: Network) -> str:
    """`5 nodes, 4 links, 1 link not up, 1 node silent (0.03 s)`."""
    up = sum(link.up for link in network.links)
    silent = sum(node.status == "silent" for node in network.nodes)
    parts = [counted(len(network.nodes), "node"), counted(up, "link")]
    if up < len(network.links):
        parts.append(f"{counted(len(network.links) - up, 'link')} not up")
    if silent:
        parts.append(f"{counted(silent, 'node')} silent")
    return f"{', '.join(parts)} ({network.seconds:.2f} s)"


def tree(network: Network, columns: int, paint: "Paint") -> list[str]:
    """The lines, for so many columns; `paint` colours a piece of one."""
    drawing = _Drawing(network, columns, paint)
    return [line for place, bars in _walk(drawing.roots, drawing.indent) for line in drawing.lines(place, bars)]


class _Place:
    """Where a node stands: under which link, how deep, and what is under it and beside it."""

    __slots__ = ("also", "below", "depth", "last", "link", "node")

    def __init__(self, node: Node, link: "Link | None", depth: int) -> None:
        self.node = node
        self.link = link
        self.depth = depth
        self.last = False  # of those under the same one
        self.below: list[_Place] = []
        self.also: list[Link] = []


class _Grown:
    """The tree, before it is drawn."""

    def __init__(self, network: Network) -> None:
        self._places: dict[Node, _Place] = {}
        self.roots: list[_Place] = []
        for node in network.nodes:
            if node not in self._places:
                self._grow(node)
        for place in self._places.values():
            for under in place.below[-1:]:
                under.last = True
        self._put_beside()
        self.places = list(self._places.values())
        self.depth = max((place.depth for place in self.places), default=0)

    def _grow(self, root: Node) -> None:
        """Shortest ways first; then who is only to be had over a link that is not up, and who is behind it."""
        self.roots.append(self._put(root, None, 0))
        edge = [root]
        while edge:
            while edge:
                edge = self._reach(edge, over_broken=False)
            edge = self._reach(list(self._places), over_broken=True)

    def _reach(self, nodes: "list[Node]", *, over_broken: bool) -> "list[Node]":
        """Whoever has a link with one of these, and no place yet, gets one under it."""
        reached = []
        for node in nodes:
            for link in _in_order(node):
                far = link.far(node)
                if far not in self._places and (over_broken or link.perhaps_up):
                    above = self._places[node]
                    above.below.append(self._put(far, link, above.depth + 1))
                    reached.append(far)
        return reached

    def _put(self, node: Node, link: "Link | None", depth: int) -> _Place:
        place = self._places[node] = _Place(node, link, depth)
        return place

    def _put_beside(self) -> None:
        """Every other link is shown once, at the end that comes first."""
        shown = {place.link for place in self._places.values()}
        for place, _ in _walk(self.roots, 0):
            for link in _in_order(place.node):
                if link not in shown:
                    shown.add(link)
                    place.also.append(link)


class _Drawing:
    """The lines of each place."""

    def __init__(self, network: Network, columns: int, paint: "Paint") -> None:
        grown = _Grown(network)
        self.roots = grown.roots
        self._paint = paint
        self._columns = columns
        self._count = len(network.links)
        longest = max((len(node.label) for node in network.nodes), default=0)
        fits = [indent for indent in INDENTS if grown.depth * indent + longest + DISTANCE_LEAST <= columns]
        self.indent = fits[0] if fits else INDENTS[-1]
        self._deepest = max(columns - longest - DISTANCE_LEAST, columns // 2)  # beyond that, bars are left out
        names = max((place.depth * self.indent + len(place.node.label) for place in grown.places), default=0)
        self._names = names if names <= NAMES_MOST else 0

    def lines(self, place: _Place, bars: str) -> list[str]:
        """A node, with how far it is, and its links beside the tree; `bars` lead to those around it."""
        bars = bars[-self._deepest :]
        head = bars + self._twig(place) + place.node.label
        said = self._said(place)
        width = len(head)
        if said or place.also:
            width = max(width, self._names)
        painted = head.ljust(width)
        for text, colour in said:
            painted += GAP + (self._paint(text, colour) if colour else text)
            width += len(GAP) + len(text)
        if not place.also:
            return [painted]
        under = bars if place.link is None else bars + _bar(place, self.indent)
        return self._with_also(place, painted, width, under + ("│" if place.below else ""))

    def _twig(self, place: _Place) -> str:
        if place.link is None:
            return ""
        dashes = ("─" if place.link.up else "╌") * (self.indent - 2)
        return ("└" if place.last else "├") + dashes + (" " if self.indent > 1 else "")

    def _said(self, place: _Place) -> "list[tuple[str, str]]":
        node, link, said = place.node, place.link, []
        if link is not None:
            said.append((link.shown, "" if link.up else COLOURS.get(link.state, "yellow")))
        if node.remark:
            said.append((node.remark, COLOURS.get(node.status, "")))
        if node.plain:
            said.append((f"+{node.plain} plain", "dim"))
        return said

    def _with_also(self, place: _Place, line: str, width: int, under: str) -> list[str]:
        """Behind what is said of the node, or where that leaves too little, below it."""
        start = width + len(GAP)
        lines = [line + GAP]
        if self._columns - start < ALSO_LEAST:
            start = min(len(under) + len(GAP), self._columns // 2)
            lines = [line, under.ljust(start)]
        lines[-1] += "also "
        start += len("also ")
        at = start
        for number, word in enumerate(self._also(place)):
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

    def _also(self, place: _Place) -> list[str]:
        """What cannot be broken: the links, one by one."""
        if self._count > TOO_MANY:
            return [counted(len(place.also), "more link")]
        links = [(link, link.far(place.node).label) for link in place.also]
        if self._count > MANY:
            return [label if link.up else f"{label} ({link.state})" for link, label in links]
        return [f"{label} {link.shown}" if link.up else f"{label} ({link.state})" for link, label in links]


def _walk(roots: "list[_Place]", indent: int) -> "Iterator[tuple[_Place, str]]":
    """All places from the top down, each with the bars that stand before it."""
    waiting = [(root, "") for root in reversed(roots)]
    while waiting:
        place, bars = waiting.pop()
        yield place, bars
        under = bars if place.link is None else bars + _bar(place, indent)
        waiting += [(below, under) for below in reversed(place.below)]


def _bar(place: _Place, indent: int) -> str:
    return (" " if place.last else "│").ljust(indent)


def _in_order(node: Node) -> "list[Link]":
    return sorted(node.links, key=lambda link: link.far(node).order)
