"""Drops below a reference that grow with a current: the kernels of joints and terminals.

`test_drops` learns each drop that services and branches show (`observed`) as `c + R I + K T` on
healthy days and tests what is left over, in two windows, for an added resistance. Where no current
is known, a drop that appears and stays is looked for instead.
"""

import math
from typing import Final

import numpy as np

from detectors.compiled import F4, F8, I4, I8, kernel
from detectors.observed import DROP, LEFT, MODEL_REF, OWN, REFERENCE, SHARED

COUNT, M_Y, M_I, M_T, S_II, S_IT, S_TT, S_YI, S_YT, VAR, REF, FROZEN = range(12)
RESISTANCE, SHIFT, STDERR, CURRENT_MAX, LEVEL, KNOWN, SLOPE, LONG = range(12, 20)
LAST_LEFT, LAST_OWN, SLOPE_VAR, TAUGHT = range(20, 24)
WINDOW: Final = 24
W, SI, SII, SE, SEI, SEE, SNN, SEN, SDI, SDII, SDD, LEVEL_VAR = range(12)
N_WINDOW: Final = 12
# Services have no use for the neutral's sums. Of lone ones: readings that fell; of the others: own
# current times the neighbours' deviation. Of all: the residual times the square of the current,
# which tells at what current it is seen.
FALLEN: Final = SNN
SIT: Final = SNN
SEII: Final = SEN
# In a window of days: residual and current times the ones before, those themselves, and each times
# the other before.
LAGGED, LAST, LAGGED_I, LAST_I, CROSSED = range(SNN, SNN + 5)
N_LONG: Final = CROSSED + 1
LONG_FRAMES: Final = 48.0
LONG_FILLED: Final = 0.3  # of the window, however short the steps are
N_STATE: Final = WINDOW + 2 * N_WINDOW

FREEZE: Final = 30.0 / 14.0  # of the memory, a month: then the new state is the usual one
DISPELLED: Final = 0.3  # score of a lone meter below which what was suspected is learned from again
BLIND_V: Final = 0.9  # V, where no current is known
BLIND_T: Final = 9.0
# Against what the transformer says a lone meter should read: volt in the fast and slow window, and
# how far beyond the window's usual stray.
MODEL_V: Final = (0.6, 0.33)
MODEL_SIGMA: Final = (6.5, 8.5)
STRAYS: Final = 4.0  # times the usual square, at most, of what is learned
MODEL_FALLEN: Final = (0.9, 0.85)  # share of readings below what is expected
SETTLES: Final = np.float32(2.0)  # the usual slope follows at this rate over the readings known
COUNTED: Final = 0.5  # of the usual current
NOVEL: Final = 2.0  # times the usual square of a branch's current: beyond, loads are new
BEYOND: Final = 1.05  # times the drop at the highest usual current: more than a miscount explains
FOLLOWS: Final = 0.5  # of the added resistance, seen as well when the current is switched
DOUBT: Final = 0.4  # of the score is taken while the switching does not confirm it
SHARED_OHM: Final = 0.005  # by which the share of a neighbours' current may differ from the usual
# In the state's own precision: going to float64 and back for every sum took a third of the time.
NOUGHT, HALF, ONE, SEVEN = np.float32(0.0), np.float32(0.5), np.float32(1.0), np.float32(7.0)
LEAST_VAR: Final = np.float32(0.01)  # V^2
OUTLYING: Final = np.float32(16.0)  # variances: beyond, a residual moves the usual the less
FADES: Final = np.float32(0.9998)  # a frame, of the highest current
LEAST_TAUGHT: Final = np.float32(1e-3)  # A^2
LEAST_II: Final = np.float32(1e-6)  # A^2, of a window that has seen a current
HALF_SQUARE: Final = 0.2475  # of a limit, squared: and a hundredth less for rounding
LEAST_ALONE: Final = 1e-6  # share of a current's square that the other one does not explain


@kernel("UniTuple(float32, 2)(float32[::1])")
def usual_slopes(s: F4) -> tuple[np.float32, np.float32]:
    """Ohm of the own and of the branch's current on healthy days, by least squares."""
    # A touch of ridge keeps them sane while little varied.
    a_ii = s[S_II] + 0.05
    a_tt = s[S_TT] + 0.05
    det = a_ii * a_tt - s[S_IT] * s[S_IT]
    if not det > 1e-9:
        return NOUGHT, NOUGHT
    share = 1.0 / det
    own = (s[S_YI] * a_tt - s[S_YT] * s[S_IT]) * share
    return np.float32(own), np.float32((s[S_YT] * a_ii - s[S_YI] * s[S_IT]) * share)


@kernel(
    "float64(float32[::1], int64, float64, boolean, boolean, float32, float32, float64[:, ::1],"
    "boolean, float64, boolean)",
    fused=True,
)
def window_score(
    s: F4,
    j: int,
    best: float,
    blind: bool,
    fed: bool,
    r0: np.float32,
    var: np.float32,
    limits: F8,
    branch: bool,
    occasions: float,
    raised: bool,
) -> float:
    """Score of the fast (0) or slow (1) window of a row, `best` if that is more.

    Apart from `test_drops`, in which nearly every row ends before it would be needed.

    s : float32[48]   the row's state; what was found is noted there if nothing better was
    fed : bool        the usual slope r0 is known; var : variance of what it leaves over
    """
    w = s[WINDOW + j * N_WINDOW : WINDOW + (j + 1) * N_WINDOW]
    x = 0.0
    row = j + 2 if s[REF] == MODEL_REF else j
    unfed = blind or not fed or w[SII] < LEAST_II
    if unfed or s[REF] == MODEL_REF:
        level = w[SE] / w[W]
        if s[REF] == MODEL_REF:
            # Whatever this customer draws. A neighbour's evening takes some hours only.
            usual = math.sqrt(max(w[LEVEL_VAR], 1e-4))
            x = min(level / MODEL_V[j], level / (MODEL_SIGMA[j] * usual))
            stays = (w[FALLEN] / w[W] - 0.5) / (MODEL_FALLEN[j] - 0.5)
            if not unfed and w[SEI] > 0.0 and level > 0.0:
                # A steady current shows no slope. The fall that it explains may hide
                # in some readings: in how many, the usual deviation says.
                r = w[SEI] / w[SII]
                shown = math.erf(level / math.sqrt(2.0 * var))
                own = min(stays / shown, r * w[SEI] / max(w[SEE], 1e-9) / limits[row, 4])
                own = min(own, r / max(limits[row, 0], limits[row, 1] * abs(r0)))
                stays = max(stays, own)
            x = min(x, stays)
        else:
            x = min(level / BLIND_V, 0.5 * level * math.sqrt(w[W] / var) / BLIND_T)
            constant = level * level * w[W] / max(w[SEE], 1e-9)
            x = min(x, constant / limits[row, 4])
        if x >= best:
            s[LEVEL] = level
            s[RESISTANCE] = math.nan
            s[SHIFT] = level
        best = max(best, x)
    x = 0.0
    # A falling resistance is no fault.
    told = w[SEI] * max(w[SEI], 0.0) > HALF_SQUARE * limits[row, 2] ** 2 * w[W] * w[SII]
    if not unfed and (told or (raised and w[SEI] >= 0.0)):
        r = w[SEI] / w[SII]
        shift = r * math.sqrt(w[SII] / w[W])
        # How well the usual slope is known counts too, from the currents it has seen:
        # whoever draws more than ever goes where it was never learned.
        # Nor does it tell apart two currents that move as one (rounding, or a current
        # known later, makes it even less than nothing).
        alone = 1.0 - s[S_IT] * s[S_IT] / max(s[S_II] * s[S_TT], 1e-9)
        alone = max(alone, LEAST_ALONE)
        unsure = min(max(s[SLOPE_VAR], 1.0 / s[TAUGHT]) / alone, 1e3)
        se = 2.0 * math.sqrt(var * (1.0 / w[SII] + unsure))
        if not branch and s[REF] != MODEL_REF:
            # Neighbours who draw far more than usual at the same hours do so from
            # elsewhere on the branch.
            astray = SHARED_OHM * w[SIT] / w[SII]
            se = math.sqrt(se * se + astray * astray)
        x = min(r / max(limits[row, 0], limits[row, 1] * abs(r0)), shift / limits[row, 2])
        x = min(x, r / se / limits[row, 3])
        x = min(x, w[SEI] * r / max(w[SEE], 1e-9) / limits[row, 4])
        # A neighbour's load moves the voltage whatever this customer draws: with an
        # intercept, the slope must remain.
        spread = w[SII] - w[SI] * w[SI] / w[W]
        slope = (w[SEI] - w[SE] * w[SI] / w[W]) / spread if spread > 0.5 else 0.0
        x = min(x, 2.0 * max(slope, 0.0) / max(r, 1e-9))
        # The same drop at less current than ever: the counting has fallen, not the
        # joint.
        if s[M_I] > 0.3 and w[SI] < COUNTED * s[M_I] * w[W]:
            x = min(x, 0.5)
        if branch and w[SEN] > 0.0 and w[SEN] * w[SEN] * w[SII] > w[SEI] * w[SEI] * w[SNN]:
            x = min(x, 0.5)
        if branch:
            # New loads need not hang where the usual ones do: on a branch that is
            # loaded at its far end the usual slope doubles.
            usual = NOVEL * (s[S_II] + s[M_I] * s[M_I]) * w[W]
            new = 1.0 - math.sqrt(min(1.0, usual / max(w[SII], 1e-9)))
            x = min(x, r / max((limits[row, 1] + new) * abs(r0), 1e-9))
        elif not raised:
            # A drop no larger than what the highest usual current takes may be
            # that current, counted too little.
            at_current = w[SEII] / max(w[SEI], 1e-9)
            if (max(r0, 0.0) + r) * at_current < BEYOND * r0 * s[CURRENT_MAX]:
                x = min(x, 0.9)
        if occasions > 0.0 and not raised:
            # Load elsewhere comes and goes at its own moments: only a joint follows
            # this customer's switching. Strong evidence need not wait for it.
            moves = max(0.0, w[SDI]) / max(w[SDII], 1e-9)
            times = w[SDI] * w[SDI] / max(w[SDD], 1e-9)
            x *= 1.0 - DOUBT * (1.0 - min(1.0, moves / (FOLLOWS * max(r, 1e-9)), times / occasions))
        if x >= best:
            s[RESISTANCE] = r
            s[SHIFT] = shift
            s[STDERR] = se
    return max(best, x)


@kernel(
    "int64(float32[:, ::1], float32[:, ::1], float64[::1], int64[::1], float64, float64,"
    "UniTuple(float64, 2), float64[:, ::1], boolean, float64)",
    fused=True,
)
def test_drops(
    seen: F4,
    state: F4,
    score: F8,
    opened: I8,
    memory: float,
    learn: float,
    decay: tuple[float, float],
    limits: F8,
    branch: bool,
    occasions: float,
) -> int:
    """Follow every drop by one frame; the number of rows raised or with half a score, often none.

    seen : float32[m, 5]     from `observe_drops`; LEFT is filled in
    state : float32[m, 48]   updated; score : float64[m]  out, 1 = limit, NaN = not judged
    opened : int64[m]        0 = not raised: then a score below a half is told as 0, as nobody asks
    limits : float64[2 or 4, 5]   of the two windows, then those of lone services
    branch : bool            `SHARED` are the other phases, so a neutral must be told apart
    occasions : float        how often, at least, the residual must have moved as the current was
                             switched before the score counts in full; 0 = not asked
    """
    keeps = (np.float32(decay[0]), np.float32(decay[1]))
    full = (np.float32(0.6 / (1.0 - decay[0])), np.float32(0.6 / (1.0 - decay[1])))
    # What explains less than half the volts that the limit asks for needs no closer look.
    half = (
        np.float32(HALF_SQUARE * limits[0, 2] ** 2),
        np.float32(HALF_SQUARE * limits[1, 2] ** 2),
    )
    slow = np.float32(1.0 / memory)
    most = np.float32(memory)
    enough = np.float32(learn)
    hot = 0
    for k in range(seen.shape[0]):
        s = state[k]
        score[k] = math.nan
        y = seen[k, DROP]
        if math.isnan(y):
            continue
        if s[REF] != seen[k, REFERENCE]:
            # Another reference is another drop: begin again.
            for c in range(N_STATE):
                s[c] = 0.0
            s[REF] = seen[k, REFERENCE]
        i = np.float32(seen[k, OWN])
        blind = math.isnan(i)
        if blind:
            i = NOUGHT
        t = np.float32(seen[k, SHARED])
        if math.isnan(t):
            t = NOUGHT
        if s[KNOWN] == 0.0:
            s[M_I] = i
        if s[COUNT] == 0.0:
            s[M_Y] = y
            s[M_T] = t
            s[VAR] = 0.25
        dy = np.float32(y) - s[M_Y]
        di = i - s[M_I]
        dt = t - s[M_T]
        r0, k0 = usual_slopes(s)
        fed = s[KNOWN] >= enough
        if fed:
            r0 = s[SLOPE]
        elif s[COUNT] >= enough:
            r0 = NOUGHT  # currents known later than voltages: a few of them make no slope
        e = dy - r0 * di - k0 * dt
        seen[k, LEFT] = e
        var = max(s[VAR], LEAST_VAR)
        learned = s[COUNT] >= enough
        raised = opened[k] != 0
        plain = fed and not (blind or raised or s[REF] == MODEL_REF)
        best = 0.0
        s[CURRENT_MAX] = max(s[CURRENT_MAX] * FADES, abs(i))
        if learned:
            # As the current is switched, so is what a joint takes; a current not told is none.
            by = NOUGHT if blind else i - s[LAST_OWN]
            step = (e - s[LAST_LEFT]) * by
            if branch:
                # A neutral moves with the other phases too, at half weight and against.
                n = i - HALF * t
                nn, en = n * n, e * n
            else:
                en = e * i * abs(i)
                if s[REF] != MODEL_REF:
                    nn = i * dt
                else:
                    nn = ONE if e > NOUGHT else NOUGHT
            ii, ei, ee, turned, steps = i * i, e * i, e * e, by * by, step * step
            for j in range(2):
                w = s[WINDOW + j * N_WINDOW : WINDOW + (j + 1) * N_WINDOW]
                keep = keeps[j]
                w[W] = w[W] * keep + ONE
                w[SI] = w[SI] * keep + i
                w[SII] = w[SII] * keep + ii
                w[SE] = w[SE] * keep + e
                w[SEI] = w[SEI] * keep + ei
                w[SEE] = w[SEE] * keep + ee
                w[SNN] = w[SNN] * keep + nn
                w[SEN] = w[SEN] * keep + en
                w[SDI] = w[SDI] * keep + step
                w[SDII] = w[SDII] * keep + turned
                w[SDD] = w[SDD] * keep + steps
                if w[W] < full[j]:
                    continue
                told = w[SEI] * max(w[SEI], NOUGHT) > half[j] * w[W] * w[SII]
                if plain and not told and w[SII] >= LEAST_II:
                    continue
                best = window_score(
                    s, j, best, blind, fed, r0, var, limits, branch, occasions, raised
                )
            score[k] = best
            hot += raised or best >= 0.5
        if not blind:
            s[LAST_LEFT] = e
            s[LAST_OWN] = i
        suspect = max(best, s[LONG])
        # A lone meter's suspicion ends when it is dispelled, not when it wavers.
        doubt = DISPELLED if s[FROZEN] > 0.0 and s[REF] == MODEL_REF else 0.5
        if suspect > doubt and s[FROZEN] < FREEZE * memory:
            s[FROZEN] += 1.0
            continue
        if suspect <= doubt:
            s[FROZEN] = 0.0
        s[COUNT] += ONE
        a = ONE / s[COUNT] if s[COUNT] < most else slow
        cut = ONE
        if learned and e * e > OUTLYING * var:
            cut = np.float32(4.0 * math.sqrt(var) / abs(e))
        fit = r0 * di + k0 * dt + e * cut
        s[M_Y] += a * fit
        s[M_T] += a * dt
        rest = ONE - a
        b = a * rest
        if not blind:
            # Currents may be known later than voltages; all moments are then of their time.
            s[KNOWN] += ONE
            if s[KNOWN] != s[COUNT]:
                a = ONE / s[KNOWN] if s[KNOWN] < most else slow
                rest = ONE - a
                b = a * rest
        s[S_TT] = rest * s[S_TT] + b * dt * dt
        s[S_YT] = rest * s[S_YT] + b * fit * dt
        if not blind:
            s[M_I] += a * di
            s[S_II] = rest * s[S_II] + b * di * di
            s[S_IT] = rest * s[S_IT] + b * di * dt
            s[S_YI] = rest * s[S_YI] + b * fit * di
            # The slope moves as soon as a new current is seen, the usual one by the calendar: a
            # customer who begins to draw more the day the joint heats does not hide it. So does
            # the square of its error: a reading teaches by the part of it that was believed.
            slope, _ = usual_slopes(s)
            rate = ONE
            if fed:
                rate = SETTLES * a if a > slow else max(SETTLES / s[KNOWN], slow)
            s[SLOPE] += rate * (slope - s[SLOPE])
            s[TAUGHT] += rest * cut * di * di
            if s[KNOWN] >= most:
                s[TAUGHT] -= a * s[TAUGHT]
            s[SLOPE_VAR] += rate * (ONE / max(s[TAUGHT], LEAST_TAUGHT) - s[SLOPE_VAR])
        for j in range(2 if s[REF] == MODEL_REF else 0):
            # How far the window's mean strays on healthy days, however its readings cohere.
            w = s[WINDOW + j * N_WINDOW : WINDOW + (j + 1) * N_WINDOW]
            if w[W] > 0.0:
                stray = w[SE] / w[W]
                since = max(s[COUNT] - learn, 1.0)
                far = stray * stray
                if since > learn:
                    far = min(far, STRAYS * w[LEVEL_VAR])  # a fall that begins is not yet usual
                w[LEVEL_VAR] += max(1.0 / since, 1.0 / memory) * (far - w[LEVEL_VAR])
        if s[COUNT] > 8.0:
            young = s[COUNT] - SEVEN
            rate = ONE / young if young < most else slow
            s[VAR] += rate * (e * e * cut * cut - s[VAR])
    return hot


@kernel(
    "int64(float32[:, ::1], int32[::1], float32[:, ::1], float32[:, ::1], float64[::1],"
    "float64, float64, float64, float64[::1])"
)
def test_long(
    seen: F4,
    rows: I4,
    state: F4,
    window: F4,
    score: F8,
    memory: float,
    learn: float,
    keep: float,
    limits: F8,
) -> int:
    """A window of days for the rows without siblings, after `test_drops`; how many reach a half.

    An hourly meter that draws an ampere on average tells 0.3 ohm apart from its noise only over
    days. Residuals cohere from reading to reading; how much is measured, not assumed, and so is
    how well the usual slope is known. Means are taken off: a constant fall is `test_drops`'
    business, and over days the season moves it too.

    rows : int32[m]          places in `seen`, `state`, `score`
    window : float32[m, 11]   updated; keep : float  what is kept of it a frame
    limits : float64[5]      ohm, share of the usual slope, volt rms explained, standard errors,
                             share of the residual's variance explained
    """
    hot = 0
    least = max(LONG_FRAMES, -LONG_FILLED / math.log(keep))
    for j in range(rows.size):
        k = rows[j]
        s = state[k]
        w = window[j]
        e = float(seen[k, LEFT])
        if math.isnan(e) or s[COUNT] < learn:
            continue
        i = float(seen[k, OWN])
        if math.isnan(i) or s[KNOWN] < learn:
            continue
        for c in range(N_LONG):
            if c != LAST and c != LAST_I:
                w[c] *= keep
        w[W] += 1.0
        w[SI] += i
        w[SII] += i * i
        w[SE] += e
        w[SEI] += e * i
        w[SEE] += e * e
        w[LAGGED] += e * w[LAST]
        w[LAGGED_I] += i * w[LAST_I]
        w[CROSSED] += e * w[LAST_I] + i * w[LAST]
        w[LAST] = e
        w[LAST_I] = i
        ii = w[SII] - w[SI] * w[SI] / w[W]
        ei = w[SEI] - w[SE] * w[SI] / w[W]
        if w[W] < least or ii < 1.0 or ei <= 0.0:
            s[LONG] = 0.0
            continue
        level = w[SE] / w[W]
        ee = max(w[SEE] - w[SE] * level, 1e-9)
        r = ei / ii
        shift = r * math.sqrt(ii / w[W])
        left = max(ee - r * ei, 0.0025 * w[W])
        # What misleads a slope is what coheres in both, current and what the slope leaves.
        current = w[LAGGED_I] - w[SI] * w[SI] / w[W]
        crossed = w[CROSSED] - 2.0 * level * w[SI]
        rest = w[LAGGED] - w[SE] * level - r * (crossed - r * current)
        coherent = max(0.1, min(0.95, rest / left)) * max(0.1, min(0.95, current / ii))
        known = max(s[S_II] * min(s[KNOWN], memory), 1e-3)
        left /= w[W]
        then = min(left, max(s[VAR], LEAST_VAR))
        se = math.sqrt((left / ii + then / known) * (1.0 + coherent) / (1.0 - coherent))
        x = min(r / max(limits[0], limits[1] * abs(s[SLOPE])), shift / limits[2])
        x = min(x, min(r / se / limits[3], r * ei / ee / limits[4]))
        if s[M_I] > 0.3 and w[SI] < COUNTED * s[M_I] * w[W]:
            x = min(x, 0.5)
        if x > score[k] or math.isnan(score[k]):
            score[k] = x
            s[RESISTANCE] = r
            s[SHIFT] = shift
            s[STDERR] = se
        s[LONG] = x
        hot += x >= 0.5
        if x > 0.5 and s[FROZEN] >= FREEZE * memory:
            s[LONG] = 0.0
            for c in range(N_LONG):
                w[c] = 0.0  # after so long the new state is the usual one
    return hot
