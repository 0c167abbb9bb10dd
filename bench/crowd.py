"""`python -m bench.crowd PORT COUNT`: silent connections, in a process of its own, for they take many files."""

import socket
import sys

from bench.process import await_go, say


def main(port: int, count: int) -> None:
    """Open them, say so, and hold them; the last one proves, where that is wanted, that it is served."""
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
    say(len(crowd))
    await_go()
    for one in crowd:
        one.sendall(b"x")
    for one in crowd:
        one.recv(1)
    say("echoed")
    await_go()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
