"""The command `chatd`: flags -> Config -> logging -> daemon.run, and exit codes.

Owns what belongs to the process: standard streams, umask, file limit, signals and the garbage collector's thresholds.
Imports are local: `--help` stays fast, and an interrupt while modules load leaves no traceback.
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
MOST_FILES = 65536  # descriptors: more than max_links allows; a higher limit only costs
OTHER_FILES = 96  # journal, listeners, dialing, standard streams, and a reserve
OWN_FILES = 33  # 13 of an idle node, 17 as a reserve, one each for a link, a session and the next client
GARBAGE_AFTER = 20_000  # objects; messages make no cycles, only links and clients do
ROOM_FILES = 8  # reserve for room ports, if there are any


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the command; return the exit status."""
    try:
        return _start(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        return INTERRUPTED


def _start(argv: "Sequence[str]") -> int:
    _open_standard_streams()
    from chatd import __version__
    from chatd.config.flags import parse_flags, usage
    from chatd.config.loading import load, load_flags
    from chatd.config.printing import describe, template
    from chatd.config.settings import ConfigError

    try:
        action = parse_flags(argv).action
        if action == "help":
            return _write(1, usage())
        if action == "version":
            return _write(1, f"chatd {__version__}\n")
        if action == "print":
            return _write(1, template(load_flags(argv, os.environ)))
        loaded = load(argv, os.environ)
    except ConfigError as error:
        return _fail(error, USAGE)
    return _write(1, describe(loaded)) if action == "check" else _run(loaded.config)


def _run(config: "Config") -> int:
    """Prepare the process and run a node until it stops; return the exit status."""
    from chatd import logs

    logs.setup(config.log_level, config.log_format)
    os.umask(0o077)
    files = _raise_file_limit()
    if files < _least_files(config):
        remedy = f"raise it with ulimit -n {MOST_FILES} or LimitNOFILE={MOST_FILES}"
        text = f"the limit of open files is {files}, but this node needs at least {_least_files(config)} ({remedy})"
        return _fail(OSError(text), USAGE)
    _announce(config)
    config = _fit_max_links(config, files)
    import trio

    try:
        trio.run(_run_node, config)
    except (Exception, BaseExceptionGroup, KeyboardInterrupt) as error:  # noqa: BLE001  (each gets its exit status)
        return _explain(error)
    return 0


def _announce(config: "Config") -> None:
    """Log the first line: which program starts, as which node."""
    import logging

    from chatd import __version__

    fields = {"name": config.name, "version": __version__}
    logging.getLogger("chatd").info("node %(name)s starting (chatd %(version)s)", fields)


async def _run_node(config: "Config") -> None:
    """Run one node until it stops or a signal stops it."""
    import trio

    from chatd import daemon
    from chatd.node import Node
    from chatd.runtime import Runtime

    async with trio.open_nursery() as nursery:

        def opened(node: Node) -> None:
            _collect_garbage_rarely()
            nursery.start_soon(_handle_signals, node)

        await daemon.run(config, Runtime(), opened)
        nursery.cancel_scope.cancel()


def _collect_garbage_rarely() -> None:
    """Exclude the objects that exist now from garbage collection, and collect others rarely."""
    import gc

    gc.freeze()
    gc.set_threshold(GARBAGE_AFTER, 20, 50)


async def _handle_signals(node: "Node") -> None:
    """Stop the node in order at the first SIGTERM or SIGINT, and at once at the second one."""
    import logging
    import signal

    import trio

    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            if node.stop_reason == "signal":
                fields = {"reason": signal.Signals(number).name}
                logging.getLogger("chatd").warning("stopping at once: %(reason)s", fields)
                node.stop_at_once()
            node.request_stop("signal")


def _explain(error: BaseException) -> int:
    """Print the error that ended the daemon, as one line or, for a bug, as a traceback; return the exit status."""
    import logging

    from chatd.failures import StartupFailure
    from chatd.paths import PathError

    log = logging.getLogger("chatd.main")
    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, StartupFailure | PathError):
            log.debug("stopped by an error", exc_info=error)
            return _fail(leaf, leaf.exit_code if isinstance(leaf, StartupFailure) else USAGE)
    if all(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    log.critical("stopped by an unexpected error (this is a bug in chatd)", exc_info=error)
    return 1


def _leaves(error: BaseException) -> "Iterator[BaseException]":
    if isinstance(error, BaseExceptionGroup):
        for nested in error.exceptions:
            yield from _leaves(nested)
    else:
        yield error


def _fail(error: BaseException, status: int) -> int:
    """Print an error on one line; return the status."""
    from chatd.logs import harmless

    _write(2, f"chatd: {harmless(str(error))}\n")
    return status


def _write(descriptor: int, text: str) -> int:
    """Write the whole text; return the exit status: 1 if the descriptor is closed."""
    data = text.encode(errors="backslashreplace")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        return 1
    return 0


def _open_standard_streams() -> None:
    """Open those of descriptors 0, 1 and 2 that are closed: else log lines would go into the next opened file."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _raise_file_limit() -> int:
    """Raise the limit of open files, often only 1024, to the hard limit, at most MOST_FILES; return the new limit."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def _least_files(config: "Config") -> int:
    """The lowest limit of open files that leaves a node one link and one session."""
    return OWN_FILES + len(config.listen) + len(config.room_port) + (ROOM_FILES if config.room_port else 0)


def _fit_max_links(config: "Config", files: int) -> "Config":
    """The configuration with max_links lowered to the free descriptors; sessions get at most half of them."""
    import logging

    import msgspec

    free = max(files - OTHER_FILES - len(config.listen) - len(config.room_port), 2)
    links = free - min(config.sessions, free // 2)
    if config.max_links <= links:
        return config
    logging.getLogger("chatd.main").warning(
        "max_links lowered from %(max_links)d to %(links)d: the limit of open files is %(files)d"
        " (raise it with ulimit -n or LimitNOFILE)",
        {"max_links": config.max_links, "links": links, "files": files},
    )
    return msgspec.structs.replace(config, max_links=links)


if __name__ == "__main__":
    sys.exit(main())
