"""What a lone meter should read: from the transformer's voltages and currents, and its neighbours.

A meter without two others on its branch and phase (or of unknown place) has no sibling to be
compared with. Its voltage is followed as a line on what the transformer's monitor shows on all
three phases and on its own current, by recursive least squares: the phase it hangs on, what the
neutral adds and the resistance of its service come out by themselves. Without its own current
among them, the monitor's would take its place, and half of a joint that heats would be explained
away. A meter's clock may be behind the monitor's: between the monitor's last two frames the line
is drawn to the moment that fits best. What the area's meters then still have in common (the
medium voltage between two samples) is the area's, not the meter's, and is taken off by the share
that each has shown to have in it. What then is left at the same hour of every day (the cooking of
somebody on its line who is not metered) is the hour's, learned over a month.

Measured on a real area of hourly meters, whose clocks turned out to be 45 or 60 minutes behind:
the deviation of a single meter falls from 1.8 V (raw) over 0.57 V (line alone), 0.38 V (with the
clock) and 0.31 V (with the share) to 0.30 V (with the hours).
"""

import math
from typing import Final

import numpy as np

from detectors.compiled import F4, F8, I1, I2, I4, U1, kernel
from detectors.currents import phase_current
from detectors.layout import CHANNEL

V, I_A = CHANNEL["v_a"], CHANNEL["i_a"]

INPUTS: Final = 7  # three voltages, three currents of the monitor, the meter's own current
OWN_I: Final = 6
COUNT, M_Y, VAR = range(3)
M_X: Final = 3
SLOPE: Final = M_X + INPUTS
P: Final = SLOPE + INPUTS  # upper triangle, row by row
CLOCK: Final = P + INPUTS * (INPUTS + 1) // 2
CLOCK_SUM, SHARE, SHARE_SUM = range(CLOCK + 1, CLOCK + 4)
N_LONE: Final = CLOCK + 4
HOURS: Final = 24

FIRST_FRAMES: Final = 72  # least squares without doubt, until a deviation is known
CERTAIN: Final = 10.0  # bound of an inverse moment: an input that never moves stays harmless
LEAST_VAR: Final = 0.01  # V^2
BANDS: Final = (3.0, 0.75)  # V around the mean, for what an area has in common
COMPANY: Final = 3  # meters that must agree before they take anything off
UNMOVED: Final = 1.0  # V^2, of changes that must have been seen before a clock or share moves
SHARE_MAX: Final = 1.5
HOUR_MEMORY: Final = 2.0  # times the memory, a month: a fault's own evenings must not be usual soon
HOUR_UNIT: Final = 2.5e-4  # V: in two bytes, and yet a reading of a minute moves it
HOUR_MAX: Final = 8.0  # V
HOUR_UNSEEN: Final = 0.2  # of the memory, counted as seen at nought: a day or two are no habit


@kernel("int64(int64, int64)")
def _at(a: int, b: int) -> int:
    """Column of the inverse moments of inputs a and b."""
    low, high = min(a, b), max(a, b)
    return P + low * INPUTS - low * (low - 1) // 2 + high - low


@kernel("UniTuple(float64, 2)(float32[::1], float64[::1], float64[::1], float64, float64, boolean)")
def follow(s: F4, x: F8, back: F8, y: float, memory: float, learn: bool) -> tuple[float, float]:
    """Advance one meter's line by one frame; voltage minus expectation, share of the own current.

    s : float32[49]   count, mean and variance, means of the inputs, slopes, inverse moments, clock
    x : float64[14]   the monitor's voltages and currents, the own current (NaN: not known), and as
                      much scratch; it is overwritten; y: the meter's voltage
    back : float64[6]  from the monitor's values to those of a frame ago, 0 where not known
    learn : bool      False while a fault is suspected, so that it does not become the usual
    """
    # The meter's clock is behind the monitor's by this part of a frame.
    behind = float(s[CLOCK])
    toward = 0.0
    for a in range(OWN_I):
        x[a] += behind * back[a]
        toward += s[SLOPE + a] * back[a]
    if math.isnan(x[OWN_I]):
        x[OWN_I] = s[M_X + OWN_I]
    elif s[M_X + OWN_I] == 0.0:
        s[M_X + OWN_I] = x[OWN_I]  # known from now on
    if s[COUNT] == 0.0:
        s[M_Y] = y
        s[VAR] = 1.0
        for a in range(INPUTS):
            s[M_X + a] = x[a]
            s[SLOPE + a] = 1.0 / 3.0 if a < 3 else 0.0
            for b in range(a, INPUTS):
                s[_at(a, b)] = 1.0 if a == b else 0.0
    r = y - s[M_Y]
    for a in range(INPUTS):
        x[a] -= s[M_X + a]
        r -= s[SLOPE + a] * x[a]
    # The own current is among the inputs for the others' sake; what it takes stays in, whole. Taken
    # off, a slope still settling would look like a joint that changes.
    own = s[SLOPE + OWN_I] * x[OWN_I]
    if not learn:
        return r, own
    s[COUNT] += 1.0
    young = s[COUNT] < FIRST_FRAMES
    # A reading far out bends the line less the further out it is.
    sigma = math.sqrt(max(s[VAR], LEAST_VAR))
    weight = 1.0 if young else max(1e-3, min(1.0, 3.0 * sigma / max(abs(r), 1e-9)))
    keep = 1.0 - 1.0 / memory if s[COUNT] > 0.25 * memory else 1.0
    # Inverse moments times the inputs, along the triangle as it lies in memory.
    for a in range(INPUTS):
        x[INPUTS + a] = 0.0
    k = P
    for a in range(INPUTS):
        x[INPUTS + a] += s[k] * x[a]
        k += 1
        for b in range(a + 1, INPUTS):
            x[INPUTS + a] += s[k] * x[b]
            x[INPUTS + b] += s[k] * x[a]
            k += 1
    total = keep / weight
    for a in range(INPUTS):
        total += x[a] * x[INPUTS + a]
    if total < keep / weight:
        # Rounding has made the inverse moments indefinite: begin them again, keep the line.
        total = keep / weight
        for a in range(INPUTS):
            x[INPUTS + a] = x[a]
            total += x[INPUTS + a] * x[INPUTS + a]
            for b in range(a, INPUTS):
                s[_at(a, b)] = 1.0 if a == b else 0.0
    share, grow = 1.0 / total, 1.0 / keep
    k = P
    for a in range(INPUTS):
        gain = x[INPUTS + a] * share
        s[SLOPE + a] += gain * r
        for b in range(a, INPUTS):
            s[k] = (s[k] - gain * x[INPUTS + b]) * grow
            k += 1
    for a in range(INPUTS):
        if s[_at(a, a)] > CERTAIN:
            less = math.sqrt(CERTAIN / s[_at(a, a)])
            for b in range(INPUTS):
                s[_at(a, b)] *= less * less if a == b else less
    s[CLOCK_SUM] = keep * s[CLOCK_SUM] + weight * toward * toward
    s[CLOCK] = max(0.0, min(1.0, behind + weight * toward * r / (s[CLOCK_SUM] + UNMOVED)))
    rate = max(1.0 / s[COUNT], 1.0 / memory)
    bound = 1e9 if young else 4.0 * sigma
    s[M_Y] += rate * (y - s[M_Y] - r + max(-bound, min(bound, r)))
    for a in range(INPUTS):
        s[M_X + a] += rate * x[a]
    rate = max(1.0 / (s[COUNT] + 10.0), 1.0 / memory)
    s[VAR] += rate * (min(r * r, 9.0 * max(s[VAR], 0.05)) - s[VAR])
    return r, own


@kernel("void(float64[::1], int64, int64, float32[:, ::1], uint8[::1], float64)")
def _take_off_common(out: F8, begin: int, end: int, state: F4, hold: U1, memory: float) -> None:
    """Subtract from each its share of the mean of the others that agree, and learn the share.

    Alone or disagreeing it stays as it is; state and hold as in `deviations`.
    """
    centre = 0.0
    band = 1e9
    number = 0
    total = 0.0
    for turn in range(3):
        if turn > 0:
            centre = total / number
            band = BANDS[turn - 1]
        total = 0.0
        number = 0
        for j in range(begin, end):
            if abs(out[j] - centre) < band:  # not a number fails
                total += out[j]
                number += 1
        if number == 0:
            return
    for j in range(begin, end):
        inside = abs(out[j] - centre) < band
        others = number - 1 if inside else number
        if others < COMPANY or math.isnan(out[j]):
            continue
        common = (total - out[j]) / others if inside else total / others
        s = state[j]
        # Clocks differ, and so do the phases: how much of it a meter has part in is its own.
        out[j] -= (1.0 + s[SHARE]) * common
        if hold[j] == 0:
            sigma = math.sqrt(max(s[VAR], LEAST_VAR))
            weight = min(1.0, 3.0 * sigma / max(abs(out[j]), 1e-9))
            s[SHARE_SUM] = (1.0 - 1.0 / memory) * s[SHARE_SUM] + weight * common * common
            share = s[SHARE] + weight * common * out[j] / (s[SHARE_SUM] + UNMOVED)
            s[SHARE] = max(-1.0, min(SHARE_MAX - 1.0, share))


@kernel("float64(float64, float32[::1], int16[::1], int64, float64, boolean)")
def beyond_hour(left: float, s: F4, usual: I2, hour: int, memory: float, learn: bool) -> float:
    """What is left of a deviation without what is usual at this hour, and learn the usual."""
    volts = HOUR_UNIT * usual[hour]
    left -= volts
    seen = s[COUNT] - FIRST_FRAMES
    if learn and seen > 0.0:
        sigma = math.sqrt(max(s[VAR], LEAST_VAR))
        weight = min(1.0, 3.0 * sigma / max(abs(left), 1e-9))
        readings = min(HOUR_MEMORY * memory, seen + HOUR_UNSEEN * memory) / HOURS
        volts = max(-HOUR_MAX, min(HOUR_MAX, volts + weight * left / readings))
        usual[hour] = np.int16(round(volts / HOUR_UNIT))
    return left


@kernel(
    "void(float32[:, ::1], int32[::1], int32[::1], float64[::1], int32[::1], int8[::1],"
    "uint8[::1], float64, int64, float32[:, ::1], int16[:, ::1], float32[:, ::1], float64[::1],"
    "float64[:, ::1])",
    allocates=True,
)
def deviations(
    values: F4,
    offsets: I4,
    monitor: I4,
    nominal: F8,
    device: I4,
    slot: I1,
    hold: U1,
    memory: float,
    hour: int,
    state: F4,
    usual: I2,
    before: F4,
    out: F8,
    seen: F8,
) -> None:
    """Voltage minus expectation of every lone service, less what its area has in common.

    device, slot : int32[m], int8[m]  by area, rising; hold : uint8[m]  1 = do not learn now
    hour : int               of the day, 0 to 23, in any time zone
    state : float32[m, 49]   updated; usual : int16[m, 24]  at each hour, in `HOUR_UNIT`, updated
    before : float32[n_areas, 6]  the monitors' values of the last frame, updated
    out : float64[m]         V, NaN = not judged
    seen : float64[m, 4]     out: voltage minus expectation, nothing taken off, V, also of voltages
                             too far out to be followed; and the monitor's currents at the moment of
                             the reading, A; NaN = not known
    """
    x = np.zeros(2 * INPUTS)
    now = np.zeros(OWN_I)
    back = np.zeros(OWN_I)
    own = np.zeros(out.size)
    begin = 0
    for k in range(offsets.size - 1):
        end = begin
        while end < device.size and device[end] < offsets[k + 1]:
            end += 1
        m = monitor[k]
        whole = m >= 0
        if whole and end > begin:
            for a in range(OWN_I):
                x[a] = float(values[m, (V if a < 3 else I_A - 3) + a])
                back[a] = float(before[k, a]) - x[a]
                before[k, a] = np.float32(x[a])
                if math.isnan(back[a]):
                    back[a] = 0.0
                if math.isnan(x[a]):
                    # Without currents the voltages serve; a constant input does nothing.
                    whole = whole and a >= 3
                    x[a] = 0.0
                now[a] = x[a]
        for j in range(begin, end):
            v = float(values[device[j], V + slot[j]])
            out[j] = math.nan
            for a in range(4):
                seen[j, a] = math.nan
            if whole and 0.7 * nominal[k] < v < 1.3 * nominal[k]:
                for a in range(OWN_I):
                    x[a] = now[a]
                x[OWN_I] = phase_current(values, device[j], slot[j], nominal[k])
                for c in range(3):
                    seen[j, 1 + c] = now[3 + c] + float(state[j, CLOCK]) * back[3 + c]
                out[j], own[j] = follow(state[j], x, back, v, memory, hold[j] == 0)
                seen[j, 0] = out[j]
            elif whole and state[j, COUNT] > 0.0 and 0.25 * nominal[k] < v < 1.7 * nominal[k]:
                seen[j, 0] = v - float(state[j, M_Y])
        _take_off_common(out, begin, end, state, hold, memory)
        for j in range(begin, end):
            if not math.isnan(out[j]):
                left = beyond_hour(out[j], state[j], usual[j], hour, memory, hold[j] == 0)
                out[j] = own[j] + left
        begin = end
