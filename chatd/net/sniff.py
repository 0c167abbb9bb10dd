"""Tell native from plain by the first byte of an accepted connection, without consuming it.

Knows only the byte that starts a TLS ClientHello; no policy and no peers. Called by `net/listener.py` for each accepted
connection, and by `net/plain/link.py` while a silent connection is provisionally plain.
"""

import socket
from typing import Final, Literal

import trio

TLS_HANDSHAKE: Final = b"\x16"
SILENCE_S: Final = 1.0  # after this long without a byte a connection is listed as plain, provisionally

ConnectionKind = Literal["native", "plain", "gone"]


async def peek_kind(stream: trio.SocketStream) -> ConnectionKind:
    """Wait for the first byte and leave it unread: `native`, `plain`, or `gone` at the end of input. Raises OSError."""
    byte = await stream.socket.recv(1, socket.MSG_PEEK)
    if not byte:
        return "gone"
    return "native" if byte == TLS_HANDSHAKE else "plain"


async def sniff(stream: trio.SocketStream, patience: float = SILENCE_S) -> ConnectionKind | Literal["silent"]:
    """As `peek_kind`, but `gone` for a reset too, and `silent` if no byte comes within `patience` seconds."""
    with trio.move_on_after(patience):
        try:
            return await peek_kind(stream)
        except OSError:
            return "gone"
    return "silent"
