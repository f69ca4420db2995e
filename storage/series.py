"""Chart data: at most about 2,000 points a series whatever the span, and no extreme lost.

Short spans come from the readings, longer ones from the five-minute, then from the hourly
summaries; hours that wait to be summed up again always come from the readings. The pieces are
folded into equal steps with numpy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from grid.errors import BadInput
from grid.quantities import INDEX, NAMES, QUANTITIES, Quantity
from storage import binary
from storage.arrays import column_kind, copy_out, never_null
from storage.database import Connection, Database
from storage.queries import queries
from storage.realms import find_realm
from storage.rollups import BLOCK, SPARSE_MAX, summary_columns
from storage.times import micros, moment

MAX_POINTS = 2000
_MINUTE_US = 60_000_000
_HOUR_US = 60 * _MINUTE_US
_5MIN_US = 5 * _MINUTE_US
# Steps that divide the hour or the day, so that points of neighbouring charts fall together.
_STEPS_US = tuple(
    [s * 1_000_000 for s in (1, 2, 5, 10, 15, 30)]
    + [m * _MINUTE_US for m in (1, 2, 5, 10, 15, 20, 30)]
    + [h * _HOUR_US for h in (1, 2, 3, 4, 6, 8, 12, 24)]
)
_DAY_US = 24 * _HOUR_US

Values = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What one device reported, drawn ready.

    Attributes
    ----------
    time : int64[n]
        Start of each step (or time of each reading when `step_s` is 0), microseconds UTC.
    step_s : float
        Length of a step in seconds; 0 means the readings themselves.
    values : dict of quantity to (low, mean, high)
        float32[n] each (float64 for registers), NaN where nothing was reported. Of a register,
        low and high are its first and last value in the step and the mean lies halfway.
    """

    time: NDArray[np.int64]
    step_s: float
    values: Mapping[str, Values]


@dataclass(slots=True, eq=False)
class _Piece:
    """Rows of one source: time int64[n]; for each quantity low, mean, high float64[n], count."""

    time: NDArray[np.int64]
    columns: dict[str, tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]]


def series(
    database: Database,
    device: str,
    quantities: Sequence[str],
    start_us: int,
    end_us: int,
    *,
    max_points: int = MAX_POINTS,
    realm: str = "live",
) -> Series:
    """Quantities of one device from `start_us` (included) to `end_us` (not included).

    Raises BadInput for an unknown quantity or an empty span. A device never heard of gives an
    empty series: it may be new.
    """
    wanted = [_quantity(name) for name in dict.fromkeys(quantities)]
    if end_us <= start_us or max_points < 1:
        raise BadInput("the span of a chart is empty", fix="Give an end after the start.")
    step = _step(end_us - start_us, max_points)
    with database.connection() as connection:
        row = connection.execute(queries("series")["device_key"], [device]).fetchone()
        realm_key = find_realm(connection, realm)
        if row is None or realm_key is None or not wanted:
            nothing = _fold([], wanted, 0)
            return Series(nothing[0], 0.0, nothing[1])
        source = _Source(connection, realm_key, int(row[0]), wanted)
        pieces = source.pieces(start_us, end_us, step)
    if step < _5MIN_US and sum(p.time.size for p in pieces) <= max_points:
        step = 0
    time, values = _fold(pieces, wanted, step)
    return Series(time, step / 1e6, values)


def fold_readings(
    time: NDArray[np.int64],
    values: Mapping[str, NDArray[Any]],
    start_us: int,
    end_us: int,
    max_points: int = MAX_POINTS,
) -> Series:
    """Readings that are at hand (time int64[n], values float[n]) as `series` would draw them."""
    step = 0 if time.size <= max_points else _step(end_us - start_us, max_points)
    wanted = [_quantity(name) for name in values]
    columns = {}
    for name, value in values.items():
        columns[name] = (value, value, value, (~np.isnan(value)).astype(np.int64))
    folded, found = _fold([_Piece(time, columns)], wanted, step)
    return Series(folded, step / 1e6, found)


def _quantity(name: str) -> Quantity:
    if name not in INDEX:
        raise BadInput(f"unknown quantity {name!r}", fix=f"Known are {', '.join(NAMES)}.")
    return QUANTITIES[INDEX[name]]


def _step(span_us: int, max_points: int) -> int:
    """The shortest of the steps with which a span has at most `max_points`."""
    for step in _STEPS_US:
        if span_us <= step * max_points:
            return step
    days = -(-span_us // (_DAY_US * max_points))
    return days * _DAY_US


@dataclass(slots=True)
class _Source:
    """Reads pieces of one device."""

    connection: Connection
    realm: int
    device: int
    wanted: Sequence[Quantity]

    def pieces(self, start_us: int, end_us: int, step: int) -> list[_Piece]:
        if step < _5MIN_US:
            return [self._readings(start_us, end_us)]
        # Summaries count whole: begin and end at the bounds of the hour or of five minutes.
        grain = _HOUR_US if step >= _HOUR_US else _5MIN_US
        low, high = start_us // grain * grain, -(-end_us // grain) * grain
        raw_hours = self._hours("dirty_hours", low, high)
        if grain == _5MIN_US:
            raw_hours += self._hours("sparse_hours", low, high)
        table = "reading_hour" if grain == _HOUR_US else "reading_5min"
        found = [self._summaries(table, low, high, raw_hours)]
        for first, last in _runs(sorted(set(raw_hours))):
            found.append(self._readings(max(first, start_us), min(last, end_us)))
        return found

    def _hours(self, query: str, low: int, high: int) -> list[int]:
        bounds = {
            "realm": self.realm,
            "device": self.device,
            "block": self.device // BLOCK,
            "low": moment(low // _HOUR_US * _HOUR_US),
            "high": moment(high),
            "sparse_max": SPARSE_MAX,
        }
        rows = self.connection.execute(queries("series")[query], bounds)
        return [micros(hour) for (hour,) in rows]

    def _readings(self, low: int, high: int) -> _Piece:
        names = [q.name for q in self.wanted]
        time, got = self._copy("readings", names, [column_kind(q) for q in self.wanted], low, high)
        columns = {}
        for q in self.wanted:
            value = got[q.name]
            count = (~np.isnan(value)).astype(np.int64)
            columns[q.name] = (value, value, value, count)
        return _Piece(time, columns)

    def _summaries(self, table: str, low: int, high: int, but: Sequence[int]) -> _Piece:
        names: list[str] = []
        kinds: list[str] = []
        for q in self.wanted:
            lowest, highest, mean, count = summary_columns(q)
            names += [n for n in (lowest, highest, mean) if n]
            kinds += [column_kind(q)] * (2 if q.double else 3)
            names.append(count)
            kinds.append("i4")
        time, got = self._copy(
            "summaries",
            names,
            kinds,
            low,
            high,
            table=sql.Identifier(table),
            but=sql.Literal([moment(h) for h in but]) + sql.SQL("::timestamptz[]"),
        )
        columns = {}
        for q in self.wanted:
            lowest, highest, mean, count = summary_columns(q)
            middle = got[mean] if mean else (got[lowest] + got[highest]) / 2
            columns[q.name] = (got[lowest], middle, got[highest], got[count].astype(np.int64))
        return _Piece(time, columns)

    def _copy(
        self,
        query: str,
        names: Sequence[str],
        kinds: Sequence[str],
        low: int,
        high: int,
        **parts: sql.Composable,
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Run a query as a binary COPY of rows of fixed width."""
        values = never_null(names, kinds)
        statement = queries("series").compose(
            query,
            values=values,
            realm=sql.Literal(self.realm),
            device=sql.Literal(self.device),
            low=sql.Literal(moment(low)),
            high=sql.Literal(moment(high)),
            present=sql.SQL(" OR ").join(
                sql.SQL("{} IS NOT NULL").format(sql.Identifier(n)) for n in names
            ),
            **parts,
        )
        got = copy_out(
            self.connection,
            statement,
            [("time", "i8"), *zip(names, kinds, strict=True)],
        )
        return got.pop("time") + binary.EPOCH_US, got


def _runs(hours: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Neighbouring hours joined to spans: one query instead of many."""
    first = last = None
    for hour in hours:
        if first is None or last is None:
            first, last = hour, hour + _HOUR_US
        elif hour == last:
            last = hour + _HOUR_US
        else:
            yield first, last
            first, last = hour, hour + _HOUR_US
    if first is not None and last is not None:
        yield first, last


def _fold(
    pieces: Sequence[_Piece], wanted: Sequence[Quantity], step: int
) -> tuple[NDArray[np.int64], dict[str, Values]]:
    """All pieces in one row of steps; step 0 keeps every row."""
    pieces = [p for p in pieces if p.time.size]
    if not pieces:
        return np.empty(0, np.int64), {
            q.name: (np.empty(0, q.dtype), np.empty(0, q.dtype), np.empty(0, q.dtype))
            for q in wanted
        }
    time = np.concatenate([p.time for p in pieces])
    order = np.argsort(time, kind="stable")
    time = time[order]
    if step:
        time = time // step * step
    first = np.ones(time.size, np.bool_)
    first[1:] = time[1:] != time[:-1]
    starts = np.flatnonzero(first)
    out: dict[str, Values] = {}
    for q in wanted:
        low, mean, high, count = (
            np.concatenate([p.columns[q.name][i] for p in pieces])[order] for i in range(4)
        )
        n = np.add.reduceat(count, starts)
        weighted = np.where(count > 0, mean.astype(np.float64) * count, 0.0)
        middle = np.full(starts.size, np.nan)
        np.divide(np.add.reduceat(weighted, starts), n, out=middle, where=n > 0)
        out[q.name] = (
            np.fmin.reduceat(low, starts).astype(q.dtype),
            middle.astype(q.dtype),
            np.fmax.reduceat(high, starts).astype(q.dtype),
        )
    return time[starts], out
