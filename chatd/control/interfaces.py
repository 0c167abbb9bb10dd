"""The addresses of this machine, best first: what `myip` tells others. Linux; blocking, and sends nothing."""

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator

SIOCGIFCONF = 0x8912
IFREQ_BYTES = 40  # struct ifreq on 64-bit Linux
ADDRESS_AT = 20  # name, family and port before it
IF_INET6 = "/proc/net/if_inet6"
OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # documentation ranges
ANY = frozenset({"0.0.0.0", "::"})


def reachable(listening: Iterable[str]) -> list[str]:
    """Every address under which others may reach listeners on those hosts; loopback only when there is no other.

    A node that listens on loopback alone is told the addresses of its machine too: they are what it is asked for.
    """
    hosts = frozenset(host for host in listening if not ipaddress.ip_address(host).is_loopback)
    if hosts and not hosts & ANY:
        found = list(hosts)
    else:
        found = [*_default_routes(), *_ipv4(), *_ipv6()]
    if hosts and "::" not in hosts:
        found = [address for address in found if ":" not in address or address in hosts]
    if hosts and "0.0.0.0" not in hosts:
        found = [address for address in found if ":" in address or address in hosts]
    return sorted(dict.fromkeys(found), key=_rank) or ["127.0.0.1"]


def _rank(address: str) -> int:
    """Lower is better. Equal ones stay in order, so the source address of the default route comes first."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.is_loopback:
        return 5
    if parsed.is_link_local:
        return 4
    if parsed.version == 4:
        return 0
    return 1 if parsed.is_global else 2


def _default_routes() -> Iterator[str]:
    """The source address that the kernel would take: connecting UDP sends nothing."""
    for family, outside in OUTSIDE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((outside, 9))
                yield probe.getsockname()[0]
        except OSError:
            continue


def _ipv4(rows: int = 64) -> list[str]:
    """The addresses of all interfaces that are up; `rows` is a first guess of how many."""
    room = rows * IFREQ_BYTES
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        while True:
            names = array.array("B", bytes(room))
            request = struct.pack("iP", room, names.buffer_info()[0])
            used, _ = struct.unpack("iP", fcntl.ioctl(probe.fileno(), SIOCGIFCONF, request))
            if used < room:
                break
            room *= 2
    table = names.tobytes()
    return [socket.inet_ntoa(table[at + ADDRESS_AT : at + ADDRESS_AT + 4]) for at in range(0, used, IFREQ_BYTES)]


def _ipv6() -> list[str]:
    """The addresses of all interfaces; none where the kernel has no IPv6."""
    try:
        with open(IF_INET6) as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    return [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])) for row in rows]
