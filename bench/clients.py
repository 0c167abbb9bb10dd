"""chatd's clients at both ends of the throughput benchmarks, and the same for bare bytes.

`send SOCKET COUNT` pipelines requests and counts answers; so does `say`, in the room `lobby`. `subscribe SOCKET COUNT`
counts events; so do `consume`, as a named consumer that acknowledges what it took, and `replay`, of those that are
there already. `pour PORT COUNT` and `drain COUNT` are for bare bytes, and `lines PORT COUNT` is `pour` with line ends.
"""

import json
import re
import socket
import sys
from typing import Any

from bench.pipeline import BYTES, WINDOW, Began, begin, end, measured, pipeline, received, text
from bench.process import PATIENCE_S, say

NUMBER = re.compile(rb'"text":"(\d{9})x')
POSITION = re.compile(rb'"position":"([a-z2-7]{8}:\d+)"')
FIRST_ID = 100_000_000  # of requests, so that all are of one size
TYPES = {"types": ["message"]}


def send(path: str, count: int) -> None:
    """Pipeline `count` sends to slot 0."""
    began, last = _pipelined(path, "send", '"peer":0', count)
    end(began, last=last["result"]["id"])


def say_in_room(path: str, count: int) -> None:
    """The same to everybody in the room."""
    began, last = _pipelined(path, "room.say", '"room":"lobby"', count)
    if "result" not in last:
        raise SystemExit(f"room.say: {last['error']}")
    end(began)


def _pipelined(path: str, method: str, whom: str, count: int) -> tuple[Began, Any]:
    """When it began, and the last answer."""
    request = '{"jsonrpc":"2.0","id":%d,"method":"%s","params":{%s,"text":"%s"}}\n'
    requests = "".join(request % (FIRST_ID + n, method, whom, text(n)) for n in range(count)).encode()
    sock = _session(path)
    last = b""

    def answers_in(data: bytes) -> int:
        nonlocal last
        last = (last + data)[-1024:]
        return data.count(b"\n")

    began = begin()
    pipeline(sock, requests, count, answers_in)
    return began, _last(last)


def subscribe(path: str, count: int) -> None:
    """Take `count` messages; then look at every one."""
    sock = _subscribed(path, {"from": "now", "filter": TYPES})
    _take(sock, begin(), count)


def consume(path: str, count: int) -> None:
    """The same as a consumer: what was taken is acknowledged."""
    sock = _subscribed(path, {"from": "now", "filter": TYPES, "as": "reader", "window": WINDOW})
    _take(sock, begin(), count, acknowledges=True)


def replay(path: str, count: int) -> None:
    """The same of those that are there."""
    began = begin()
    _take(_subscribed(path, {"from": "start", "filter": TYPES}), began, count)


def _take(sock: socket.socket, began: Began, count: int, *, acknowledges: bool = False) -> None:
    chunks: list[bytes] = []
    lines = 0
    while lines < count:
        data = received(sock)
        lines += data.count(b"\n")
        chunks.append(data)
        if acknowledges:
            _acknowledge(sock, data)
    ended = measured(began)
    events = b"".join(chunks)
    numbers = [int(number) for number in NUMBER.findall(events)]
    whole = lines == count and numbers == list(range(count))
    say({**ended, "whole": whole, "last": _last(events[-1024:])["params"]["event"]["global_id"].partition("/")[2]})


def _acknowledge(sock: socket.socket, data: bytes) -> None:
    """The newest whole event of a chunk, in a notification: nobody answers."""
    whole = data[: data.rfind(b"\n") + 1]
    found = POSITION.findall(whole[-1024:])
    if found:
        _request(sock, "ack", {"consumer": "reader", "position": found[-1].decode()}, answered=False)


def pour(port: int, count: int, end_of_line: str = "") -> None:
    """Send the same messages without anything around them."""
    messages = memoryview("".join(text(n) + end_of_line for n in range(count)).encode())
    with socket.create_connection(("127.0.0.1", port)) as sock:
        began = begin()
        sock.sendall(messages)
        end(began)


def drain(count: int) -> None:
    """Take them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        say(server.getsockname()[1])
        began = begin()
        with server.accept()[0] as sock:
            rest = count * BYTES
            while rest:
                rest -= len(received(sock))
    end(began)


def _session(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.settimeout(PATIENCE_S)
    return sock


def _subscribed(path: str, params: object) -> socket.socket:
    sock = _session(path)
    _request(sock, "subscribe", params)
    while sock.recv(1) != b"\n":  # events may follow the answer
        pass
    return sock


def _request(sock: socket.socket, method: str, params: object, *, answered: bool = True) -> None:
    request = {"jsonrpc": "2.0", "method": method, "params": params} | ({"id": 1} if answered else {})
    sock.sendall(json.dumps(request).encode() + b"\n")


def _last(data: bytes) -> Any:
    return json.loads(data.splitlines()[-1])


PROGRAMS = {"send": send, "say": say_in_room, "subscribe": subscribe, "consume": consume, "replay": replay}

if __name__ == "__main__":
    program, *words = sys.argv[1:]
    if program == "drain":
        drain(int(words[0]))
    elif program in ("pour", "lines"):
        pour(int(words[0]), int(words[1]), "\n" if program == "lines" else "")
    else:
        PROGRAMS[program](words[0], int(words[1]))
