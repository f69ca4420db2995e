"""The energy balance of an area, frame by frame: what leaves the transformer and reaches no meter.

Pure kernels; what a finding says of it is `energy.py`'s, a day's balance by registers `daily.py`'s.
"""

import math
from typing import Final

import numpy as np

from detectors.columns import LANES
from detectors.compiled import F4, F8, I4, I8, U1, kernel
from detectors.daily import DAY_US, LEAP_W, power
from detectors.displacement import COS, SIN
from detectors.layout import CHANNEL

I_A = CHANNEL["i_a"]

# Columns of an area's state.
COUNT, M_X, M_L, S_XX, S_XL, VAR = range(6)
LEVEL, LEVEL_VAR, LOAD, FROZEN, WEIGHT, EXCESS, LAST_R, V_R, R_HOUR, R_HOURS, ABSENT = range(6, 17)
HANDED, SQUARE = 17, 18  # what the monitor told in the frame before, which is the one judged
WHOLE: Final = 19  # share of frames in which nothing much was guessed
N_AREA: Final = 20
# Columns of a device's state: usual and mean power, moments of its changes with the excess's,
# its mean of the last hour and of the last hours; what it told last, frames ago; how far (squared)
# its day's mean usually strays from its long one.
USUAL, M_P, V_P, C_RP, LONG, HOUR, HOURS, TOLD, MISSED, STRAYED = range(10)
N_DEVICE: Final = 10

COVERAGE: Final = 0.85  # of the meters must be known; the others count with their usual power,
HELD_H: Final = 1.0  # so long with what they told last, until their next reading tells what it was
COARSE_WH: Final = 1000.0  # a register of whole kilowatt-hours tells nothing of a frame
GUESSED: Final = 0.01  # of the meters: with more of them held a frame tells neither how far the
FEW_WHOLE: Final = 0.1  # excess strays nor whose counting moves, unless so few frames are whole
LEVEL_HOURS: Final = 24.0
MEAN_HOURS: Final = 24.0  # what a meter counts now
CULPRIT_HOURS: Final = 72.0
# Changes are those of an hour's mean against some hours': from reading to reading the monitor's
# moment and the meter's quarter of an hour are too far apart.
CHANGE_HOURS: Final = (1.0, 3.0)
LOSS_SHARE: Final = 0.02  # of the power handed out, where one meter explains it
LOSS_W: Final = 150.0
LEVEL_SIGMA: Final = 8.0
LEARN_DAYS: Final = 4.0
MEMORY_DAYS: Final = 21.0
SUSPECT: Final = 0.3  # of the limit: from here on nothing is learned
STRAY: Final = 2.0  # times the usual: a larger excess is learned as no more than that
FREEZE_FRAMES: Final = 2880.0


@kernel(
    "Tuple((float64, int64))(float64[::1], float64, int64, int64, float32[:, ::1], float64[::1])"
)
def go_on(x: F8, rate: float, begin: int, end: int, devices: F4, used: F8) -> tuple[float, int]:
    """Let the meters that told their power in the frame before have used that; returns its sum and
    their number.

    x : float64[n]  power told now, W; devices : float32[10, n], used : float64[n]  updated
    """
    told, missed = devices[TOLD, begin:end], devices[MISSED, begin:end]
    usual = devices[USUAL, begin:end]
    a = b = c = d = 0.0
    whole = x.size // LANES * LANES
    for p in range(0, whole, LANES):  # always the same four sums side by side
        a += told[p] if missed[p] == 0.0 else 0.0
        b += told[p + 1] if missed[p + 1] == 0.0 else 0.0
        c += told[p + 2] if missed[p + 2] == 0.0 else 0.0
        d += told[p + 3] if missed[p + 3] == 0.0 else 0.0
    for p in range(whole, x.size):
        a += told[p] if missed[p] == 0.0 else 0.0
    number = 0
    for p in range(x.size):
        went = missed[p] == 0.0
        number += went
        used[p] = told[p] if went else math.nan
        near = np.float32(usual[p] + (float(told[p]) - usual[p]) * rate)
        usual[p] = near if went else usual[p]
    for p in range(x.size):
        went = missed[p] == 0.0
        told[p] = np.float32(x[p]) if went & (x[p] == x[p]) else told[p]
        missed[p] = 1.0 if went & (x[p] != x[p]) else missed[p]
    return (a + b) + (c + d), number


@kernel(
    "void(float64[::1], float64, float64, float64, float64, float64, boolean, int64, int64,"
    "float32[:, ::1])"
)
def follow_meters(
    used: F8,
    e_r: float,
    mean: float,
    hour: float,
    hours: float,
    slow: float,
    whole: bool,
    begin: int,
    end: int,
    devices: F4,
) -> None:
    """Follow what each meter counts, and whether its changes go with the excess's.

    used : float64[n]  power, W, NaN = not known; devices : float32[10, n]  updated
    """
    column = devices[M_P, begin:end]
    for p in range(used.size):
        y = used[p]
        near = np.float32(column[p] + mean * (y - column[p]))
        column[p] = near if y == y else column[p]
    of_hour, of_hours = devices[HOUR, begin:end], devices[HOURS, begin:end]
    for p in range(used.size):
        y = used[p]
        near = np.float32(of_hour[p] + hour * (y - of_hour[p]))
        of_hour[p] = near if y == y else of_hour[p]
        near = np.float32(of_hours[p] + hours * (y - of_hours[p]))
        of_hours[p] = near if y == y else of_hours[p]
    if whole:
        own, shared = devices[V_P, begin:end], devices[C_RP, begin:end]
        for p in range(used.size):
            e_p = of_hour[p] - of_hours[p]
            near = np.float32(own[p] + slow * (e_p * e_p - own[p]))
            own[p] = near if used[p] == used[p] else own[p]
            near = np.float32(shared[p] + slow * (e_p * e_r - shared[p]))
            shared[p] = near if used[p] == used[p] else shared[p]


@kernel("void(float32[:, ::1], float32[::1], uint8[::1], int64, int64, float64[::1])")
def powers(values: F4, told: F4, repeating: U1, begin: int, end: int, x: F8) -> None:
    """Put the power of devices into x, W, NaN = not known or not believed."""
    unknown = 0
    for p in range(begin, end):
        x[p - begin] = math.nan if repeating[p] else told[p]
        unknown += (told[p] != told[p]) | (repeating[p] != 0)
    if unknown == 0:
        return
    for p in range(begin, end):
        if not repeating[p] and math.isnan(told[p]):
            x[p - begin] = power(values, p)


@kernel(
    "UniTuple(int64, 2)(int64, float64, float32[:, ::1], float32[::1], float64[:], boolean,"
    "float64[::1], uint8[::1], int32[::1], int32[::1], float64[::1], float64[:, ::1],"
    "float32[:, ::1], float64[::1], uint8[::1], float64[:, ::1], int32[::1], int64[::1],"
    "float64[::1])"
)
def balance(
    tick: int,
    step_h: float,
    values: F4,
    told: F4,
    register: F8,
    registered: bool,
    ratio: F8,
    repeating: U1,
    offsets: I4,
    monitor: I4,
    nominal: F8,
    areas: F8,
    devices: F4,
    energy: F8,
    kept: U1,
    scratch: F8,
    late: I4,
    powered: I8,
    score: F8,
) -> tuple[int, int]:
    """Advance the energy balance of every area by one frame; returns how many scores are above
    `SUSPECT`, and how many areas have long had no powers to balance.

    Judged is the frame before: what a meter used whose reading was lost, its next one tells.

    told : float32[n]      active power as told, W
    register : float64[n]  import register, Wh; `registered` is false where there is none to read
    ratio : float64[n]     of the instrument transformers, 1 = none: who has them may draw more
    repeating : uint8[n]   1 = says what it said before while the area moves: not believed
    areas : float64[areas, 20], devices : float32[10, n]   updated
    energy : float64[n]    register when the power was told last; updated
    kept : uint8[areas]    0 where `energy` certainly holds nothing; updated
    scratch : float64[2, .], late : int32[.]   of the largest area
    powered : int64[areas]   out: the tick where the powers of the area could be balanced
    score : float64[areas]   out: 1 = limit, NaN = not judged
    """
    memory = MEMORY_DAYS * 24.0 / step_h
    learn = max(96.0, LEARN_DAYS * 24.0 / step_h)
    fast = 1.0 - math.exp(-step_h / LEVEL_HOURS)
    mean = 1.0 - math.exp(-step_h / MEAN_HOURS)
    slow = 1.0 - math.exp(-step_h / CULPRIT_HOURS)
    hour = 1.0 - math.exp(-step_h / CHANGE_HOURS[0])
    hours = 1.0 - math.exp(-step_h / CHANGE_HOURS[1])
    hot = 0
    for k in range(offsets.size - 1):
        score[k] = math.nan
        m = monitor[k]
        if m < 0:
            continue
        s = areas[k]
        begin, end = offsets[k], offsets[k + 1]
        size = end - begin
        x_now, used = scratch[0, :size], scratch[1, :size]
        powers(values, told, repeating, begin, end, x_now)
        n_late = 0
        for p in range(begin, end):
            late[n_late] = p
            n_late += (devices[MISSED, p] != 0.0) & (p != m)
        rate = 1.0 if s[COUNT] == 0.0 else 0.02
        meters = size - 1
        # The monitor is no meter: those before it and behind it are.
        at = m - begin
        before, n_before = go_on(x_now[:at], rate, begin, m, devices, used[:at])
        behind, n_behind = go_on(x_now[at + 1 :], rate, m + 1, end, devices, used[at + 1 :])
        metered, heard = before + behind, n_before + n_behind
        absent = 0.0
        made = 0.0
        guessed = 0
        for j in range(n_late):
            p = late[j]
            x = x_now[p - begin]
            frames = float(devices[MISSED, p])
            y = float(devices[TOLD, p])
            held = frames * step_h <= max(HELD_H, step_h)
            if math.isnan(x) or not held:
                metered += y if held else devices[USUAL, p]
                absent += 0.0 if held else max(devices[LONG, p], 0.0)
                guessed += held
                y = math.nan
            else:
                # Its register says what was used meanwhile; panels feed in past it.
                now_wh = register[p] if registered else math.nan
                wh = now_wh - energy[p]
                known = x >= 0.0 and y >= 0.0
                known = known and 0.0 <= wh <= LEAP_W * max(ratio[p], 1.0) * frames * step_h
                coarse = now_wh % COARSE_WH == 0.0 and energy[p] % COARSE_WH == 0.0
                known = known and not coarse
                mean_w = max(wh / step_h - x, 0.0) / frames if known else 0.5 * (x + y)
                # The frames before the last one were judged with what had been told.
                made += (frames - 1.0) * (mean_w - y)
                metered += mean_w
                y = mean_w
            used[p - begin] = y
            if not math.isnan(y):
                heard += 1
                devices[USUAL, p] += (y - devices[USUAL, p]) * rate
            if math.isnan(x):
                devices[MISSED, p] = frames + 1.0
            else:
                devices[TOLD, p] = x
                devices[MISSED, p] = 0.0
        used[m - begin] = math.nan
        if registered or kept[k]:
            # Where nobody tells one, what holds them is not touched.
            kept[k] = registered
            for p in range(begin, end):
                if p != m:
                    if x_now[p - begin] == x_now[p - begin]:
                        energy[p] = register[p] if registered else math.nan
                    kept[k] |= energy[p] == energy[p]
        handed = s[HANDED]
        square = s[SQUARE]
        now = power(values, m)
        s[HANDED] = now
        # Copper warms with the current of each conductor, the neutral's included: uneven load costs
        # more. In units of the power squared that even load would be.
        s[SQUARE] = now * abs(now) * 1e-6
        amps2 = 0.0
        n_re = 0.0
        n_im = 0.0
        for c in range(3):
            i = float(values[m, I_A + c])
            amps2 += i * i
            n_re += abs(i) * COS[c]
            n_im += abs(i) * SIN[c]
        if not math.isnan(amps2):
            s[SQUARE] = 3e-6 * nominal[k] * nominal[k] * (amps2 + n_re * n_re + n_im * n_im)
        if math.isnan(handed) or handed == 0.0 or meters == 0 or heard < COVERAGE * meters:
            continue
        powered[k] = tick
        loss = handed - metered
        if s[COUNT] == 0.0:
            s[M_X] = square
            s[M_L] = loss
        dx = square - s[M_X]
        dl = loss - s[M_L]
        r = dl - s[S_XL] / (s[S_XX] + 1.0) * dx
        sigma = math.sqrt(max(s[VAR], 100.0))
        learned = s[COUNT] >= learn
        bounded = max(-6.0 * sigma, min(6.0 * sigma, r)) if learned else r
        s[LOAD] += fast * (abs(handed) - s[LOAD])
        whole = guessed <= GUESSED * meters
        s[WHOLE] += 0.02 * (whole - s[WHOLE])
        whole = whole or s[WHOLE] < FEW_WHOLE
        x = 0.0
        if learned:
            s[LEVEL] -= fast * made
            s[WEIGHT] += fast * (1.0 - s[WEIGHT])
            odd = max(20.0 * sigma, 0.2 * s[LOAD])
            s[LEVEL] += fast * (max(-odd, min(odd, r)) - s[LEVEL])
            level = s[LEVEL] / s[WEIGHT]
            s[EXCESS] = level
            # Who is silent may draw twice what it does on the whole.
            s[ABSENT] += fast * (absent - s[ABSENT])
            level -= s[ABSENT] / s[WEIGHT]
            usual = math.sqrt(max(s[LEVEL_VAR], 25.0))
            load = s[LOAD] / max(s[WEIGHT], 0.5)
            x = min(level / max(LOSS_SHARE * load, LOSS_W), level / (LEVEL_SIGMA * usual))
            if s[WEIGHT] < 0.3:
                x = min(x, 0.5)
            score[k] = max(x, 0.0)
            hot += x > SUSPECT
        # Whose counting moves with the excess? Changes from hour to hour: the theft's own
        # beginning, where one falls and the other rises, is over before it is suspected.
        if whole:
            s[LAST_R] = r
        s[R_HOUR] += hour * (r - s[R_HOUR] - made)
        s[R_HOURS] += hours * (r - s[R_HOURS] - made)
        e_r = s[R_HOUR] - s[R_HOURS]
        begins = learned and x > SUSPECT and s[FROZEN] == 0.0
        frozen = learned and x > SUSPECT and s[FROZEN] < FREEZE_FRAMES
        a = max(1.0 / (s[COUNT] + 1.0), 1.0 / memory)
        if whole:
            s[V_R] += slow * (e_r * e_r - s[V_R])
        if begins:
            s[V_R] = 0.0  # what moved with what before is no evidence
        follow_meters(used, e_r, mean, hour, hours, slow, whole, begin, end, devices)
        if begins:
            for p in range(begin, end):
                devices[V_P, p] = 0.0
                devices[C_RP, p] = 0.0
        if not frozen:
            usual_w, long_w = devices[USUAL, begin:end], devices[LONG, begin:end]
            for j in range(size):
                long_w[j] += a * (usual_w[j] - long_w[j])
            if learned:
                day_w, strayed = devices[M_P, begin:end], devices[STRAYED, begin:end]
                rate = max(1.0 / (s[COUNT] - learn + 10.0), 1.0 / memory)
                for j in range(size):
                    off_w = day_w[j] - long_w[j]
                    strayed[j] += rate * (off_w * off_w - strayed[j])
        if frozen:
            s[FROZEN] += 1.0
            continue
        s[FROZEN] = 0.0 if x <= SUSPECT else s[FROZEN]
        s[COUNT] += 1.0
        fit = dl - r + bounded
        s[M_X] += a * dx
        s[M_L] += a * fit
        s[S_XX] = (1.0 - a) * (s[S_XX] + a * dx * dx)
        s[S_XL] = (1.0 - a) * (s[S_XL] + a * dx * fit)
        stray = max(-6.0 * sigma, min(6.0 * sigma, s[LAST_R])) if learned else s[LAST_R]
        s[VAR] += max(1.0 / (s[COUNT] + 4.0), 1.0 / memory) * (stray * stray - s[VAR])
        if learned:
            since = max(s[COUNT] - learn, 1.0)
            most = STRAY * math.sqrt(max(s[LEVEL_VAR], 25.0))
            stray = max(-most, min(most, s[LEVEL] / max(s[WEIGHT], 1e-9)))
            s[LEVEL_VAR] += max(1.0 / (since + 10.0), 1.0 / memory) * (stray * stray - s[LEVEL_VAR])
        else:
            s[LEVEL_VAR] = s[VAR] * 0.05
    unpowered = 0
    for k in range(monitor.size):
        unpowered += monitor[k] >= 0 and powered[k] <= tick - 2 * DAY_US
    return hot, unpowered
