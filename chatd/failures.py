"""What keeps a node from starting, or stops it: each with its exit status and one line for the person who starts it."""

import errno

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class StartupFailure(Exception):
    """One clear line; `exit_code` is the daemon's exit status."""

    exit_code = 1


class AlreadyRunning(StartupFailure):
    """Another chatd holds the state directory or answers on the socket."""

    exit_code = 3


class StorageFailure(StartupFailure):
    """The state directory or the journal cannot be used, or can no longer be trusted."""

    exit_code = 4


class StorageFull(StorageFailure):
    """A disk or quota that the node needs at its start is full. Another start may succeed (sysexits: EX_TEMPFAIL)."""

    exit_code = 75


class AddressInUse(StartupFailure):
    """A listen address cannot be bound."""

    exit_code = 5


def because_of(error: OSError, text: str, otherwise: type[StartupFailure] = StorageFailure) -> StartupFailure:
    """The failure for an OSError at the start: StorageFull, with the remedy, where the disk or quota is full."""
    if error.errno in NO_SPACE:
        return StorageFull(f"{text} (make room, then start again)")
    return otherwise(text)
