"""Readings of one step, sorted by device and time, with rows of the same key made one.

Pure arrays. A device may send a row twice (redelivery) or in parts (one message a quantity): parts
fill each other's holes; where both have a value and the values differ, the first one to arrive
stays and the later row is a conflict to be recorded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.readings import ReadingBatch

TIME_LOW_US = 631_152_000_000_000  # 1990-01-01
TIME_HIGH_US = 4_102_444_800_000_000  # 2100-01-01


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Readings ready to be stored; `device` holds database keys, quantities somebody reported."""

    device: NDArray[np.int32]
    time: NDArray[np.int64]
    received: NDArray[np.int64]
    seq: NDArray[np.int64]
    quality: NDArray[np.int32]
    values: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return int(self.time.size)

    def select(self, which: Any) -> "Rows":
        """The rows of a mask, slice or index array."""
        return Rows(
            self.device[which],
            self.time[which],
            self.received[which],
            self.seq[which],
            self.quality[which],
            {k: v[which] for k, v in self.values.items()},
        )

    def row_values(self, i: int) -> dict[str, float]:
        """What row `i` reports, for messages and conflict records."""
        return {k: float(v[i]) for k, v in self.values.items() if not np.isnan(v[i])}


@dataclass(frozen=True, slots=True)
class Conflict:
    """A row that differs from the one already there."""

    device: int
    time_us: int
    received_us: int
    arrived: Mapping[str, float]
    stored: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """Rows with distinct keys, and what was folded into them."""

    rows: Rows
    duplicates: int
    conflicts: tuple[Conflict, ...]


def sound_time(time: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool[n]: between 1990 and 2100; other times are a broken clock.

    A time far away would be stored, but as a table chunk of its own.
    """
    return (time >= TIME_LOW_US) & (time < TIME_HIGH_US)


def merge(readings: ReadingBatch, key: NDArray[np.int32]) -> Merged:
    """Sort by (device, time) and fold rows of the same key.

    Parameters
    ----------
    readings
        Rows that carry values, in order of arrival, with sound times.
    key : int32[n]
        Database key of each row's device.
    """
    order = np.lexsort((readings.time, key))  # stable: equal keys stay in order of arrival
    values = {k: v[order] for k, v in readings.values.items() if not np.isnan(v).all()}
    rows = Rows(
        key[order],
        readings.time[order],
        readings.received[order],
        readings.seq[order],
        readings.quality[order].astype(np.int32),
        values,
    )
    again = np.zeros(len(rows), np.bool_)
    again[1:] = (rows.device[1:] == rows.device[:-1]) & (rows.time[1:] == rows.time[:-1])
    if not again.any():
        return Merged(rows, 0, ())
    merged, conflicts = _fold(rows, again)
    return Merged(merged, int(again.sum()), conflicts)


def _fold(rows: Rows, again: NDArray[np.bool_]) -> tuple[Rows, tuple[Conflict, ...]]:
    """Fold each repeated row into the first of its key."""
    index = np.arange(len(rows))
    leader = np.maximum.accumulate(np.where(again, 0, index))
    rank = index - leader
    values = {k: v.copy() for k, v in rows.values.items()}
    conflicts: list[Conflict] = []
    for r in range(1, int(rank.max()) + 1):
        late = index[rank == r]
        first = leader[late]
        # NaN differs from everything; what counts is two numbers that differ.
        differs = np.zeros(late.size, np.bool_)
        for v in values.values():
            both = ~np.isnan(v[late]) & ~np.isnan(v[first])
            differs |= both & (v[late] != v[first])
        for i, f in zip(late[differs].tolist(), first[differs].tolist(), strict=True):
            stored = {k: float(v[f]) for k, v in values.items() if not np.isnan(v[f])}
            conflicts.append(
                Conflict(
                    int(rows.device[i]),
                    int(rows.time[i]),
                    int(rows.received[i]),
                    rows.row_values(i),
                    stored,
                )
            )
        fine, into = late[~differs], first[~differs]
        for v in values.values():
            v[into] = np.where(np.isnan(v[into]), v[fine], v[into])
    whole = Rows(rows.device, rows.time, rows.received, rows.seq, rows.quality, values)
    return whole.select(~again), tuple(conflicts)
