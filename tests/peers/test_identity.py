import errno
import hashlib
import os
import ssl
import stat
import subprocess
import sys
from base64 import b32encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from chatd.failures import StorageFailure, StorageFull
from chatd.peers.identity import Identity, load_or_create, missing_files, node_id, prepare_state_dir
from tests.harness import disk


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    prepare_state_dir(str(path))
    return path


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def made(path: Path) -> Identity:
    prepare_state_dir(str(path))
    return load_or_create(str(path))


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A handshake in memory: both ends, done. Raises what one of them raised."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    open_ends = list(ends)
    while open_ends:
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                pass
    return ends


def peer_of(end: ssl.SSLObject) -> str:
    der = end.getpeercert(binary_form=True)
    assert der is not None
    return node_id(der)


def test_a_node_id_is_the_hash_of_the_certificate_in_52_small_letters() -> None:
    expected = b32encode(hashlib.sha256(b"x").digest()).decode().lower()[:52]
    assert node_id(b"x") == expected
    assert len(expected) == 52


def test_the_first_start_makes_an_identity_and_the_next_ones_keep_it(state: Path) -> None:
    first = load_or_create(str(state))
    assert load_or_create(str(state)).node == first.node
    assert sorted(os.listdir(state)) == ["cert.pem", "key.pem"]


def test_a_kept_identity_is_loaded_without_cryptography(state: Path) -> None:
    load_or_create(str(state))
    code = (
        "import sys; from chatd.peers.identity import load_or_create; load_or_create(sys.argv[1]);"
        "print('cryptography' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, state], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.usefixtures("loose_umask")
def test_nobody_else_can_read_the_key_whatever_the_umask(state: Path) -> None:
    load_or_create(str(state))
    assert {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()} == {0o600}
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_two_nodes_know_each_other_by_id_after_a_handshake(tmp_path: Path) -> None:
    alice, bob = made(tmp_path / "alice"), made(tmp_path / "bob")
    client, server = shake(alice.client_context, bob.server_context)
    assert (peer_of(client), peer_of(server)) == (bob.node, alice.node)
    assert alice.node != bob.node
    assert {client.version(), server.version()} == {"TLSv1.3"}
    assert {client.selected_alpn_protocol(), server.selected_alpn_protocol()} == {"chatd/1"}


def test_a_client_without_a_certificate_is_refused(state: Path) -> None:
    nameless = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nameless.check_hostname, nameless.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        shake(nameless, load_or_create(str(state)).server_context)


def test_tls_before_1_3_is_refused(state: Path) -> None:
    node = load_or_create(str(state))
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        shake(old, node.server_context)


def test_no_session_can_be_resumed(state: Path) -> None:
    node = load_or_create(str(state))
    assert node.server_context.num_tickets == 0
    assert node.client_context.verify_flags & ssl.VERIFY_X509_STRICT


@pytest.mark.parametrize("lost", ["key.pem", "cert.pem"])
def test_half_an_identity_is_refused_and_nothing_is_made_in_its_place(state: Path, lost: str) -> None:
    load_or_create(str(state))
    (state / lost).unlink()
    kept = os.listdir(state)
    with pytest.raises(StorageFailure, match=rf"{state}/{lost} is missing .* restore both files .*only if"):
        load_or_create(str(state))
    assert os.listdir(state) == kept


class Crash(Exception):
    pass


@pytest.mark.parametrize("calls", range(10))
def test_a_first_start_that_was_cut_short_leaves_no_half_identity(
    state: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    left = calls

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            nonlocal left
            if left == 0:
                raise Crash
            left -= 1
            return real(*args)

        return call

    with monkeypatch.context() as patch:
        for name in ("open", "fsync", "replace"):
            patch.setattr(os, name, counted(getattr(os, name)))
        try:
            before = load_or_create(str(state)).node
        except Crash:
            before = None
    after = load_or_create(str(state)).node
    assert before in (None, after)
    assert load_or_create(str(state)).node == after
    assert {"cert.pem", "key.pem"} <= set(os.listdir(state))


def test_a_disk_without_room_for_an_identity_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match=f"{state}: No space left on device .make room") as failure:
        load_or_create(str(state))
    assert failure.value.exit_code == 75


@pytest.mark.parametrize("name", ["key.pem", "cert.pem"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"])
def test_a_damaged_file_is_refused_with_both_paths_and_a_hint(state: Path, name: str, content: bytes) -> None:
    load_or_create(str(state))
    (state / name).write_bytes(content)
    with pytest.raises(StorageFailure, match=r"key.pem and .*cert.pem is of no use .* restore both files .*only if"):
        load_or_create(str(state))
    assert (state / name).read_bytes() == content


def test_key_and_certificate_of_different_nodes_are_refused(state: Path, tmp_path: Path) -> None:
    load_or_create(str(state))
    made(tmp_path / "other")
    (state / "key.pem").write_bytes((tmp_path / "other" / "key.pem").read_bytes())
    with pytest.raises(StorageFailure, match="KEY_VALUES_MISMATCH"):
        load_or_create(str(state))


def test_a_certificate_that_no_peer_would_accept_is_refused_at_start(state: Path) -> None:
    load_or_create(str(state))
    cert = x509.load_pem_x509_certificate((state / "cert.pem").read_bytes())
    der = bytearray(cert.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    (state / "cert.pem").write_text(ssl.DER_cert_to_PEM_cert(bytes(der)))
    with pytest.raises(StorageFailure, match="certificate signature failure"):
        load_or_create(str(state))


def test_an_encrypted_key_is_refused_without_asking_anybody(state: Path) -> None:
    load_or_create(str(state))
    key = serialization.load_pem_private_key((state / "key.pem").read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    (state / "key.pem").write_bytes(encrypted)
    with pytest.raises(StorageFailure, match="is of no use"):
        load_or_create(str(state))


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_or_quota_without_room_for_the_state_directory_may_have_some_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(full, os.strerror(full))

    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(StorageFull, match="cannot be used"):
        prepare_state_dir(str(tmp_path / "state"))


def test_a_new_identity_beside_an_old_journal_is_warned_about(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_or_create(str(state))
    assert not caplog.records
    (state / "key.pem").unlink()
    (state / "cert.pem").unlink()
    load_or_create(str(state), used=True)
    assert "a new node with another node id, which no peer recognises" in caplog.text


def test_files_of_the_identity_that_are_missing_are_named(state: Path) -> None:
    load_or_create(str(state))
    key, cert = state / "key.pem", state / "cert.pem"
    assert missing_files(str(state)) == []
    key.unlink()
    assert missing_files(str(state)) == [str(key)]
    cert.unlink()
    cert.symlink_to("cert.pem")  # it cannot be looked at: that says nothing
    assert missing_files(str(state)) == [str(key)]
    assert len(missing_files(str(state / "nowhere"))) == 2


def test_a_key_that_others_can_read_is_warned_about(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_or_create(str(state))
    (state / "key.pem").chmod(0o644)
    load_or_create(str(state))
    assert f"key file accessible by other users: {state / 'key.pem'} (mode 0644;" in caplog.text


def test_a_state_directory_of_ours_is_closed_to_others_and_one_that_is_shared_stays_as_it_is(tmp_path: Path) -> None:
    for content, mode in (([], 0o700), (["key.pem", "x"], 0o700), (["x"], 0o755)):
        directory = tmp_path / "-".join(["d", *content])
        directory.mkdir()
        directory.chmod(0o755)
        for name in content:
            (directory / name).touch()
        prepare_state_dir(str(directory))
        assert stat.S_IMODE(directory.stat().st_mode) == mode


def test_a_file_in_the_place_of_the_state_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(StorageFailure, match=rf"{path} cannot be used: .*use another path with --state"):
            prepare_state_dir(str(path))


@pytest.fixture
def public() -> Iterator[Path]:
    with disk.public_directory() as directory:
        yield directory


def refused_as_nobody(use: Callable[[str], object], path: str) -> str:
    with disk.as_nobody(), pytest.raises(StorageFailure) as failure:
        use(path)
    return str(failure.value)


def test_a_state_directory_that_cannot_be_written_is_refused(public: Path) -> None:
    message = refused_as_nobody(prepare_state_dir, str(public))
    assert message == f"the state directory {public} cannot be written (use another path with --state)"


def test_a_state_directory_that_cannot_be_made_is_refused(public: Path) -> None:
    message = refused_as_nobody(prepare_state_dir, f"{public}/deeper")
    expected = f"the state directory {public}/deeper cannot be used: Permission denied (use another path with --state)"
    assert message == expected


def test_a_key_that_cannot_be_read_is_refused_with_its_path(public: Path) -> None:
    made(public)
    public.chmod(0o755)
    assert refused_as_nobody(load_or_create, str(public)) == f"{public}/key.pem: Permission denied"


def test_a_directory_that_is_open_to_others_and_not_ours_stays_as_it_is(public: Path) -> None:
    public.chmod(0o777)
    with disk.as_nobody():
        prepare_state_dir(str(public))
    assert stat.S_IMODE(public.stat().st_mode) == 0o777


def test_not_being_able_to_close_the_directory_is_warned_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: str, mode: int) -> None:
        raise PermissionError

    tmp_path.chmod(0o755)
    monkeypatch.setattr(os, "chmod", refuse)
    prepare_state_dir(str(tmp_path))
    assert f"state directory accessible by other users: {tmp_path} " in caplog.text
