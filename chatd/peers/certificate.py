"""Certificate: makes a node's key and certificate. Imported only for that, because `cryptography` loads slowly.

Every node signs its certificate itself, with the key of an authority that is public: PHRASE determines it. So `ssl` can
demand a certificate and proof of its key, while the signature says nothing about trust.
"""

import secrets
from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

PHRASE = b"chatd/1: this key is public, and its signature says nothing about trust"
AUTHORITY_NAME = "chatd public authority"
# As wide as possible. chatd does not check them, because clocks of machines can be years off at their start.
NOT_BEFORE = datetime(2020, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def make() -> tuple[bytes, bytes]:
    """Make a key and its certificate, both in PEM. Subject and serial are random, so no two certificates are alike."""
    key = Ed25519PrivateKey.generate()
    subject = f"chatd node {secrets.token_hex(8)}"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate(subject, key.public_key(), x509.random_serial_number(), authority=False)


def authority_key() -> Ed25519PrivateKey:
    """The authority's private key, which is public."""
    return Ed25519PrivateKey.from_private_bytes(sha256(PHRASE).digest())


def certificate(subject: str, key: Ed25519PublicKey, serial: int, *, authority: bool) -> bytes:
    """Certificate in PEM for `key`, signed by the authority, with the extensions that strict verification demands."""
    signer = authority_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(AUTHORITY_NAME))
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True)
        .add_extension(_usage(authority=authority), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    return builder.sign(signer, None).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )
