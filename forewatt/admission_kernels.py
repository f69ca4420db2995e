"""The rules of `ingest.checks` row by row, compiled: for the months of a dataset.

The collectors' own form works on whole columns and sorts each batch; compiled, rows can be taken
one by one as they arrived, at a tenth of the cost. A refused row needs no payload and no words
here, only to be counted. A test holds both forms to the same rows and flags.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F8, I4, I8, U1, U2, kernel
from grid.readings import Quality

RING: Final = 8  # readings a device that are remembered, to know repeats
EVENT_CODES: Final = 16
SURE: Final = 16  # readings after which a device's clock is judged
RISE: Final = 20  # a learned age rises by a twentieth of the time that passes
SALT: Final = 0x9E3779B97F4A7C15  # odd, and far from any pattern: Knuth's golden ratio

SKEW, LATE, DUPLICATE = int(Quality.CLOCK_SKEW), int(Quality.LATE), int(Quality.DUPLICATE)
ROLLBACK, OUT_OF_RANGE = int(Quality.ROLLBACK), int(Quality.OUT_OF_RANGE)
BACKFILL, REPLACES = int(Quality.BACKFILL), int(Quality.REPLACES)

# Rows of `learned`: age of the freshest reading, last and first arrival, newest keys.
FRESHEST, HEARD_US, KNOWN_US, NEWEST, NEWEST_EVENT = range(5)
N_LEARNED: Final = 5
# Columns of `limits`, microseconds.
FUTURE_US, SKEW_US, EARLIEST_US = range(3)

I8x3 = NDArray[np.int64]
U8 = NDArray[np.uint64]


@kernel(
    "void(float32[::1], float32[::1], float64, float64, float64[::1], int32[::1], uint8[::1],"
    "uint8[::1])",
    "void(float64[::1], float64[::1], float64, float64, float64[::1], int32[::1], uint8[::1],"
    "uint8[::1])",
    "void(float32[::1], float64[::1], float64, float64, float64[::1], int32[::1], uint8[::1],"
    "uint8[::1])",
)
def clean_column(
    column: NDArray[Any],
    out: NDArray[Any],
    low: float,
    high: float,
    factor: F8,
    place: I4,
    wrong: U1,
    left: U1,
) -> None:
    """One quantity on the primary side, impossible values as NaN.

    factor : float64[n_devices or 0]   primary to secondary; empty: values are primary
    wrong, left : uint8[n]             set where a value was impossible, where one is left
    """
    scaled = factor.size > 0
    for i in range(column.size):
        v = float(column[i])
        if scaled:
            v *= factor[place[i]]
        # NaN compares false both ways: what was not reported is not wrong.
        bad = (v < low) | (v > high)
        wrong[i] |= bad
        left[i] |= (v == v) & (not bad)
        out[i] = np.nan if bad else v


@kernel(
    "void(float32[::1], uint32[::1], uint64, uint64[::1])",
    "void(float64[::1], uint64[::1], uint64, uint64[::1])",
)
def mix_column(column: NDArray[Any], bits: NDArray[Any], salt: int, prints: U8) -> None:
    """Add one quantity to the rows' fingerprints; NaN counts as "not reported".

    bits : the memory of `column` as whole numbers; salt : differs from quantity to quantity
    """
    for i in range(column.size):
        # -0.0 and 0.0 are one value.
        x = np.uint64(0) if column[i] == 0.0 else np.uint64(bits[i])
        x = (x ^ salt) * np.uint64(SALT)
        x = (x ^ (x >> np.uint64(32))) * salt
        prints[i] += x if column[i] == column[i] else np.uint64(0)


@kernel(
    "int64(int64[::1], int64[::1], uint16[::1], uint8[::1], int32[::1], uint8[::1], uint8[::1],"
    "uint64[::1], int64[::1], int64[::1], int64[:, ::1], uint8[::1], int64[:, :, ::1],"
    "uint8[::1], uint8[::1], uint8[::1], uint8[::1])"
)
def meet_rows(
    time: I8,
    received: I8,
    quality: U2,
    event: U1,
    place: I4,
    wrong: U1,
    left: U1,
    prints: U8,
    limits: I8,
    late_us: I8,
    learned: I8,
    heard: U1,
    ring: I8x3,
    refused: U1,
    repeat: U1,
    conflict: U1,
    again: U1,
) -> int:
    """Judge times and compare each row with what its device sent before this batch.

    learned : int64[5, n_devices], heard : uint8[n_devices], updated
    ring : int64[n_devices, 8, 2]   key and fingerprint of the last rows
    quality : updated; refused, repeat, conflict : uint8[n]   out
    again : uint8[n_devices]        out: 1 = its keys do not rise, so it may repeat within the batch

    Returns the number of devices in `again`.
    """
    odd = 0
    for i in range(time.size):
        t, now, p = time[i], received[i], place[i]
        # There is no clock but arrival, and none before 1970.
        if t > max(now, 0) + limits[FUTURE_US] or t < limits[EARLIEST_US] or left[i] == 0:
            refused[i] = 1
            continue
        if wrong[i] != 0:
            quality[i] |= OUT_OF_RANGE
        age = now - t
        if age < -limits[SKEW_US]:
            quality[i] |= SKEW
        if age > late_us[p]:
            quality[i] |= LATE
        if quality[i] & BACKFILL == 0:
            fresh = learned[FRESHEST, p]
            last = learned[HEARD_US, p]
            if heard[p] > 0:
                span = last - learned[KNOWN_US, p]
                if heard[p] >= SURE and span > 4 * late_us[p] and fresh > late_us[p]:
                    quality[i] |= SKEW
                learned[FRESHEST, p] = min(age, fresh + min(now - last, late_us[p]) // RISE)
            else:
                learned[FRESHEST, p] = age
                learned[KNOWN_US, p] = now
            learned[HEARD_US, p] = max(now, last)
            heard[p] = min(heard[p] + 1, SURE)
        # Events share times with readings and each other: their keys are negative, one a code.
        key = t
        which = NEWEST
        if event[i] != 0:
            key = t * EVENT_CODES + event[i]
            which = NEWEST_EVENT
        if key > learned[which, p]:
            learned[which, p] = key
            continue
        if again[p] == 0:
            again[p] = 1
            odd += 1
        if event[i] != 0:
            key = -key
        seen = False
        same = False
        for k in range(RING):
            if ring[p, k, 0] == key:
                seen = True
                same = same or np.uint64(ring[p, k, 1]) == prints[i]
        repeat[i] = same
        conflict[i] = seen and not same and event[i] == 0
    return odd


@kernel(
    "int64(int64[::1], uint16[::1], uint8[::1], int32[::1], uint64[::1], uint8[::1], uint8[::1],"
    "uint8[::1], float64[::1], float64[::1], float64[:, ::1], int64[:, ::1], int64[:, :, ::1],"
    "uint8[::1])"
)
def keep_rows(
    time: I8,
    quality: U2,
    event: U1,
    place: I4,
    prints: U8,
    refused: U1,
    repeat: U1,
    conflict: U1,
    imported: F8,
    exported: F8,
    register: F8,
    register_us: I8,
    ring: I8x3,
    following: U1,
) -> int:
    """Remember the rows, flag registers that run back; returns how many are exact repeats.

    imported, exported : float64[n or 0]              energy registers, Wh
    register, register_us : [2, n_devices]            value and time of the newest; updated
    ring : int64[n_devices, 8, 2], following : uint8[n_devices]   next place in it; updated
    repeat : uint8[n]   in: met before; out: to be left out
    """
    repeats = 0
    for i in range(time.size):
        if refused[i] != 0:
            continue
        p = place[i]
        if conflict[i] != 0:
            quality[i] |= DUPLICATE
        if repeat[i] != 0:
            # A mended export may go back to a value that was seen before the last one.
            repeat[i] = quality[i] & REPLACES == 0
            repeats += repeat[i]
        else:
            k = following[p]
            ring[p, k, 0] = -(time[i] * EVENT_CODES + event[i]) if event[i] != 0 else time[i]
            ring[p, k, 1] = np.int64(prints[i])
            following[p] = (k + 1) % RING
        if repeat[i] != 0:
            continue
        for r in range(2):
            column = exported if r else imported
            if column.size == 0 or np.isnan(column[i]) or not time[i] > register_us[r, p]:
                continue  # late readings neither accuse nor are accused
            if column[i] < register[r, p]:
                quality[i] |= ROLLBACK
            register[r, p] = column[i]
            register_us[r, p] = time[i]
    return repeats
