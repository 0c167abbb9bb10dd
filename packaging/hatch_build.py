"""Hatchling's hook for a wheel: adds the man pages under share/man.

An editable install has none, and needs nothing but hatchling.
"""

import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManPages(BuildHookInterface[Any]):
    """The pages are in a temporary folder from `initialize` to `finalize`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        self._folder = TemporaryDirectory()
        if version == "editable":
            return
        sys.path[:0] = [self.root, str(Path(self.root, "packaging"))]
        for name, roff in import_module("manpages").pages():
            path = Path(self._folder.name, name)
            path.write_text(roff, encoding="ascii")
            build_data["shared_data"][str(path)] = f"share/man/man{path.suffix[1:]}/{name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's
        self._folder.cleanup()
