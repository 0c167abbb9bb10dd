"""A fake daemon on threads: gives scripted JSON-RPC answers on a Unix socket and records the requests."""

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
Handler = Callable[["FakeSession", dict[str, Any]], Any]


class Refusal(Exception):
    """Raised by a handler to answer with an error."""

    def __init__(self, kind: str, code: int = 201, message: str = "refused", hint: str = "", **details: Any) -> None:
        super().__init__(kind)
        data = {"kind": kind, "hint": hint, "retryable": False, **details}
        self.error = {"code": code, "message": message, "data": data}


class FakeSession:
    """One connection. `after_reply` are lines to send after the reply that a handler is making."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.after_reply = b""
        self.ends_after_reply = False

    def add_events(self, *events: dict[str, Any], replay: bool = False) -> None:
        """Send events after the reply that is being made."""
        self.after_reply += b"".join(notification(event, replay) for event in events)

    def send_events(self, *events: dict[str, Any]) -> None:
        self.sock.sendall(b"".join(notification(event) for event in events))

    def evict(self) -> None:
        """End the session as a daemon does when it is idle."""
        self.sock.sendall(EVICTION)
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


class FakeDaemon:
    """Listens at `path` until `stop`. `on` has a handler, or a plain result, for each method."""

    def __init__(self, path: str, **on: Any) -> None:
        self.path = path
        self.on: dict[str, Any] = on  # in the constructor for a client that is already waiting
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answered = 0  # requests
        self.sessions: list[FakeSession] = []
        self.refusal: Refusal | None = None  # for every new session; its socket is closed with unread input
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen()
        self._spawn(self._accept)

    def params(self, method: str) -> list[dict[str, Any]]:
        """Parameters of all requests of one method."""
        return [params for name, params in self.requests if name == method]

    def stop(self) -> None:
        """Close everything and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for session in self.sessions:
            session.close()
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
            session = FakeSession(sock)
            self.sessions.append(session)
            self._spawn(self._serve, session)

    def _serve(self, session: FakeSession) -> None:
        with session.sock, contextlib.suppress(OSError), session.sock.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                self.requests.append((request["method"], request["params"]))
                self._answer(session, request)
                self.answered += 1
                if session.ends_after_reply:
                    session.close()
                    return

    def _answer(self, session: FakeSession, request: dict[str, Any]) -> None:
        handler = self.on.get(request["method"], {})
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        try:
            answer["result"] = handler(session, request["params"]) if callable(handler) else handler
        except Refusal as refusal:
            answer["error"] = refusal.error
        data = b"" if answer.get("result", ...) is None else encode(answer)
        session.sock.sendall(data + session.after_reply)
        session.after_reply = b""


def encode(message: object) -> bytes:
    """One line, compact as the daemon writes it."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


EVICTION = encode({"jsonrpc": "2.0", "id": None, "error": Refusal("session_evicted", 508, "it was idle").error})


def evicting(session: FakeSession, params: dict[str, Any]) -> None:
    """Handler of a request that the daemon does not read, because it has ended the session."""
    session.after_reply, session.ends_after_reply = EVICTION, True


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


def room_message(
    seq: int, text: str = "hi", nick: str = "jane", direction: str = "in", **fields: Any
) -> dict[str, Any]:
    """A message event in the lobby, by `nick` or by us."""
    return message(seq, text, direction, peer=HERE, room="lobby@alice", nick=nick, **fields)


def room_event(seq: int, kind: str, **fields: Any) -> dict[str, Any]:
    """An event in the lobby that is not a message."""
    base = {"position": f"aaaaaaaa:{seq}", "at": "2026-11-21T03:00:00.000Z", "room": "lobby@alice"}
    return {"type": kind, **base, **fields}


def refusing(kind: str, code: int = 201, message: str = "refused", **details: Any) -> Handler:
    """A handler that answers every request with an error."""

    def handler(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal(kind, code, message, **details)

    return handler


def subscribed(*events: dict[str, Any], after: str = "aaaaaaaa:0", end: bool = False) -> Handler:
    """A handler of `subscribe` that answers, sends the events, and with `end` ends the session."""

    def handler(session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
        session.add_events(*events)
        session.ends_after_reply = end
        return {"subscription": 1, "position": after, "after": after, "snapshot": {"peers": []}}

    return handler


def acked(session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
    return params


def in_turn(*handlers: Any) -> Handler:
    """A handler that uses the next of `handlers` for each request, and the last one for all further requests."""
    remaining = list(handlers)

    def handler(session: FakeSession, params: dict[str, Any]) -> Any:
        chosen = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        return chosen(session, params) if callable(chosen) else chosen

    return handler
