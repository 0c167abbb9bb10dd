"""The programs at both ends of the throughput benchmark, as lean as they can be: what is measured is between them.

`send SOCKET COUNT` pipelines requests and counts answers; `subscribe SOCKET COUNT` counts events; `pour PORT COUNT` and
`drain COUNT` are the same for bare bytes. All say `ready`, wait for `go`, and say when they began and ended (on the
clock that all processes of a machine share), and the processor time in between.
"""

import json
import re
import select
import socket
import sys
import time
from typing import Any

from bench.process import await_go, say

BYTES = 100  # of a message
CHUNK = 1 << 18
NUMBER = re.compile(rb'"text":"(\d{9})x')


def text(number: int) -> str:
    """The message with that number."""
    return f"{number:09}".ljust(BYTES, "x")


def send(path: str, count: int) -> None:
    """Pipeline `count` sends to slot 0."""
    requests = memoryview(
        b"".join(
            b'{"jsonrpc":"2.0","id":%d,"method":"send","params":{"peer":0,"text":"%s"}}\n' % (n, text(n).encode())
            for n in range(count)
        )
    )
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.settimeout(0)
    begun = _begin()
    answered, last = 0, b""
    while answered < count:
        wanted = [sock] if requests else []
        readable, writable, _ = select.select([sock], wanted, [])
        if writable:
            requests = requests[sock.send(requests[:CHUNK]) :]
        if readable:
            data = sock.recv(CHUNK)
            answered += _lines(data)
            last = (last + data)[-1024:]
    _end(begun, last=_last(last)["result"]["id"])


def subscribe(path: str, count: int) -> None:
    """Take `count` messages; then look at every one."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(
        b'{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"from":"now","filter":{"types":["message"]}}}\n'
    )
    while not sock.recv(CHUNK).endswith(b"\n"):
        pass
    begun = _begin()
    chunks: list[bytes] = []
    lines = 0
    while lines < count:
        data = sock.recv(CHUNK)
        lines += _lines(data)
        chunks.append(data)
    ended = _measured(begun)
    numbers = [int(number) for number in NUMBER.findall(b"".join(chunks))]
    whole = lines == count and numbers == list(range(count))
    say({**ended, "whole": whole, "last": _last(chunks[-1][-1024:])["params"]["event"]["id"]})


def pour(port: int, count: int) -> None:
    """Send the same messages without anything around them."""
    messages = memoryview("".join(map(text, range(count))).encode())
    with socket.create_connection(("127.0.0.1", port)) as sock:
        begun = _begin()
        sock.sendall(messages)
        _end(begun)


def drain(count: int) -> None:
    """Take them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        say(server.getsockname()[1])
        begun = _begin()
        with server.accept()[0] as sock:
            rest = count * BYTES
            while rest:
                rest -= len(sock.recv(CHUNK))
    _end(begun)


def _lines(data: bytes) -> int:
    if not data:
        raise SystemExit("the node has closed the session")
    return data.count(b"\n")


def _last(data: bytes) -> Any:
    return json.loads(data.splitlines()[-1])


def _begin() -> tuple[float, float]:
    say("ready")
    await_go()
    return time.monotonic(), time.process_time()


def _measured(begun: tuple[float, float]) -> dict[str, float]:
    return {"begun": begun[0], "ended": time.monotonic(), "cpu": time.process_time() - begun[1]}


def _end(begun: tuple[float, float], **more: object) -> None:
    say({**_measured(begun), **more})


if __name__ == "__main__":
    program, *words = sys.argv[1:]
    if program == "send":
        send(words[0], int(words[1]))
    elif program == "subscribe":
        subscribe(words[0], int(words[1]))
    elif program == "pour":
        pour(int(words[0]), int(words[1]))
    else:
        drain(int(words[0]))
