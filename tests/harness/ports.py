"""Ports of the loopback address for nodes that tests start, stop and start again.

A port has to stay ours while its node is down. The kernel gives outgoing connections ports from 32768 up, so
ours are below. Each test process takes a block of them for itself (several run at a time) and hands them out in
turn, so that a port comes back only after all the others.
"""

import itertools
import socket
from contextlib import suppress
from functools import cache

FIRST = 12000
BLOCK = 500  # ports of one process: many more than one test uses
BLOCKS = 40


def free_port() -> int:
    """A port that nothing listens on, and that no other test process hands out."""
    _, ports = _block()
    return next(port for port in ports if _is_free(port))


@cache
def _block() -> tuple[socket.socket, "itertools.cycle[int]"]:
    """The lock that makes a block ours while this process lives, and the ports in it.

    The lock is the name of an abstract Unix socket: as ports do, it belongs to the network namespace, and it is
    gone with the process.
    """
    for number in range(BLOCKS):
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with suppress(OSError):
            lock.bind(f"\0chatd-tests-ports-{number}")
            first = FIRST + number * BLOCK
            return lock, itertools.cycle(range(first, first + BLOCK))
        lock.close()
    raise RuntimeError(f"{BLOCKS} test processes are running already")


def _is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return True
    return False
