"""The current of a phase, with its direction, from what a device tells of currents and powers."""

import math

from detectors.compiled import F4, kernel
from detectors.layout import CHANNEL

V, AMP, P, P_A = CHANNEL["v_a"], CHANNEL["i_a"], CHANNEL["p"], CHANNEL["p_a"]


@kernel("boolean(float32[:, ::1], uint32, uint32)")
def _feeds_in(values: F4, p: int, c: int) -> bool:
    """Whether phase slot c of a device that feeds in on the whole does so itself.

    Of three currents without direction and the sum of their powers: those directions are the
    likeliest that explain the sum best. One phase may draw while panels feed the others; one that
    is not told counts as none.
    """
    mine = float(values[p, V + c] * abs(values[p, AMP + c]))
    c = (c + 1) % 3
    other = float(values[p, V + c] * abs(values[p, AMP + c]))
    c = (c + 1) % 3
    third = float(values[p, V + c] * abs(values[p, AMP + c]))
    other = 0.0 if math.isnan(other) else other
    third = 0.0 if math.isnan(third) else third
    # What is drawn, by whom it is; never more than two phases' share, as all three feed in more.
    drawn = 0.5 * (float(values[p, P]) + mine + other + third)
    draws = min(abs(drawn - mine), min(abs(drawn - mine - other), abs(drawn - mine - third)))
    feeds = min(abs(drawn), abs(drawn - other))
    feeds = min(feeds, min(abs(drawn - third), abs(drawn - other - third)))
    return feeds <= draws


@kernel("float64(float32[:, ::1], uint32, uint32, float64)")
def phase_current(
    values: F4,
    p: int,
    c: int,
    nominal: float,
) -> float:
    """Current drawn in phase slot c of a device, A; negative when it feeds in; NaN unknown."""
    i = float(values[p, AMP + c])
    power = float(values[p, P_A + c])
    if math.isnan(power) and c == 0 and math.isnan(values[p, V + 1]):
        power = float(values[p, P])
    if math.isnan(i):
        if math.isnan(power):
            return math.nan
        v = float(values[p, V + c])
        return power / (nominal if math.isnan(v) or v < 0.5 * nominal else v)
    if power < 0.0 or (math.isnan(power) and values[p, P] < 0.0 and _feeds_in(values, p, c)):
        return -abs(i)
    return i
