"""Global ids: `NODEID/EPOCH:SEQ`, the name of a message on every node: its sender, and its place in that journal.

The node in it is one that a link has authenticated; a frame never says it.
"""

from typing import NamedTuple, Self

from chatd.wire.fields import valid_id, valid_node


class GlobalId(NamedTuple):
    """The parts of one."""

    node: str
    epoch: str
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The parts of a text; None if it is not a global id."""
        node, _, position = text.partition("/")
        if not valid_node(node) or not valid_id(position):
            return None
        return cls(node, *parts(position))

    def __str__(self) -> str:
        return f"{self.node}/{self.position}"

    @property
    def position(self) -> str:
        """`EPOCH:SEQ` in the journal of the node."""
        return f"{self.epoch}:{self.seq}"


def parts(position: str) -> tuple[str, int]:
    """Epoch and seq of a well-formed position."""
    epoch, _, digits = position.partition(":")
    return epoch, int(digits)


def position_in(global_id: str) -> str:
    """The position in a well-formed global id."""
    return global_id.partition("/")[2]
