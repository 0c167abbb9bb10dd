"""Identity: a node's key, certificate and node id, and the TLS contexts that prove it.

Knows the two files in the state directory, and no connections. A certificate that these contexts accept proves only
that the peer holds its key. `trust.py` decides by the node id whether the peer may talk.
"""

import base64
import hashlib
import logging
import os
import ssl
import stat

from chatd.failures import StorageFailure, startup_failure
from chatd.journal.files import inode

log = logging.getLogger("chatd.identity")

ALPN = "chatd/1"
KEY_FILE = "key.pem"
CERTIFICATE_FILE = "cert.pem"
NEW = ".new"  # suffix of a file until all of it is on the disk
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module does not define

NEW_NODE = "that makes this a new node with another id, which no peer recognises"

# Certificate of the authority with the public private key; certificate.py can make it again, byte for byte.
AUTHORITY_PEM = """\
-----BEGIN CERTIFICATE-----
MIIBWTCCAQugAwIBAgIBATAFBgMrZXAwITEfMB0GA1UEAwwWY2hhdGQgcHVibGlj
IGF1dGhvcml0eTAgFw0yMDAxMDEwMDAwMDBaGA85OTk5MTIzMTIzNTk1OVowITEf
MB0GA1UEAwwWY2hhdGQgcHVibGljIGF1dGhvcml0eTAqMAUGAytlcAMhAPvxhaic
rZn7HmUFAehv7E41nILY38IywUWF8gAOyZReo2YwZDASBgNVHRMBAf8ECDAGAQH/
AgEAMA4GA1UdDwEB/wQEAwIBBjAdBgNVHQ4EFgQU2wjbqEYxk/Pgg92yYoXkBtyW
OC8wHwYDVR0jBBgwFoAU2wjbqEYxk/Pgg92yYoXkBtyWOC8wBQYDK2VwA0EAma1H
bwLXCh2fk+ZO6gqjn0pQ2Dak8+EE8YXgDNlb61o3BOYusR4KbSa7XTtdPjIHU/am
TFZNLQk8mM90+mWaAQ==
-----END CERTIFICATE-----
"""


class Identity:
    """A node's id, and the TLS contexts for both ends of its links, which share them."""

    __slots__ = ("client_context", "node", "server_context")

    def __init__(self, node: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
        self.node = node
        self.server_context = server_context
        self.client_context = client_context


def node_id(der: bytes) -> str:
    """Node id of a certificate in DER, e.g. `k3v9abcd...`: its SHA-256 in base32, 52 characters."""
    return base64.b32encode(hashlib.sha256(der).digest()).decode().rstrip("=").lower()


def prepare_state_dir(state_dir: str) -> None:
    """Make the state directory, with access for the owner only. Raises StorageFailure if it cannot be made or written.

    An existing one is closed to other users only if it is clearly chatd's: empty, or with a key in it.
    """
    try:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        mode = stat.S_IMODE(os.stat(state_dir).st_mode)
        content = os.listdir(state_dir)
        if not os.access(state_dir, os.W_OK | os.X_OK):
            raise StorageFailure(f"the state directory {state_dir} cannot be written (use another path with --state)")
        if mode & 0o077 and (not content or KEY_FILE in content):
            _close_to_others(state_dir)
    except OSError as error:
        text = f"the state directory {state_dir} cannot be used: {error.strerror} (use another path with --state)"
        raise startup_failure(error, text) from None


def load_or_create(state_dir: str, *, used: bool = False) -> Identity:
    """Load the identity from the state directory; at the first start, make one. Raises StorageFailure.

    Call it with the directory locked. A node that has lost one of the two files gets no new identity, because its
    peers know it by the old one. `used`: the directory has a journal, so a new identity is worth a warning.
    """
    key, cert = os.path.join(state_dir, KEY_FILE), os.path.join(state_dir, CERTIFICATE_FILE)
    try:
        if not os.path.lexists(key) and not os.path.lexists(cert):
            _create(key, cert)
            if used:
                log.warning(
                    "no identity beside the journal in %(path)s: a new one was created"
                    " (this is a new node with another node id, which no peer recognises)",
                    {"path": state_dir},
                )
        elif not os.path.lexists(key) and os.path.lexists(key + NEW):
            os.replace(key + NEW, key)  # the first start was cut short between the two renames
            _sync_directory(state_dir)
        _warn_if_readable(key)
        return _load(key, cert)
    except FileNotFoundError as error:
        raise StorageFailure(
            f"{error.filename} is missing while the other half of the identity is there: {_remedy(key, cert)}"
        ) from None
    except OSError as error:
        raise startup_failure(error, f"{error.filename or state_dir}: {error.strerror}") from None


def missing_files(state_dir: str) -> list[str]:
    """Paths of the identity's files that are gone (blocking). A file that cannot be examined counts as present."""
    return [path for name in (KEY_FILE, CERTIFICATE_FILE) if _is_missing(path := os.path.join(state_dir, name))]


def _is_missing(path: str) -> bool:
    try:
        return inode(path) is None
    except OSError:
        return False


def _remedy(key: str, cert: str) -> str:
    """Remedy for an identity that cannot be used, for an error text."""
    return f"restore both files from a copy (only if there is none: move {key} and {cert} away; {NEW_NODE})"


def _create(key: str, cert: str) -> None:
    """Put both files in place. After a crash at any point, the next start has both or makes new ones."""
    from chatd.peers import certificate

    key_pem, cert_pem = certificate.make()
    _write(key + NEW, key_pem)
    _write(cert + NEW, cert_pem)
    _sync_directory(os.path.dirname(key))
    os.replace(cert + NEW, cert)
    os.replace(key + NEW, key)
    _sync_directory(os.path.dirname(key))
    log.info("new key and certificate created in %(path)s", {"path": os.path.dirname(key)})


def _load(key: str, cert: str) -> Identity:
    """Read both files and test them against each other, as a peer would."""
    with open(key, "rb"):  # names the file in the error, which ssl does not
        pass
    with open(cert, "rb") as stream:
        pem = stream.read()
    try:
        der = ssl.PEM_cert_to_DER_cert(pem.decode())
        server, client = _context(ssl.PROTOCOL_TLS_SERVER, key, cert), _context(ssl.PROTOCOL_TLS_CLIENT, key, cert)
        server.num_tickets = 0  # sessions are not resumed: every link proves its key
        _test_handshake(server, client)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "verify_message", None) or getattr(error, "reason", None) or "not PEM"
        text = f"the identity in {key} and {cert} is of no use ({reason}): {_remedy(key, cert)}"
        raise StorageFailure(text) from None
    return Identity(node_id(der), server, client)


def _context(protocol: "ssl._SSLMethod", key: str, cert: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # a peer is known by its certificate, not by a name in it
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    # The certificate is pinned, and a board without a battery starts in 1970: the times mean nothing.
    context.verify_flags |= NO_CHECK_TIME
    context.load_verify_locations(cadata=AUTHORITY_PEM)
    context.load_cert_chain(cert, key, password=_no_password)
    context.set_alpn_protocols([ALPN])
    return context


def _no_password() -> str:
    """Prevent OpenSSL from asking for the password of an encrypted key on the terminal."""
    return ""


def _test_handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Do one handshake in memory. Raises ssl.SSLError if no peer would accept this certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            ends.remove(end)


def _write(path: str, content: bytes) -> None:
    """Write a whole file, synced, readable by the owner only. A leftover of an interrupted start is replaced."""
    if os.path.lexists(path):
        os.unlink(path)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _close_to_others(state_dir: str) -> None:
    try:
        os.chmod(state_dir, 0o700)
    except PermissionError:
        text = "state directory accessible by other users: %(path)s (its owner must run chmod 700 on it)"
        log.warning(text, {"path": state_dir})


def _warn_if_readable(key: str) -> None:
    mode = stat.S_IMODE(os.stat(key).st_mode)
    if mode & 0o077:
        log.warning(
            "key file accessible by other users: %(path)s (mode %(mode)s; run chmod 600 on it,"
            " any program with the key can pose as this node)",
            {"path": key, "mode": f"{mode:04o}"},
        )
