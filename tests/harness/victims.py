"""Victim: a node that redials quickly, and that may run with a hook in it."""

from tests.harness.processes import Node

QUICK = ("--redial-min", "20ms", "--redial-max", "200ms")  # tests redial often and wait for it


class Victim(Node):
    """A node with a quick back-off. `hook` is what hooked.py is told; it counts from the next start on."""

    def __init__(self, name: str, *flags: str) -> None:
        super().__init__(name, *QUICK, *flags)
        self.hook: tuple[str, ...] = ()

    def command(self, *flags: str) -> list[str]:
        """The words of its command line, with those of the hook before them."""
        return [*self.hook, *super().command(*flags)]

    @property
    def module(self) -> str:
        """What is run."""
        return "tests.harness.hooked" if self.hook else super().module
