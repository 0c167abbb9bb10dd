"""A daemon made of threads: answers scripted JSON-RPC on a Unix socket, and remembers what it was asked."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

BOB = {"slot": 0, "name": "bob", "kind": "native", "node": "k3v9abcd" * 6 + "abcd"}
BOB_RECORD = {
    **BOB,
    "address": "10.0.0.2:7420",
    "direction": "out",
    "state": "up",
    "since": "2026-11-21T03:00:00.000Z",
    "reason": None,
    "rtt_ms": 0.4,
    "queued": 0,
    "received": 12,
    "sent": 9,
    "desired": True,
    "trust": None,
}
HERE = {"slot": None, "name": "alice", "kind": "native", "node": "n0de" * 13}
LOBBY = {
    "room": "lobby@alice",
    "host": "n0de" * 13,
    "hosted": False,
    "nick": "bob",
    "topic": "all things",
    "users": 3,
    "state": "up",
}
Handler = Callable[["Session", dict[str, Any]], Any]


class Refusal(Exception):
    """What a handler raises to answer with an error."""

    def __init__(self, kind: str, code: int = 201, message: str = "refused", hint: str = "", **details: Any) -> None:
        super().__init__(kind)
        data = {"kind": kind, "hint": hint, "retryable": False, **details}
        self.error = {"code": code, "message": message, "data": data}


class Session:
    """One connection. A handler may leave lines and the end to be sent behind its reply."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.behind = b""
        self.hang_up = False

    def event(self, *events: dict[str, Any], replay: bool = False) -> None:
        """Send events behind the reply that is being made."""
        self.behind += b"".join(notification(event, replay) for event in events)

    def push(self, *events: dict[str, Any]) -> None:
        """Send events now."""
        self.sock.sendall(b"".join(notification(event) for event in events))

    def evict(self) -> None:
        """End it as a daemon ends a session that is idle."""
        self.sock.sendall(EVICTION)
        self.end()

    def end(self) -> None:
        """End the session now."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class FakeDaemon:
    """Listens at `path` until `stop`. `on` has a handler, or a plain result, for each method."""

    def __init__(self, path: str, **on: Any) -> None:
        self.path = path
        self.on: dict[str, Any] = on  # given here for a client that is waiting for us already
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.sessions: list[Session] = []
        self.refusal: Refusal | None = None  # of every new session; its socket is closed with input unread
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen()
        self._spawn(self._accept)

    def params(self, method: str) -> list[dict[str, Any]]:
        """What the requests of one method said."""
        return [params for name, params in self.asked if name == method]

    def stop(self) -> None:
        """Close everything and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for session in self.sessions:
            session.end()
        for thread in self._threads:
            thread.join(10)

    def _spawn(self, function: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.refusal is not None:
                with sock:
                    sock.sendall(encode({"jsonrpc": "2.0", "id": None, "error": self.refusal.error}))
                continue
            session = Session(sock)
            self.sessions.append(session)
            self._spawn(self._serve, session)

    def _serve(self, session: Session) -> None:
        with session.sock, contextlib.suppress(OSError), session.sock.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                self.asked.append((request["method"], request["params"]))
                self._answer(session, request)
                if session.hang_up:
                    session.end()
                    return

    def _answer(self, session: Session, request: dict[str, Any]) -> None:
        handler = self.on.get(request["method"], {})
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            answer["result"] = handler(session, request["params"]) if callable(handler) else handler
        except Refusal as refusal:
            answer["error"] = refusal.error
        data = b"" if answer.get("result", ...) is None else encode(answer)
        session.sock.sendall(data + session.behind)
        session.behind = b""


def encode(message: object) -> bytes:
    """One line, compact as the daemon writes it."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


EVICTION = encode({"jsonrpc": "2.0", "id": None, "error": Refusal("session_evicted", 508, "it was idle").error})


def evicting(session: Session, params: dict[str, Any]) -> None:
    """A handler of a request that was never read, because the daemon had ended the session."""
    session.behind, session.hang_up = EVICTION, True


def notification(event: dict[str, Any], replay: bool = False) -> bytes:
    """One event as a line."""
    params = {"subscription": 1, "replay": replay, "event": event}
    return encode({"jsonrpc": "2.0", "method": "event", "params": params})


def message(seq: int, text: str = "hi", direction: str = "in", **fields: Any) -> dict[str, Any]:
    """A message event at `aaaaaaaa:SEQ`, with bob."""
    position = f"aaaaaaaa:{seq}"
    event = {
        "type": "message",
        "position": position,
        "at": "2026-11-21T03:00:00.000Z",
        "direction": direction,
        "peer": BOB,
        "room": None,
        "nick": None,
        "id": position,
        "re": None,
        "text": text,
    }
    return {**event, **fields}


def said(seq: int, text: str = "hi", nick: str = "jane", direction: str = "in", **fields: Any) -> dict[str, Any]:
    """A message event in the lobby of somebody who is no peer, or by us."""
    return message(seq, text, direction, peer=HERE, room="lobby@alice", nick=nick, **fields)


def happened(seq: int, kind: str, **fields: Any) -> dict[str, Any]:
    """Another event in the lobby."""
    base = {"position": f"aaaaaaaa:{seq}", "at": "2026-11-21T03:00:00.000Z", "room": "lobby@alice"}
    return {"type": kind, **base, **fields}


def refusing(kind: str, code: int = 201, message: str = "refused", **details: Any) -> Handler:
    """A handler that refuses."""

    def handler(session: Session, params: dict[str, Any]) -> None:
        raise Refusal(kind, code, message, **details)

    return handler


def subscribed(*events: dict[str, Any], after: str = "aaaaaaaa:0", end: bool = False) -> Handler:
    """A handler of `subscribe` that answers, sends the events, and may end the session."""

    def handler(session: Session, params: dict[str, Any]) -> dict[str, Any]:
        session.event(*events)
        session.hang_up = end
        return {"subscription": 1, "position": after, "after": after, "snapshot": {"peers": []}}

    return handler


def acked(session: Session, params: dict[str, Any]) -> dict[str, Any]:
    """A handler of `ack`."""
    return params


def in_turn(*handlers: Any) -> Handler:
    """A handler that is the next of `handlers` for each request, and then stays the last."""
    left = list(handlers)

    def handler(session: Session, params: dict[str, Any]) -> Any:
        chosen = left.pop(0) if len(left) > 1 else left[0]
        return chosen(session, params) if callable(chosen) else chosen

    return handler
