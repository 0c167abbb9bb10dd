"""Waiting for a socket while stdout is watched: a verb that waits ends when the reader of its output has gone.

For example in `chatctl tail | head -1`, or after an interrupted `docker exec ... chatctl tail`. Stdout is then a pipe,
socket or terminal without a reader, and waiting raises BrokenPipeError, as a write would.
"""

import select
import sys
import time

LONGEST_MS = 86_400_000.0  # for one call: poll accepts at most 24 days

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket


def wait(sock: "socket.socket | None", until: float | None) -> None:
    """Return when `sock` has data, or at `until` (of time.monotonic). Raises BrokenPipeError."""
    poll = select.poll()
    stdout = _stdout()
    if sock is not None:
        poll.register(sock, select.POLLIN)
    if stdout is not None:
        poll.register(stdout, 0)  # errors and hang-ups are always reported
    left, ready = LONGEST_MS, list[int]()
    while not ready and left > 0:
        left = min(max(until - time.monotonic(), 0.0) * 1000, LONGEST_MS) if until is not None else LONGEST_MS
        ready = [number for number, _ in poll.poll(left)]
    if stdout in ready:
        raise BrokenPipeError


def _stdout() -> int | None:
    """Descriptor of stdout; None where it is not a file: closed, or replaced by a test or a prompt."""
    try:
        return sys.__stdout__.fileno() if sys.__stdout__ is not None else None
    except (OSError, ValueError):
        return None
