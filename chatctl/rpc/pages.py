"""Past events from the method `history`, page by page. Used by `history`, `tail` and `bench`."""

from chatctl.rpc.positions import seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from chatctl.rpc.connection import Connection

PAGE = 1000
NEWEST_PAGE = 100


def history_pages(
    connection: "Connection",
    start: object,
    match: "Mapping[str, object]",
    until: str | None = None,
    n: int | None = None,
) -> "Iterator[list[dict[str, Any]]]":
    """Yield pages of past events, oldest first, at most `n` events. A `start` of None means the last `n`."""
    params: dict[str, object] = {}
    if match:
        params["filter"] = match
    if until is not None:
        params["until"] = until
    left = n
    while left is None or left > 0:
        page = connection.call(
            "history", {**params, "n": PAGE if left is None else left, **({"from": start} if start else {})}
        )
        events = page.get("events") or []
        if events:
            yield events
        following = {"position": page.get("next")}
        if page.get("next") is None or following == start:
            return
        start = following
        left = None if left is None else left - len(events)


def newest_seq(connection: "Connection", match: "Mapping[str, object]") -> int:
    """Sequence number of the newest event that matches; 0 without one.

    Looks at the last 100: in a room hosted by another node the last event in room order need not have come last.
    """
    return max(
        (
            seq(event.get("position"))
            for events in history_pages(connection, None, match, n=NEWEST_PAGE)
            for event in events
        ),
        default=0,
    )
