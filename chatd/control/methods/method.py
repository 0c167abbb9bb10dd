"""Method: one row of the table. What a handler gets and gives is said here."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec

from chatd.core.batch import Batch

# The result; a result and the batch that has to be committed before it is told; or work that takes longer, whose
# result is told when it is done.
Outcome = msgspec.Struct | tuple[msgspec.Struct, Batch] | Coroutine[Any, Any, msgspec.Struct]


class Method:
    """Parameters, result, handler and one line of help.

    A handler is called with the node, the session and the decoded parameters. It may raise ControlError, and Fault
    for parameters that are wrong in a way their struct does not say.
    """

    __slots__ = ("decoder", "handler", "params", "result", "summary")

    def __init__(
        self,
        params: type[msgspec.Struct],
        result: type[msgspec.Struct],
        handler: Callable[..., Outcome],
        summary: str,
    ) -> None:
        self.params = params
        self.result = result
        self.handler = handler
        self.summary = summary
        self.decoder = msgspec.json.Decoder(params)
