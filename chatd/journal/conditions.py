"""Conditions on events that SQLite can judge, and the queries that select by them and by streams.

What a reader has not asked for is not even read from the disk. A gap meets every condition on types and direction: a
reader is always told of a hole. In memory the same is judged by query/filters.py.
"""

from typing import Any, Final, NamedTuple

from chatd.journal.batch import StreamIds, stream_ids_of

GAP: Final = "gap"
MESSAGE: Final = "message"


class Condition(NamedTuple):
    """Types, a direction and a time before which events were appended; None: any."""

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
        """The conditions that no index answers, each with a leading AND, and their parameters."""
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
    more, params = where.sql()
    end = f"{more} ORDER BY seq {order} LIMIT ?"
    parts = [_from(one, kind) for one in stream_ids_of(stream_id) for kind in where.indexed_types or (None,)]
    if len(parts) == 1:
        (source, given), *_ = parts
        return f"SELECT {columns} FROM {source} {end}", (*given, after, through, *params, limit)
    each = " UNION ALL ".join(f"SELECT seq FROM (SELECT seq FROM {source} {end})" for source, _ in parts)
    sql = f"SELECT {columns} FROM events WHERE seq IN ({each}) ORDER BY seq {order} LIMIT ?"
    return sql, (*(value for _, given in parts for value in (*given, after, through, *params, limit)), limit)


def _from(stream_id: int | None, kind: str | None) -> tuple[str, tuple[Any, ...]]:
    """The table and conditions for one stream and one type, None: all; and their parameters."""
    conditions, params = list[str](), list[Any]()
    if stream_id is not None:
        conditions.append("topic = ? AND")
        params.append(stream_id)
    if kind is not None:
        conditions.append("type = ? AND type <> 'message' AND")
        params.append(kind)
    table = "events" if kind is None else "events INDEXED BY events_by_type"
    return f"{table} WHERE {' '.join(conditions)} seq > ? AND seq <= ?", tuple(params)
