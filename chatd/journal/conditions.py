"""Where: conditions on the columns of events that SQLite can judge, so that what was not asked for is not even read.

They are those of a filter's types and direction and of a latest time; topics are said beside them. A gap passes types
and direction: a hole in what was asked for is always told. In memory the same is judged by query/filters.py.
"""

from typing import Any, Final, NamedTuple

GAP: Final = "gap"
MESSAGE: Final = "message"


class Condition(NamedTuple):
    """Conditions; None: any."""

    types: tuple[str, ...] | None = None
    direction: str | None = None
    before_ms: int | None = None

    @property
    def indexed(self) -> tuple[str, ...] | None:
        """The types by which the index of what is no message finds it; None where messages may be among it."""
        if self.types is not None and MESSAGE not in self.types:
            return tuple(sorted({*self.types, GAP}))
        return None

    def sql(self) -> tuple[str, tuple[Any, ...]]:
        """The conditions that an index does not answer, each with AND before it, and their parameters."""
        sql, params = "", list[Any]()
        if self.types is not None and self.indexed is None:
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
