"""LinkParts: the parts of the node that its native and plain links use.

Built once by `node.py`; the listener and the dialer pass it to each link that they make.
"""

from dataclasses import dataclass

from chatd.config.settings import Config
from chatd.journal.journal import Journal
from chatd.messages.chat import Chat
from chatd.net.links import Links
from chatd.net.room_updates import RoomUpdates
from chatd.net.topology.explorer import Explorer
from chatd.peers.clones import Clones
from chatd.peers.registry import Registry
from chatd.query.trace import MessageTraces
from chatd.rooms.router import RoomRouter
from chatd.runtime import Runtime


@dataclass(frozen=True)
class LinkParts:
    """Owned by `Node`; outlives every link."""

    config: Config
    runtime: Runtime
    node: str  # our node id
    journal: Journal
    registry: Registry
    chat: Chat
    router: RoomRouter
    room_updates: RoomUpdates
    traces: MessageTraces
    clones: Clones
    explorer: Explorer
    links: Links
