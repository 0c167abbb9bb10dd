"""Real nodes: one `Node` is a chatd process with directories of its own; `Processes` owns the nodes of one test.

A node is asked over its control socket, in this process, by `ask` and what is built on it. `ctl`, `output`, `events`
and `client` run a chatctl. Every test ends with `Processes.finish`, the same checks for every node.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

from chatd.daemon import LOCK_FILE
from chatd.node import JOURNAL_FILE
from tests.harness import checks
from tests.harness.children import ROOT, Child, Running
from tests.harness.ports import free_port
from tests.harness.session import Gone, Json, Session
from tests.harness.until import PATIENCE_S, until

AnyNode = TypeVar("AnyNode", bound="Node")
KILLED = -signal.SIGKILL
BAD = ("Traceback", '"level":"error"', '"level":"critical"')  # in a line of a log


class Failed(Exception):
    """A chatctl that ended with another exit status than 0; `error` is what `--json` says about it."""

    def __init__(self, status: int, stderr: str) -> None:
        super().__init__(f"exit status {status}: {stderr.strip()}")
        self.status = status
        self.stderr = stderr

    @property
    def error(self) -> Json:
        """The error object on stderr."""
        found: Json = json.loads(self.stderr)["error"]
        return found


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a fresh user has: no settings, every directory below `folder`.

    Nor is it measured for coverage, which would double the time of every start, for lines that other tests run.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHATD_", "XDG_", "COVERAGE_"))}
    own = {"HOME": folder, "XDG_RUNTIME_DIR": folder, "XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder}
    return {**kept, **{name: str(path) for name, path in own.items()}, "NO_COLOR": "1", **more}


def run(
    module: str,
    argv: Sequence[str],
    env: Mapping[str, str],
    *,
    stdin: str = "",
    files: int | None = None,
    within: float = PATIENCE_S,
) -> tuple[int, str, str]:
    """Run a program to its end: its exit status, and what it printed on stdout and stderr."""
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        streams = given.fileno(), out.fileno(), err.fileno()
        child = Child(module, argv, streams=streams, env=env, files=files)
        try:
            status = child.wait(within)
        finally:
            child.send_signal(signal.SIGKILL)
        for file in (out, err):
            file.seek(0)
        return status, out.read().decode(), err.read().decode()


class Node:
    """One node, running or not. Its files are in a short path of their own: the socket's has to fit into 103 bytes."""

    def __init__(self, name: str, *flags: str, hasty: bool = False) -> None:
        self.name = name
        self.hasty = hasty  # hasty.py is run
        self.folder = Path(tempfile.mkdtemp(prefix="chatd-e2e-"))
        self.socket = self.folder / "control.sock"
        self.state = self.folder / "state"
        self.port = free_port()
        self.flags = flags
        self.files: int | None = None  # limit of open files
        self.logs_errors = False  # the test makes it
        self.process: Running | None = None
        self._ends = {0, KILLED}  # exit statuses that the test has seen or expects

    # -- the daemon

    def command(self, *flags: str) -> list[str]:
        """The words of its command line."""
        own = ["--node", self.name, "--listen", f"127.0.0.1:{self.port}"]
        return [*own, "--socket", str(self.socket), "--state", str(self.state), *self.flags, *flags]

    def dials(self, *others: "Node") -> None:
        """It stays connected to these from its next start on."""
        self.flags = (*self.flags, "--peers", ",".join(other.address for other in others))

    def begin(self, *flags: str, fresh: bool = False) -> None:
        """Start the daemon and do not wait for it; `fresh` as a user does, with an interpreter of its own."""
        argv, env = self.command(*flags), environment(self.folder)
        with (self.folder / "log").open("ab") as log, open(os.devnull, "r+b") as null:
            if fresh:
                words = [sys.executable, "-m", "chatd", *argv]
                self.process = subprocess.Popen(words, cwd=ROOT, env=env, stdin=null, stdout=null, stderr=log)
            else:
                streams = null.fileno(), null.fileno(), log.fileno()
                self.process = Child(self.module, argv, streams=streams, env=env, files=self.files)

    def start(self, *flags: str, fresh: bool = False) -> "Node":
        """Start the daemon and wait until it is ready."""
        self.begin(*flags, fresh=fresh)
        self.ask("status")
        return self

    def run(self, *flags: str) -> tuple[int, list[str]]:
        """Run a daemon that is not expected to stay: its exit status and the lines of its stderr."""
        status, _, err = run(self.module, self.command(*flags), environment(self.folder), files=self.files)
        return status, err.splitlines()

    @property
    def module(self) -> str:
        """What is run."""
        return "tests.harness.hasty" if self.hasty else "chatd.__main__"

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def journal(self) -> Path:
        """The database."""
        return self.state / JOURNAL_FILE

    @property
    def log(self) -> str:
        """Everything that its daemons have logged."""
        return (self.folder / "log").read_text(encoding="utf-8")

    def signal(self, number: int) -> None:
        """Send the daemon a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def ends(self, status: int = 0) -> None:
        """Wait until the daemon has ended with that exit status."""
        assert self.process is not None
        found = self.process.wait(PATIENCE_S)
        assert found == status, f"{self.name} exited with {found}\n{self.log}"
        self._ends.add(status)

    def stop(self) -> None:
        """Ask it to stop by a signal; it does."""
        self.signal(signal.SIGTERM)
        self.ends()

    def kill(self) -> None:
        """What a power cut does to a process."""
        self.signal(signal.SIGKILL)
        self.ends(KILLED)

    # -- requests on its control socket

    def session(self) -> Session:
        """A session, as soon as the daemon that was started accepts one."""
        return until(self._session, lambda: f"{self.name} does not answer:\n{self.log}")

    def _session(self) -> Session | None:
        try:
            return Session(self.socket)
        except Gone:
            assert self.running, f"{self.name} has ended:\n{self.log}"
            return None

    def ask(self, method: str, **params: Any) -> Json:
        """A request on a session of its own. `from_` and `for_` are `from` and `for`. Raises Refused."""
        with self.session() as session:
            return session.ask(method, **params)

    def connect(self, other: "Node | int", **params: Any) -> Json:
        """`connect` to a node, or to a port of this machine; the peer's record."""
        port = other.port if isinstance(other, Node) else other
        found: Json = self.ask("connect", host="127.0.0.1", port=port, **params)["peer"]
        return found

    def send(self, peer: "Node | int | str", text: str, **options: Any) -> str:
        """`send`; the message's id."""
        to = peer.name if isinstance(peer, Node) else peer
        found: str = self.ask("send", peer=to, text=text, **options)["id"]
        return found

    def peers(self) -> list[Json]:
        """`list --all`."""
        found: list[Json] = self.ask("list", all=True)["peers"]
        return found

    def peer(self, name: str) -> Json:
        """The peer with that name."""
        (found,) = [peer for peer in self.peers() if peer["name"] == name]
        return found

    def up(self, *others: "Node | str") -> None:
        """Wait until it has a link to each of them."""
        for other in others:
            name = other.name if isinstance(other, Node) else other
            self.ask("wait", for_="peer", peer=name, timeout=PATIENCE_S)

    def drained(self) -> None:
        """Wait until nothing is owed to anybody."""
        self.ask("wait", for_="outbox-empty", timeout=PATIENCE_S)

    def history(self, **filter_: object) -> list[Json]:
        """Every event so far that matches; messages, unless `types` says otherwise."""
        events: list[Json] = []
        start: object = "start"
        while start is not None:
            page = self.ask("history", from_=start, n=100_000, filter={"types": ["message"], **filter_})
            events += page["events"]
            start = {"position": page["next"]} if page["next"] else None
        return events

    def texts(self, **filter_: object) -> list[str]:
        """The texts of the messages in its journal that match."""
        return [event["text"] for event in self.history(**filter_)]

    def subscribed(self, start: object, count: int, **filter_: object) -> list[Json]:
        """The first events of a subscription from there, there already or awaited."""
        with self.session() as session:
            return session.subscribed(start, count, **filter_)

    def inbox(self, count: int) -> list[Json]:
        """The first `count` messages that are there or still come."""
        return self.subscribed("start", count, types=["message"])

    def until(self, kind: str) -> Json:
        """The first event of that type, there already or awaited."""
        (found,) = self.subscribed("start", 1, types=[kind])
        return found

    # -- chatctl

    def output(self, *words: str, stdin: str = "") -> str:
        """What a chatctl prints. Raises Failed."""
        argv = ["--socket", str(self.socket), *words]
        status, out, err = run("chatctl.__main__", argv, environment(self.folder), stdin=stdin)
        if status != 0:
            raise Failed(status, err)
        return out

    def ctl(self, *words: str, stdin: str = "") -> Json:
        """The one object that `chatctl --json VERB …` prints. Raises Failed."""
        found: Json = json.loads(self.output("--json", *words, stdin=stdin))
        return found

    def events(self, *words: str) -> list[Json]:
        """The objects that `chatctl --json tail …` or `history …` prints. Raises Failed."""
        return [json.loads(line) for line in self.output("--json", *words).splitlines()]

    def client(self, *words: str) -> "subprocess.Popen[str]":
        """A chatctl that stays, with pipes at both ends."""
        return subprocess.Popen(
            [sys.executable, "-m", "chatctl", "--socket", str(self.socket), *words],
            cwd=ROOT,
            env=environment(self.folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    # -- the end

    def check(self) -> None:
        """What is left of a daemon that has ended: as was expected, and nothing is in the way of the next one."""
        assert self.process is not None
        status = self.process.poll()
        assert status in self._ends, f"{self.name} exited with {status}\n{self.log}"
        bad = [line for line in self.log.splitlines() if any(word in line for word in BAD)]
        assert not bad or self.logs_errors, f"{self.name} logged: {bad}"
        if status != KILLED:
            checks.no_socket(str(self.socket))
        if self.state.is_dir():
            checks.unlocked(str(self.state / LOCK_FILE))
        if self.journal.exists():
            checks.sound_database(str(self.journal))
            if status == 0:
                checks.told_its_end(str(self.journal))

    def remove(self) -> None:
        """Leave nothing behind, whatever has happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(PATIENCE_S)
        shutil.rmtree(self.folder)


class Processes:
    """The nodes of one test."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, node: AnyNode) -> AnyNode:
        """A node that does not run yet."""
        self.nodes.append(node)
        return node

    def node(self, name: str, *flags: str, hasty: bool = False) -> Node:
        """A node that does not run yet; `hasty` with short timers."""
        return self.add(Node(name, *flags, hasty=hasty))

    def two_nodes(
        self, *flags: str, connected: bool = True, fresh: bool = False, hasty: bool = False
    ) -> tuple[Node, Node]:
        """alice, who has connected to bob, and bob. The flags are for both."""
        alice, bob = self.node("alice", *flags, hasty=hasty), self.node("bob", *flags, hasty=hasty)
        for node in (alice, bob):
            node.begin(fresh=fresh)
        if connected:
            bob.ask("status")
            alice.connect(bob)
            bob.up(alice)
        else:
            alice.ask("status")
            bob.ask("status")
        return alice, bob

    def finish(self) -> None:
        """The end of every test: what still runs is stopped, all at once; then every node that ever ran is checked."""
        ran = [node for node in self.nodes if node.process is not None]
        for node in ran:
            node.signal(signal.SIGTERM)
        for node in ran:
            assert node.process is not None
            node.process.wait(PATIENCE_S)
        for node in ran:
            node.check()

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()


@contextmanager
def processing() -> Iterator[Processes]:
    """Nodes, with the checks at their end; none is left however the test went."""
    nodes = Processes()
    try:
        yield nodes
        nodes.finish()
    finally:
        nodes.remove()
