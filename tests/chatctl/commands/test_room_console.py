"""`chatctl console --room`: the commands of the room servers in docs/origins.md, and changes of the membership."""

from collections.abc import Iterator
from typing import Any

import pytest

from chatctl.cli.verb import App
from chatctl.commands.console import room_console
from chatctl.commands.console.room_console import ESTABLISHED, FAILED, NO_USER, WRONG, RoomConsole
from tests.chatctl.conftest import Chatctl, Start
from tests.harness.fake_daemon import (
    HERE,
    LOBBY,
    FakeDaemon,
    FakeSession,
    Handler,
    Refusal,
    in_turn,
    refusing,
    room_event,
    room_message,
    subscribed,
)

ROOM = "lobby@alice"
OUTSIDE = f"not in {ROOM}: CONNECT joins it, QUIT leaves the console\n"
SAID = {"id": "aaaaaaaa:7", "state": "queued", "peer": HERE, "room": ROOM}


class Membership:
    """The membership of this node in the lobby, as the daemon has it."""

    def __init__(self, daemon: FakeDaemon, inside: bool) -> None:
        self.inside = inside
        daemon.on.update(
            {
                "room.topic": self.answer(),
                "room.join": self.answer(inside=True),
                "room.leave": self.answer(inside=False),
                "room.say": SAID,
                "status": {"journal": {"position": "aaaaaaaa:1"}},
                "subscribe": subscribed(),
                "wait": {"peers": []},
            }
        )

    def answer(self, inside: bool | None = None) -> Handler:
        def handler(session: FakeSession, params: dict[str, Any]) -> dict[str, Any]:
            if inside is None and not self.inside:
                raise Refusal("unknown_room", 203, "not in it")
            self.inside = self.inside if inside is None else inside
            return {"room": LOBBY if self.inside else {**LOBBY, "nick": None}}

        return handler


@pytest.fixture
def member(daemon: FakeDaemon) -> Membership:
    return Membership(daemon, inside=True)


@pytest.fixture
def stranger(daemon: FakeDaemon) -> Membership:
    return Membership(daemon, inside=False)


class Console:
    """A console in this process: types lines and records what is printed for each."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.app = App()
        self.app.connect_timeout = 0.2
        self.room_console = RoomConsole(self.app, ROOM)
        self._capfd = capfd
        self._told = ""

    def type(self, *lines: str) -> list[str]:
        """Type `lines`; return the lines on stdout."""
        for line in lines:
            assert self.room_console.execute(line)
        return self._shown()

    def end(self) -> str:
        """End the console; return everything on stderr."""
        self.room_console.close()
        self._shown()
        return self._told

    def _shown(self) -> list[str]:
        shown = self._capfd.readouterr()
        self._told += shown.err
        return shown.out.splitlines()


@pytest.fixture
def console(capfd: pytest.CaptureFixture[str]) -> Iterator[Console]:
    made = Console(capfd)
    yield made
    made.room_console.close()
    made.app.close()


def asked(daemon: FakeDaemon) -> list[str]:
    return [method for method, _ in daemon.requests if method.startswith("room.")]


def texts(daemon: FakeDaemon) -> list[str]:
    return [params["text"] for params in daemon.params("room.say")]


@pytest.mark.usefixtures("stranger")
def test_it_works_with_pipes_and_leaves_what_it_joined(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    ran = chatctl("console", "--room", ROOM, stdin="CONNECT\nSEND hi\nQUIT\nSEND not this\n")
    assert ran == (0, ESTABLISHED + "\n", OUTSIDE)
    assert asked(daemon) == ["room.topic", "room.topic", "room.join", "room.say", "room.leave"]
    assert texts(daemon) == ["hi"]


@pytest.mark.usefixtures("member")
def test_a_member_is_ready_and_stays_in_the_room(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    assert chatctl("console", "--room", ROOM, stdin="hi there\nQUIT\n") == (0, "", "")
    assert asked(daemon) == ["room.topic", "room.say"]
    assert texts(daemon) == ["hi there"]


@pytest.mark.usefixtures("stranger")
@pytest.mark.parametrize("ending", ["QUIT\n", "*exit\n", ""])
def test_however_it_ends_it_leaves_what_it_joined(daemon: FakeDaemon, chatctl: Chatctl, ending: str) -> None:
    chatctl("console", "--room", ROOM, stdin="CONNECT\n" + ending)
    assert asked(daemon)[-1] == "room.leave"


def test_outside_all_but_the_keywords_is_refused_to_the_letter(
    daemon: FakeDaemon, stranger: Membership, console: Console
) -> None:
    console.room_console.open()
    lines = ["hello", "connect", "send hi", "quit", "*users", "*exit", "@jane hi", "SEND hi", "SEND", "CONNECT now"]
    assert console.type(*lines, "QUIT now") == [WRONG] * 11
    assert WRONG == "ERROR: Please use the CONNECT, SEND <message>, and QUIT commands."
    assert asked(daemon) == ["room.topic"]


def test_inside_keywords_with_the_wrong_words_are_refused_and_others_are_said(
    daemon: FakeDaemon, member: Membership, console: Console
) -> None:
    console.room_console.open()
    assert console.type("SEND", " SEND  ", "CONNECT now", "QUIT now") == [WRONG] * 4
    assert console.type("send hi", "SEND  QUIT  now ", "SENDING", "quit", "@jane a  b", "", "  ") == []
    assert texts(daemon) == ["send hi", "QUIT  now", "SENDING", "quit", "@jane a  b"]


def test_to_connect_where_one_is_already_joins_nothing(
    daemon: FakeDaemon, member: Membership, console: Console
) -> None:
    console.room_console.open()
    assert console.type("CONNECT") == [ESTABLISHED]
    console.end()
    assert not {"room.join", "room.leave"} & set(asked(daemon))
    assert len(daemon.params("subscribe")) == 1


def test_a_connect_that_fails_is_told_with_its_reason_and_can_be_tried_again(
    daemon: FakeDaemon, stranger: Membership, console: Console
) -> None:
    join = daemon.on["room.join"]
    daemon.on["room.join"] = in_turn(refusing("timeout", 502, "alice is away"), refusing("forbidden", 401), join)
    console.room_console.open()
    assert console.type("CONNECT", "hi", "CONNECT", "CONNECT") == [FAILED, WRONG, FAILED, ESTABLISHED]
    assert "chatctl: alice is away\n" in console.end()
    assert daemon.params("room.join") == [{"room": ROOM}] * 3


def test_what_is_said_while_we_join_is_shown(daemon: FakeDaemon, stranger: Membership, console: Console) -> None:
    console.room_console.open()
    assert daemon.params("subscribe") == []
    console.type("CONNECT")
    assert daemon.params("subscribe") == [{"from": {"position": "aaaaaaaa:1"}, "filter": {"room": ROOM}}]


@pytest.mark.usefixtures("member")
def test_what_others_say_and_do_appears_and_our_own_does_not(daemon: FakeDaemon, start: Start) -> None:
    process = start("console", "--room", ROOM)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("*help\n")
    process.stdin.flush()
    for _ in room_console.TYPED:
        process.stdout.readline()
    daemon.sessions[1].send_events(
        room_event(2, "room.join", nick="bob", node=None),
        room_message(3, nick="bob", direction="out", state="queued"),
        room_event(4, "receipt", peer=HERE, state="delivered", id="aaaaaaaa:3", reason=None),
        room_message(5, "between others", to="jim"),
        room_message(5, "h\x1bi", to="bob"),
        room_event(6, "receipt", peer=HERE, state="rejected", id="aaaaaaaa:3", reason="too big"),
        room_event(7, "room.leave", nick="jane", node=None, reason="left"),
    )
    shown = [process.stdout.readline().split(" ", 2)[2].rstrip("\n") for _ in range(3)]
    assert shown == [
        f"[{ROOM}] <jane -> bob> h\\x1bi",
        f"* [{ROOM}] aaaaaaaa:3 is rejected: too big",
        f"* [{ROOM}] jane is gone: left",
    ]
    process.stdin.close()
    assert process.wait(20) == 0


@pytest.mark.parametrize(
    "event",
    [room_event(5, "room.gone", reason="kicked"), room_event(5, "room.leave", nick="bob", node=None, reason="left")],
)
def test_a_membership_that_ends_is_told_and_connect_begins_another(
    daemon: FakeDaemon, start: Start, stranger: Membership, event: dict[str, Any]
) -> None:
    process = start("console", "--room", ROOM)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("CONNECT\n")
    process.stdin.flush()
    assert process.stdout.readline() == ESTABLISHED + "\n"
    stranger.inside = False
    daemon.sessions[-1].send_events(event)
    assert "any more: kicked" in (told := process.stdout.readline()) or "bob is gone: left" in told
    process.stdin.write("hi\n")
    process.stdin.flush()
    assert process.stdout.readline() == WRONG + "\n"
    out, _ = process.communicate("CONNECT\nhi\nQUIT\n", timeout=20)
    assert out == ESTABLISHED + "\n"
    assert asked(daemon).count("room.leave") == 1
    assert texts(daemon) == ["hi"]


def test_a_membership_that_another_terminal_ended_is_not_left_again(
    daemon: FakeDaemon, stranger: Membership, console: Console
) -> None:
    console.room_console.open()
    console.type("CONNECT")
    stranger.inside = False
    daemon.on["room.say"] = refusing("unknown_room", 203, "not in it")
    assert console.type("hi", "hi") == [WRONG]
    assert console.end() == OUTSIDE + "chatctl: not in it\n"
    assert "room.leave" not in asked(daemon)


@pytest.mark.usefixtures("member")
def test_a_room_that_is_unknown_after_a_restart_is_outside(daemon: FakeDaemon, start: Start) -> None:
    unknown = refusing("unknown_room", 203, "no such room")
    daemon.on["subscribe"] = in_turn(subscribed(room_message(1), end=True), unknown)
    process = start("console", "--room", ROOM)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().endswith("<jane> hi\n")
    assert "CONNECT joins it" in process.stderr.readline()
    out, _ = process.communicate("hi\n", timeout=20)
    assert out == WRONG + "\n"


def test_users_are_told_as_the_seed_does(daemon: FakeDaemon, member: Membership, console: Console) -> None:
    daemon.on["room.users"] = {"users": [{"nick": "bob"}, {"nick": "j\x1bane"}]}
    console.room_console.open()
    assert console.type("*users") == ["User List:", "[1] bob", "[2] j\\x1bane"]


def test_an_unknown_name_is_told_as_the_seed_does(daemon: FakeDaemon, member: Membership, console: Console) -> None:
    daemon.on["room.say"] = refusing("unknown_peer", 201, "nobody is called jim")
    console.room_console.open()
    assert console.type("@jim hi", "SEND @jim hi") == [NO_USER] * 2
    assert NO_USER == "User does not exist."


def test_errors_are_shown_and_do_not_end_it(daemon: FakeDaemon, member: Membership, console: Console) -> None:
    daemon.on["room.say"] = in_turn(refusing("bad_text", 306, "control characters"), SAID)
    console.room_console.open()
    console.type("a\x07", "\udcff", "hi")
    assert texts(daemon) == ["a\x07", "hi"]
    assert [line[:30] for line in console.end().splitlines()] == [
        "chatctl: control characters",
        "chatctl: the text is not valid",
    ]


def test_what_was_said_is_in_the_room_before_it_is_left(
    daemon: FakeDaemon, stranger: Membership, console: Console
) -> None:
    daemon.on["wait"] = refusing("timeout", 502)
    console.room_console.open()
    console.type("CONNECT", "hi")
    assert "has not confirmed what was said last: aaaaaaaa:7" in console.end()
    assert [method for method, _ in daemon.requests][-2:] == ["wait", "room.leave"]
    assert daemon.params("wait") == [{"for": "delivered", "id": "aaaaaaaa:7", "timeout": room_console.POST_TIMEOUT_S}]


def test_a_room_that_cannot_be_left_is_told(daemon: FakeDaemon, stranger: Membership, console: Console) -> None:
    daemon.on["room.leave"] = refusing("storage_full", 506, "the disk is full")
    console.room_console.open()
    console.type("CONNECT")
    assert console.end().endswith("chatctl: the disk is full\n")


def test_a_line_under_way_is_left_by_ctrl_c(
    daemon: FakeDaemon, member: Membership, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    console.room_console.open()
    with monkeypatch.context() as patch:
        patch.setattr(console.app, "call", interrupted)
        assert console.type("*users") == []
    console.type("hi")
    assert texts(daemon) == ["hi"]


def test_what_was_said_last_and_refused_is_told(daemon: FakeDaemon, stranger: Membership, console: Console) -> None:
    daemon.on["wait"] = refusing("rejected", 305, "not in the room")
    console.room_console.open()
    console.type("CONNECT", "hi")
    assert console.end().endswith("chatctl: not in the room\n")


@pytest.mark.usefixtures("member")
def test_a_room_is_called_by_its_whole_name_once_that_is_known(daemon: FakeDaemon, chatctl: Chatctl) -> None:
    chatctl("console", "--room", "lobby", stdin="hi\n*users\n")
    told = [params["room"] for name, params in daemon.requests if name.startswith("room.")]
    assert told == ["lobby", ROOM, ROOM]
    assert daemon.params("subscribe")[0]["filter"] == {"room": ROOM}


def test_a_host_that_is_away_is_told_at_the_start(
    daemon: FakeDaemon, member: Membership, console: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    daemon.on["room.topic"] = {"room": {**LOBBY, "state": "away"}}
    console.room_console.open()
    assert capfd.readouterr().err == f"the host of {ROOM} is away: what you say waits for it\n"


def test_without_a_daemon_it_is_3(chatctl: Chatctl) -> None:
    assert chatctl("console", "--room", ROOM).status == 3


def test_a_line_behind_a_restart_of_the_daemon_goes_to_the_new_one(
    daemon: FakeDaemon, member: Membership, console: Console
) -> None:
    console.room_console.open()
    console.type("one")
    daemon.sessions[0].close()
    console.type("two")
    assert texts(daemon) == ["one", "two"]
