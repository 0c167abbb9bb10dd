"""`status`, `whoami`, `myip`, `myport` and `shutdown`."""

import os

import trio

from chatd.api.errors import ControlError
from chatd.api.params import Nothing
from chatd.api.results import Empty, FaultsStatus, JournalStatus, MyIp, MyPort, PeerCounts, Status, Whoami
from chatd.config.values import parse_address
from chatd.control import interfaces
from chatd.control.session import Session
from chatd.node import Node
from chatd.rooms.joined_room import IN

PLAIN = {"on": "plain text from anywhere", "loopback": "plain text from this machine", "off": "no plain text"}


def status(node: Node, session: Session, _params: Nothing) -> Status:
    config, journal = node.config, node.journal
    states = [peer.state for peer in node.registry]
    return Status(
        node=node.identity.node,
        name=config.name,
        epoch=journal.epoch,
        version=node.version,
        pid=os.getpid(),
        listen=node.listener.addresses,
        socket=node.config.socket,
        state=config.state,
        uptime_s=round(trio.current_time() - node.started, 3),
        security=f"{node.trust.sentence}; {PLAIN[config.plain]}",
        trust=config.trust,
        plain=config.plain,
        peers=PeerCounts(*(states.count(state) for state in PeerCounts.__struct_fields__)),
        rooms=len([*node.hosted_rooms, *(room for room in node.joined_rooms if room.state == IN)]),
        room_ports=node.room_ports.addresses,
        sessions=len(session.limit),
        journal=_journal_status(node),
        faults=FaultsStatus(node.faults.allowed, sum(peer.faults is not None for peer in node.registry)),
    )


def _journal_status(node: Node) -> JournalStatus:
    journal = node.journal
    return JournalStatus(
        path=journal.store.path,
        synchronous="full",
        schema=journal.store.schema,
        position=journal.position(journal.committed),
        bytes=journal.store.size(),
        full=journal.full,
        oldest=journal.position(journal.floor) if journal.floor else None,
        owed=node.registry.outbox_totals.messages,
        owed_bytes=node.registry.outbox_totals.size,
    )


def whoami(node: Node, _session: Session, _params: Nothing) -> Whoami:
    return Whoami(node.config.name, node.identity.node)


async def myip(node: Node, _session: Session, _params: Nothing) -> MyIp:
    hosts = [parse_address(address)[0] for address in node.listener.addresses]
    addresses = await node.runtime.in_thread(interfaces.reachable, hosts)
    return MyIp(addresses[0], addresses)


def myport(node: Node, _session: Session, _params: Nothing) -> MyPort:
    if not node.listener.addresses:
        raise ControlError("shutting_down", "the peer port is closed", "this node is stopping")
    return MyPort(parse_address(node.listener.addresses[0])[1])


def shutdown(node: Node, _session: Session, _params: Nothing) -> Empty:
    """Stop the daemon; this request still gets its response."""
    node.request_stop("shutdown")
    return Empty()
