"""Readings and events back out of the database, in order of time, for rebuild and backtest."""

from collections.abc import Iterator

import numpy as np
from psycopg import sql

from grid.readings import ReadingBatch
from storage import binary
from storage.arrays import copy_out, copy_readings, reading_columns
from storage.database import Connection, Database
from storage.queries import queries
from storage.realms import find_realm
from storage.times import micros, moment

ROWS_WANTED = 100_000  # about one step; the span of a step is fitted to it
_SPAN_US = 3_600_000_000
_SPAN_MIN_US = 60_000_000
_SPAN_MAX_US = 24 * _SPAN_US
_EVENT = (
    ("device", "i4"),
    ("time", "i8"),
    ("received", "i8"),
    ("seq", "i8"),
    ("quality", "i4"),
    ("event", "i4"),
)


def read_back(
    database: Database, start_us: int, end_us: int, realm: str = "live"
) -> Iterator[ReadingBatch]:
    """Everything stored from `start_us` (included) to `end_us` (not included).

    Yields non-empty batches; readings and events are in order of event time within a batch and
    from batch to batch. At most a span of one day and, for a steady fleet, about 100,000 rows a
    batch; each batch is one short transaction, so a long reading holds nothing.
    """
    span = _SPAN_US
    low = start_us
    while low < end_us:
        high = min(low + span, end_us)
        with database.connection() as connection:
            realm_key = find_realm(connection, realm)
            if realm_key is None:
                return
            batch = _between(connection, realm_key, low, high)
            if not len(batch):
                high = _next_time(connection, realm_key, high, end_us)
        if len(batch):
            yield batch
        if len(batch) > 2 * ROWS_WANTED:
            span = max(span // 2, _SPAN_MIN_US)
        elif len(batch) < ROWS_WANTED // 2:
            span = min(span * 2, _SPAN_MAX_US)
        low = high


def stored_span(database: Database, realm: str = "live") -> tuple[int, int] | None:
    """Event time of the first and the last stored reading; None when there is none."""
    with database.connection() as connection:
        realm_key = find_realm(connection, realm)
        row = connection.execute(queries("fleet")["span"], {"realm": realm_key}).fetchone()
    if row is None or row[0] is None:
        return None
    return micros(row[0]), micros(row[1])


def _between(connection: Connection, realm: int, low_us: int, high_us: int) -> ReadingBatch:
    bounds = {
        "realm": sql.Literal(realm),
        "low": sql.Literal(moment(low_us)),
        "high": sql.Literal(moment(high_us)),
    }
    named = queries("fleet")
    got = copy_out(connection, named.compose("events_between", **bounds), _EVENT)
    names = {int(k): str(n) for k, n in connection.execute(queries("readings")["all_devices"])}
    statement = named.compose("readings_between", columns=reading_columns(), **bounds)
    readings = copy_readings(connection, statement, names)
    keys, index = np.unique(got["device"], return_inverse=True)
    events = ReadingBatch.of(
        [names[k] for k in keys.tolist()],
        index,
        got["time"] + binary.EPOCH_US,
        {},
        received=got["received"] + binary.EPOCH_US,
        seq=got["seq"],
        quality=got["quality"],
        event=got["event"],
    )
    # Events first where times are equal: the order of the dataset contract.
    return ReadingBatch.concat([events, readings]).sort()


def _next_time(connection: Connection, realm: int, low_us: int, end_us: int) -> int:
    """Where the next row after an empty span stands."""
    row = connection.execute(
        queries("fleet")["next_time"],
        {"realm": realm, "low": moment(low_us), "high": moment(end_us)},
    ).fetchone()
    return end_us if row is None or row[0] is None else micros(row[0])
