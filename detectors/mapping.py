"""What the network really looks like: the bus and phase that a meter's voltage moves with.

A meter's voltage is that of its phase of its transformer minus a drop, so from one reading to
the next it moves as that phase does. The place of a meter is the one from which the *changes* of
its drop vary least. Changes, not levels: they are free of tap positions, cable length, season and
an offset of the meter, and one day of quarter-hours tells (99 % right, against 84 % by level).
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F4, F8, I1, I2, I4, I8, kernel

Floats = NDArray[np.floating[Any]]

PAIRS_MIN: Final = 48  # changes seen in common before a variance is believed
NOISE_V2: Final = 1e-4  # variance of a change that rounding alone leaves
PHASES: Final = 3
LABELLED_MIN: Final = 4  # meters of a phase whose median stands for it
NO_TRANSFORMER: Final = -2  # instead of a monitor: of what nobody says where it hangs
STAGE: Final = 32  # pairs that all references are compared by together
FEW: Final = 16  # one reference of so many is left: they are compared to the end
SINGLE: Final = 1e-4  # more than a sum of so few in float32 is ever wrong by


@kernel("void(int16[:, ::1], int64, int16, float32, int64[::1], float32[:, ::1])")
def changes(ring: I2, first: int, missing: int, unit: float, rows: I8, out: F4) -> None:
    """Changes of voltage from one column of time to the next; NaN where either is missing.

    ring : int16[k, n]   deviation from nominal in units of `unit` volt, a circle beginning at
                         row `first`; `missing` = not known
    rows : int64[m]      of the n, those asked for
    out : float32[k - 1, m]   V
    """
    k = ring.shape[0]
    nan = np.float32(np.nan)
    for t in range(k - 1):
        a = ring[(first + t) % k]
        b = ring[(first + t + 1) % k]
        for j in range(rows.size):
            i = rows[j]
            change = np.float32(b[i]) * unit - np.float32(a[i]) * unit
            out[t, j] = nan if a[i] == missing or b[i] == missing else change


@kernel("void(int16[:, ::1], int64, int16, float32, int64, float32[:, ::1])")
def changes_beside(ring: I2, first: int, missing: int, unit: float, begin: int, out: F4) -> None:
    """`changes` of neighbours in the ring, `begin` and on: several a step of the processor."""
    k, n = ring.shape[0], out.shape[1]
    nan = np.float32(np.nan)
    for t in range(k - 1):
        a = ring[(first + t) % k, begin : begin + n]
        b = ring[(first + t + 1) % k, begin : begin + n]
        to = out[t]
        for j in range(n):
            change = np.float32(b[j]) * unit - np.float32(a[j]) * unit
            to[j] = nan if (a[j] == missing) | (b[j] == missing) else change


@kernel("void(float32[::1], float32[::1])")
def _in_order(a: F4, b: F4) -> None:
    """Put the smaller of two rows' values into row a and the larger into row b, at every time."""
    for t in range(a.size):
        x = a[t]
        y = b[t]
        low = y if y < x else x
        b[t] = x if y < x else y
        a[t] = low


@kernel("void(float32[:, ::1], int64[::1], float32[::1])", allocates=True)
def median_change(moves: F4, rows: I8, out: F4) -> None:
    """Median over some columns of float32[k, n] at every time, NaN where none is known.

    All times are sorted at once, by the fixed comparisons of a merge exchange sort (Batcher 1968;
    Knuth, volume 3, 5.2.2 M): they ask nothing of the data, so the processor takes several a step.
    """
    k, n = len(moves), rows.size
    held = np.empty((n, k), np.float32)
    known = np.zeros(k, np.int32)
    for j in range(n):
        line = held[j]
        for t in range(k):
            line[t] = moves[t, rows[j]]
        for t in range(k):
            there = line[t] == line[t]
            known[t] += there
            line[t] = line[t] if there else np.float32(np.inf)  # the unknown come last
    top = 1
    while top < n:
        top *= 2
    p = top // 2
    while p > 0:
        q, r, d = top // 2, 0, p
        while d > 0:
            for i in range(n - d):
                if i & p == r:
                    _in_order(held[i], held[i + d])
            d, q, r = q - p, q // 2, p
        p //= 2
    for t in range(k):
        m = known[t]
        out[t] = np.float32(np.nan)
        if m > 0:
            out[t] = (held[(m - 1) // 2, t] + held[m // 2, t]) * np.float32(0.5)


@kernel("void(float32[:, ::1])", allocates=True)
def cut(moves: F4) -> None:
    """Make changes beyond ten times a column's usual one, at least 1 V, unknown.

    A lost supply or a spike is no evidence of place. moves : float32[k, n], updated
    """
    k, n = moves.shape
    none, one, most, nan = np.float32(0), np.float32(1), np.float32(25), np.float32(np.nan)
    total = np.zeros(n, np.float32)
    number = np.zeros(n, np.float32)
    for t in range(k):
        row = moves[t]
        for j in range(n):
            square = row[j] * row[j]
            there = square == square
            capped = square if square < most else most
            total[j] += capped if there else none
            number[j] += one if there else none
    for j in range(n):
        bound = max(10.0 * math.sqrt(total[j] / number[j]), 1.0) if number[j] > 0.0 else 10.0
        total[j] = np.float32(bound)
    for t in range(k):
        row = moves[t]
        for j in range(n):
            row[j] = row[j] if abs(row[j]) <= total[j] else nan


@kernel("void(float32[:, ::1], float32[::1], float32[::1], float32[::1])")
def _squares(meters: F4, reference: F4, total: F4, seen: F4) -> None:
    """Sum of squared differences of every meter from a reference, and how many there are.

    meters : float32[k, n], reference : float32[k]; total, seen : float32[n]  out
    """
    none, one = np.float32(0.0), np.float32(1.0)
    total.fill(none)
    seen.fill(none)
    for t in range(reference.size):
        y = reference[t]
        if y == y:
            row = meters[t]
            for i in range(total.size):  # meters side by side: no sum waits for another
                d = row[i] - y
                there = d == d
                total[i] += d * d if there else none
                seen[i] += one if there else none


@kernel(
    "void(int16[:, ::1], int64, int16, float32, int32[::1], int32[::1], int8[::1],"
    "float32[:, :, ::1], float64[:, ::1], int64[:, ::1])",
    allocates=True,
)
def own_places(
    ring: I2,
    first: int,
    missing: int,
    unit: float,
    offsets: I4,
    monitor: I4,
    phase: I1,
    references: F4,
    variance: F8,
    pairs: I8,
) -> None:
    """Compare every row of every area with the phases of its own transformer.

    ring, first, missing, unit   see `changes`, with k columns of time
    offsets : int32[areas + 1]   rows of area a are offsets[a]:offsets[a + 1]
    monitor : int32[areas]       first of the three rows of the area's monitor; -1 for none,
                                 `NO_TRANSFORMER` where there is nothing to compare with
    phase : int8[n]              what a row is held to be on: 0, 1, 2, else not known
    references : float32[areas, 3, k - 1]   out: changes of each phase's bus, cut; NaN = no such
    variance : float64[n, 3]     out, V^2: mean square change of the drop below each phase, inf
                                 where fewer than `PAIRS_MIN` pairs; pairs : int64[n, 3]  out
    """
    k = ring.shape[0] - 1
    references.fill(np.nan)
    variance.fill(np.inf)
    pairs.fill(0)
    for a in range(monitor.size):
        if monitor[a] == NO_TRANSFORMER:
            continue
        begin, n = offsets[a], offsets[a + 1] - offsets[a]
        # One area at a time: the changes of a fleet are much memory.
        rows = np.arange(n)
        moves = np.empty((k, n), np.float32)
        changes_beside(ring, first, missing, unit, begin, moves)
        buses = np.empty((k, PHASES), np.float32)
        line = np.empty(k, np.float32)
        for c in range(PHASES):
            count = 0
            for j in range(n):
                if phase[begin + j] == c:
                    rows[count] = j
                    count += 1
            # The neighbours share more of the way than the monitor does, faults on it included.
            if count >= LABELLED_MIN:
                median_change(moves, rows[:count], line)
            for t in range(k):
                buses[t, c] = np.float32(np.nan)
                if count >= LABELLED_MIN:
                    buses[t, c] = line[t]
                elif monitor[a] >= 0:
                    buses[t, c] = moves[t, monitor[a] - begin + c]
        cut(buses)
        cut(moves)
        total = np.empty(n, np.float32)
        seen = np.empty(n, np.float32)
        for c in range(PHASES):
            for t in range(k):
                references[a, c, t] = buses[t, c]
            _squares(moves, references[a, c], total, seen)
            for j in range(n):
                enough = seen[j] >= PAIRS_MIN
                pairs[begin + j, c] = int(seen[j])
                variance[begin + j, c] = total[j] / seen[j] + NOISE_V2 if enough else np.inf


@kernel("int64(float32[::1], float32[:, ::1], int64, float64, float32[::1])")
def _stage(own: F4, by_time: F4, begin: int, most: float, total: F4) -> int:
    """Add squared differences of a meter over the pairs from `begin`; returns how many are left.

    own : float32[k], by_time : float32[k, m]; total : float32[m]  updated
    """
    for t in range(begin, min(begin + STAGE, own.size)):
        x = own[t]
        if x == x:
            for r in range(total.size):
                d = x - by_time[t, r]
                total[r] += d * d if d == d else np.float32(0.0)
    left = 0
    for r in range(total.size):
        left += total[r] * (1.0 - SINGLE) <= most
    return left


@kernel(
    "void(float32[:, ::1], float32[:, ::1], float64[::1], int64[::1], float64[:, ::1], int64[::1])",
    allocates=True,
)
def _find(meters: F4, references: F4, bound: F8, best: I8, least: F8, pairs: I8) -> None:
    """`nearest` of cut changes into given arrays.

    meters : float32[k, n], references : float32[m, k]
    least : float64[n, 2]   smallest variance and the next
    """
    k, n = meters.shape
    m = len(references)
    by_time = np.empty((k, m), np.float32)
    for t in range(k):
        for r in range(m):
            by_time[t, r] = references[r, t]
    rough = np.empty(m, np.float32)
    own = np.empty(k, np.float32)
    for i in range(n):
        # All references together for a while, then only those that may still come below.
        most = (bound[i] - NOISE_V2) * k * (1.0 + 1e-9)
        rough.fill(0.0)
        for t in range(k):
            own[t] = meters[t, i]
        if bound[i] < np.inf:
            begin = 0
            while begin < k and _stage(own, by_time, begin, most, rough) * FEW > m:
                begin += STAGE
        best[i] = -1
        least[i, 0] = least[i, 1] = np.inf
        pairs[i] = 0
        for r in range(m):
            if rough[r] * (1.0 - SINGLE) > most:
                continue
            total = 0.0
            seen = 0
            for t in range(k):
                d = np.float64(own[t]) - np.float64(references[r, t])
                if d == d:
                    total += d * d
                    seen += 1
                    if total > most:
                        seen = 0
                        break
            x = total / seen + NOISE_V2 if seen >= PAIRS_MIN else np.inf
            if x < least[i, 0]:
                least[i, 1] = least[i, 0]
                least[i, 0] = x
                best[i] = r
                pairs[i] = seen
            elif x < least[i, 1]:
                least[i, 1] = x


@dataclass(frozen=True, slots=True)
class Nearest:
    """Where each of n meters fits best among some references.

    reference : int64[n], -1 for none; variance : float64[n]  V^2, mean square change of the drop;
    ratio : float64[n]  of that to the next best: 0 is certain, 1 no better; pairs : int64[n]
    """

    reference: NDArray[np.int64]
    variance: Floats
    ratio: Floats
    pairs: NDArray[np.int64]


def nearest(meters: NDArray[np.float32], references: NDArray[np.float32], bound: Floats) -> Nearest:
    """The places among thousands of references.

    meters : float32[k, n], references : float32[m, k]   changes of voltage, V, `cut`
    bound : float64[n]   V^2: what is certainly above it is not looked at to the end
    """
    n = meters.shape[1]
    best, pairs, least = np.empty(n, np.int64), np.empty(n, np.int64), np.empty((n, 2))
    _find(meters, references, np.ascontiguousarray(bound, np.float64), best, least, pairs)
    return Nearest(best, least[:, 0], _ratio(least), pairs)


def places(variance: Floats, pairs: NDArray[np.int64]) -> Nearest:
    """The best of a few references: float[n, m], int64[n, m], m at least 2."""
    best = variance.argmin(1)
    two = np.partition(variance, 1, axis=1)[:, :2]
    found = np.where(np.isfinite(two[:, 0]), best, -1)
    return Nearest(found, two[:, 0], _ratio(two), pairs[np.arange(len(best)), best])


def _ratio(two: Floats) -> Floats:
    """Smallest to next best; of a single place 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(two[:, 1]), two[:, 0] / two[:, 1], 0.0)
