"""Launcher: a process that has imported chatd and chatctl, and forks each process that a test starts.

Most of the start of `python -m chatd` is imports. A forked process gets the command line, environment, directory,
standard streams and limit of files of a started one, and no other descriptor. It runs the `main` of its module.

    python -m tests.harness.launcher    standard input: a SOCK_SEQPACKET socket

A packet is one process: a JSON object (module, argv, env, cwd, files), with four descriptors: the standard streams and
a pipe. The number of the process and then its exit status are written to the pipe, each as a line. Children of the
launcher outlive it. Used by children.py.
"""

import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, NoReturn

PACKET_BYTES = 1 << 17
PRELOADED = (
    "chatd.__main__",
    "chatd.daemon",
    "chatd.logs",
    "chatd.config.flags",
    "chatd.config.loading",
    "chatd.peers.certificate",
    "chatctl.__main__",
    "chatctl.client",
)


class Launcher:
    """Forks what it is asked for until the other end of the socket is closed."""

    def __init__(self, requests: int) -> None:
        self._requests = socket.socket(fileno=requests)
        self._pipes: dict[int, int] = {}  # process -> where its status goes
        self._woken, wakes = os.pipe()
        for end in (self._woken, wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(wakes)

    def run(self) -> None:
        """Serve until there is nobody to serve. Returns in the launcher, and raises SystemExit in each child."""
        while True:
            ready, _, _ = select.select([self._requests.fileno(), self._woken], [], [])
            if self._woken in ready:
                os.read(self._woken, 4096)
                self._report()
            if self._requests.fileno() in ready:
                data, descriptors, _, _ = socket.recv_fds(self._requests, PACKET_BYTES, 4)
                if not data:
                    return
                self._fork(json.loads(data), descriptors)

    def _fork(self, request: dict[str, Any], descriptors: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            self._requests.detach()
            become(request, descriptors)
        *streams, pipe = descriptors
        for descriptor in streams:
            os.close(descriptor)
        self._pipes[pid] = pipe
        os.write(pipe, b"%d\n" % pid)

    def _report(self) -> None:
        while self._pipes and (found := os.waitpid(-1, os.WNOHANG))[0]:
            pipe = self._pipes.pop(found[0])
            os.write(pipe, b"%d\n" % os.waitstatus_to_exitcode(found[1]))
            os.close(pipe)


def become(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Turn this child into the process that was asked for. Raises SystemExit at its end."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(descriptors[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, max(os.sysconf("SC_OPEN_MAX"), 4096))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    if request["files"]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (request["files"], request["files"]))
    sys.argv = [request["module"], *request["argv"]]
    sys.exit(importlib.import_module(request["module"]).main())


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: it is for the tests, which close the socket
    for module in PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    Launcher(os.dup(0)).run()


if __name__ == "__main__":
    main()
