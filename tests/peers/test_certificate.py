import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chatd.peers import certificate, identity
from chatd.peers.identity import _test_handshake as try_on_each_other
from chatd.peers.identity import load_or_create


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    path.mkdir()
    return path


def test_the_authority_is_what_the_phrase_gives_byte_for_byte() -> None:
    key = certificate.authority_key().public_key()
    again = certificate.certificate(certificate.AUTHORITY_NAME, key, 1, authority=True)
    assert again.decode() == identity.AUTHORITY_PEM


def test_no_two_certificates_are_alike() -> None:
    first, second = (x509.load_pem_x509_certificate(certificate.make()[1]) for _ in range(2))
    assert first.serial_number != second.serial_number
    assert first.subject != second.subject
    assert first.issuer == second.issuer


def test_a_certificate_is_valid_from_2020_to_9999_and_has_what_strict_verification_wants() -> None:
    cert = x509.load_pem_x509_certificate(certificate.make()[1])
    assert (cert.not_valid_before_utc.year, cert.not_valid_after_utc.year) == (2020, 9999)
    assert not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert cert.extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    subject = cert.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = cert.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert subject.digest != issuer.key_identifier


def test_a_certificate_of_any_other_authority_is_refused_by_both_ends(state: Path, tmp_path: Path) -> None:
    node = load_or_create(str(state))
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, certificate.AUTHORITY_NAME)])
    cert = (
        x509.CertificateBuilder(name, name, key.public_key(), 5)
        .not_valid_before(certificate.NOT_BEFORE)
        .not_valid_after(certificate.NOT_AFTER)
        .sign(key, None)
    )
    (tmp_path / "pair.pem").write_bytes(private + cert.public_bytes(serialization.Encoding.PEM))
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for stranger in (client, server):
        stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
        stranger.load_cert_chain(tmp_path / "pair.pem")
    for ends in ((node.server_context, client), (server, node.client_context)):
        with pytest.raises(ssl.SSLCertVerificationError):
            try_on_each_other(*ends)


@pytest.mark.parametrize(("start", "end"), [(2150, 2160), (1971, 1972)])
def test_the_times_of_certificates_mean_nothing_to_either_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, end: int
) -> None:
    (tmp_path / "always").mkdir()
    always = load_or_create(str(tmp_path / "always"))
    monkeypatch.setattr(certificate, "NOT_BEFORE", datetime(start, 1, 1, tzinfo=UTC))
    monkeypatch.setattr(certificate, "NOT_AFTER", datetime(end, 1, 1, tzinfo=UTC))
    (tmp_path / "never").mkdir()
    never = load_or_create(str(tmp_path / "never"))  # it has tried it on itself
    again = load_or_create(str(tmp_path / "never"))
    assert again.node == never.node
    try_on_each_other(always.server_context, never.client_context)
    try_on_each_other(never.server_context, always.client_context)


def test_a_node_that_signs_for_others_is_refused(state: Path, tmp_path: Path) -> None:
    node = load_or_create(str(state))
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = Ed25519PrivateKey.generate()
    between = certificate.certificate("between", signer.public_key(), 7, authority=True)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")]))
        .issuer_name(x509.load_pem_x509_certificate(between).subject)
        .public_key(key.public_key())
        .serial_number(8)
        .not_valid_before(certificate.NOT_BEFORE)
        .not_valid_after(certificate.NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, None)
    )
    (tmp_path / "chain.pem").write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM) + between)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname, stranger.verify_mode = False, ssl.CERT_NONE
    stranger.load_cert_chain(tmp_path / "chain.pem")
    with pytest.raises(ssl.SSLCertVerificationError, match="path length constraint exceeded"):
        try_on_each_other(node.server_context, stranger)
