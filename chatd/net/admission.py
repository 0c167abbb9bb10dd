"""Admission by source address: how many connections one public address may have, and may open in ten minutes.

Loopback and private addresses are exempt: they belong to the operator's own network. Knows no links and no sockets.
Used by the peer port and by every room port.
"""

import logging
from collections import deque
from ipaddress import ip_address

import trio

from chatd.config.settings import Config

WINDOW_S = 600.0  # in which new connections of one public address are counted
MOST_HOSTS = 4096  # counted addresses; over it the one with the oldest newest connection is forgotten
LOG_EVERY_S = 60.0
log = logging.getLogger("chatd.sources")


class SourceLimits:
    """Counts the connections of each public source address: open ones, and new ones within WINDOW_S."""

    def __init__(self, config: Config) -> None:
        self._at_a_time = config.links_per_address
        self._new = config.dials_per_address
        self._open: dict[str, int] = {}
        self._recent: dict[str, deque[float]] = {}  # ordered by the newest connection
        self._logged_at = float("-inf")

    def enter(self, host: str, now: float) -> bool:
        """Count a new connection; False if it is over a limit. Call `leave` when a counted one has ended."""
        if _is_exempt(host):
            return True
        self._forget(now)
        recent = self._recent.get(host, deque())
        while recent and recent[0] <= now - WINDOW_S:
            recent.popleft()
        if self._open.get(host, 0) >= self._at_a_time or len(recent) >= self._new:
            return False
        recent.append(now)
        self._recent.pop(host, None)
        self._recent[host] = recent
        if len(self._recent) > MOST_HOSTS:
            del self._recent[next(iter(self._recent))]
        self._open[host] = self._open.get(host, 0) + 1
        return True

    def leave(self, host: str) -> None:
        """Record that a counted connection has ended."""
        if host in self._open:
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]

    def log_refusal(self, host: str) -> None:
        """Log that a connection was refused, at most once in LOG_EVERY_S."""
        if trio.current_time() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = trio.current_time()
            text = "connection rejected from %(address)s: too many connections (logged once a minute)"
            log.warning(text, {"address": host})

    def _forget(self, now: float) -> None:
        """Forget addresses without a new connection for WINDOW_S: they are at the front."""
        while self._recent:
            host, recent = next(iter(self._recent.items()))
            if recent[-1] > now - WINDOW_S:
                return
            del self._recent[host]


def _is_exempt(host: str) -> bool:
    address = ip_address(host.partition("%")[0])
    return address.is_loopback or address.is_private or address.is_link_local
