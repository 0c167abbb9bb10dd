"""Sources: where connections come from. One public address gets only so many, at a time and newly in ten minutes.

Loopback and private addresses are exempt: behind them are the machines of one's own network. Used by every port that
strangers may dial.
"""

import logging
from collections import deque
from ipaddress import ip_address

import trio

from chatd.config.settings import Config

WINDOW_S = 600.0  # for new links of one public address
MOST_HOSTS = 4096  # addresses of which new links are counted; the one that was quiet for longest is forgotten first
COMPLAIN_EVERY_S = 60.0
log = logging.getLogger("chatd.sources")


class SourceLimits:
    """How many links each public source address has, and how many new ones it had in the last ten minutes."""

    def __init__(self, config: Config) -> None:
        self._at_a_time = config.links_per_address
        self._new = config.dials_per_address
        self._open: dict[str, int] = {}
        self._recent: dict[str, deque[float]] = {}  # by when the last one came
        self._complained = float("-inf")

    def enter(self, host: str, now: float) -> bool:
        """Count one more, or refuse it."""
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
        """One that entered is gone."""
        if host in self._open:
            self._open[host] -= 1
            if not self._open[host]:
                del self._open[host]

    def log_refusal(self, host: str) -> None:
        """Log that one was refused, now and then."""
        if trio.current_time() - self._complained >= COMPLAIN_EVERY_S:
            self._complained = trio.current_time()
            log.warning("too many connections: refused one from %s (told once a minute)", host)

    def _forget(self, now: float) -> None:
        """Forget addresses whose last link came more than WINDOW_S ago: they are at the front."""
        while self._recent:
            host, recent = next(iter(self._recent.items()))
            if recent[-1] > now - WINDOW_S:
                return
            del self._recent[host]


def _is_exempt(host: str) -> bool:
    address = ip_address(host.partition("%")[0])
    return address.is_loopback or address.is_private or address.is_link_local
