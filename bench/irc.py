"""ngircd, an IRC server in C: running, one client that floods a channel, and how a member comes into it.

`flood PORT COUNT` speaks the raw protocol. What it sends is not answered, so behind every few messages it sends a PING,
and is at most a window ahead of the PONGs: else the server would cut off who cannot follow.
"""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from getpass import getuser
from pathlib import Path

from bench.broker import Broker, free_port
from bench.pipeline import WINDOW, begin, connect, end, pipeline, received, text
from bench.process import await_go, say

PROGRAM = "ngircd"
CHANNEL = b"#bench"
# Without penalties, lookups and limits of its own; an operator may flood. Everything else is as it comes.
CONFIG = """\
[Global]
Name = irc.example.net
Listen = 127.0.0.1
Ports = {port}
ServerUID = {user}
[Limits]
MaxConnections = 0
MaxConnectionsIP = 0
MaxPenaltyTime = 0
PingTimeout = 3600
[Options]
DNS = no
Ident = no
PAM = no
[Operator]
Name = bench
Password = bench
"""
TOGETHER = 50  # messages for one PING; their number is a multiple of it


@contextmanager
def running(folder: Path) -> Iterator[Broker]:
    """A server without users."""
    port, config = free_port(), folder / "ngircd.conf"
    config.write_text(CONFIG.format(user=getuser(), port=port), encoding="utf-8")
    with Broker(PROGRAM, ["--nodaemon", "--config", str(config)], port, folder / "ngircd.log") as broker:
        yield broker


def enter(sock: socket.socket, nick: bytes) -> None:
    """Into the channel. Returns when the server has nothing more to say about it."""
    sock.sendall(b"NICK %s\r\nUSER bench 0 * :bench\r\nJOIN %s\r\n" % (nick, CHANNEL))
    await_answer(sock, b" 366 ")


def settle(sock: socket.socket) -> None:
    """Take all that came up to now."""
    sock.sendall(b"PING settled\r\n")
    await_answer(sock, b" PONG ")


def await_answer(sock: socket.socket, answer: bytes) -> None:
    """Read up to a line with it, which has to be the last one that has come."""
    data = b""
    while answer not in data or not data.endswith(b"\r\n"):
        data = data[-1024:] + received(sock)


def flood(port: int, count: int) -> None:
    """Say `count` messages in the channel."""
    sock = connect(port)
    enter(sock, b"bench")
    sock.sendall(b"OPER bench bench\r\nMODE bench +F\r\n")  # 10 messages in a turn of the server, not 3: twice as fast
    settle(sock)
    say("entered")
    say_it = b"PRIVMSG %s :%%s\r\n" % CHANNEL
    blocks = (range(first, first + TOGETHER) for first in range(0, count, TOGETHER))
    requests = b"".join(b"".join(say_it % text(n).encode() for n in block) + b"PING x\r\n" for block in blocks)
    began = begin()
    pipeline(sock, requests, count // TOGETHER, lambda data: data.count(b" PONG "), WINDOW // TOGETHER)
    end(began)
    await_go()  # the others would be told that it has left


if __name__ == "__main__":
    flood(int(sys.argv[2]), int(sys.argv[3]))
