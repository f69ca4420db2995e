"""What the network really looks like: the bus and phase that a meter's voltage moves with.

A meter's voltage is that of its phase of its transformer minus a drop, so from one reading to
the next it moves as that phase does. The place of a meter is the one from which the *changes* of
its drop vary least. Changes, not levels: they are free of tap positions, cable length, season and
an offset of the meter, and one day of quarter-hours tells (99 % right, against 84 % by level).
"""

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F4, F8, I2, I8, kernel

Floats = NDArray[np.floating[Any]]

PAIRS_MIN: Final = 48  # changes seen in common before a variance is believed
NOISE_V2: Final = 1e-4  # variance of a change that rounding alone leaves
BLOCK: Final = 16
FIRST_PAIRS: Final = 48


@kernel("void(int16[:, ::1], int64, int16, float32, float32[:, ::1])")
def changes(ring: I2, first: int, missing: int, unit: float, out: F4) -> None:
    """Changes of voltage from one column of time to the next; NaN where either is missing.

    ring : int16[k, n]   deviation from nominal in units of `unit` volt, a circle beginning at
                         row `first`; `missing` = not known
    out : float32[n, k - 1]   V
    """
    k, n = ring.shape
    nan = np.float32(np.nan)
    for begin in range(0, n, BLOCK):  # few enough that the rows written stay close by
        for t in range(k - 1):
            a = ring[(first + t) % k]
            b = ring[(first + t + 1) % k]
            for i in range(begin, min(begin + BLOCK, n)):
                change = np.float32(b[i]) * unit - np.float32(a[i]) * unit
                out[i, t] = nan if a[i] == missing or b[i] == missing else change


@kernel("void(float32[:, ::1], int64[::1], float32[::1])")
def median_change(moves: F4, rows: I8, out: F4) -> None:
    """float32[k]: median over some rows at every time, NaN where none is known."""
    held = np.empty(rows.size, np.float32)
    for t in range(moves.shape[1]):
        n = 0
        for j in range(rows.size):
            x = moves[rows[j], t]
            if x == x:
                held[n] = x
                n += 1
        out[t] = np.float32(np.nan)
        if n > 0:
            # Hoare's selection of the middle; of an even number the lower half's largest as well.
            middle = n // 2
            low, high = 0, n - 1
            while low < high:
                pivot = held[middle]
                i, j = low, high
                while i <= j:
                    while held[i] < pivot:
                        i += 1
                    while held[j] > pivot:
                        j -= 1
                    if i <= j:
                        x = held[i]
                        held[i] = held[j]
                        held[j] = x
                        i += 1
                        j -= 1
                if j < middle:
                    low = i
                if middle < i:
                    high = j
            below = held[middle]
            if n % 2 == 0:
                below = held[0]
                for i in range(1, middle):
                    below = max(below, held[i])
            out[t] = (below + held[middle]) * np.float32(0.5)


@kernel("float64(float32[::1])")
def _limit(d: F4) -> float:
    """Ten times the usual change, at least 1 V."""
    total = 0.0
    number = 0
    for t in range(d.size):
        if d[t] == d[t]:
            total += min(float(d[t]) * float(d[t]), 25.0)
            number += 1
    return max(10.0 * math.sqrt(total / number), 1.0) if number > 0 else 10.0


@kernel("void(float32[:, ::1], float32[:, ::1], float64[::1], float64[:, ::1], int64[:, ::1])")
def _compare(meters: F4, references: F4, bound: F8, variance: F8, pairs: I8) -> None:
    """`drop_variance` into given arrays."""
    n, k = meters.shape
    m = references.shape[0]
    by_time = np.empty((k, m))
    for r in range(m):
        limit = _limit(references[r])
        for t in range(k):
            y = float(references[r, t])
            by_time[t, r] = y if abs(y) <= limit else np.nan
    total = np.empty(m)
    seen = np.empty(m)
    own = np.empty(k)
    for i in range(n):
        limit = _limit(meters[i])
        total.fill(0.0)
        seen.fill(0.0)
        for t in range(k):
            own[t] = meters[i, t] if abs(meters[i, t]) <= limit else np.nan
        # All references together for a while, then only those that may still come below.
        most = (bound[i] - NOISE_V2) * k * (1.0 + 1e-9)
        first = min(FIRST_PAIRS, k) if bound[i] < np.inf else k
        for t in range(first):
            x = own[t]
            if x != x:
                continue
            for r in range(m):  # references side by side: no sum waits for another
                d = x - by_time[t, r]
                there = d == d
                total[r] += d * d if there else 0.0
                seen[r] += 1.0 if there else 0.0
        for r in range(m):
            for t in range(first, k):
                if total[r] > most:
                    seen[r] = 0.0
                    break
                d = own[t] - by_time[t, r]
                if d == d:
                    total[r] += d * d
                    seen[r] += 1.0
            pairs[i, r] = int(seen[r])
            variance[i, r] = total[r] / seen[r] + NOISE_V2 if seen[r] >= PAIRS_MIN else np.inf


def drop_variance(
    meters: Floats, references: Floats, bound: Floats | None = None
) -> tuple[Floats, NDArray[np.int64]]:
    """Mean square change of the drop of each meter below each reference, and pairs seen.

    Parameters
    ----------
    meters : float[n, k], references : float[r, k]   changes of voltage, volt; NaN missing

    Returns
    -------
    float64[n, r] volt squared, inf where fewer than `PAIRS_MIN` pairs; int64[n, r]

    What is certainly above `bound` (float64[n], volt squared) may be inf with 0 pairs as well.

    Changes beyond ten times the reference's usual one are cut: a lost supply or a spike is no
    evidence of place.
    """
    x, y = (np.ascontiguousarray(a, np.float32) for a in (meters, references))
    shape = len(x), len(y)
    variance, pairs = np.empty(shape), np.empty(shape, np.int64)
    most = np.full(len(x), np.inf) if bound is None else np.ascontiguousarray(bound, np.float64)
    _compare(x, y, most, variance, pairs)
    return variance, pairs


def places(variance: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The best reference of each meter, -1 for none, and how clear it is.

    The ratio is the variance of the drop's changes there over that of the next best: 0 is certain,
    1 no better. Needs two references or more.
    """
    best = variance.argmin(1)
    two = np.partition(variance, 1, axis=1)[:, :2]
    with np.errstate(invalid="ignore"):
        ratio = np.where(np.isfinite(two[:, 1]), two[:, 0] / two[:, 1], 0.0)
    return np.where(np.isfinite(two[:, 0]), best, -1), ratio
