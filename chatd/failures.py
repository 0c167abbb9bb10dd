"""Errors that end a node at its start or later. Each has an exit status and a message of one line.

Raised by every layer; `__main__` prints the message and exits with the status.
"""

import errno

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class StartupFailure(Exception):
    """The message is one line; `exit_code` is the exit status of the daemon."""

    exit_code = 1


class AlreadyRunning(StartupFailure):
    """Another chatd holds the state directory or answers on the socket."""

    exit_code = 3


class StorageFailure(StartupFailure):
    """The state directory or the journal cannot be used, or may be damaged."""

    exit_code = 4


class StorageFull(StorageFailure):
    """Disk or quota is full at the start. A later start may succeed (sysexits: EX_TEMPFAIL)."""

    exit_code = 75


class AddressInUse(StartupFailure):
    """A listen address cannot be bound."""

    exit_code = 5


def startup_failure(error: OSError, text: str, otherwise: type[StartupFailure] = StorageFailure) -> StartupFailure:
    """The failure for an OSError at the start: StorageFull with its remedy if the disk is full, else `otherwise`."""
    if error.errno in NO_SPACE:
        return StorageFull(f"{text} (make room, then start again)")
    return otherwise(text)
