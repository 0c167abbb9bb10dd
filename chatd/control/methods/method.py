"""Method: one row of the table, and the contract of its handler."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import trio

from chatd.journal.batch import Batch
from chatd.peers.outbox import NoCapacity

# A result; a result and the batch that must be committed before the response; or longer work that returns a result.
Outcome = msgspec.Struct | tuple[msgspec.Struct, Batch] | Coroutine[Any, Any, msgspec.Struct]
# Results of pipelined requests, and the batch that all of them wait for. None: nothing was done, call each by itself.
Outcomes = tuple[Sequence[msgspec.Struct], Batch] | None


async def wait_for_capacity(error: NoCapacity) -> None:
    """Wait until the request that raised this error may be retried."""
    with trio.move_on_at(error.until):
        await error.wait()


class Method:
    """Parameters, result, handler and one line of help; and `many`, which handles consecutive requests together.

    `writes` (True, False, or a function of the parameters): while the journal's files are lost, such requests are
    rejected.

    A handler gets the node, the session and the decoded parameters. It may raise ControlError; RpcError for parameters
    that are wrong in a way that their struct does not express; and NoCapacity if it must be called again later. Until
    then no later request of the session is started. `many` gets the node and a list of parameters. It raises nothing
    but NoCapacity, and does nothing that the handler, called for each request, would not do.
    """

    __slots__ = ("_writes", "decoder", "handler", "many", "params", "result", "summary")

    def __init__(
        self,
        params: type[msgspec.Struct],
        result: type[msgspec.Struct],
        handler: Callable[..., Outcome],
        summary: str,
        many: Callable[..., Outcomes] | None = None,
        *,
        writes: bool | Callable[[Any], bool] = True,
    ) -> None:
        self.params = params
        self.result = result
        self.handler = handler
        self.summary = summary
        self.many = many
        self._writes = writes
        self.decoder = msgspec.json.Decoder(params)

    def writes(self, params: msgspec.Struct) -> bool:
        """Whether the result of a request must survive a restart."""
        return self._writes if isinstance(self._writes, bool) else self._writes(params)
