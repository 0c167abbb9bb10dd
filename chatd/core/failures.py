"""What keeps a node from starting, or stops it: each with its exit status and one line for the person who starts it."""


class StartupFailure(Exception):
    """One clear line; `exit_code` is the daemon's exit status."""

    exit_code = 1


class AlreadyRunning(StartupFailure):
    """Another chatd holds the state directory or answers on the socket."""

    exit_code = 3


class StorageFailure(StartupFailure):
    """The state directory or the journal cannot be used, or can no longer be trusted."""

    exit_code = 4


class AddressInUse(StartupFailure):
    """A listen address cannot be bound."""

    exit_code = 5
