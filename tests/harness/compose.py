"""docker compose on the repository's files, each time as a project of its own that leaves nothing behind."""

import json
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any

from tests.harness.children import ROOT

Json = dict[str, Any]

LIMIT_S = 300
PROJECT_LABEL = "com.docker.compose.project"
ROOM = ("--profile", "room")


class Compose:
    """One compose project, of docker-compose.yml unless told otherwise. A command that fails is an AssertionError."""

    def __init__(self, file: Path = ROOT / "docker-compose.yml") -> None:
        self.file = file
        self.project = f"chatd-e2e-{secrets.token_hex(4)}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHATD_")}
        self.environment = {**kept, "CHATD_PLAIN": "on", "ROOM_PORT": ""}  # the engine finds a free port for it

    def docker(self, *words: str) -> str:
        """What `docker WORDS` prints."""
        done = subprocess.run(
            ["docker", *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"docker {' '.join(words)} failed ({done.returncode}):\n{done.stdout}")
        return done.stdout

    @property
    def words(self) -> tuple[str, ...]:
        """How this project is named to docker."""
        return ("compose", "--file", str(self.file), "--project-name", self.project)

    def __call__(self, *words: str) -> str:
        """What `docker compose WORDS` prints."""
        return self.docker(*self.words, *words)

    def exec(self, service: str, *words: str) -> str:
        """What a command in a service's container prints."""
        return self("exec", "-T", service, *words)

    def feed(self, service: str, *words: str) -> "subprocess.Popen[str]":
        """A command in a service's container that reads what is written to it."""
        command = ["docker", *self.words, "exec", "-T", service, *words]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ctl(self, service: str, *words: str) -> Json:
        """The object that a service's `chatctl --json` prints."""
        found: Json = json.loads(self.exec(service, "chatctl", "--json", *words))
        return found

    def events(self, service: str, *words: str) -> list[Json]:
        """The objects that a service's `chatctl --json` prints, one a line."""
        return [json.loads(line) for line in self.exec(service, "chatctl", "--json", *words).splitlines()]

    def containers(self) -> list[Json]:
        """What `docker inspect` says about every container of the project."""
        found: list[Json] = json.loads(self.docker("inspect", *self("ps", "-aq").split()))
        return found

    def published(self, service: str, port: int) -> int:
        """Where that port of a service is on this machine, and on 127.0.0.1 alone."""
        host, _, number = self(*ROOM, "port", service, str(port)).strip().rpartition(":")
        assert host == "127.0.0.1"
        return int(number)

    def remove(self) -> None:
        """Containers, networks, volumes and images (one for each service, of the same layers)."""
        self(*ROOM, "down", "--volumes", "--timeout", "5", "--remove-orphans")
        images = self.docker("image", "ls", "--quiet", "--filter", f"label={PROJECT_LABEL}={self.project}").split()
        if images:
            self.docker("image", "rm", "--force", *sorted(set(images)))
