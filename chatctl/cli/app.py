"""One run of chatctl, as every verb gets it: the global options, the connection to the daemon, the output."""

from chatctl.rpc.connection import Connection
from chatctl.text.output import Output


class App(Connection):
    def __init__(self) -> None:
        super().__init__()
        self.out = Output()
