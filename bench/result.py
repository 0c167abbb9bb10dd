"""Result: what one benchmark has measured, with its target; and the report that is made of all of them."""

import os
import platform
import sqlite3
import ssl
from importlib.metadata import version
from typing import NamedTuple


class Beside(NamedTuple):
    """What a user would take instead, and what it gave in the same run."""

    what: str
    gave: str
    ratio: str


class Result(NamedTuple):
    """One line of the table. What was measured is said with its unit; `notes` are further lines.

    Where there is no `target`, it is measured only to be compared.
    """

    name: str
    what: str
    ours: str
    target: str
    met: bool
    beside: tuple[Beside, ...]
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One word."""
        if not self.target:
            return "–"
        return "ok" if self.met else "MISSED"

    @property
    def line(self) -> str:
        """For a terminal."""
        beside = "".join(f"; {one.what}: {one.gave}, {one.ratio}" for one in self.beside)
        target = f" (target {self.target})" if self.target else ""
        return f"{self.verdict:6} {self.name}: {self.ours}{target}{beside}"

    @property
    def rows(self) -> list[str]:
        """For the table: what is beside it may need more than one."""
        first, *others = self.beside
        beside = f"{first.what}: {first.gave} | {first.ratio}"
        row = f"| {self.what} | {self.ours} | {beside} | {self.target} | {self.verdict} |"
        return [row, *(f"| | | {one.what}: {one.gave} | {one.ratio} | | |" for one in others)]


def machine() -> str:
    """The class of machine and the versions that the numbers are of."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, {cores} cores ({_processor()}), {memory:.0f} GiB"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("trio", "msgspec", "click"))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{system}; {python}, {libraries}, SQLite {sqlite3.sqlite_version}, {ssl.OPENSSL_VERSION}"


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return names[0] if names else "unknown"


def table(results: list[Result]) -> str:
    """For bench/README.md."""
    lines = ["| | chatd | beside it | ratio | target | |", "|---|---|---|---|---|---|"]
    lines += [row for one in results for row in one.rows]
    notes = [f"- {one.name}: {note}" for one in results for note in one.notes]
    return "\n".join([f"Measured on: {machine()}.", "", *lines, "", *notes])
