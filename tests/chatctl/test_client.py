"""The Python client: requests, acknowledgements, and continuation after a restart of the daemon."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from chatctl.client import Client
from chatctl.errors import Failure
from tests.harness.fake_daemon import (
    BOB,
    LOBBY,
    FakeDaemon,
    FakeSession,
    Refusal,
    acked,
    evicting,
    in_turn,
    message,
    room_message,
    subscribed,
)
from tests.harness.until import until

SENT = {"id": "aaaaaaaa:7", "state": "queued", "peer": BOB}
INBOUND = {"types": ["message"], "direction": "in"}
GAP = {"type": "gap", "position": "aaaaaaaa:5", "at": "", "peer": None, "after": None, "through": "aaaaaaaa:5"}


@pytest.fixture
def daemon(daemon: FakeDaemon) -> FakeDaemon:
    daemon.on["send"] = daemon.on["reply"] = SENT
    daemon.on["ack"] = acked
    daemon.on["history"] = {"events": [], "next": None}
    return daemon


@pytest.fixture
def client(daemon: FakeDaemon) -> Iterator[Client]:
    with Client.open(patience=5) as client:
        yield client


def die(session: FakeSession, params: dict[str, Any]) -> None:
    session.ends_after_reply = True


def stopping(session: FakeSession, params: dict[str, Any]) -> None:
    session.ends_after_reply = True
    raise Refusal("shutting_down", 503)


def positions(daemon: FakeDaemon) -> list[str]:
    return [params["position"] for params in daemon.params("ack")]


def test_it_needs_the_standard_library_only() -> None:
    code = "import sys; import chatctl.client; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True)
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names) - {"chatctl", "chatd", "__main__"}
    assert not foreign & {"click", "trio", "msgspec", "cryptography"}


def test_it_asks_only_for_what_was_given(daemon: FakeDaemon, client: Client) -> None:
    assert client.send("bob", "hi") == SENT
    client.send(0, "hi", wait="sent", timeout=5, ttl=60, key="k")
    plain, timed = daemon.params("send")
    assert plain == {"peer": "bob", "text": "hi"}
    assert 4 < timed.pop("timeout") <= 5
    assert timed == {"peer": 0, "text": "hi", "wait": "sent", "ttl": 60, "key": "k"}
    client.send("bob", "hi")
    assert daemon.params("send")[2] == plain


def test_a_reply_names_the_message(daemon: FakeDaemon, client: Client) -> None:
    client.reply(message(3), "yes")
    client.reply(message(4), "yes", key="k")
    assert daemon.params("reply") == [
        {"id": "aaaaaaaa:3", "text": "yes"},
        {"id": "aaaaaaaa:4", "text": "yes", "key": "k"},
    ]


def test_ask_gives_the_answer(daemon: FakeDaemon, client: Client) -> None:
    answer = message(9, "yes", re="aaaaaaaa:7")
    daemon.on["ask"] = {"id": "aaaaaaaa:7", "answer": answer}
    assert client.ask("bob", "well?", timeout=5) == answer


def test_rooms_are_joined_talked_in_and_left(daemon: FakeDaemon, client: Client) -> None:
    daemon.on.update({"room.say": SENT, "room.join": {"room": LOBBY}, "room.users": {"users": [{"nick": "bob"}]}})
    assert client.join("lobby@alice", "bob") == LOBBY
    assert client.say("lobby@alice", "hi") == SENT
    client.say("lobby@alice", "@hi", to="jane", wait="delivered")
    assert client.users("lobby@alice") == [{"nick": "bob"}]
    client.leave("lobby@alice")
    room = {"room": "lobby@alice"}
    assert daemon.requests == [
        ("room.join", {**room, "nick": "bob"}),
        ("room.say", {**room, "text": "hi"}),
        ("room.say", {**room, "text": "@hi", "to": "jane", "wait": "delivered"}),
        ("room.users", room),
        ("room.leave", room),
    ]


def test_what_was_said_when_the_daemon_ended_is_not_said_twice(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["room.say"] = in_turn(die, SENT)
    with pytest.raises(Failure) as failed:
        client.say("lobby", "hi")
    assert failed.value.kind == "outcome_unknown"


def test_messages_of_one_room_are_asked_for(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["subscribe"] = subscribed(room_message(1))
    assert next(client.messages(room="lobby@alice"))["nick"] == "jane"
    assert daemon.params("subscribe")[0]["filter"] == {**INBOUND, "room": "lobby@alice"}


def test_a_refusal_is_a_failure_with_its_kind(daemon: FakeDaemon, client: Client) -> None:
    def refuse(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal("timeout", 502, id="aaaaaaaa:7")

    daemon.on["send"] = refuse
    with pytest.raises(Failure) as failed:
        client.send("bob", "hi", wait="delivered", timeout=5)
    assert (failed.value.kind, failed.value.details) == ("timeout", {"id": "aaaaaaaa:7"})


def test_without_a_daemon_it_gives_up_after_its_patience(socket_path: str) -> None:
    with pytest.raises(Failure) as failed:
        Client.open(patience=0.05)
    assert failed.value.kind == "no_daemon"


def test_the_daemon_may_be_named(tmp_path: Any, socket_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = str(tmp_path / "other.sock")
    daemon = FakeDaemon(other, whoami={"name": "other"})
    with Client.open(socket=other) as client:
        assert client.call("whoami") == {"name": "other"}
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "chatd").mkdir()
    named = FakeDaemon(str(tmp_path / "chatd" / "bob.sock"), whoami={"name": "bob"})
    with Client.open("bob") as client:
        assert client.call("whoami") == {"name": "bob"}
    daemon.stop()
    named.stop()


def test_a_daemon_that_was_restarted_while_nothing_was_asked_is_found(
    daemon: FakeDaemon, client: Client, socket_path: str
) -> None:
    client.send("bob", "one")
    os.unlink(socket_path)
    daemon.stop()
    second = FakeDaemon(socket_path, send=SENT)
    assert client.send("bob", "two") == SENT
    assert len(second.params("send")) == 1
    second.stop()


def test_what_a_stopping_daemon_refuses_is_asked_of_the_next(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["send"] = in_turn(stopping, stopping, SENT)
    assert client.send("bob", "hi") == SENT


def test_an_answer_that_was_lost_is_asked_for_again_with_a_key_only(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["send"] = in_turn(die, SENT)
    assert client.send("bob", "hi", key="k") == SENT
    daemon.on["send"] = in_turn(die, SENT)
    with pytest.raises(Failure) as failed:
        client.send("bob", "hi")
    assert failed.value.kind == "outcome_unknown"
    daemon.on["list"] = in_turn(die, {"peers": []})
    assert client.call("list") == {"peers": []}


def test_what_crossed_the_end_of_an_idle_session_is_asked_again_also_without_a_key(
    daemon: FakeDaemon, client: Client
) -> None:
    for method in ("send", "room.say"):
        daemon.on[method] = in_turn(evicting, SENT)
    assert client.send("bob", "hi") == SENT
    assert client.say("lobby", "hi") == SENT
    assert [len(daemon.params(method)) for method in ("send", "room.say")] == [2, 2]


def test_an_idle_session_that_the_daemon_has_ended_is_opened_again(daemon: FakeDaemon, client: Client) -> None:
    client.send("bob", "one")
    daemon.sessions[0].evict()
    assert client.send("bob", "two") == SENT
    assert len(daemon.params("send")) == 2
    assert len(daemon.sessions) == 2


def test_a_daemon_that_evicts_for_ever_is_a_failure(daemon: FakeDaemon) -> None:
    daemon.on["list"] = evicting
    with Client.open(patience=0.0) as client, pytest.raises(Failure) as failed:
        client.call("list")
    assert failed.value.kind == "session_evicted"


def test_messages_go_on_after_an_eviction(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["subscribe"] = in_turn(evicting, subscribed(message(1)), subscribed(message(2)))
    messages = client.messages()
    assert next(messages) == message(1)
    daemon.sessions[-1].evict()
    assert next(messages) == message(2)


def test_messages_are_acknowledged_when_the_loop_comes_back(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["subscribe"] = subscribed(message(1), message(2), message(3))
    messages = client.messages(as_="bot", from_="start", peer="bob")
    assert daemon.params("subscribe") == [
        {"from": "start", "filter": {**INBOUND, "peer": "bob"}, "as": "bot", "window": 64}
    ]
    assert next(messages) == message(1)
    client.send("bob", "hi")
    assert positions(daemon) == []
    assert next(messages) == message(2)
    assert next(messages) == message(3)
    daemon.sessions[1].send_events(message(4))
    assert next(messages) == message(4)
    until(lambda: positions(daemon))
    assert "aaaaaaaa:4" not in positions(daemon)
    client.ack(message(4))
    assert "aaaaaaaa:4" in positions(daemon)  # that of 3 goes over another session, and may come later


def test_without_a_name_nothing_is_acknowledged(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["subscribe"] = subscribed(message(1), message(2, "x", "out"))
    assert [found["text"] for _, found in zip(range(2), client.messages(out=True), strict=False)] == ["hi", "x"]
    assert daemon.params("subscribe") == [{"from": "now", "filter": {"types": ["message"]}}]
    assert positions(daemon) == []
    with pytest.raises(Failure):
        client.ack(message(1))


def test_messages_outlive_the_session_and_come_once(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["subscribe"] = in_turn(
        subscribed(message(1), message(2), end=True), subscribed(message(2), message(3), message(4))
    )
    messages = client.messages(as_="bot")
    assert [next(messages)["position"] for _ in range(4)] == [f"aaaaaaaa:{number}" for number in (1, 2, 3, 4)]
    assert daemon.params("subscribe")[1]["from"] == {"position": "aaaaaaaa:2"}
    until(lambda: positions(daemon))
    assert "aaaaaaaa:4" not in positions(daemon)


def test_a_consumer_that_is_held_is_a_failure_and_leaves_no_session(daemon: FakeDaemon, client: Client) -> None:
    def busy(session: FakeSession, params: dict[str, Any]) -> None:
        raise Refusal("conflict", 501, reason="consumer_busy")

    daemon.on["subscribe"] = busy
    with pytest.raises(Failure) as failed:
        client.messages(as_="bot")
    assert failed.value.details["reason"] == "consumer_busy"
    until(lambda: daemon.sessions[1].sock.fileno() == -1)


def test_a_gap_is_passed_over_unless_it_is_strict(daemon: FakeDaemon, client: Client) -> None:
    daemon.on["subscribe"] = subscribed(GAP, message(6))
    assert next(client.messages(as_="bot")) == message(6)
    with pytest.raises(Failure) as failed:
        next(client.messages(as_="bot", strict=True))
    assert (failed.value.kind, failed.value.details) == ("cursor_gone", GAP)
    assert positions(daemon)[-1] == "aaaaaaaa:5"


def test_close_ends_all_sessions(daemon: FakeDaemon) -> None:
    daemon.on["subscribe"] = subscribed(message(1))
    with Client.open(patience=5) as client:
        next(client.messages(as_="bot"))
    assert len(daemon.sessions) == 2
    until(lambda: all(session.sock.fileno() == -1 for session in daemon.sessions))
