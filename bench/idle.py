"""Memory for each of 5,000 idle plain connections, beside a bare trio echo server."""

from bench.nodes import nodes
from bench.process import Process, resident_bytes
from bench.result import Beside, Result

COUNT = 5000
TARGET = 16 * 1024  # bytes each
FLAGS = ("--max-links", "6000", "--unauthenticated", "6000")


def run() -> list[Result]:
    """One after the other."""
    ours, bare = _chatd(), _bare()
    result = Result(
        "idle",
        f"memory for each of {COUNT:,} idle plain connections",
        f"{ours / 1024:.1f} KiB",
        f"at most {TARGET // 1024} KiB",
        ours <= TARGET,
        (Beside("bare trio echo server", f"{bare / 1024:.1f} KiB", f"{ours / bare:.1f} : 1"),),
    )
    return [result]


def _chatd() -> float:
    with nodes("alice", flags=FLAGS) as (alice,):
        session = alice.control()
        port = session.request("myport")["port"]
        before = resident_bytes(alice.pid)
        with Process("crowd", str(port), str(COUNT)) as crowd:
            crowd.said()
            session.request("wait", **{"for": "peers", "count": COUNT})
            after = resident_bytes(alice.pid)
        session.close()
    return (after - before) / COUNT


def _bare() -> float:
    with Process("bare", "echo") as server:
        port = server.said()
        before = resident_bytes(server.pid)
        with Process("crowd", str(port), str(COUNT)) as crowd:
            crowd.said()
            crowd.go()
            crowd.said()
            after = resident_bytes(server.pid)
    return (after - before) / COUNT
