import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatd import paths

UID = 1000
HOME = {"HOME": "/home/ann"}


@pytest.mark.parametrize("name", ["a", "bob", "7up", "node-1", "a.b_c", "x" * 63])
def test_a_name_of_the_allowed_characters_is_valid(name: str) -> None:
    assert paths.valid_name(name)


@pytest.mark.parametrize("name", ["", "0", "123", "Bob", "a b", "a/b", "é", "x" * 64, "a\n", "٣"])
def test_any_other_name_is_not(name: str) -> None:
    assert not paths.valid_name(name)


def test_the_node_is_the_flag_then_the_variable_then_default() -> None:
    assert paths.node_of("bob", {"CHATD_NODE": "carol"}) == "bob"
    assert paths.node_of(None, {"CHATD_NODE": "carol"}) == "carol"
    assert paths.node_of(None, {"CHATD_NODE": ""}) == "default"
    assert paths.node_of(None, {}) == "default"


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "12", "A"])
def test_a_node_that_could_not_be_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(paths.PathError, match="not a valid node name"):
        paths.node_of(name, {})


def test_the_error_names_where_the_node_was_given() -> None:
    with pytest.raises(paths.PathError, match=r"^-n: "):
        paths.node_of("A", {})
    with pytest.raises(paths.PathError, match=r"^CHATD_NODE: "):
        paths.node_of(None, {"CHATD_NODE": "A"})


def test_a_socket_that_was_named_is_used() -> None:
    env = {"CHATD_SOCKET": "/e.sock"}
    assert paths.socket_path(None, "/f.sock", env, UID) == "/f.sock"
    assert paths.socket_path(None, None, env, UID) == "/e.sock"
    assert paths.socket_candidates(None, None, env, UID) == ["/e.sock"]
    assert paths.socket_candidates("bob", "/f.sock", env, UID) == ["/f.sock"]


def test_with_a_node_given_the_socket_of_the_environment_is_another_nodes() -> None:
    env = {"CHATD_SOCKET": "/e.sock", "CHATD_NODE": "ann", "XDG_RUNTIME_DIR": "/run/user/1000"}
    assert paths.socket_path("bob", None, env, UID) == "/run/user/1000/chatd/bob.sock"


def test_the_socket_of_root_is_the_systems() -> None:
    assert paths.socket_path("bob", None, {"XDG_RUNTIME_DIR": "/run/user/0"}, 0) == "/run/chatd/bob.sock"
    assert paths.socket_candidates("bob", None, {}, 0) == ["/run/chatd/bob.sock"]


def test_without_a_runtime_directory_the_socket_is_in_our_own_temporary_one(tmp_path: Path) -> None:
    assert paths.socket_path(None, None, {}, UID) == "/tmp/chatd-1000/default.sock"
    env = {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": "relative"}
    assert paths.socket_path(None, None, env, UID) == f"{tmp_path}/chatd-1000/default.sock"


def test_a_client_tries_the_users_socket_then_the_systems() -> None:
    env = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    expected = ["/run/user/1000/chatd/bob.sock", "/run/chatd/bob.sock"]
    assert paths.socket_candidates("bob", None, env, UID) == expected


def test_a_relative_socket_becomes_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    assert paths.socket_path(None, "x.sock", {}, UID) == "/usr/x.sock"


def test_a_socket_path_of_103_bytes_is_taken_and_one_more_is_refused_by_name() -> None:
    longest = "/" + "é" * 51
    assert paths.socket_path(None, longest, {}, UID) == longest
    for build in (paths.socket_path, paths.socket_candidates):
        with pytest.raises(paths.PathError, match=f"104 bytes long, the limit is 103: {longest}x"):
            build(None, longest + "x", {}, UID)
    with pytest.raises(paths.PathError, match="the limit is 103"):
        paths.socket_path(None, None, {"XDG_RUNTIME_DIR": "/" + "x" * 100}, UID)


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused_with_its_flag(path: str) -> None:
    with pytest.raises(paths.PathError, match=r"--socket: .* is not a valid path"):
        paths.socket_path(None, path, {}, UID)
    with pytest.raises(paths.PathError, match=r"--state: .* is not a valid path"):
        paths.state_dir(None, path, {}, UID)


def test_the_state_directory_is_the_flag_then_the_variable_then_systemds_then_the_users() -> None:
    env = HOME | {"CHATD_STATE": "/e", "STATE_DIRECTORY": "/s:/t"}
    assert paths.state_dir(None, "/f", env, UID) == "/f"
    assert paths.state_dir(None, None, env, UID) == "/e"
    assert paths.state_dir("bob", None, env, UID) == "/s"
    assert paths.state_dir("bob", None, HOME, UID) == "/home/ann/.local/state/chatd/bob"
    assert paths.state_dir("bob", None, HOME | {"XDG_STATE_HOME": "/x"}, UID) == "/x/chatd/bob"
    assert (
        paths.state_dir("bob", None, HOME | {"XDG_STATE_HOME": "relative"}, UID) == "/home/ann/.local/state/chatd/bob"
    )
    assert paths.state_dir("bob", None, HOME, 0) == "/var/lib/chatd/bob"


def test_without_a_home_the_state_directory_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(paths.PathError, match=r"--state, or set HOME or XDG_STATE_HOME"):
        paths.state_dir(None, None, {}, UID)
    assert paths.config_files(None, None, {}) == ["/etc/chatd/default.toml"]


def test_the_configuration_is_the_file_that_was_named_else_the_systems_else_the_users() -> None:
    env = HOME | {"CHATD_CONFIG": "/e.toml"}
    assert paths.config_files(None, "/f.toml", env) == ["/f.toml"]
    assert paths.config_files(None, None, env) == ["/e.toml"]
    assert paths.config_files("bob", None, env) == ["/etc/chatd/bob.toml", "/home/ann/.config/chatd/bob.toml"]


def test_the_directory_of_the_socket_is_made_closed_to_others(tmp_path: Path) -> None:
    for directory in (tmp_path / f"chatd-{os.getuid()}", tmp_path / "other" / "deep"):
        for _ in range(2):
            paths.ensure_socket_dir(str(directory / "x.sock"), os.getuid())
        assert directory.stat().st_mode & 0o777 == 0o700


def test_the_systems_directory_of_sockets_can_be_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RUN_DIRECTORY", str(tmp_path / "chatd"))
    paths.ensure_socket_dir(str(tmp_path / "chatd" / "x.sock"), os.getuid())
    assert (tmp_path / "chatd").stat().st_mode & 0o777 == 0o755


def test_a_directory_that_others_use_is_taken_as_it_is_when_it_was_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    paths.ensure_socket_dir(str(tmp_path / "x.sock"), os.getuid())
    assert tmp_path.stat().st_mode & 0o777 == 0o777


def test_our_temporary_directory_is_refused_when_it_is_not_plainly_ours(tmp_path: Path) -> None:
    ours = tmp_path / "chatd-4711"
    ours.mkdir(mode=0o700)
    with pytest.raises(paths.PathError, match=f"belongs to another user .uid {os.getuid()}"):
        paths.ensure_socket_dir(str(ours / "x.sock"), 4711)
    mine = tmp_path / f"chatd-{os.getuid()}"
    mine.symlink_to(ours)
    with pytest.raises(paths.PathError, match="is not a directory"):
        paths.ensure_socket_dir(str(mine / "x.sock"), os.getuid())
    mine.unlink()
    mine.mkdir()
    mine.chmod(0o770)
    with pytest.raises(paths.PathError, match=r"accessible by other users \(mode 0770\)"):
        paths.ensure_socket_dir(str(mine / "x.sock"), os.getuid())


def test_a_client_leaves_out_a_temporary_directory_of_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "chatd-4711").mkdir(mode=0o700)
    assert paths.socket_candidates("bob", None, {"TMPDIR": str(tmp_path)}, 4711) == ["/run/chatd/bob.sock"]


def test_a_file_where_the_directory_of_the_socket_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(paths.PathError, match="is not a directory"):
        paths.ensure_socket_dir(str(tmp_path / "file" / "x.sock"), os.getuid())
    with pytest.raises(paths.PathError, match="cannot be made"):
        paths.ensure_socket_dir(str(tmp_path / "file" / "deeper" / "x.sock"), os.getuid())


def test_nothing_slow_is_imported() -> None:
    code = "import sys; before = set(sys.modules); import chatd.paths; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["chatd", "chatd.paths"]
