"""State directories of nodes: wiped, copied and put back, always with the identity they had."""

import os
import shutil

from chatd.peers.identity import CERTIFICATE_FILE, KEY_FILE
from tests.harness.network import LiveNode


def wipe(node: LiveNode) -> None:
    """A new state directory; it does not run."""
    old = node.state + ".old"
    os.rename(node.state, old)
    os.mkdir(node.state, 0o700)
    for name in (KEY_FILE, CERTIFICATE_FILE):
        shutil.copy2(os.path.join(old, name), os.path.join(node.state, name))


async def copy(node: LiveNode) -> str:
    """A copy of the state, of a running node as a backup of its disk would make it: everything so far is in it."""
    made = node.state + ".copy"
    if node.running:
        await node.node.journal.settled()
    shutil.rmtree(made, ignore_errors=True)
    shutil.copytree(node.state, made)
    return made


def restore(node: LiveNode, made: str) -> None:
    """Put a copy back; the node does not run."""
    shutil.rmtree(node.state)
    shutil.copytree(made, node.state)
