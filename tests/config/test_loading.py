from pathlib import Path

import pytest

from chatd.config import flags, loading
from chatd.config.loading import load
from chatd.config.settings import SETTINGS, Config, ConfigError

ID = "k3v" + "a" * 49


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment in which no file of this machine is found."""
    return {"HOME": str(tmp_path), "CHATD_NODE": "testnode"}


def at(env: dict[str, str], *argv: str, uid: int = 1000) -> Config:
    return load(argv, env, uid).config


def refusal(env: dict[str, str], *argv: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(argv, env, 1000)
    message = str(caught.value)
    assert "\n" not in message
    return message


def write_file(env: dict[str, str], text: str) -> Path:
    path = Path(env["HOME"], ".config/chatd/testnode.toml")
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_without_anything_the_defaults_are_those_of_the_design(env: dict[str, str]) -> None:
    found = at(env)
    assert found.listen == ["0.0.0.0:7420", "[::]:7420"]
    assert (found.trust, found.plain, found.max_text, found.text_bytes) == ("open", "loopback", 0, 16384)
    assert (found.frame_bytes, found.max_links, found.handshake_timeout) == (65536, 1024, 10.0)
    assert (found.name, found.node, found.config) == ("testnode", "testnode", "")
    assert found.state == f"{env['HOME']}/.local/state/chatd/testnode"


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(env: dict[str, str]) -> None:
    path = write_file(env, "max_links = 1\nsessions = 1\nplain_queue = 1\n")
    found = load(["--max-links", "3"], env | {"CHATD_MAX_LINKS": "2", "CHATD_SESSIONS": "2"}, 1000)
    assert (found.config.max_links, found.config.sessions, found.config.plain_queue) == (3, 2, 1)
    assert [found.origins[name] for name in ("max_links", "sessions", "plain_queue", "trust")] == [
        "--max-links",
        "CHATD_SESSIONS",
        f"{path}: plain_queue",
        "default",
    ]


@pytest.mark.parametrize(
    ("argv", "variable", "allowed"),
    [
        (["--allow-faults"], "", True),
        (["--allow-faults", "--max-text", "1"], "no", True),
        (["--allow-faults=no"], "1", False),
        (["--allow-faults", "--allow-faults=off"], "", False),
        ([], "", False),
        *(([], text, True) for text in ("1", "true", "yes", "on", "True", "YES")),
        *(([], text, False) for text in ("0", "false", "no", "off")),
    ],
)
def test_a_switch_is_a_flag_without_a_value_or_says_yes_or_no(
    env: dict[str, str], argv: list[str], variable: str, allowed: bool
) -> None:
    assert at(env | {"CHATD_ALLOW_FAULTS": variable}, *argv).allow_faults is allowed
    write_file(env, f"allow_faults = {str(allowed).lower()}\n")
    assert at(env).allow_faults is allowed


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_a_flag_a_variable_and_a_key(env: dict[str, str], name: str) -> None:
    kind = SETTINGS[name].kind
    default = getattr(at(env), name)
    text = ",".join(map(kind.show, default)) if isinstance(default, list) else kind.show(default)
    flag = flags.flag_of(name)
    if text and name != "config":
        if not kind.switch:
            assert getattr(at(env, flag, text), name) == default
        assert getattr(at(env | {f"CHATD_{name.upper()}": text}), name) == default
        assert getattr(at(env, f"{flag}={text}"), name) == default
    if text and name not in loading.NOT_IN_FILES:
        write_file(env, f"{name} = '{text}'\n")
        assert getattr(at(env), name) == default


def test_the_file_has_numbers_texts_and_lists(env: dict[str, str]) -> None:
    write_file(
        env,
        'max_links = 7\nredial_min = 1.5\nredial_max = "2m"\ntext_bytes = "8KiB"\npeers = ["bob", "carol:1"]\n'
        f'known = "{ID}"\nlisten = ["127.0.0.1:0"]\n',
    )
    found = at(env)
    assert (found.max_links, found.redial_min, found.redial_max, found.text_bytes) == (7, 1.5, 120.0, 8192)
    assert (found.peers, found.known, found.listen) == (["bob:7420", "carol:1"], [ID], ["127.0.0.1:0"])


def test_lists_are_repeated_flags_or_have_commas_and_hold_nothing_twice(env: dict[str, str]) -> None:
    found = at(env, "--peer", "a,b:1", "--peers", "[::1], a:7420 ,", "--listen=127.0.0.1:1", "--listen", "[::1]:2")
    assert found.peers == ["a:7420", "b:1", "[::1]:7420"]
    assert found.listen == ["127.0.0.1:1", "[::1]:2"]
    assert at(env | {"CHATD_PEERS": "a,b"}).peers == ["a:7420", "b:7420"]


def test_room_ports_are_repeated_flags_a_list_or_have_commas(env: dict[str, str]) -> None:
    ports = ["0.0.0.0:1234=lobby,dialect=name", "[::1]:0=den,dialect=address"]
    assert at(env, "--room-port", ports[0], f"--room-port={ports[1]}").room_port == ports
    assert at(env | {"CHATD_ROOM_PORT": ", ".join(ports)}).room_port == ports
    write_file(env, f"room_port = {ports}\n")
    assert at(env).room_port == ports
    assert at(env, "--room-port", ports[0]).room_port == ports[:1]


@pytest.mark.parametrize("text", ["x:1=lobby", "x:1=lobby,dialect=irc", "x=lobby,dialect=name", "dialect=name"])
def test_a_room_port_without_its_dialect_is_refused_with_both(env: dict[str, str], text: str) -> None:
    assert refusal(env, "--room-port", text) == (
        f"--room-port: {text!r} is not valid (use HOST:PORT=ROOM,dialect=address or HOST:PORT=ROOM,dialect=name, "
        "several with commas between)"
    )


def test_an_address_is_that_of_one_port_only(env: dict[str, str]) -> None:
    lobby, den = "127.0.0.1:1=lobby,dialect=name", "127.0.0.1:1=den,dialect=name"
    assert refusal(env, "--room-port", lobby, "--room-port", den) == (
        f"room_port: {den}: 127.0.0.1:1 is also in another room_port (use a different port for each)"
    )
    assert refusal(env, "--listen", "127.0.0.1:1", "--room-port", lobby) == (
        f"room_port: {lobby}: 127.0.0.1:1 is also in listen (use a different port for each)"
    )
    several = [f"127.0.0.1:{port}={room},dialect=name" for port, room in ((0, "lobby"), (0, "den"), (2, "lobby"))]
    assert at(env, "--room-port", ",".join(several)).room_port == several


FAULTS = ["bob delay=200ms loss=5% out.cut", "10.0.0.2:7420 rate=64k out.flap=10s in.flap=0s", "* delay=1s"]


def test_faults_are_repeated_flags_a_list_have_commas_or_are_tables(env: dict[str, str]) -> None:
    on = env | {"CHATD_ALLOW_FAULTS": "1"}
    assert at(on, "--link-faults", FAULTS[0], f"--link-faults={FAULTS[1]},{FAULTS[2]}").link_faults == FAULTS
    assert at(on | {"CHATD_LINK_FAULTS": " , ".join(FAULTS)}).link_faults == FAULTS
    path = write_file(env, f"allow_faults = true\nlink_faults = {FAULTS}\n")
    assert at(env).link_faults == FAULTS
    path.write_text(
        "allow_faults = true\n"
        "[link_faults.bob]\ndelay = 0.2\nloss = '5%'\nout.cut = true\n"
        "[link_faults.'10.0.0.2:7420']\nrate = 64000\n[link_faults.'10.0.0.2:7420'.in]\nflap = 0\n"
        "[link_faults.'10.0.0.2:7420'.out]\nflap = '10s'\n"
        "[link_faults.'*']\ndelay = '1s'\n"
    )
    found = load([], env, 1000)
    assert found.config.link_faults == FAULTS
    assert found.origins["link_faults"] == f"{path}: link_faults"


def test_faults_have_to_be_allowed(env: dict[str, str]) -> None:
    message = "link_faults is set, but faults are not allowed (add --allow-faults or CHATD_ALLOW_FAULTS=1)"
    assert refusal(env, "--link-faults", "bob cut") == message
    assert refusal(env | {"CHATD_ALLOW_FAULTS": "1"}, "--allow-faults=no", "--link-faults", "bob cut") == message


def test_a_peer_has_all_its_faults_in_one_place(env: dict[str, str]) -> None:
    assert refusal(env, "--allow-faults", "--link-faults", "bob cut", "--link-faults", "carol cut, bob delay=1") == (
        "link_faults: bob is listed twice (merge its faults into one entry)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bob dealy=200ms", "bob.dealy: unknown fault (did you mean delay?)"),
        ("bob ot.delay=200ms", "bob.ot.delay: unknown fault (did you mean out.delay?)"),
        ("bob zzz", "bob.zzz: unknown fault (use delay, jitter, loss, rate, cut, flap)"),
        ("bob", "bob has no faults (write e.g. `bob delay=200ms loss=5%`)"),
        ("bob cut in.cut cut=no", "bob.cut is set twice (remove one)"),
        ("bob delay", "bob.delay: '' is not valid (use a duration from 0s to 10m, "),
        ("bob in.jitter=11m", "bob.in.jitter: '11m' is not valid (use a duration from 0s to 10m, "),
        ("bob cut=maybe", "bob.cut: 'maybe' is not valid (use yes or no"),
        (
            "bob loss=100%",
            "bob.loss: '100%' is not valid (use a share of less than 100%, like 5% or 0.05; where nothing ",
        ),
        ("bob rate=99", "bob.rate: '99' is not valid (use bytes a second, 100 or more, "),
        ("bob flap=1ms", "bob.flap: '1ms' is not valid (use a duration from 50ms to 1h, "),
        ("0 delay=1s", "'0' is not a valid peer (use a name, a node id, HOST:PORT, or * "),
        ("delay=1s", "'delay=1s' is not a valid peer (use a name, "),
    ],
)
def test_a_wrong_fault_is_named_with_what_to_write(env: dict[str, str], text: str, message: str) -> None:
    assert refusal(env, "--link-faults", text).startswith(f"--link-faults: {message}")


def test_an_empty_variable_is_as_good_as_none(env: dict[str, str]) -> None:
    assert at(env | {"CHATD_TRUST": "", "CHATD_LISTEN": "", "CHATD_CONFIG": "", "CHATD_STATE": ""}) == at(env)


def test_variables_of_other_programs_are_left_alone(env: dict[str, str]) -> None:
    assert at(env | {"HOSTNAME": "x", "CHATCTL_X": "1", "chatd_link_faults": "2"}) == at(env)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--lisen", "x"], "--lisen: unknown flag (did you mean --listen?)"),
        (["--zzzzzzzz=1"], "--zzzzzzzz: unknown flag (see chatd --help)"),
        (["--list", "x"], "--list: unknown flag (did you mean --listen?)"),
        (["-q"], "-q: unknown flag (see chatd --help)"),
        (["bob"], "unexpected argument 'bob' (chatd takes only flags: see chatd --help)"),
        (["--trust"], "--trust needs a value (use open, known or pending)"),
        (["--trust", "opne"], "--trust: 'opne' is not valid (use open, known or pending)"),
        (["--max-links", "0"], "--max-links: '0' is not valid (use a whole number from 1 to 65536)"),
        (["--max-links", "1.5"], "--max-links: '1.5' is not valid (use a whole number from 1 to 65536)"),
        (["--max-links", "9" * 5000], f"--max-links: '{'9' * 5000}' is not valid (use a whole number from 1 to 65536)"),
        (["--name", "A"], "--name: 'A' is not valid (use 1 to 63 of a-z 0-9 . _ - and not digits only)"),
        (["--socket", ""], "--socket: '' is not valid (use a path)"),
        (["--listen", ","], "listen is empty (set at least one address, e.g. 127.0.0.1:0 for a free local port)"),
        (
            ["--text-bytes", "64KiB"],
            "frame_bytes is 64KiB, but text_bytes is 64KiB (set frame_bytes to 66048 or more, or lower text_bytes)",
        ),
        (
            ["--ping-after", "50"],
            "dead_after is 45s, but ping_after is 50s (set dead_after to 50s or more, or lower ping_after)",
        ),
        (
            ["--redial-max", "100ms"],
            "redial_max is 100ms, but redial_min is 500ms (set redial_max to 500ms or more, or lower redial_min)",
        ),
        (["-n", "A/B"], "-n: 'A/B' is not a valid node name (use 1 to 63 of a-z 0-9 . _ - and not digits only)"),
        (
            ["--config", "/none.toml"],
            "configuration file /none.toml does not exist (create it, e.g. with chatd --print-config)",
        ),
    ],
)
def test_a_wrong_flag_is_refused_with_what_is_allowed(env: dict[str, str], argv: list[str], message: str) -> None:
    assert refusal(env, *argv) == message


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--peers", "bob:0", "addresses HOST"),
        ("--peers", "7421", "addresses HOST"),
        ("--listen", ":7420", "addresses HOST"),
        ("--known", ID[:15], "node ids, or their first 16 characters or more"),
        ("--known", ID.upper(), "node ids, or their first 16 characters or more"),
        ("--redial-min", "5 s", "a duration from 10ms to 1h"),
        ("--redial-min", "9" * 400, "a duration from 10ms to 1h"),
        ("--redial-min", "nan", "a duration from 10ms to 1h"),
        ("--redial-min", "-1", "a duration from 10ms to 1h"),
        ("--frame-bytes", "64KB", "a size from 64KiB to 16MiB"),
        ("--socket-group", "no such group", "the name or number of a group"),
        ("--socket-group", "4294967290", "the name or number of a group"),
        ("--state", "a\0b", "a path"),
    ],
)
def test_a_wrong_value_is_named(env: dict[str, str], flag: str, value: str, expected: str) -> None:
    message = refusal(env, flag, value)
    assert message.startswith(f"{flag}: {value!r} is not valid (use {expected}")


def test_a_group_may_be_given_by_name_or_number(env: dict[str, str]) -> None:
    assert at(env, "--socket-group", "root").socket_group == "root"
    assert at(env, "--socket-group", "0").socket_group == "0"


def test_a_wrong_variable_is_refused_even_where_a_flag_wins(env: dict[str, str]) -> None:
    wrong = env | {"CHATD_MAX_LINKS": "many"}
    assert (
        refusal(wrong, "--max-links", "5")
        == "CHATD_MAX_LINKS: 'many' is not valid (use a whole number from 1 to 65536)"
    )


def test_an_unknown_variable_is_refused_with_the_nearest(env: dict[str, str]) -> None:
    message = refusal(env | {"CHATD_LOGLEVEL": "debug"})
    assert message == "CHATD_LOGLEVEL: unknown variable (did you mean CHATD_LOG_LEVEL?)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("log-level = 'info'", "log-level: unknown setting (did you mean log_level?)"),
        ("[limits]\nmax_links = 1", "limits: unknown setting"),
        ("node = 'x'", "node cannot be set in a file (use --node or CHATD_NODE)"),
        ("max_links = true", "max_links: True is not valid (use a whole number from 1 to 65536"),
        ("max_links = [1]", "max_links: [1] is not valid (use a whole number from 1 to 65536"),
        ("max_links = -1", "max_links: '-1' is not valid (use a whole number from 1 to 65536"),
        ("trust = 'x'", "trust: 'x' is not valid (use open, known or pending"),
        ("peers = [['a']]", "peers: [['a']] is not valid (use addresses"),
        ("redial_min = inf", "redial_min: 'inf' is not valid (use a duration"),
        ("allow_faults = 'perhaps'", "allow_faults: 'perhaps' is not valid (use yes or no"),
        ("allow_faults = []", "allow_faults: [] is not valid (use yes or no"),
        ("link_faults = 5", "link_faults: '5' is not a valid peer (use a name"),
        ("link_faults = [true]", "link_faults: [True] is not valid (use a peer and its faults"),
        ("link_faults.bob.dealy = '2s'", "link_faults.bob.dealy: unknown fault (did you mean delay?)"),
        ("link_faults.bob.in.dealy = '2s'", "link_faults.bob.in.dealy: unknown fault (did you mean in.delay?)"),
        ("link_faults.bob.delay = true", "link_faults.bob.delay: True is not valid (use a duration from 0s to 10m"),
        ("link_faults.bob.delay = [1]", "link_faults.bob.delay: [1] is not valid (use a duration from 0s to 10m"),
        (
            "link_faults.bob = 'cut'",
            "link_faults.bob: 'cut' is not a table (write [link_faults.bob] and then delay = '200ms')",
        ),
        ("link_faults.bob = {}", "link_faults.bob has no faults"),
        ("link_faults.bob.in = {}", "link_faults.bob has no faults"),
        (
            "[link_faults.b.example]\ncut = true",
            "link_faults.b.example is not a direction (use out or in; write a peer with a dot in quotes)",
        ),
        ("trust.x = 1", "trust: {'x': 1} is not valid (use open, known or pending"),
        ("max_links = \n", "not a valid TOML file: Invalid value (at line 1, column 13)"),
        ("max_links = 1\nmax_links = 2\n", "not a valid TOML file: Cannot overwrite a value (at line 2, column 14)"),
    ],
)
def test_a_wrong_file_is_refused_with_its_path(env: dict[str, str], text: str, message: str) -> None:
    path = write_file(env, text)
    assert refusal(env).startswith(f"{path}: {message}")


def test_a_file_that_is_not_text_or_cannot_be_read_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff")
    assert refusal(env, "--config", str(path)).startswith(f"{path}: not a valid TOML file: ")
    assert refusal(env, "--config", str(tmp_path)) == f"configuration file {tmp_path} cannot be read: Is a directory"
    assert (
        refusal(env | {"CHATD_NODE": "", "CHATD_CONFIG": "/none.toml"})
        == "configuration file /none.toml does not exist (create it, e.g. with chatd --print-config)"
    )


def test_with_a_node_given_the_places_of_the_environment_are_another_nodes(env: dict[str, str]) -> None:
    other = env | {"CHATD_SOCKET": "/e.sock", "CHATD_STATE": "/e", "CHATD_CONFIG": "/none.toml", "CHATD_MAX_LINKS": "5"}
    found = load(["-nbob"], other, 1000)
    assert (found.config.node, found.config.max_links, found.origins["socket"]) == ("bob", 5, "default")
    assert found.config.socket.endswith("/bob.sock")
    assert found.config.state.endswith("/chatd/bob")


def test_the_file_may_say_where_socket_and_state_are(env: dict[str, str]) -> None:
    write_file(env, "socket = '/x.sock'\nstate = '/x'\n")
    found = at(env | {"STATE_DIRECTORY": "/s"})
    assert (found.socket, found.state) == ("/x.sock", "/x")


def test_a_state_directory_of_systemd_is_said_to_be_its(env: dict[str, str]) -> None:
    found = load([], env | {"STATE_DIRECTORY": "/s"}, 1000)
    assert (found.config.state, found.origins["state"]) == ("/s", "STATE_DIRECTORY")


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("Alice.example.org", "alice"),
        ("my host!", "my-host"),
        ("123456789012", "node-123456789012"),
        ("", "node"),
        ("é", "node"),
        ("X" * 64, "x" * 63),
    ],
)
def test_the_default_node_is_called_by_the_host_name(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    class Uname:
        nodename = host

    monkeypatch.setattr("os.uname", Uname)
    assert at(env | {"CHATD_NODE": ""}).name == name
    assert at(env).name == "testnode"
    assert at(env, "--name", "zoe").name == "zoe"
