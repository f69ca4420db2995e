"""Leakage told apart from what a bad neutral or an overload sends through the earth.

What returns through the earth is proportional to the neutral's current, what leaks is there without
it: the square of the residual current is a line on the square of the neutral's, and where that
begins is the square of the leakage. Pure functions of sums; `supply.py` keeps and judges them.
"""

import math
from typing import Final

from detectors.compiled import F8

APART_HOURS: Final = 24.0  # of readings are summed up
APART_A: Final = 0.12
APART_CURRENT_A: Final = 4.0
APART_SIGMA: Final = 4.0
COHERENT: Final = 3.0  # readings in a row tell less than so many apart would


def told_of_leakage(x: float, y: float) -> tuple[float, ...]:
    """What one reading adds to the sums of `leak_at_no_current`.

    What returns through a bad contact strays in proportion to itself: readings with little
    neutral current tell most.
    """
    w = 1.0 / (1.0 + x / (APART_CURRENT_A * APART_CURRENT_A)) ** 2
    return 1.0, w, w * x, w * y, w * x * x, w * x * y, w * y * y


def leak_at_no_current(sums: F8) -> tuple[float, float]:
    """(leakage, A; standard error of its square, A^2) from sums of 1, w, wx, wy, wxx, wxy, wyy.

    x is the square of the neutral's current, y that of the residual current, w the weight of a
    reading; (0, inf) while x has not moved.
    """
    n, w, sx, sy, sxx, sxy, syy = sums.tolist()
    spread = sxx - sx * sx / w if n >= 4.0 else 0.0
    if not spread > 1e-6:
        return 0.0, math.inf
    slope = max((sxy - sx * sy / w) / spread, 0.0)
    begins = (sy - slope * sx) / w
    left = syy - sy * sy / w - slope * slope * spread
    variance = COHERENT * max(left, 1e-9) / max(n - 2.0, 1.0)
    return math.sqrt(max(begins, 0.0)), math.sqrt(variance * (1.0 / w + (sx / w) ** 2 / spread))
