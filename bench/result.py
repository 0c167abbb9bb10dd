"""Result: what one benchmark has measured, with its target; and the report that is made of all of them."""

import os
import platform
import sqlite3
import ssl
from importlib.metadata import version
from typing import NamedTuple


class Result(NamedTuple):
    """One line of the table. `ours`, `theirs` and `ratio` are said with their units; `notes` are further lines."""

    name: str
    what: str
    ours: str
    instead: str
    theirs: str
    ratio: str
    target: str
    met: bool
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """One word."""
        return "ok" if self.met else "MISSED"

    @property
    def line(self) -> str:
        """For a terminal."""
        beside = f"{self.instead}: {self.theirs}; {self.ratio}"
        return f"{self.verdict:6} {self.name}: {self.ours} (target {self.target}); {beside}"


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
    lines += [
        f"| {one.what} | {one.ours} | {one.instead}: {one.theirs} | {one.ratio} | {one.target} | {one.verdict} |"
        for one in results
    ]
    notes = [f"- {one.name}: {note}" for one in results for note in one.notes]
    return "\n".join([f"Measured on: {machine()}.", "", *lines, "", *notes])
