"""Rows of a query straight into numpy arrays, by a binary COPY of rows of fixed width."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from grid.quantities import NAMES, QUANTITIES, Quantity
from grid.readings import ReadingBatch
from storage import binary
from storage.database import Connection

_ABSENT = {"f4": "'NaN'::real", "f8": "'NaN'::float8", "i4": "0", "i8": "-1"}
_READING = (("device", "i4"), ("time", "i8"), ("received", "i8"), ("seq", "i8"), ("quality", "i4"))


def copy_out(
    connection: Connection, statement: sql.Composable, columns: Sequence[tuple[str, str]]
) -> dict[str, NDArray[Any]]:
    """The rows of a SELECT without NULLs; (name, numpy type) of each column, in order.

    Times come as PostgreSQL counts them: add `binary.EPOCH_US`.
    """
    wrapped = sql.SQL("COPY ({}) TO STDOUT (FORMAT binary)").format(statement)
    with connection.cursor() as cursor, cursor.copy(wrapped) as copy:
        return binary.unpack(copy, columns)


def column_kind(quantity: Quantity) -> str:
    """The numpy type of a quantity's column."""
    return "f8" if quantity.double else "f4"


def never_null(names: Sequence[str], kinds: Sequence[str]) -> sql.Composed:
    """Columns with NaN (or 0, or -1) in place of NULL, so that every row is equally wide."""
    return sql.SQL(", ").join(
        sql.SQL("COALESCE({}, " + _ABSENT[kind] + ")").format(sql.Identifier(name))
        for name, kind in zip(names, kinds, strict=True)
    )


def reading_columns() -> sql.Composed:
    """The columns that `copy_readings` expects of a table like `reading`."""
    kinds = [column_kind(q) for q in QUANTITIES]
    return sql.SQL("device, time, received, COALESCE(seq, -1), quality, ") + never_null(
        NAMES, kinds
    )


def copy_readings(
    connection: Connection, statement: sql.Composable, names: dict[int, str]
) -> ReadingBatch:
    """A batch of the rows of a SELECT of `reading_columns`; quantities nobody reported are left
    out.

    Parameters
    ----------
    names
        Device names by database key, complete for the rows selected.
    """
    columns = [*_READING, *((q.name, column_kind(q)) for q in QUANTITIES)]
    got = copy_out(connection, statement, columns)
    if not got["time"].size:
        return ReadingBatch.empty()
    keys, index = np.unique(got["device"], return_inverse=True)
    return ReadingBatch.of(
        [names[k] for k in keys.tolist()],
        index,
        got["time"] + binary.EPOCH_US,
        {n: got[n] for n in NAMES if not np.isnan(got[n]).all()},
        received=got["received"] + binary.EPOCH_US,
        seq=got["seq"],
        quality=got["quality"],
    )
