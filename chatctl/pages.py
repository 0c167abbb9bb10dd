"""Events of the past, page by page."""

from chatctl.events import seq

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from chatctl.app import App

PAGE = 1000


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
    """The seq of the newest event that matches; 0 without one."""
    for events in pages(app, None, match, n=1):
        return seq(events[-1].get("position"))
    return 0
