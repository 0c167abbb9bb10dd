"""Who the nodes in memory are: the same keys and node ids in every run, because ids decide things."""

import os
import tempfile
from functools import cache
from hashlib import sha256
from itertools import count

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chatd.peers.certificate import certificate
from chatd.peers.identity import CERTIFICATE_FILE, KEY_FILE, Identity, load_or_create

SERIAL = 7


def key_pair(name: str) -> tuple[bytes, bytes]:
    """The key and the certificate of that name, in PEM; always the same."""
    key = Ed25519PrivateKey.from_private_bytes(sha256(b"simulated " + name.encode()).digest())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate(f"chatd node {name}", key.public_key(), SERIAL, authority=False)


class Maker:
    """Stands in for `certificate.make`: the first key that a run makes is always the same, and so is each further."""

    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self) -> tuple[bytes, bytes]:
        return key_pair(f"number {next(self._numbers)}")


@cache
def identity_of(name: str) -> Identity:
    """The identity of a machine, by its name; read by chatd itself, once a process."""
    with tempfile.TemporaryDirectory(prefix="chatd-") as directory:
        for file, content in zip((KEY_FILE, CERTIFICATE_FILE), key_pair(name), strict=True):
            with open(os.open(os.path.join(directory, file), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
                stream.write(content)
        return load_or_create(directory)


def of_directory(state: str, *, used: bool = False) -> Identity:
    """The same by the machine's state directory (see tests/sim/disk.py): stands in for `load_or_create`."""
    return identity_of(os.path.basename(state).partition(".")[0])
