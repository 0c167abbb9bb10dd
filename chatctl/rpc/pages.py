"""Events of the past, page by page."""

from chatctl.rpc.positions import seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from chatctl.cli.app import App

PAGE = 1000
AT_THE_END = 100


def pages(
    app: "App", start: object, match: "Mapping[str, object]", until: str | None = None, n: int | None = None
) -> "Iterator[list[dict[str, Any]]]":
    """Events of the past, oldest first, at most `n`. A `start` of None means the last `n`."""
    params: dict[str, object] = {}
    if match:
        params["filter"] = match
    if until is not None:
        params["until"] = until
    left = n
    while left is None or left > 0:
        page = app.call(
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


def newest(app: "App", match: "Mapping[str, object]") -> int:
    """The seq of the newest event that matches; 0 without one.

    In a room that another node hosts the last in order need not be the one that came last.
    """
    return max(
        (seq(event.get("position")) for events in pages(app, None, match, n=AT_THE_END) for event in events), default=0
    )
