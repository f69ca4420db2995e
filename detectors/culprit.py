"""Who counts too little: the odds of each meter of an area, against anybody else and nobody.

A meter that misses the share s of what its customer draws leaves k = s / (1 - s) of what it still
counts unmetered. So three things must fit one k: the changes of the excess are k times its own,
the excess is k times what it counts, and what it counts and the excess together are its usual
draw, as far from it as its days usually are. Where nobody does it, all three are left to chance.
Knows nothing of frames or findings.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.balance import (
    C_RP,
    CHANGE_HOURS,
    CULPRIT_HOURS,
    EXCESS,
    FROZEN,
    LONG,
    M_P,
    STRAYED,
    V_P,
    V_R,
)
from detectors.compiled import F8

SHARES: Final = np.array([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97])
NOISE: Final = 0.02  # of the excess's changes no meter explains: moments and losses are not exact
# The excess and what is counted now are means that still hold some hours from before it began.
LEVEL_DOUBT: Final = 0.7
DAY_DOUBT: Final = 0.2  # of its usual draw a day strays, before that has been seen,
DAY_DOUBT_W: Final = 5.0
HABITS: Final = 3.0  # and customers change their ways: no more than so much against one,
AWAY: Final = 5.0  # nor for one: at any time one in some hundred has gone away


def log_odds(area: F8, devices: NDArray[np.float64], monitor: int, step_h: float) -> F8:
    """Log odds of each device of an area against nobody, as many as they are considered.

    area : float64[20], devices : float64[n, 10]   states of `balance`; monitor : its row
    """
    excess, changes = max(float(area[EXCESS]), 1.0), float(area[V_R])
    seen_h = min(float(area[FROZEN]) * step_h, CULPRIT_HOURS)
    usual, now = devices[:, LONG], devices[:, M_P]
    out = np.full(usual.size, -np.inf)
    if changes <= 0.0:
        return out
    times = (SHARES / (1.0 - SHARES))[:, None]
    left = 1.0 - times * (2.0 * devices[:, C_RP] - times * devices[:, V_P]) / changes
    fits = (np.maximum(left, 0.0) + NOISE) / (1.0 + NOISE)
    moves = -0.5 * seen_h / CHANGE_HOURS[1] * np.log(fits)
    level = np.log(times * np.maximum(now, 1.0) / excess) / LEVEL_DOUBT
    # Drawn as usual with the excess counted to it, against as usual without.
    spread = devices[:, STRAYED] + np.square(DAY_DOUBT * usual) + DAY_DOUBT_W**2
    draws = 0.5 * excess * (2.0 * (usual - now) - excess) / spread
    total = (moves - 0.5 * level * level).max(axis=0) + np.clip(draws, -HABITS, AWAY)
    # A part of what is drawn is never less than nothing: panels feed in when they please.
    able = (now > 0.0) & (np.arange(usual.size) != monitor)
    out[able] = total[able] - math.log(max(usual.size - 1, 1))
    return out


def stands_out(odds: F8) -> tuple[int, float]:
    """(row, log odds) of the likeliest, against the next one or nobody."""
    best = int(np.argmax(odds))
    rest = max(float(np.delete(odds, best).max(initial=0.0)), 0.0)
    return best, float(odds[best]) - rest
