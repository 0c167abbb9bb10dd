"""Mosquitto with persistence: its server, and one client that publishes with QoS 1 and one durable session that takes.

`publish PORT COUNT` and `consume PORT COUNT` speak MQTT 3.1.1 themselves, as bench/clients.py speaks chatd's protocol.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path
from struct import pack

from bench.broker import Broker, free_port
from bench.pipeline import BYTES, begin, connect, measured, pipeline, received, text
from bench.process import say

PROGRAM = "mosquitto"
# Without the two limits at the end it holds 20 messages on their way to one client, and drops what is over 1,000.
CONFIG = """\
user {user}
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
max_inflight_messages 0
max_queued_messages 0
"""
TOPIC = b"\0\5bench"
HEAD = b"\x32%c%s" % (len(TOPIC) + 2 + BYTES, TOPIC)  # PUBLISH, QoS 1
PACKET = len(HEAD) + 2 + BYTES
PUBACK = 4  # bytes
IDS = 65_535  # from 1


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """A server that keeps the subscription of a reader who is away."""
    port, config = free_port(), folder / "mosquitto.conf"
    config.write_text(CONFIG.format(user=getuser(), port=port, folder=folder), encoding="utf-8")
    with Broker(PROGRAM, ["-c", str(config)], port, folder / "mosquitto.log") as broker:
        sock = _login(port, "reader")
        sock.sendall(b"\x82" + bytes([2 + len(TOPIC) + 1]) + b"\0\1" + TOPIC + b"\1")
        if _exactly(sock, 5) != b"\x90\x03\0\1\1":
            raise SystemExit(f"{PROGRAM}: the subscription was refused")
        sock.sendall(b"\xe0\0")  # DISCONNECT
        sock.close()
        yield broker


def publish(port: int, count: int) -> None:
    """Pipeline `count` messages; each is answered when the server has it."""
    requests = b"".join(b"%s%s%s" % (HEAD, pack(">H", n % IDS + 1), text(n).encode()) for n in range(count))
    sock = _login(port, "writer")
    taken = bytearray()

    def answers_in(data: bytes) -> int:
        whole = len(taken) // PUBACK
        taken.extend(data)
        return len(taken) // PUBACK - whole

    began = begin()
    pipeline(sock, requests, count, answers_in)
    ended = measured(began)
    whole = bytes(taken) == b"".join(b"\x40\x02" + pack(">H", n % IDS + 1) for n in range(count))
    say({**ended, "last": count if whole else -1})


def consume(port: int, count: int) -> None:
    """Take `count` messages and acknowledge each; then look at every one."""
    began = begin()
    sock = _login(port, "reader")
    chunks: list[bytes] = []
    data, taken = b"", 0
    while taken < count:
        data += received(sock)
        packets = len(data) // PACKET
        sock.sendall(_acks(data, packets))
        chunks.append(data[: packets * PACKET])
        data = data[packets * PACKET :]
        taken += packets
    ended = measured(began)
    messages = b"".join(chunks)
    expected = (text(n).encode() for n in range(count))
    found = (messages[at : at + BYTES] for at in range(PACKET - BYTES, len(messages), PACKET))
    say({**ended, "whole": all(a == b for a, b in zip(expected, found, strict=True)), "last": taken})


def _acks(data: bytes, packets: int) -> bytearray:
    """A PUBACK for each of the packets at the beginning of `data`: they are all of one size."""
    acks = bytearray(b"\x40\x02\0\0" * packets)
    for byte in (0, 1):
        acks[2 + byte :: PUBACK] = data[len(HEAD) + byte : packets * PACKET : PACKET]
    return acks


def _login(port: int, name: str) -> socket.socket:
    """Connected under a name, with a session that lasts."""
    sock = connect(port)
    body = b"\0\4MQTT\4\0\0\0" + pack(">H", len(name)) + name.encode()
    sock.sendall(b"\x10" + bytes([len(body)]) + body)
    answer = _exactly(sock, 4)
    if answer[0] != 0x20 or answer[3] != 0:
        raise SystemExit(f"{PROGRAM}: the connection was refused")
    return sock


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += received(sock, size - len(data))
    return data


if __name__ == "__main__":
    {"publish": publish, "consume": consume}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
