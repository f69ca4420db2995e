"""Neutral displacement: the kernels behind the neutral family.

A neutral with contact resistance R shifts the star point by n = R * I_n, I_n being the phasor sum
of the phase currents through it. Customers on one phase rise while those on another fall, line
voltages stay. With e_a, e_b, e_c = 1, a^2, a (a = 120 degrees) the phase voltages V_p give
z = 2/3 * sum(V_p e_p) = -n, whatever the common level. Every place where all phases are seen (a
three-phase device, a branch, an area) is followed as z = c + K * I_n, learned on healthy days;
what is left over is tested against -R * I_n in a fast window.
"""

import math
from typing import Final

import numpy as np

from detectors.compiled import F4, F8, I1, I4, U1, kernel

COS: Final = (1.0, -0.5, -0.5)
SIN: Final = (0.0, -math.sqrt(0.75), math.sqrt(0.75))

# Rows of `place`: what is seen at one place in one frame.
Z_RE, Z_IM, I_0, I_1, I_2, UP, DOWN, LEVEL, LINE, READINGS = range(10)
NEUTRAL, LEFT = 10, 11  # once tested: neutral current, and what is left over along it
N_PLACE: Final = 12

# Columns of a place's float state. M_*: long moments; S_*: (co)variances; V_0: common level.
COUNT, MZ_RE, MZ_IM, MI_RE, MI_IM, S_II, S_RE, S_IM, VAR = range(9)
M_0, M_T, S_TT, S_0T = range(9, 13)
LAST_SIZE, RESISTANCE, SHIFT, SIZE, EXPLAINED, FROZEN, USUAL_LINE = range(13, 20)
WINDOW = 20  # two windows, fast and slow:
W, A, B, E, X0, Y0 = 0, 1, 2, 3, 4, 7  # weight, sum I^2, sum e*I, sum e^2, the same by phase
E_RE, E_IM, I_RE, I_IM = 10, 11, 12, 13  # sums of the residual and of the current
N_WINDOW: Final = 14
N_STATE: Final = WINDOW + 2 * N_WINDOW

BROKEN_V: Final = 15.0
BROKEN_SIGMA: Final = 8.0
BROKEN_OHM: Final = 0.3  # at least, beyond the healthy slope; a loose one has its own limits
LINE_OHM: Final = 1.0  # of a long thin line's neutral: until its slope is learned, all of it counts
BLIND_SHIFT: Final = 5.0  # V rms, where no current is known
BLIND_SIGMA: Final = 6.0
NOT_SEEN: Final = -1.0  # line voltages, where only two phases have meters
LINE_BAND: Final = 0.06  # of the usual line voltage, which taps and feeders move by less
LINE_FIRST: Final = 0.15  # of nominal, until the usual one is known
STEADY_V, STEADY_SIGMA = 2.0, 2.5  # a frame displaced by so much counts towards the share of them
OTHERS: Final = 0.4  # of an area's readings on other branches: enough to compare a level with
AGREES: Final = 0.25  # of a phase's shift that must be left without its one most shifted reading
OPPOSED: Final = 0.15  # share of the displacement that must rise, and fall, somewhere
FREEZE_FRAMES: Final = 2880  # a month of quarter-hours: then the new state is the usual one


@kernel("float64(float64, float64, float64)")
def line_voltage(
    a: float,
    b: float,
    c: float,
) -> float:
    """Line voltage from three phase voltages of any neutral displacement; NaN if none fits.

    The star point has distances a, b, c from the corners of the equilateral line triangle of side
    u: 3 (a^4 + b^4 + c^4 + u^4) = (a^2 + b^2 + c^2 + u^2)^2. A lost phase fits no such triangle,
    or one far too small.
    """
    s2 = a * a + b * b + c * c
    s4 = a**4 + b**4 + c**4
    inside = 3.0 * s2 * s2 - 6.0 * s4
    if inside < 0.0:
        return math.nan
    return math.sqrt(0.5 * (s2 + math.sqrt(inside)))


@kernel("void(float64[::1], float64[::1], float64[::1])")
def turn(
    sums: F8,
    row: F8,
    d: F8,
) -> None:
    """Sums by phase into the displacement of a place.

    `sums`: deviations (0..2), their numbers (3..5), voltages (6..8), lost phases (9), of each phase
    the deviation of the reading that strays most (10..12); `d`: scratch.

    Two phases suffice: a displacement sums to zero over the three.
    """
    have = 0
    missing = -1
    for c in range(3):
        d[c] = 0.0
        if sums[3 + c] > 0:
            d[c] = sums[c] / sums[3 + c]
            have += 1
        else:
            missing = c
    if have < 2 or sums[3] + sums[4] + sums[5] < 3:
        return
    row[READINGS] = sums[3] + sums[4] + sums[5]
    row[LEVEL] = (d[0] + d[1] + d[2]) / 3.0
    if have == 2:
        d[missing] = -(d[0] + d[1] + d[2])
        row[LEVEL] = math.nan
        row[LINE] = NOT_SEEN
    else:
        row[LINE] = line_voltage(sums[6] / sums[3], sums[7] / sums[4], sums[8] / sums[5])
    if sums[9] > 0:
        row[LINE] = 0.0
    top = 0
    for c in range(3):
        if sums[3 + c] > 0 and abs(d[c]) >= abs(d[top]):
            top = c
    # A neutral moves all that hangs on a phase. What one reading alone moves tells of its meter,
    # and nothing of the place.
    rest = (sums[top] - sums[10 + top]) / max(sums[3 + top] - 1.0, 1.0)
    if abs(d[top]) > BLIND_SHIFT and sums[3 + top] > 1.0 and rest / d[top] < AGREES:
        row[READINGS] = 0.0
        return
    for c in range(3):
        row[Z_RE] += d[c] * COS[c] * 2.0 / 3.0
        row[Z_IM] += d[c] * SIN[c] * 2.0 / 3.0
        if have == 3 or c != missing:
            row[UP] = max(row[UP], d[c])
            row[DOWN] = max(row[DOWN], -d[c])


@kernel("float64(float64[::1], uint32, float32[::1])")
def current_or_usual(slot_i: F8, j: int, usual_i: F4) -> float:
    """Current of a phase slot, the usual one where it is not told; the usual one is updated."""
    i = slot_i[j]
    if math.isnan(i):
        return float(usual_i[j])
    if math.isnan(usual_i[j]):
        usual_i[j] = np.float32(i)
    else:
        usual_i[j] += np.float32((i - usual_i[j]) * 0.01)
    return float(i)


@kernel("void(float64[::1], uint32, float64, float64, float32[::1], uint32, boolean, float64)")
def add_deviation(
    sums: F8, at: int, v: float, d: float, offset: F4, j: int, new: bool, rate: float
) -> None:
    """Add a voltage, `d` above its reference, to the sums of network phase `at`; the usual `d` of
    this slot is learned at `rate`."""
    if new:
        offset[j] = np.float32(d)
    e = d - offset[j]
    sums[at] += e
    sums[3 + at] += 1.0
    sums[6 + at] += v
    if abs(e) > abs(sums[10 + at]):
        sums[10 + at] = e
    offset[j] += np.float32(rate * max(-10.0, min(10.0, e)))


@kernel(
    "void(float32[::1], float64[::1], int32[::1], int8[::1], int32[::1], int32[::1], int32[::1],"
    "int32[::1], float64[::1], float32[::1], int32[::1], float32[::1], uint8[::1],"
    "float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64[:, ::1], float64,"
    "int32[::1], int64, uint8[::1])"
)
def observe(
    slot_v: F4,
    slot_i: F8,
    first: I4,
    phase: I1,
    offsets: I4,
    monitor: I4,
    run: I4,
    three: I4,
    nominal: F8,
    offset: F4,
    heard: I4,
    usual_i: F4,
    frozen: U1,
    sums: F8,
    runs: F8,
    areas: F8,
    devices: F8,
    scratch: F8,
    memory: float,
    absent: I4,
    patience: int,
    unbranched: U1,
) -> None:
    """Gather displacement and currents of every place.

    slot_v : float32[m], slot_i : float64[m], first : int32[n + 1]   see `Frame`
    three : int32[n_three]   the three-phase devices, each a place of its own
    offset : float32[m]      usual voltage of each slot above its reference, updated
    heard : int32[n]         frames learned from; usual_i : float32[m]  usual current, updated
    frozen : uint8[n_runs]   1 = do not learn there now
    sums : float64[n_runs, 13]  scratch, see `turn`
    runs, areas, devices : float64[n_runs, n_areas, n_three; 12]  out, columns of `place`; READINGS
                             0 = not seen
    scratch : float64[3, 13]  for an area: its sums, its reference, and what `turn` needs
    absent : int32[n_areas]  frames since the monitor told its voltages, updated; up to `patience`
                             of them nothing of the area is seen
    unbranched : uint8[n_areas]  1 = no branch is on record: what hangs there hangs on the
                             transformer's own line, whose currents the monitor tells
    """
    # `fill` and loops instead of slices: numba takes seconds to compile a slice assignment.
    # Indexes are unsigned: numba looks at each signed one whether it counts from the end.
    runs.fill(0.0)
    areas.fill(0.0)
    devices.fill(0.0)
    sums.fill(0.0)
    total = scratch[0]
    ref = scratch[1]
    end_three = 0
    for k in range(offsets.size - 1):
        low, high = 0.25 * nominal[k], 1.7 * nominal[k]
        begin, end = np.uint32(offsets[k]), np.uint32(offsets[k + 1])
        begin_three = end_three
        while end_three < three.size and three[end_three] < end:
            end_three += 1
        m = monitor[k]
        with_monitor = m >= 0
        if with_monitor:
            for c in range(3):
                ref[c] = slot_v[first[m] + c]
                if not (low < ref[c] < high):
                    with_monitor = False
        absent[k] = 0 if with_monitor or m < 0 else min(absent[k] + 1, 1_000_000)
        # Against the meters' own mean it would be another displacement, the transformer's in it: a
        # monitor that misses a reading is waited for.
        deaf = 0 < absent[k] <= patience
        if not with_monitor and not deaf:
            # The mean over phases of the meters: a displacement cancels in it.
            total.fill(0.0)
            for p in range(begin, end):
                if p == m or phase[p] < 0:
                    continue
                for c in range(3 if phase[p] == 3 else 1):
                    at = np.uint32(c if phase[p] == 3 else phase[p])
                    j = first[p] + c
                    v = float(slot_v[j])
                    if low < v < high:
                        total[at] += v - offset[j]
                        total[3 + at] += 1.0
            seen = 0
            level = 0.0
            for c in range(3):
                if total[3 + c] > 0:
                    level += total[c] / total[3 + c]
                    seen += 1
            if seen < 2:
                continue
            ref.fill(level / seen)
        common = (ref[0] + ref[1] + ref[2]) / 3.0
        total.fill(0.0)
        first_run = -1
        last_run = -1
        for p in range(begin, end):
            if run[p] < 0:
                continue  # a monitor
            if first_run < 0:
                first_run = run[p]
            last_run = run[p]
            if not 0 <= phase[p] < 3:
                continue
            at, mine = np.uint32(phase[p]), np.uint32(run[p])
            j = np.uint32(first[p])
            v = float(slot_v[j])
            i = current_or_usual(slot_i, j, usual_i)
            if not math.isnan(i):
                runs[mine, I_0 + at] += i
            if not deaf and low < v < high:
                rate = 0.0 if frozen[mine] else 1.0 / min(heard[p] + 1.0, memory)
                add_deviation(sums[mine], at, v, v - ref[at], offset, j, heard[p] == 0, rate)
                heard[p] += 1
            elif v <= low:
                sums[mine, 9] += 1.0
        for t in range(begin_three, end_three):
            p = three[t]
            branch = run[p] >= 0
            mine = np.uint32(max(run[p], 0))
            rate = 0.0 if branch and frozen[mine] else 1.0 / min(heard[p] + 1.0, memory)
            fresh = False
            whole = True
            for c in range(3):
                j = np.uint32(first[p] + c)
                v = float(slot_v[j])
                i = current_or_usual(slot_i, j, usual_i)
                if branch and not math.isnan(i):
                    runs[mine, I_0 + c] += i
                if deaf or not (low < v < high):
                    whole = False
                    if branch and v <= low:
                        sums[mine, 9] += 1.0
                    continue
                fresh = True
                # The monitor's own displacement is taken as it is, all others relative to it.
                d = v - (common if p == m else ref[c])
                devices[t, Z_RE] += d * COS[c] * 2.0 / 3.0
                devices[t, Z_IM] += d * SIN[c] * 2.0 / 3.0
                devices[t, I_0 + c] = i
                devices[t, UP] = max(devices[t, UP], d)
                devices[t, DOWN] = max(devices[t, DOWN], -d)
                devices[t, LEVEL] += d
                if branch:
                    add_deviation(sums[mine], c, v, d, offset, j, heard[p] == 0, rate)
            heard[p] += fresh
            if whole:
                devices[t, READINGS] = 3.0
                devices[t, LEVEL] /= 3.0
                j = first[p]
                devices[t, LINE] = line_voltage(
                    float(slot_v[j]), float(slot_v[j + 1]), float(slot_v[j + 2])
                )
        # Line voltages as a share of the nominal ones, where all three phases were seen.
        share = 1.0 / (math.sqrt(3.0) * nominal[k])
        for t in range(begin_three, end_three):
            devices[t, LINE] *= share
            if with_monitor and three[t] == m:
                for c in range(N_PLACE):
                    areas[k, c] = devices[t, c]
                areas[k, LEVEL] = math.nan
                devices[t, READINGS] = 0.0  # judged as the area
        if first_run < 0:
            continue
        for r in range(first_run, last_run + 1):
            for c in range(10):
                total[c] += sums[r, c]
            for c in range(10, 13):
                if abs(sums[r, c]) > abs(total[c]):
                    total[c] = sums[r, c]
            if with_monitor and unbranched[k]:
                # Customers without a meter here draw through the same neutral.
                for c in range(3):
                    i = slot_i[np.uint32(first[m]) + np.uint32(c)]
                    if not math.isnan(i):
                        runs[r, I_0 + c] = i
        for r in range(first_run, last_run + 1):
            if not with_monitor:
                for c in range(3):
                    areas[k, I_0 + c] += runs[r, I_0 + c]
            turn(sums[r], runs[r], scratch[2])
            if runs[r, LINE] != NOT_SEEN:
                runs[r, LINE] *= share
            if not with_monitor:
                # The reference holds this branch's own level: against the others' alone, the more.
                all_ = total[3] + total[4] + total[5]
                others = 1.0 - runs[r, READINGS] / all_ if all_ > 0.0 else 0.0
                runs[r, LEVEL] = runs[r, LEVEL] / others if others >= OTHERS else math.nan
        for t in range(begin_three, end_three):
            # What its neighbours share is the branch's; a device answers for the rest.
            r = run[three[t]]
            if r >= 0 and runs[r, READINGS] >= 6.0:
                devices[t, Z_RE] -= runs[r, Z_RE]
                devices[t, Z_IM] -= runs[r, Z_IM]
        if not with_monitor:
            turn(total, areas[k], scratch[2])
            if areas[k, LINE] != NOT_SEEN:
                areas[k, LINE] *= share
            areas[k, LEVEL] = math.nan


@kernel("float64(float64[::1], float64, float64, float64[::1], boolean)")
def resistance_score(
    w: F8,
    sigma: float,
    slope: float,
    limit: F8,
    blind: bool,
) -> float:
    """Score of one window: does an added resistance explain what is left over?

    limit : float64[8]   the window (not read here); least resistance, ohm; as a share of the
                         healthy slope; volt rms it must explain; its own size in standard errors
                         (which allow for residuals not being independent); share of the residual's
                         power explained; 1 = half of the slope must remain when a constant shift
                         is allowed for (a winding step); the last is `test_places`' business
    """
    if w[W] < 2.5 or (w[A] < 1e-6 and not blind):
        return 0.0
    if blind:
        shift = math.sqrt(w[E] / w[W])
        return float(min(shift / BLIND_SHIFT, shift / (BLIND_SIGMA * sigma)))
    if w[B] <= 0.0:
        return 0.0  # a resistance that falls is no fault
    r = w[B] / w[A]
    neutral = 1.5 * w[B] * r
    x = min(r / max(limit[1], limit[2] * slope), r * math.sqrt(w[A] / w[W]) / limit[3])
    x = min(x, 1.414 * r * math.sqrt(w[A]) / (2.0 * sigma) / limit[4])
    x = min(x, neutral / max(1.5 * w[E], 1e-9) / limit[5])
    if limit[6] > 0.0:
        spread = w[A] - (w[I_RE] * w[I_RE] + w[I_IM] * w[I_IM]) / w[W]
        along = -w[B] - (w[E_RE] * w[I_RE] + w[E_IM] * w[I_IM]) / w[W]
        x = min(x, 2.0 * max(-along, 0.0) / max(spread, 1e-9) / max(r, 1e-9))
    for c in range(3 if x > 0.5 else 0):
        joint = w[X0 + c] * w[X0 + c] / w[Y0 + c] if w[Y0 + c] > 1e-6 else 0.0
        if joint > neutral and w[X0 + c] > 0.0:
            x = min(x, 0.5)  # a joint in one phase alone explains it better
    return float(max(x, 0.0))


@kernel(
    "void(float64[:, ::1], float64[:, ::1], float64[:, ::1], float64, float64,"
    "UniTuple(float64, 2), float64[:, ::1])"
)
def test_places(
    place: F8,
    state: F8,
    score: F8,
    memory: float,
    learn: float,
    decay: tuple[float, float],
    limits: F8,
) -> None:
    """Follow every place by one frame and score it.

    Parameters
    ----------
    place : float64[n, 12]    from `observe`; NEUTRAL and LEFT are filled in
    state : float64[n, 48]   updated
    score : float64[n, 2]    out: loosening, broken; 1 = limit, NaN = not judged
    memory, learn : float    frames remembered; frames needed before judging
    decay : float, float     what is kept of the fast and slow window a frame
    limits : float64[rules, 8]  each of the fast (0) or slow (1) window, see `resistance_score`; the
                                last is how far beyond its usual rms the neutral current may be: a
                                crowd of new loads goes where no slope was ever learned
    """
    for k in range(place.shape[0]):
        row = place[k]
        s = state[k]
        score[k, 0] = math.nan
        score[k, 1] = math.nan
        row[NEUTRAL] = math.nan
        if row[READINGS] == 0.0:
            continue
        # A lost phase or a fault above breaks the line triangle; a lost neutral leaves it whole.
        learned = s[COUNT] >= learn
        if row[LINE] != NOT_SEEN:
            usual = s[USUAL_LINE] if s[USUAL_LINE] > 0.0 else 1.0
            if not (abs(row[LINE] / usual - 1.0) < (LINE_BAND if learned else LINE_FIRST)):
                continue
            if s[USUAL_LINE] == 0.0:
                s[USUAL_LINE] = row[LINE]
            else:
                s[USUAL_LINE] += (0.01 if learned else 0.1) * (row[LINE] - usual)
        z_re = row[Z_RE]
        z_im = row[Z_IM]
        i_re = 0.0
        i_im = 0.0
        i_sum = 0.0
        for c in range(3):
            i_re += row[I_0 + c] * COS[c]
            i_im += row[I_0 + c] * SIN[c]
            i_sum += row[I_0 + c]
        blind = math.isnan(i_re) or (row[I_0] == 0.0 and row[I_1] == 0.0 and row[I_2] == 0.0)
        if blind:
            i_re = 0.0
            i_im = 0.0
            i_sum = 0.0
        level = row[LEVEL]
        if s[COUNT] == 0.0:
            s[MZ_RE] = z_re
            s[MZ_IM] = z_im
            s[MI_RE] = i_re
            s[MI_IM] = i_im
            s[M_0] = 0.0 if math.isnan(level) else level
            s[M_T] = i_sum
            s[VAR] = 1.0
        # Slope of the healthy place, and what it leaves over.
        k_re = 0.0
        k_im = 0.0
        if s[S_II] > 1e-6 and not blind:
            k_re = s[S_RE] / s[S_II]
            k_im = s[S_IM] / s[S_II]
        dz_re = z_re - s[MZ_RE]
        dz_im = z_im - s[MZ_IM]
        di_re = i_re - s[MI_RE]
        di_im = i_im - s[MI_IM]
        e_re = dz_re - (k_re * di_re - k_im * di_im)
        e_im = dz_im - (k_re * di_im + k_im * di_re)
        e_0 = 0.0
        d_0 = 0.0
        d_t = i_sum - s[M_T]
        if not math.isnan(level):
            d_0 = level - s[M_0]
            e_0 = d_0 - (s[S_0T] / s[S_TT] * d_t if s[S_TT] > 1e-6 else 0.0)
        row[NEUTRAL] = math.sqrt(i_re * i_re + i_im * i_im)
        row[LEFT] = -(e_re * i_re + e_im * i_im) / max(row[NEUTRAL], 1e-9)
        size2 = e_re * e_re + e_im * e_im
        size = math.sqrt(size2)
        sigma = math.sqrt(max(s[VAR], 0.01))
        if learned:
            best = 0.0
            for j in range(2):
                w = s[WINDOW + j * N_WINDOW : WINDOW + (j + 1) * N_WINDOW]
                for c in range(N_WINDOW):
                    w[c] *= decay[j]
                w[W] += 1.0
                w[A] += i_re * i_re + i_im * i_im
                if not blind:
                    w[B] -= e_re * i_re + e_im * i_im
                elif size > max(STEADY_V, STEADY_SIGMA * sigma):
                    w[B] += 1.0  # frames displaced, where no current is known
                w[E] += size2
                w[E_RE] += e_re
                w[E_IM] += e_im
                w[I_RE] += i_re
                w[I_IM] += i_im
                for c in range(3):
                    x = 0.0 if blind else row[I_0 + c]
                    w[X0 + c] -= x * (e_0 + e_re * COS[c] + e_im * SIN[c])
                    w[Y0 + c] += x * x
            slope = math.sqrt(k_re * k_re + k_im * k_im)
            usual2 = s[S_II] + s[MI_RE] * s[MI_RE] + s[MI_IM] * s[MI_IM]
            told = WINDOW
            for j in range(limits.shape[0]):
                low = WINDOW + int(limits[j, 0]) * N_WINDOW
                w = s[low : low + N_WINDOW]
                x = resistance_score(w, sigma, slope, limits[j], blind)
                if blind and min(row[UP], row[DOWN]) < OPPOSED * size:
                    x = min(x, 0.7)
                if w[A] > limits[j, 7] * limits[j, 7] * usual2 * w[W]:
                    x = min(x, 0.9)
                if x >= best:
                    best = x
                    told = low
            w = s[told : told + N_WINDOW]
            if blind or w[A] < 1e-6:
                s[RESISTANCE] = math.nan
                s[SHIFT] = math.sqrt(w[E] / w[W])
            else:
                s[RESISTANCE] = w[B] / w[A]
                s[SHIFT] = s[RESISTANCE] * math.sqrt(w[A] / w[W])
                s[EXPLAINED] = w[B] * s[RESISTANCE] / max(w[E], 1e-9)
            score[k, 0] = best
        # Broken: a large opposed displacement in two frames running.
        against = size
        need = max(BROKEN_V, BROKEN_SIGMA * sigma)
        if not learned:
            against = math.sqrt(z_re * z_re + z_im * z_im)
            need = 1.5 * BROKEN_V
        b = against / need
        if min(row[UP], row[DOWN]) < OPPOSED * against:
            b = min(b, 0.7)
        # What is broken carries next to nothing: so much current comes back through a conductor.
        if not blind and against < (BROKEN_OHM if learned else LINE_OHM) * row[NEUTRAL]:
            b = min(b, 0.7)
        score[k, 1] = min(b, s[LAST_SIZE])
        s[LAST_SIZE] = b
        s[SIZE] = against
        # Learn, unless something is growing; after a month the new state is the usual one.
        worst = b
        if not math.isnan(score[k, 0]):
            worst = max(worst, score[k, 0])
        if worst > 0.5 and s[FROZEN] < FREEZE_FRAMES:
            s[FROZEN] += 1.0
            continue
        if worst <= 0.5:
            s[FROZEN] = 0.0
        s[COUNT] += 1.0
        a = max(1.0 / s[COUNT], 1.0 / memory)
        cut = 1.0
        if learned and size > 4.0 * sigma:
            cut = 4.0 * sigma / size
        s[MZ_RE] += a * dz_re * cut
        s[MZ_IM] += a * dz_im * cut
        if not blind:
            s[MI_RE] += a * di_re
            s[MI_IM] += a * di_im
            w2 = a * (1.0 - a)
            s[S_II] = (1.0 - a) * s[S_II] + w2 * (di_re * di_re + di_im * di_im)
            # dz * conj(di), with the part that the model does not explain cut back
            y_re = k_re * di_re - k_im * di_im + e_re * cut
            y_im = k_re * di_im + k_im * di_re + e_im * cut
            s[S_RE] = (1.0 - a) * s[S_RE] + w2 * (y_re * di_re + y_im * di_im)
            s[S_IM] = (1.0 - a) * s[S_IM] + w2 * (y_im * di_re - y_re * di_im)
            if not math.isnan(level):
                s[M_0] += a * d_0
                s[M_T] += a * d_t
                s[S_TT] = (1.0 - a) * s[S_TT] + w2 * d_t * d_t
                s[S_0T] = (1.0 - a) * s[S_0T] + w2 * d_0 * d_t
        if s[COUNT] > 8.0:
            s[VAR] += max(1.0 / (s[COUNT] - 7.0), 1.0 / memory) * (size2 * cut * cut - s[VAR])
