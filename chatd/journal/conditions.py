"""Conditions on events as SQL, and the queries that select events by condition and stream.

SQLite checks them, so events that a reader did not ask for are not read from the disk. A `gap` event meets every
condition on types and direction, because a reader must see every gap. query/filters.py checks the same in memory.
"""

from typing import Any, Final, NamedTuple

from chatd.journal.batch import StreamIds, stream_ids_of

GAP: Final = "gap"
MESSAGE: Final = "message"


class Condition(NamedTuple):
    """Event types, direction ("in" | "out"), and the wall time (ms) before which events were appended. None: any."""

    types: tuple[str, ...] | None = None
    direction: str | None = None
    before_ms: int | None = None

    @property
    def indexed_types(self) -> tuple[str, ...] | None:
        """The types to find by the index of events that are not messages; None if messages may match."""
        if self.types is not None and MESSAGE not in self.types:
            return tuple(sorted({*self.types, GAP}))
        return None

    def sql(self) -> tuple[str, tuple[Any, ...]]:
        """The conditions that are checked row by row, each with a leading AND, and their parameters."""
        sql, params = "", list[Any]()
        if self.types is not None and self.indexed_types is None:
            types = sorted({*self.types, GAP})
            sql += f" AND type IN ({','.join('?' * len(types))})"
            params += types
        if self.direction is not None:
            sql += f" AND (direction = ? OR type = '{GAP}')"
            params.append(self.direction)
        if self.before_ms is not None:
            sql += " AND at < ?"
            params.append(self.before_ms)
        return sql, tuple(params)


ANYTHING: Final = Condition()


def select(
    columns: str,
    after: int,
    through: int,
    stream_id: StreamIds,
    limit: int,
    order: str = "",
    where: Condition = ANYTHING,
) -> tuple[str, tuple[Any, ...]]:
    """The query for events in (after, through], with its parameters. Each stream and type is read by its index."""
    conditions, params = where.sql()
    end = f"{conditions} ORDER BY seq {order} LIMIT ?"
    sources = [_source(each, type_) for each in stream_ids_of(stream_id) for type_ in where.indexed_types or (None,)]
    if len(sources) == 1:
        (source, values), *_ = sources
        return f"SELECT {columns} FROM {source} {end}", (*values, after, through, *params, limit)
    each = " UNION ALL ".join(f"SELECT seq FROM (SELECT seq FROM {source} {end})" for source, _ in sources)
    sql = f"SELECT {columns} FROM events WHERE seq IN ({each}) ORDER BY seq {order} LIMIT ?"
    return sql, (*(value for _, values in sources for value in (*values, after, through, *params, limit)), limit)


def _source(stream_id: int | None, type_: str | None) -> tuple[str, tuple[Any, ...]]:
    """The FROM clause for one stream and one event type (None: all), and its parameters without the seqs."""
    conditions, params = list[str](), list[Any]()
    if stream_id is not None:
        conditions.append("topic = ? AND")
        params.append(stream_id)
    if type_ is not None:
        conditions.append("type = ? AND type <> 'message' AND")
        params.append(type_)
    table = "events" if type_ is None else "events INDEXED BY events_by_type"
    return f"{table} WHERE {' '.join(conditions)} seq > ? AND seq <= ?", tuple(params)
