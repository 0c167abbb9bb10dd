"""The command `chatd`: flags -> Config -> logging -> daemon.run, and exit codes.

Owns what belongs to the process: standard streams, umask, file limit, signals and the garbage collector's thresholds.
Everything is imported where it is used: `--help` is quick, and an interrupt while modules load leaves no traceback.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chatd.config.settings import Config
    from chatd.node import Node

USAGE = 2
INTERRUPTED = 130
MOST_FILES = 65536  # a descriptor for each link, with room; more only costs
OTHER_FILES = 96  # journal, listeners, dialing, standard streams, and what is held back for operators
OWN_FILES = 33  # 13 of a node at rest, 17 held back as above, and one each for a link, a session and the next client
GARBAGE_AFTER = 20_000  # objects; messages make no garbage, only links and clients do
ROOM_FILES = 8  # held back to refuse with at the room ports, if there are any


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the daemon; the exit status."""
    try:
        return _start(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _start(argv: "Sequence[str]") -> int:
    """Do what the flags say."""
    _hold_standard_streams()
    from chatd import __version__
    from chatd.config.flags import parse_flags, usage
    from chatd.config.loading import describe, load
    from chatd.config.settings import ConfigError

    try:
        action = parse_flags(argv).action
        if action == "help":
            return _write(1, usage())
        if action == "version":
            return _write(1, f"chatd {__version__}\n")
        loaded = load(argv, os.environ)
    except ConfigError as error:
        return _fail(error, USAGE)
    return _write(1, describe(loaded)) if action == "check" else _run(loaded.config)


def _run(config: "Config") -> int:
    """Run the daemon until it stops."""
    from chatd import logs

    logs.setup(config.log_level, config.log_format)
    os.umask(0o077)
    files = _raise_file_limit()
    if files < _fewest(config):
        remedy = "raise ulimit -n or LimitNOFILE"
        text = f"the limit of open files is {files}, but this node needs at least {_fewest(config)} ({remedy})"
        return _fail(OSError(text), USAGE)
    config = _fit(config, files)
    import trio

    try:
        trio.run(_run_node, config)
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:  # noqa: BLE001  (each gets its exit status)
        return _explain(error)
    return 0


async def _run_node(config: "Config") -> None:
    """Run one node until it stops or a signal stops it."""
    import trio

    from chatd import daemon
    from chatd.node import Node
    from chatd.runtime import Runtime

    async with trio.open_nursery() as nursery:

        def opened(node: Node) -> None:
            _spare_collections()
            nursery.start_soon(_heed_signals, node)

        await daemon.run(config, Runtime(), opened)
        nursery.cancel_scope.cancel()


def _spare_collections() -> None:
    """Freeze what is in memory now, which stays, and collect garbage rarely."""
    import gc

    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 20, 50)


async def _heed_signals(node: "Node") -> None:
    """The first SIGTERM or SIGINT stops the node in order, a second one at once."""
    import logging
    import signal

    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if node.stop_reason == "signal":
                logging.getLogger("chatd").warning("stopping at once: %s", signal.Signals(number).name)
                node.stop_at_once()
            node.request_stop("signal")


def _explain(error: BaseException) -> int:
    """The exit status of what ended the daemon; with its one line, or with a traceback where it is a bug."""
    import logging

    from chatd.failures import StartupFailure
    from chatd.paths import PathError

    log = logging.getLogger("chatd.main")
    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, StartupFailure | PathError):
            log.debug("stopped", exc_info=error)
            return _fail(leaf, leaf.exit_code if isinstance(leaf, StartupFailure) else USAGE)
    if all(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    log.critical("stopped by an error that nobody expected", exc_info=error)
    return 1


def _leaves(error: BaseException) -> "Iterator[BaseException]":
    """The errors in a group of groups."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _fail(error: BaseException, status: int) -> int:
    """Say in one line why there is no daemon."""
    from chatd.logs import harmless

    _write(2, f"chatd: {harmless(str(error))}\n")
    return status


def _write(descriptor: int, text: str) -> int:
    """Write all of it; whoever closed the other end does not want it."""
    data = text.encode(errors="backslashreplace")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return 1
    return 0


def _hold_standard_streams() -> None:
    """Open what was closed of 0, 1 and 2: else the next file that is opened gets the log lines."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _raise_file_limit() -> int:
    """As many files as the system allows, up to MOST_FILES: the usual 1024 is less than the links alone."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def _fewest(config: "Config") -> int:
    """The lowest limit of open files with which a node starts and has room for a link and a session."""
    return OWN_FILES + len(config.listen) + len(config.room_port) + (ROOM_FILES if config.room_port else 0)


def _fit(config: "Config", files: int) -> "Config":
    """The configuration with as many links as there are descriptors for; sessions count for half of those at most."""
    import logging

    import msgspec

    left = max(files - OTHER_FILES - len(config.listen) - len(config.room_port), 2)
    most = left - min(config.sessions, left // 2)
    if config.max_links <= most:
        return config
    logging.getLogger("chatd.main").warning(
        "max_links is %d, but the limit of open files is %d: only %d links fit (raise ulimit -n or LimitNOFILE)",
        *(config.max_links, files, most),
    )
    return msgspec.structs.replace(config, max_links=most)


if __name__ == "__main__":
    sys.exit(main())
