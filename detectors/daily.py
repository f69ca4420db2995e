"""The energy balance of a day by registers, where the meters tell no power.

A register that is read once a day says what was used since, whenever it is read. Each meter's mean
power from reading to reading is added up and compared with the mean that the transformer handed
out meanwhile: by its own register, else by its power. Pure kernels; what a finding says of it is
`energy.py`'s.
"""

import math
from typing import Final

from detectors.compiled import F4, F8, I4, I8, kernel
from detectors.frames import NEVER
from detectors.layout import CHANNEL

P_ALL, P_A = CHANNEL["p"], CHANNEL["p_a"]

# Columns of an area's state.
SUM_P, N_P, HANDED, COUNT, M_X, M_L, S_XX, S_XL, SQUARES = range(9)
LEVEL, LOAD, EXCESS, HIGH_DAYS, FROZEN, V_R = range(9, 15)
N_AREA_DAY: Final = 15
# Columns of an area's times: when the monitor's day began; since when the meters' day is complete.
BEGAN, DUE = range(2)
# Columns of a device's registers and their times: where the day began, newest; usual distance.
CUT, NOW, GAP = range(3)
# Columns of a device's state: usual power, of late, of this day; what it misses, with the excess.
USUAL, OF_LATE, TODAY, V_F, C_RF = range(5)
N_DEVICE_DAY: Final = 5

DAY_US: Final = 86_400_000_000
GRACE_US: Final = 6 * 3_600_000_000  # so long the last meters of a day are waited for
COVERAGE: Final = 0.85  # of the meters must have been read; the others count as usual
PROFILE: Final = 0.8  # of the monitor's powers must be there where it has no register
LEARN_DAYS: Final = 6.0
MEMORY_DAYS: Final = 30.0
LATE_DAYS: Final = 2.0
CULPRIT_DAYS: Final = 5.0
COPPER_MOST: Final = 0.08  # of the load: more than that no network loses in its copper
LOSS_SHARE: Final = 0.02
LOSS_W: Final = 150.0
SIGMA: Final = 6.0
DOUBT: Final = 0.01  # of the load: how far a day strays before that has been seen,
DOUBT_DAYS: Final = 4.0  # as if so many days had told
SUSPECT: Final = 0.4
FREEZE_DAYS: Final = 30.0
# No customer draws so much more, times the ratio of the current transformers, and no distribution
# transformer hands out so much: another meter hangs there.
LEAP_W: Final = 50_000.0
LEAP_HANDED_W: Final = 5e6
FIT: Final = 0.6  # share of the excess's days that one meter's missing energy explains
LEAD: Final = 1.4  # and so much more than the next
SIZE: Final = (0.4, 1.8)  # of the excess that it misses
FALLEN: Final = 0.35  # of its usual that it misses


@kernel("float64(float32[:, ::1], int64)")
def power(values: F4, p: int) -> float:
    """Active power of a device, W; NaN not reported."""
    x = float(values[p, P_ALL])
    if math.isnan(x):
        x = float(values[p, P_A]) + float(values[p, P_A + 1]) + float(values[p, P_A + 2])
    return x


@kernel("void(int64, int64, float64, float64, float64[:, ::1], int64[:, ::1])")
def read_register(p: int, time: int, e: float, most_w: float, energy: F8, read: I8) -> None:
    """Note a reading of a register, Wh; one that begins anew, or leaps, begins a new day.

    `most_w`: a mean power beyond it is a leap.
    """
    if read[p, NOW] > NEVER:
        span_us = time - read[p, NOW]
        if span_us <= 0:
            return
        back = e < energy[p, NOW]
        leap = e - energy[p, NOW] > most_w * span_us / 3.6e9
        read[p, GAP] = min(span_us, DAY_US)
        if back or leap:
            read[p, CUT] = NEVER
    if read[p, CUT] == NEVER:
        read[p, CUT] = time
        energy[p, CUT] = e
    read[p, NOW] = time
    energy[p, NOW] = e


@kernel("boolean(int64, int64[:, ::1])")
def day_is_over(p: int, read: I8) -> bool:
    """Whether a register has counted for a day since the last one, as near as it is read."""
    if read[p, CUT] == NEVER:
        return False
    return bool(read[p, NOW] - read[p, CUT] >= DAY_US - read[p, GAP] // 2)


@kernel("float64(int64, float64[:, ::1], int64[:, ::1])")
def mean_power(p: int, energy: F8, read: I8) -> float:
    """Mean power since the day began, W."""
    hours = (read[p, NOW] - read[p, CUT]) / 3.6e9
    return float((energy[p, NOW] - energy[p, CUT]) / hours)


@kernel(
    "void(int64, int64, float32[:, ::1], float64[:], int64[:], int32[::1], int32[::1], int64[::1],"
    "float64[::1], int64[::1], float64[:, ::1], int64[:, ::1], float64[:, ::1], int64[:, ::1],"
    "float32[:, ::1], float64[::1])"
)
def balance_days(
    tick: int,
    step: int,
    values: F4,
    register: F8,
    time: I8,
    offsets: I4,
    monitor: I4,
    interval: I8,
    ratio: F8,
    powered: I8,
    areas: F8,
    when: I8,
    energy: F8,
    read: I8,
    days: F4,
    score: F8,
) -> None:
    """Advance the daily balance of every area that has no other by one frame.

    interval : int64[n]        stated distance of readings, microseconds, 0 = not stated
    ratio : float64[n]         of the instrument transformers: who has them may draw more
    powered : int64[areas]     when the balance of powers was judged last: then this one rests
    areas : float64[areas, 15], when : int64[areas, 2], energy : float64[n, 2],
    read : int64[n, 3], days : float32[n, 5]   updated
    score : float64[areas]     out, 1 = limit, NaN = no day ended now
    """
    late = 1.0 - math.exp(-1.0 / LATE_DAYS)
    kept = math.exp(-1.0 / CULPRIT_DAYS)
    for k in range(offsets.size - 1):
        score[k] = math.nan
        m = monitor[k]
        if m < 0 or powered[k] > tick - 2 * DAY_US:
            continue
        s = areas[k]
        waiting = when[k, DUE] > NEVER
        if when[k, BEGAN] == NEVER:
            when[k, BEGAN] = tick
        x = power(values, m)
        if not math.isnan(x):
            s[SUM_P] += x
            s[N_P] += 1.0
        meters = 0
        due = 0
        for p in range(offsets[k], offsets[k + 1]):
            # What is over stays as it is until the others' day is over as well.
            closed = waiting and p != m and day_is_over(p, read)
            if time[p] > NEVER and not math.isnan(register[p]) and not closed:
                most_w = LEAP_HANDED_W if p == m else LEAP_W * max(ratio[p], 1.0)
                read_register(p, time[p], register[p], most_w, energy, read)
            if p != m:
                meters += 1
                due += day_is_over(p, read)
        if meters == 0 or due < COVERAGE * meters:
            continue
        if not waiting:
            when[k, DUE] = tick
            usual = max(interval[m], step) if interval[m] > 0 else step
            expected = (tick - when[k, BEGAN]) / usual
            s[HANDED] = math.nan
            fresh = read[m, CUT] > NEVER and tick - read[m, NOW] <= DAY_US // 8
            if fresh and read[m, NOW] - read[m, CUT] >= DAY_US // 2:
                s[HANDED] = mean_power(m, energy, read)
            elif s[N_P] >= 4.0 and s[N_P] >= PROFILE * expected:
                s[HANDED] = s[SUM_P] / s[N_P]
            s[SUM_P] = 0.0
            s[N_P] = 0.0
            when[k, BEGAN] = tick
            if read[m, NOW] > NEVER:
                read[m, CUT] = read[m, NOW]
                energy[m, CUT] = energy[m, NOW]
        if due < meters and tick - when[k, DUE] < GRACE_US:
            continue
        when[k, DUE] = NEVER
        metered = 0.0
        for p in range(offsets[k], offsets[k + 1]):
            if p == m:
                continue
            d = days[p]
            d[TODAY] = math.nan
            if day_is_over(p, read):
                d[TODAY] = mean_power(p, energy, read)
                read[p, CUT] = read[p, NOW]
                energy[p, CUT] = energy[p, NOW]
                if s[COUNT] == 0.0:
                    d[USUAL] = d[TODAY]
                    d[OF_LATE] = d[TODAY]
                metered += d[TODAY]
            else:
                metered += d[USUAL]
        handed = s[HANDED]
        if math.isnan(handed) or handed <= 0.0:
            continue
        # The loss of the day against `a + b M^2` of the days before, copper no more than copper is.
        loss = handed - metered
        square = handed * handed * 1e-6
        if s[COUNT] == 0.0:
            s[M_X] = square
            s[M_L] = loss
            s[LOAD] = handed
        s[LOAD] += late * (handed - s[LOAD])
        dx = square - s[M_X]
        steepest = COPPER_MOST * s[LOAD] / max(s[M_X], 1e-9)
        slope = min(max(s[S_XL] / (s[S_XX] + 1e-9), 0.0), steepest)
        r = loss - s[M_L] - slope * dx
        doubt = DOUBT * s[LOAD]
        sigma = math.sqrt(
            (s[SQUARES] + DOUBT_DAYS * doubt * doubt)
            / (max(min(s[COUNT], MEMORY_DAYS) - 1.0, 0.0) + DOUBT_DAYS)
        )
        learned = s[COUNT] >= LEARN_DAYS
        x = 0.0
        if learned:
            odd = max(12.0 * sigma, 0.3 * s[LOAD])
            r = max(-odd, min(odd, r))
            s[LEVEL] += late * (r - s[LEVEL])
            limit = max(LOSS_SHARE * s[LOAD], LOSS_W)
            s[HIGH_DAYS] = s[HIGH_DAYS] + 1.0 if r > 0.5 * limit else 0.0
            # How much it is, the days since it is so say; the level still rises.
            risen = 1.0 - math.exp(-s[HIGH_DAYS] / LATE_DAYS) if s[HIGH_DAYS] > 0.0 else 1.0
            s[EXCESS] = s[LEVEL] / risen
            spread = sigma * math.sqrt(late / (2.0 - late))
            x = min(s[EXCESS] / limit, s[LEVEL] / (SIGMA * spread))
            if s[HIGH_DAYS] < 2.0:
                x = min(x, 0.5)  # one day is no lasting loss
            score[k] = max(x, 0.0)
        frozen = learned and x > SUSPECT and s[FROZEN] < FREEZE_DAYS
        if frozen:
            s[FROZEN] += 1.0
        elif x <= SUSPECT:
            s[FROZEN] = 0.0
        if not frozen:
            s[COUNT] += 1.0
        a = max(1.0 / s[COUNT], 1.0 / MEMORY_DAYS)
        s[V_R] = kept * s[V_R] + r * r
        for p in range(offsets[k], offsets[k + 1]):
            d = days[p]
            if p == m:
                continue
            d[V_F] *= kept
            d[C_RF] *= kept
            if math.isnan(d[TODAY]):
                continue
            missed = d[USUAL] - d[TODAY]
            d[V_F] += missed * missed
            d[C_RF] += missed * r
            d[OF_LATE] += late * (d[TODAY] - d[OF_LATE])
            if not frozen:
                d[USUAL] -= a * missed
        if frozen:
            continue
        b = a * (1.0 - a)
        s[M_X] += a * dx
        s[M_L] += a * (r + slope * dx)
        s[S_XX] = (1.0 - a) * s[S_XX] + b * dx * dx
        s[S_XL] = (1.0 - a) * s[S_XL] + b * dx * (r + slope * dx)
        # A day that few days foretell strays further than one that many do.
        far = min(r * r, 9.0 * sigma * sigma) * s[COUNT] / (s[COUNT] + 2.0)
        s[SQUARES] = s[SQUARES] * (1.0 - 1.0 / MEMORY_DAYS) + far
