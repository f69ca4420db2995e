"""Summaries of five minutes and of hours, always recomputed from the readings themselves.

The historian marks the hours it touched; the worker takes marks and sums those hours up again, so
a reading that comes a week late changes the right hour, and no order of events leaves a summary
wrong. Charts read marked hours from the readings (`storage.series`), so a worker that lags or
stands still makes them slower, never wrong.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from psycopg import sql

from grid.quantities import QUANTITIES, Quantity
from storage.database import Connection, Database
from storage.queries import queries

BLOCK = 64  # devices that share a mark, see storage.historian
SPARSE_MAX = 12  # readings an hour, up to which a device's readings are its five-minute series
_HOUR = timedelta(hours=1)
SETTLE_S = 60.0  # an hour still being filled is summed up at most this often


class RollupWorker:
    """Sums up marked hours; any number of workers may run at the same time."""

    def __init__(self, database: Database, *, settle_s: float = SETTLE_S) -> None:
        self._database, self._settle_s = database, settle_s

    def run_once(self, limit: int = 64) -> int:
        """Sum up at most `limit` marks (one hour of 64 devices each) in one commit.

        Returns how many marks were taken; 0 means that nothing has settled. Raises
        DatabaseUnavailable, with the marks kept.
        """
        named = queries("rollups")
        with self._database.connection() as connection:
            marks = connection.execute(
                named["claim"], {"settle_s": self._settle_s, "limit": limit}
            ).fetchall()
            row = connection.execute(named["floor"]).fetchone()
            floor = None if row is None else row[0]
            for realm, block, low, high in _runs(marks, floor):
                _sum_up(connection, realm, block, low, high)
        return len(marks)

    def waiting(self) -> tuple[int, datetime | None]:
        """How many marks wait, and when the oldest was made."""
        with self._database.connection() as connection:
            row = connection.execute(queries("rollups")["waiting"]).fetchone()
        assert row is not None, "an aggregate always gives a row"
        return int(row[0]), row[1]


def _runs(
    marks: Sequence[tuple[Any, ...]], floor: datetime | None
) -> Iterator[tuple[int, int, datetime, datetime]]:
    """Marks from `floor` on as (realm, block, begin, end), successive hours of a block joined."""
    run: tuple[int, int, datetime, datetime] | None = None
    for realm, block, hour in sorted(marks):
        if floor is not None and hour < floor:
            continue
        if run is not None and run[:2] == (realm, block) and run[3] == hour:
            run = (realm, block, run[2], hour + _HOUR)
            continue
        if run is not None:
            yield run
        run = (realm, block, hour, hour + _HOUR)
    if run is not None:
        yield run


def _sum_up(connection: Connection, realm: int, block: int, low: datetime, high: datetime) -> None:
    bounds = {
        "realm": realm,
        "first": block * BLOCK,
        "last": block * BLOCK + BLOCK - 1,
        "low": low,
        "high": high,
        "sparse_max": SPARSE_MAX,
    }
    # Never prepared: a plan for any bounds would look at every chunk there is.
    connection.execute(_statement("sum_hours"), bounds, prepare=False)
    connection.execute(_statement("sum_5min"), bounds, prepare=False)


def summary_columns(quantity: Quantity) -> tuple[str, str, str, str]:
    """Names of low, high, mean and count of one quantity in a summary.

    An energy register has no mean: its first and last value are its low and high.
    """
    name = quantity.name
    if quantity.double:
        return f"first_{name}", f"last_{name}", "", f"n_{name}"
    return f"min_{name}", f"max_{name}", f"mean_{name}", f"n_{name}"


@cache
def _statement(name: str) -> sql.Composed:
    columns: list[sql.Composable] = []
    aggregates: list[sql.Composable] = []
    for q in QUANTITIES:
        value = sql.Identifier(q.name)
        made: Sequence[str]
        if q.double:
            made = (
                "first({0}, time) FILTER (WHERE {0} IS NOT NULL)",
                "last({0}, time) FILTER (WHERE {0} IS NOT NULL)",
                "NULLIF(count({0}), 0)",
            )
        else:
            made = ("min({0})", "max({0})", "avg({0})", "NULLIF(count({0}), 0)")
        columns += [sql.Identifier(c) for c in summary_columns(q) if c]
        aggregates += [sql.SQL(m).format(value) for m in made]
    comma = sql.SQL(", ")
    return queries("rollups").compose(
        name,
        columns=comma.join(columns),
        aggregates=comma.join(aggregates),
        excluded=comma.join(sql.SQL("EXCLUDED.{}").format(c) for c in columns),
    )
