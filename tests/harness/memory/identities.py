"""Who the machines of a simulation are: the same keys and node ids in every run, because ids decide things."""

import os
import tempfile
from functools import cache
from hashlib import sha256

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chatd.peers.certificate import certificate
from chatd.peers.identity import CERTIFICATE_FILE, KEY_FILE, Identity, load_or_create

SERIAL = 7


@cache
def identity_of(name: str) -> Identity:
    """The identity of a machine, by its name; read by chatd itself, once a process."""
    key = Ed25519PrivateKey.from_private_bytes(sha256(b"simulated " + name.encode()).digest())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = certificate(f"chatd node {name}", key.public_key(), SERIAL, authority=False)
    with tempfile.TemporaryDirectory(prefix="chatd-") as directory:
        for file, content in ((KEY_FILE, private), (CERTIFICATE_FILE, public)):
            with open(os.open(os.path.join(directory, file), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as stream:
                stream.write(content)
        return load_or_create(directory)


def of_directory(state: str, *, used: bool = False) -> Identity:
    """The same by the machine's state directory (see disk.py): stands in for `load_or_create`."""
    return identity_of(os.path.basename(state).partition(".")[0])
