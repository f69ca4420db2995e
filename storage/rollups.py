"""Summaries of five minutes and of hours, always recomputed from the readings themselves.

The historian marks the hours it touched; the worker takes marks and sums those hours up again, so
a reading that comes a week late changes the right hour, and no order of events leaves a summary
wrong. Charts read marked hours from the readings (`storage.series`), so a worker that lags or
stands still makes them slower, never wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, lru_cache
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
            for run in _runs(marks, floor):
                _sum_up(connection, run)
        return len(marks)

    def waiting(self) -> tuple[int, datetime | None]:
        """How many marks wait, and when the oldest was made."""
        with self._database.connection() as connection:
            row = connection.execute(queries("rollups")["waiting"]).fetchone()
        assert row is not None, "an aggregate always gives a row"
        return int(row[0]), row[1]


@dataclass(frozen=True, slots=True)
class _Run:
    """Successive hours of one block, and the quantities (a bit each) that changed in any."""

    realm: int
    block: int
    low: datetime
    high: datetime
    quantities: int


def _runs(marks: Sequence[tuple[Any, ...]], floor: datetime | None) -> list[_Run]:
    """Marks from `floor` on, joined where one hour follows the other."""
    runs: list[_Run] = []
    for realm, block, hour, quantities in sorted(marks):
        if floor is not None and hour < floor:
            continue
        low = hour
        if runs:
            last = runs[-1]
            if (last.realm, last.block, last.high) == (realm, block, hour):
                low, quantities = last.low, quantities | last.quantities
                runs.pop()
        runs.append(_Run(realm, block, low, hour + _HOUR, quantities))
    return runs


def _sum_up(connection: Connection, run: _Run) -> None:
    bounds = {
        "realm": run.realm,
        "first": run.block * BLOCK,
        "last": run.block * BLOCK + BLOCK - 1,
        "low": run.low,
        "high": run.high,
        "sparse_max": SPARSE_MAX,
    }
    # Never prepared: a plan for any bounds would look at every chunk there is.
    known = connection.execute(_known(), bounds, prepare=False).fetchone()
    quantities = run.quantities
    for i, there in enumerate(known or ()):
        quantities |= bool(there) << i
    connection.execute(_statement(quantities), bounds, prepare=False)


def summary_columns(quantity: Quantity) -> tuple[str, str, str, str]:
    """Names of low, high, mean and count of one quantity in a summary.

    An energy register has no mean: its first and last value are its low and high.
    """
    name = quantity.name
    if quantity.double:
        return f"first_{name}", f"last_{name}", "", f"n_{name}"
    return f"min_{name}", f"max_{name}", f"mean_{name}", f"n_{name}"


@cache
def _known() -> sql.Composed:
    counts = [summary_columns(q)[3] for q in QUANTITIES]
    terms = sql.SQL(", ").join(
        sql.SQL("bool_or({} IS NOT NULL)").format(sql.Identifier(n)) for n in counts
    )
    return queries("rollups").compose("known", known=terms)


@lru_cache(maxsize=64)
def _statement(quantities: int) -> sql.Composed:
    """The statement for the quantities that some hours hold; the others stay absent."""
    columns: list[str] = []
    steps: list[str] = []
    hours: list[str] = []
    for i, q in enumerate(QUANTITIES):
        if not quantities >> i & 1:
            continue
        low, high, mean, n = summary_columns(q)
        if q.double:
            known = f"FILTER (WHERE {q.name} IS NOT NULL)"
            columns += [low, high, n]
            steps += [f"first({q.name}, time) {known}", f"last({q.name}, time) {known}"]
            known = f"FILTER (WHERE {n} IS NOT NULL)"
            hours += [f"first({low}, at) {known}", f"last({high}, at) {known}"]
        else:
            columns += [low, high, mean, n]
            steps += [f"min({q.name})", f"max({q.name})", f"avg({q.name})::real"]
            hours += [f"min({low})", f"max({high})", f"sum({mean}::float8 * {n}) / sum({n})"]
        steps.append(f"NULLIF(count({q.name}), 0)::int")
        hours.append(f"sum({n})")
    steps = [f"{made} AS {column}" for made, column in zip(steps, columns, strict=True)]
    return queries("rollups").compose(
        "sum_up",
        columns=_more(columns),
        steps=_more(steps),
        hours=_more(hours),
        values=_more([f"s.{c}" for c in columns]),
        updates=_more([f"{c} = EXCLUDED.{c}" for c in columns]),
    )


def _more(terms: Sequence[str]) -> sql.Composed:
    """`, a, b`: terms after those that are always there. Names come from the vocabulary only."""
    return sql.Composed([sql.SQL(", " + term) for term in terms])
