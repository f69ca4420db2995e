"""Columnar batches: `{"t": [...], "device": [...], "v_a": [...]}` to rows.

A batch of the plain form becomes arrays without a Python step a row; any other goes through
`slow_json`, so that one bad row is refused by itself.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import numpy as np

from grid.journal import Quarantined
from grid.quantities import NAMES
from ingest.rows import Origin, Rows, refusal, sequence_numbers, summed_up
from ingest.slow_json import BadPayload, BadRow, as_json, reading_of, rows_of_columns
from ingest.times import milliseconds_us, time_us

NUMBER: TypeAlias = float | None
TIME: TypeAlias = int | float | str
SEQUENCE: Any = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
NOT_PLAIN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Columns: Any = msgspec.defstruct(
    "_Columns",
    [
        ("t", TIME | list[TIME]),
        ("device", str | list[str]),
        ("seq", list[SEQUENCE | None] | None, None),
        *((name, list[NUMBER] | None, None) for name in NAMES),
    ],
    forbid_unknown_fields=True,
)
_read_columns: Callable[[bytes], Any] = msgspec.json.Decoder(_Columns).decode


def decode_columns(
    source: str, payload: bytes, received_us: int, rows_max: int
) -> tuple[Rows, list[Quarantined]]:
    """The rows of one batch payload, and what had to be refused of it."""
    origin = Origin(source, None, columns=True, message=payload)
    try:
        return _at_once(_read_columns(payload), received_us, rows_max, origin), []
    except (*NOT_PLAIN, ValueError):
        pass  # not an error yet: the careful way finds out what is wrong, and where
    try:
        given = rows_of_columns(payload, rows_max)
    except BadPayload as bad:
        return Rows.empty(), [refusal(source, str(bad), payload, received_us)]
    rows, refused = _row_by_row(source, given, received_us, origin)
    return rows, summed_up(refused, source, payload, received_us)


def _row_by_row(
    source: str, given: list[dict[str, Any]], received_us: int, origin: Origin
) -> tuple[Rows, list[Quarantined]]:
    fields, names, refused = [], [], []
    for place, row in enumerate(given):
        device = row.get("device")
        named = device if isinstance(device, str) else None
        try:
            if not named:
                raise BadRow("device is not a text", row)
            fields.append(reading_of(row, named))
            names.append(named)
        except BadRow as bad:
            alone = as_json({name: [value] for name, value in row.items()})
            refused.append(refusal(source, f"row {place}: {bad}", alone, received_us, named))
    if not fields:
        return Rows.empty(), refused
    index = {name: i for i, name in enumerate(dict.fromkeys(names))}
    rows = Rows.of(
        tuple(index),
        [index[name] for name in names],
        [time_us(f["t"]) for f in fields],
        {
            name: [f.get(name, np.nan) for f in fields]
            for name in NAMES
            if any(name in f for f in fields)
        },
        received=received_us,
        seq=[f.get("seq", -1) for f in fields],
        origins=(origin,),
    )
    return rows, refused


def _at_once(given: Any, received_us: int, rows_max: int, origin: Origin) -> Rows:
    """The whole batch without a look at single rows; raises ValueError when one is needed."""
    columns = {name: c for name in NAMES if (c := getattr(given, name)) is not None}
    lengths = {len(c) for c in (*columns.values(), given.t, given.device) if isinstance(c, list)}
    if given.seq is not None:
        lengths.add(len(given.seq))
    if len(lengths) != 1:
        raise ValueError("columns of unequal length, or none")
    (count,) = lengths
    if not 0 < count <= rows_max:
        raise ValueError("too many rows, or none")
    if isinstance(given.t, list):
        time = milliseconds_us(given.t)
        if time is None:
            time = np.fromiter(map(time_us, given.t), np.int64, count)
    else:
        time = np.full(count, time_us(given.t), np.int64)
    if isinstance(given.device, list):
        index = {name: i for i, name in enumerate(dict.fromkeys(given.device))}
        device = np.fromiter(map(index.__getitem__, given.device), np.int32, count)
    else:
        index = {given.device: 0}
        device = np.zeros(count, np.int32)
    return Rows(
        tuple(index),
        device,
        time,
        np.full(count, received_us, np.int64),
        np.full(count, -1, np.int64) if given.seq is None else sequence_numbers(given.seq, count),
        {name: np.array(column, np.float64) for name, column in columns.items()},
        np.zeros(count, np.uint8),
        np.zeros(count, np.uint16),
        np.zeros(count, np.int32),
        (origin,),
    )
