"""Recognise what a device has sent before: a redelivery, or two values for one time.

The memory is a short ring of (time, fingerprint) a device: redelivery repeats what came just
before. Older repeats are found by the key in storage; here they only cost it a slower path.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from grid.quantities import INDEX
from ingest.rows import Rows

RING: Final = 8
_PRIMES: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_EVENT_CODES: Final = 16  # more than there are


class Repeats:
    """Bounded memory of `n_devices` devices; a row counts as seen as soon as `find` met it.

    A caller that cannot make the found rows durable must hold them, not forget them.
    """

    def __init__(self, n_devices: int) -> None:
        self._time = np.full((n_devices, RING), np.iinfo(np.int64).min, np.int64)
        self._print = np.zeros((n_devices, RING), np.uint64)
        self._next = np.zeros(n_devices, np.uint8)

    def find(
        self, place: NDArray[np.int32], rows: Rows
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(repeat, conflict), bool[n]: the same row again; another reading for a time seen.

        Parameters
        ----------
        place : int32[n]    the device's place in the network
        rows : Rows         in order of arrival
        """
        prints = fingerprints(rows)
        # Events share times with readings and each other: their keys are negative, one a code.
        time = np.where(rows.event == 0, rows.time, -(rows.time * _EVENT_CODES + rows.event))
        seen = self._time[place] == time[:, None]
        same = seen & (self._print[place] == prints[:, None])
        repeat = same.any(axis=1)
        conflict = seen.any(axis=1) & ~repeat & (rows.event == 0)

        repeats_within(place, time, prints, rows.event, repeat, conflict)
        self._remember(place, time, prints, ~repeat)
        return repeat, conflict

    def _remember(
        self,
        place: NDArray[np.int32],
        time: NDArray[np.int64],
        prints: NDArray[np.uint64],
        new: NDArray[np.bool_],
    ) -> None:
        at = np.flatnonzero(new)
        if not at.size:
            return
        order = at[np.argsort(place[at], kind="stable")]
        device = place[order]
        first = np.r_[True, device[1:] != device[:-1]]
        start = np.maximum.accumulate(np.where(first, np.arange(order.size), 0))
        rank = np.arange(order.size) - start
        slot = (self._next[device] + rank) % RING
        # Of more than RING rows a device the later ones win: numpy assigns in order.
        self._time[device, slot] = time[order]
        self._print[device, slot] = prints[order]
        last = np.r_[first[1:], True]
        self._next[device[last]] = (slot[last] + 1) % RING


def repeats_within(
    place: NDArray[np.int32],
    key: NDArray[np.int64],
    prints: NDArray[np.uint64],
    event: NDArray[np.uint8],
    repeat: NDArray[np.bool_],
    conflict: NDArray[np.bool_],
) -> None:
    """Mark rows that repeat, or contradict, an earlier row of the same device and key.

    Rows in order of arrival; `repeat` and `conflict` hold what is known from before, updated.
    """
    order = np.lexsort((key, place))  # stable: rows of equal keys stay in order
    device, key = place[order], key[order]
    again = np.r_[False, (device[1:] == device[:-1]) & (key[1:] == key[:-1])][: order.size]
    # They are few, so a plain loop over the runs of equal keys.
    met: set[int] = set()
    for k in np.flatnonzero(again | np.r_[again[1:], False][: order.size]).tolist():
        i = int(order[k])
        if not again[k]:
            met = set()
        mark = int(prints[i])
        if mark in met:
            repeat[i] = True
            conflict[i] = False
        elif again[k] and not repeat[i] and event[i] == 0:
            conflict[i] = True
        met.add(mark)


def fingerprints(rows: Rows) -> NDArray[np.uint64]:
    """uint64[n]: equal for rows with equal values and event; NaN counts as "not reported".

    Arrival, sequence number and flags do not count: a meter that counts its resends still repeats.
    """
    out = np.zeros(len(rows), np.uint64)
    for name, column in rows.values.items():
        bits = np.where(np.isnan(column), 0.0, column + 0.0).view(np.uint64)
        # `+ 0.0` makes -0.0 and 0.0 one; absent and zero are kept apart by the added place.
        there = (~np.isnan(column)).astype(np.uint64) * np.uint64(INDEX[name] + 1)
        mixed = (bits ^ (bits >> np.uint64(29)) ^ there) * _PRIMES[0]
        mixed ^= mixed >> np.uint64(32)
        out += mixed * (_PRIMES[1] + np.uint64(2 * INDEX[name]))
    out ^= rows.event.astype(np.uint64) * _PRIMES[2]
    return out
