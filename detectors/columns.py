"""What most families ask of a frame, side by side.

A device's row in a frame is a cache line, of which most families want one voltage and one current.
Gathered once a frame, these few columns lie closely: a pass over the fleet then moves a tenth of
the memory, and neighbours are judged several a step of the processor.
"""

from typing import Final

import numpy as np

from detectors.compiled import F4, F8, I4, I8, kernel
from detectors.currents import phase_current
from detectors.layout import CHANNEL

V, AMP, P = CHANNEL["v_a"], CHANNEL["i_a"], CHANNEL["p"]
LANES: Final = 4


@kernel(
    "int64(float32[:, ::1], int64[:, ::1], int32[::1], int32[::1], float64[::1], int64[::1],"
    "float32[::1], float32[::1], float32[::1], float32[::1], float64[::1])"
)
def gather(
    values: F4,
    words: I8,
    first: I4,
    offsets: I4,
    nominal: F8,
    time: I8,
    v: F4,
    i: F4,
    p: F4,
    slot_v: F4,
    slot_i: F8,
) -> int:
    """Copy times, voltages, currents and powers out of a frame; see `Frame` for what they are.

    values : float32[n, 16], words : int64[n, 8]   the same memory; first : int32[n + 1]
    Returns how many devices tell of a phase that they are not held to have.
    """
    # Indexes are unsigned: numba looks at each signed one whether it counts from the end.
    beyond = 0
    for a in range(offsets.size - 1):
        for k in range(np.uint32(offsets[a]), np.uint32(offsets[a + 1])):
            row = values[k]
            at = np.uint32(first[k])
            width = np.uint32(first[k + np.uint32(1)]) - at
            time[k] = words[k, 0]
            v[k] = row[V]
            i[k] = row[AMP]
            p[k] = row[P]
            for c in range(width):
                slot_v[at + c] = row[V + c]
                slot_i[at + c] = phase_current(values, k, c, nominal[a])
            if width == 1:
                beyond += (row[V + 1] == row[V + 1]) | (row[V + 2] == row[V + 2])
    return beyond


@kernel("Tuple((float64, int64))(float32[::1], int64, int64, float64, float64)")
def sum_within(x: F4, begin: int, end: int, low: float, high: float) -> tuple[float, int]:
    """Sum and number of the values between two bounds; what is not a number is not.

    Four sums side by side, as none need wait for another; always the same four, so that every
    processor gives the same sum.
    """
    a = b = c = d = 0.0
    number = 0
    whole = begin + (end - begin) // LANES * LANES
    for k in range(begin, whole, LANES):
        w, y, z, u = float(x[k]), float(x[k + 1]), float(x[k + 2]), float(x[k + 3])
        a += w if (w > low) & (w < high) else 0.0
        b += y if (y > low) & (y < high) else 0.0
        c += z if (z > low) & (z < high) else 0.0
        d += u if (u > low) & (u < high) else 0.0
    for k in range(whole, end):
        w = float(x[k])
        a += w if (w > low) & (w < high) else 0.0
    for k in range(begin, end):
        number += (x[k] > low) & (x[k] < high)
    return (a + b) + (c + d), number
