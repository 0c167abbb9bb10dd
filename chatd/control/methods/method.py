"""Method: one row of the table. What a handler gets and gives is said here."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import msgspec
import trio

from chatd.journal.batch import Batch
from chatd.peers.outbox import NoCapacity

# The result; a result and the batch that has to be committed before it is told; or work that takes longer, whose
# result is told when it is done.
Outcome = msgspec.Struct | tuple[msgspec.Struct, Batch] | Coroutine[Any, Any, msgspec.Struct]


# Pipelined neighbours at once, and the batch they all wait for. None: nothing was done, take them one by one.
Outcomes = tuple[Sequence[msgspec.Struct], Batch] | None


async def wait_for_capacity(error: NoCapacity) -> None:
    """Wait until the request that raised this is to be tried again."""
    with trio.move_on_at(error.until):
        await error.wait()


class Method:
    """Parameters, result, handler and one line of help; and `many`, for a method whose neighbours are done together.

    A method `writes`, and is refused while the journal's files are lost, unless its row says that it does not: False,
    or a function of the parameters.

    A handler is called with the node, the session and the decoded parameters. It may raise ControlError, Fault for
    parameters that are wrong in a way their struct does not say, and NotYet where it is to be called again later; then
    nothing behind it is read meanwhile. `many` is called with the node and a list of parameters. It must not raise but
    NotYet, nor do anything that a handler called for each of them would not do.
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
        """Whether a request promises something that has to be there after a restart."""
        return self._writes if isinstance(self._writes, bool) else self._writes(params)
