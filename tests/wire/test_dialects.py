"""The room dialects: what clients of either kind may send, and what they are sent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.wire import dialects
from chatd.wire.dialects import AddressServer, Command, Enter, Help, Leave, NameServer, Speak, TooLong, Users
from chatd.wire.errors import LocalError, RemoteError
from chatd.wire.lines import LineTooLong
from tests.harness.characters import characters

LIMIT = 4096
HARMFUL = {*characters("Cc", "Zl", "Zp")} - {"\t"}

chunks_of_anything = st.lists(
    st.binary(max_size=60)
    | st.sampled_from(
        [b"QUIT", b"QUIT\n", b"*exit\n", b"*users", b"@", b"@jane", b"@ \n", b"\n", b" ", b"\xc3", b"x" * 90]
    )
    | st.sampled_from([b"Close Connection", "\u2028\x85\u3000\n".encode(), b"@\n", b"@@\n", b"*help\r\0\n", b"jane\n"]),
    max_size=12,
)
lines = st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=30) | st.sampled_from(
    ["QUITE", "*users", "*help", "@jane hi", "@jane", "@@all", "@ all", "hi\r", "Close Connection", "*exit now", ""]
)


def named(first: bytes = b"jane\n") -> NameServer:
    """A client of dialect `name` that has sent its name."""
    server = NameServer(LIMIT)
    server.receive(first)
    return server


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(ends)]


# -- either dialect


@given(st.sampled_from([AddressServer, NameServer]), chunks_of_anything, st.integers(1, 80))
def test_no_bytes_raise_anything_but_too_long_and_every_text_is_one_harmless_line(
    kind: type[AddressServer | NameServer], chunks: list[bytes], limit: int
) -> None:
    server = kind(limit)
    commands: list[Command] = []
    try:
        for chunk in filter(None, chunks):
            commands += server.receive(chunk)
            commands += server.flush() if len(chunk) % 2 else []
            if Leave() in commands:
                break
    except TooLong as error:
        commands += error.commands  # nothing else may be raised
    commands += server.close()
    for command in commands:
        match command:
            case Speak(text=text) | Enter(name=text):
                assert text
                assert not HARMFUL & set(text)
                assert len(text.splitlines()) == 1
                text.encode()
    assert Leave() not in commands[:-1]
    assert [command for command in commands[1 if kind is NameServer else 0 :] if isinstance(command, Enter)] == []
    assert kind is AddressServer or not commands or isinstance(commands[0], Enter)


@given(
    st.sampled_from([AddressServer, NameServer]),
    st.lists(lines, max_size=8),
    st.lists(st.integers(0, 500), max_size=12),
)
def test_lines_give_the_same_commands_in_any_chunking(
    kind: type[AddressServer | NameServer], said: list[str], places: list[int]
) -> None:
    data = b"".join(line.encode() + b"\n" for line in said)
    whole, pieces = kind(LIMIT), kind(LIMIT)
    for server in (whole, pieces):
        server.receive(b"jane\n")
    expected = whole.receive(data) if data else []
    assert [command for chunk in cut(data, places) for command in pieces.receive(chunk)] == expected
    assert not pieces.pending


@pytest.mark.parametrize("server", [AddressServer(10), NameServer(10)])
def test_what_stood_before_a_line_that_is_too_long_is_not_lost(server: AddressServer | NameServer) -> None:
    server.receive(b"jane\n")
    with pytest.raises(TooLong, match="more than 10 bytes") as caught:
        server.receive(b"one\ntwo\n" + b"x" * 11)
    assert caught.value.commands == [Speak("one"), Speak("two")]
    assert caught.value.texts == ["one", "two"]
    assert isinstance(caught.value, LineTooLong)
    assert isinstance(caught.value, RemoteError)
    assert server.close() == []
    with pytest.raises(LocalError):
        server.receive(b"more")


@pytest.mark.parametrize(("server", "leave"), [(AddressServer(10), b"QUIT\n"), (NameServer(10), b"*exit\n")])
def test_nothing_is_heard_of_a_client_that_has_left(server: AddressServer | NameServer, leave: bytes) -> None:
    server.receive(b"jane\n")
    assert server.receive(b"bye\n" + leave + b"more\n" + b"x" * 11) == [Speak("bye"), Leave()]
    assert not server.pending
    assert server.flush() == []
    assert server.close() == []
    with pytest.raises(LocalError):
        server.receive(b"more\n")


def test_the_beginning_of_a_line_after_a_leave_is_not_said_at_the_end() -> None:
    server = NameServer(99)
    assert server.receive(b"jane\n*exit\nmo") == [Enter("jane"), Leave()]
    assert not server.pending
    assert server.close() == []


@pytest.mark.parametrize("server", [AddressServer(LIMIT), NameServer(LIMIT)])
def test_after_the_end_nothing_may_come(server: AddressServer | NameServer) -> None:
    assert server.receive(b"") == []
    assert server.close() == []
    for chunk in (b"jane\n", b""):
        with pytest.raises(LocalError):
            server.receive(chunk)


@pytest.mark.parametrize("server", [AddressServer(LIMIT), NameServer(LIMIT)])
def test_the_end_gives_what_waits_in_the_room(server: AddressServer | NameServer) -> None:
    server.receive(b"jane\n")
    assert server.receive(b"bye") == []
    assert server.receive(b"") == [Speak("bye")]


@pytest.mark.parametrize("server", [AddressServer(LIMIT), NameServer(LIMIT)])
def test_bytes_that_are_no_text_are_replaced(server: AddressServer | NameServer) -> None:
    server.receive(b"jane\n")
    assert server.receive(b"a\xffb\x1b[2J\x9b\tc\r\n") == [Speak("a\ufffdb\ufffd[2J\ufffd\tc")]
    assert server.receive("a\u2028<bob> b\x85c\x0bd\n".encode()) == [Speak("a␤<bob> b␤c␤d")]


@pytest.mark.parametrize("server", [AddressServer(LIMIT), NameServer(LIMIT)])
def test_the_hang_up_of_a_plain_peer_is_a_text_in_a_room(server: AddressServer | NameServer) -> None:
    server.receive(b"jane\n")
    assert server.receive(b"Close Connection") == []
    assert server.flush() == [Speak("Close Connection")]
    assert server.receive(b"more\n") == [Speak("more")]


# -- a client of dialect `address`


def test_an_address_client_speaks_in_chunks_once_the_line_is_quiet() -> None:
    server = AddressServer(LIMIT)
    assert server.ends_lines is None
    assert server.receive(b"hello ") == []
    assert server.pending
    assert server.receive(b"there") == []
    assert server.flush() == [Speak("hello there")]
    assert not server.pending
    assert server.ends_lines is False


def test_an_address_client_may_speak_in_lines() -> None:
    server = AddressServer(LIMIT)
    assert server.receive(b"hello\r\n\n  \n") == [Speak("hello"), Speak("  ")]
    assert server.ends_lines is True


def test_quit_alone_leaves_at_once() -> None:
    server = AddressServer(LIMIT)
    assert server.receive(b"QUIT") == [Leave()]
    server = AddressServer(LIMIT)
    assert server.receive(b"hi") + server.flush() + server.receive(b"QUIT") == [Speak("hi"), Leave()]
    server = AddressServer(LIMIT)
    assert server.receive(b"hi\nQUIT\r\n") == [Speak("hi"), Leave()]


def test_what_waits_when_a_client_quits_is_said() -> None:
    server = AddressServer(LIMIT)
    assert server.receive(b"bye") == []
    assert server.receive(b"QUIT") == [Speak("bye"), Leave()]


def test_quit_is_no_command_in_a_longer_chunk_or_in_other_letters() -> None:
    server = AddressServer(LIMIT)
    for text in ("QUITE", "hiQUIT", "quit", " QUIT", "QUIT "):
        assert server.receive(text.encode()) + server.flush() == [Speak(text)]


def test_the_beginning_of_a_line_that_is_cut_behind_quit_does_not_leave() -> None:
    server = AddressServer(LIMIT)
    server.receive(b"hello\n")
    assert server.receive(b"QUIT") == []
    assert server.receive(b"E\n") == [Speak("QUITE")]
    assert server.receive(b"QUIT") == []
    assert server.flush() == [Leave()]


def test_the_commands_of_the_other_dialect_are_texts_at_an_address_port() -> None:
    said = ["*users", "*exit", "@jane hi", "@@"]
    assert AddressServer(LIMIT).receive("\n".join([*said, ""]).encode()) == [Speak(text) for text in said]


# -- a client of dialect `name`


@pytest.mark.parametrize(
    ("chunk", "commands", "ends_lines"),
    [
        (b"jane", [Enter("jane")], False),
        (b"jane\n", [Enter("jane")], True),
        (b" jane \r\n", [Enter("jane")], True),
        (b"jane\r\0\n", [Enter("jane")], True),
        (b"jane\nhi\n", [Enter("jane"), Speak("hi")], True),
        (b"jane\nhi\n*exit\n", [Enter("jane"), Speak("hi"), Leave()], True),
        (b"\r\n \n\xe3\x80\x80\njane\nhi\n", [Enter("jane"), Speak("hi")], True),
        (b"\njane", [Enter("jane")], False),
        (b"jane doe", [Enter("jane doe")], False),
        (b"\xff\xfejane\x1b\n", [Enter("\ufffd\ufffdjane\ufffd")], True),
        (b"*exit\n", [Enter("*exit")], True),
    ],
)
def test_the_first_chunk_has_the_name(chunk: bytes, commands: list[Command], ends_lines: bool) -> None:
    server = NameServer(LIMIT)
    assert server.ends_lines is None
    assert server.receive(chunk) == commands
    assert server.ends_lines is ends_lines


def test_the_name_does_not_wait_for_a_newline_and_a_line_may_be_glued_to_it() -> None:
    server = NameServer(LIMIT)
    assert server.receive(b"jane\nhel") == [Enter("jane")]
    assert server.pending
    assert server.receive(b"lo\n") == [Speak("hello")]
    server = NameServer(LIMIT)
    assert server.receive(b"jane") == [Enter("jane")]
    assert not server.pending
    assert server.receive(b"hello\n") == [Speak("hello")]
    assert server.ends_lines is False


def test_blanks_are_no_name_and_nothing_of_them_is_kept() -> None:
    server = NameServer(LIMIT)
    for _ in range(1000):
        assert server.receive(b" \r\n\0\n\t") == []
        assert not server.pending
        assert server.flush() == []
    assert server.receive(b"jane") == [Enter("jane")]


def test_a_name_is_not_lost_before_a_line_that_is_too_long() -> None:
    with pytest.raises(TooLong) as caught:
        NameServer(10).receive(b"jane\nhi\n" + b"x" * 11 + b"\n")
    assert caught.value.commands == [Enter("jane"), Speak("hi")]


def test_who_is_gone_before_the_name_has_said_nothing() -> None:
    server = NameServer(LIMIT)
    assert server.receive(b"\n") == []
    assert server.receive(b"") == []
    with pytest.raises(LocalError):
        server.receive(b"jane")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("hello", Speak("hello")),
        (" hello ", Speak(" hello ")),
        ("*users", Users()),
        ("*users\r", Users()),
        ("*help", Help()),
        ("*exit", Leave()),
        ("*EXIT", Speak("*EXIT")),
        ("*exit ", Speak("*exit ")),
        (" *exit", Speak(" *exit")),
        ("*exit\0now", Speak("*exitnow")),
        ("*who", Speak("*who")),
        ("QUIT", Speak("QUIT")),
        ("@jane hello there ", Speak("hello there ", to="jane")),
        ("@jane  hello", Speak("hello", to="jane")),
        ("@田中\u3000hello", Speak("hello", to="田中")),
        ("@127.0.0.1:1234 hi", Speak("hi", to="127.0.0.1:1234")),
        ("@jane", Help()),
        ("@jane  ", Help()),
        ("@", Speak("@")),
        ("@ jane hi", Speak("@ jane hi")),
        ("@@jane hi", Speak("@jane hi")),
        ("@@", Speak("@")),
        ("mail jane@example.org", Speak("mail jane@example.org")),
    ],
)
@pytest.mark.parametrize("newline", [True, False], ids=["line", "chunk"])
def test_lines_of_a_named_client(line: str, command: Command, newline: bool) -> None:
    server = named()
    if newline:
        assert server.receive(line.encode() + b"\n") == [command]
    else:
        assert server.receive(line.encode()) == []
        assert server.flush() == [command]


def test_empty_lines_are_nothing() -> None:
    assert named().receive(b"\n\r\n\0\n") == []


# -- what clients are sent


def test_members_of_an_address_port_are_shown_by_their_address_and_others_by_their_nick() -> None:
    assert dialects.line_of("address", "127.0.0.1:50123", "hi") == b"('127.0.0.1', 50123): hi\n"
    assert dialects.line_of("address", "[::1]:5", "hi") == b"('::1', 5): hi\n"
    assert dialects.line_of("address", "jane", "hi") == b"('jane', 0): hi\n"
    assert dialects.line_of("address", "Ольга", "hi") == "('Ольга', 0): hi\n".encode()
    assert dialects.line_of("name", "127.0.0.1:50123", "hi") == b"<127.0.0.1:50123> hi\n"
    assert dialects.line_of("name", "jane", " h  i ") == b"<jane>  h  i \n"


def test_what_is_for_one_alone_is_marked() -> None:
    assert dialects.line_of("name", "jane", "hi", private=True) == b"<jane> (Private Message) hi\n"
    assert dialects.line_of("address", "jane", "hi", private=True) == b"('jane', 0): (Private Message) hi\n"


@given(st.sampled_from([dialects.ADDRESS, dialects.NAME]), st.text(), st.booleans())
def test_whatever_is_said_is_one_line(dialect: str, text: str, private: bool) -> None:
    line = dialects.line_of(dialect, "jane", text, private=private).decode()
    assert line.splitlines() == [line[:-1]]
    assert line[-1] == "\n"
    assert not set(line[:-1]) & HARMFUL


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])))
def test_a_text_without_control_characters_arrives_as_it_was_said(text: str) -> None:
    assert dialects.line_of("name", "jane", text) == f"<jane> {text}\n".encode()
    assert dialects.one_line(text + "\t") == text + "\t"


def test_nobody_can_write_a_second_line_or_on_the_terminal_of_others() -> None:
    assert dialects.line_of("name", "jane", "a\nb\tc\x1b[2J\x7f") == "<jane> a␤b\tc\ufffd[2J\ufffd\n".encode()
    assert dialects.line_of("name", "jane", "a\r\u2029\x9b") == "<jane> a␤␤\ufffd\n".encode()


def test_the_welcome_says_why_somebody_is_called_otherwise() -> None:
    assert dialects.welcome("jane") == "Welcome to this chatroom, jane! Type '*help' to see more options."
    assert dialects.welcome("jane2", "jane is taken") == (
        "Welcome to this chatroom, jane2! You are jane2: jane is taken. Type '*help' to see more options."
    )


def test_users_are_numbered_from_one() -> None:
    assert dialects.user_list(["jane", "127.0.0.1:5"]) == "User List:\n[1] jane\n[2] 127.0.0.1:5\n"
    assert dialects.user_list([]) == "User List:\n"


def test_a_reply_ends_as_the_client_does() -> None:
    assert dialects.reply(dialects.UNKNOWN_USER, ends_lines=False) == b"User does not exist."
    assert dialects.reply(dialects.UNKNOWN_USER, ends_lines=True) == b"User does not exist.\n"
    assert dialects.reply(dialects.UNKNOWN_USER, ends_lines=None) == b"User does not exist.\n"
    for ends_lines in (True, False):
        assert dialects.reply(dialects.user_list(["jane"]), ends_lines=ends_lines) == b"User List:\n[1] jane\n"


def test_the_help_names_every_command() -> None:
    assert all(command in dialects.HELP for command in ("*users", "*help", "*exit", "@NAME", "@@"))
