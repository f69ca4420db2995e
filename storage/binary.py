"""PostgreSQL's binary COPY stream, made from and turned into numpy arrays.

A row of the stream is a field count, then for each field its length and its bytes, everything
big-endian; NULL is length -1 without bytes. All our fields but the leading two-byte realm are 4
or 8 bytes wide, so a row is a line of 32-bit words: rows are laid out as one matrix of words, and
the words of NULL fields are left out by one mask. No Python object is made for a row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# PostgreSQL counts microseconds from 2000-01-01 UTC.
EPOCH_US = 946_684_800_000_000

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = np.uint32(0xFFFFFFFF)


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """One column to send: 4- or 8-byte values, and where they are NULL (None: nowhere)."""

    values: NDArray[Any]
    null: NDArray[np.bool_] | None = None

    @property
    def words(self) -> int:
        return self.values.dtype.itemsize // 4


def timestamps(time_us: NDArray[np.int64]) -> Field:
    """Microseconds since 1970 as `timestamptz`."""
    return Field(time_us - EPOCH_US)


def floats(values: NDArray[Any]) -> Field:
    """A quantity as `real` or `double precision`; NaN is sent as NULL."""
    null = np.isnan(values)
    return Field(values, null if null.any() else None)


def pack(realm: int, fields: Sequence[Field]) -> bytes:
    """The stream of rows (realm int2, *fields).

    Raises ValueError when columns differ in length or a type is not 4 or 8 bytes wide.

    >>> len(pack(1, [Field(np.array([7, 8], np.int32))]))
    53
    """
    n = fields[0].values.size
    for f in fields:
        if f.values.shape != (n,) or f.words not in (1, 2):
            raise ValueError(f"field of {f.values.dtype}{list(f.values.shape)} among {n} rows")
    width = 2 + sum(1 + f.words for f in fields)
    rows = np.empty((n, width), ">u4")
    # Field count, length 2 and the realm itself: 2 + 4 + 2 bytes, two words.
    rows[:, 0] = (len(fields) + 1) << 16
    rows[:, 1] = 2 << 16 | realm
    keep: NDArray[np.bool_] | None = None
    if any(f.null is not None for f in fields):
        keep = np.ones((n, width), np.bool_)
    at = 2
    for f in fields:
        rows[:, at] = f.values.dtype.itemsize
        bits = np.ascontiguousarray(f.values, f.values.dtype.newbyteorder("=")).view(np.uint32)
        if f.words == 1:
            rows[:, at + 1] = bits
        else:
            rows[:, at + 1] = bits[1::2]  # the high half first
            rows[:, at + 2] = bits[0::2]
        if f.null is not None and keep is not None:
            rows[f.null, at] = _NULL
            keep[:, at + 1 : at + 1 + f.words] = ~f.null[:, None]
        at += 1 + f.words
    body = rows if keep is None else rows[keep]
    return b"".join((_SIGNATURE, body.tobytes(), _TRAILER))


def unpack(blocks: Iterable[Any], columns: Sequence[tuple[str, str]]) -> dict[str, NDArray[Any]]:
    """The arrays of a stream whose fields are never NULL.

    Parameters
    ----------
    blocks
        What `cursor.copy()` yields.
    columns
        (name, numpy type) of each field, e.g. ("device", "i4"); the query must COALESCE so that
        every row has the same width.
    """
    data = b"".join(blocks)
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns:
        layout += [(f"length {name}", ">i4"), (name, f">{kind}")]
    dtype = np.dtype(layout)
    n, left = divmod(len(data) - len(_SIGNATURE) - len(_TRAILER), dtype.itemsize)
    if left or not data.startswith(_SIGNATURE[:11]):
        raise ValueError(f"{len(data)} bytes are not a COPY stream of rows of {dtype.itemsize}")
    rows = np.frombuffer(data, dtype, n, len(_SIGNATURE))
    return {name: rows[name].astype(kind) for name, kind in columns}
