"""The IP addresses of this machine, best first, for `myip`.

Linux only. Blocking, and sends no packets.
"""

import array
import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator

SIOCGIFCONF = 0x8912
IFREQ_BYTES = 40  # struct ifreq on 64-bit Linux
ADDRESS_AT = 20  # after name, family and port
IF_INET6 = "/proc/net/if_inet6"
OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))  # documentation ranges
ANY = frozenset({"0.0.0.0", "::"})


def reachable(listening: Iterable[str]) -> list[str]:
    """All addresses at which other machines may reach listeners on those hosts; loopback only if there is no other.

    If all listeners are on loopback, the result still contains the addresses of the machine.
    """
    hosts = frozenset(host for host in listening if not ipaddress.ip_address(host).is_loopback)
    if hosts and not hosts & ANY:
        addresses = list(hosts)
    else:
        addresses = [*_default_routes(), *_ipv4(), *_ipv6()]
    if hosts and "::" not in hosts:
        addresses = [address for address in addresses if ":" not in address or address in hosts]
    if hosts and "0.0.0.0" not in hosts:
        addresses = [address for address in addresses if ":" in address or address in hosts]
    return sorted(dict.fromkeys(addresses), key=_rank) or ["127.0.0.1"]


def _rank(address: str) -> int:
    """Lower is better. The sort is stable, so the source address of the default route comes first."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if parsed.is_loopback:
        return 5
    if parsed.is_link_local:
        return 4
    if parsed.version == 4:
        return 0
    return 1 if parsed.is_global else 2


def _default_routes() -> Iterator[str]:
    """The source addresses of the default routes. Connecting a UDP socket sends nothing."""
    for family, outside in OUTSIDE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((outside, 9))
                yield probe.getsockname()[0]
        except OSError:
            continue


def _ipv4(rows: int = 64) -> list[str]:
    """The addresses of all interfaces that are up; `rows` is a first guess of their number."""
    capacity = rows * IFREQ_BYTES
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        while True:
            names = array.array("B", bytes(capacity))
            request = struct.pack("iP", capacity, names.buffer_info()[0])
            used, _ = struct.unpack("iP", fcntl.ioctl(probe.fileno(), SIOCGIFCONF, request))
            if used < capacity:
                break
            capacity *= 2
    table = names.tobytes()
    return [socket.inet_ntoa(table[at + ADDRESS_AT : at + ADDRESS_AT + 4]) for at in range(0, used, IFREQ_BYTES)]


def _ipv6() -> list[str]:
    """The addresses of all interfaces; none if the kernel has no IPv6."""
    try:
        with open(IF_INET6) as table:
            rows = [line.split() for line in table]
    except OSError:
        return []
    return [socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])) for row in rows]
