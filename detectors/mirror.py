"""A displaced neutral among meters of unknown phase: the kernels behind the star family.

Through a neutral of R ohm the current I_n moves a customer on phase p by g_p R volts, with
g_p = -Re(conj(u_p) I_n) and u_p the phase's direction: the three g sum to zero, so while some fall
others rise. No joint does that. Of which phase a meter is need not be known: the g that its own
residual follows says so. A joint moves one meter, or the meters of one phase; a neutral those of
two phases or three through one and the same resistance.
"""

import math
from typing import Final

import numpy as np

from detectors.compiled import F4, F8, I1, I4, I8, U1, kernel
from detectors.displacement import BROKEN_SIGMA, BROKEN_V, COS, OPPOSED, SIN

# Sums of a window: weight, squares and means of the neutral current, its products with the
# residual, the residual, and its product with all that flows.
W, RR, RI, II, S_R, S_I, E_R, E_I, E, EE, E_T, TT = range(12)
N_WINDOW: Final = 12
# What is told of a place: resistance, displacement rms, share explained, usual deviation, meters
# that tell, highest rise, deepest fall, largest displacement now; last frame's share of a break.
RESISTANCE, SHIFT, EXPLAINED, SIGMA, VOTES, UP, DOWN, SIZE, LAST_SIZE, SUSPECT = range(10)
N_TOLD: Final = 10

VOTE_Z: Final = 3.0  # standard errors by which a meter must follow a direction to be counted
VOTE_SHARE: Final = 0.3  # of its residual
VOTES_MIN: Final = 3
SECOND_Z: Final = 4.0  # of the second direction, all its meters together
ALIKE: Final = 2.0  # times the resistance of one direction is that of another, at most
LEVEL_SHARE: Final = 0.8  # of what a plain drop of all that flows would explain
BALANCE: Final = (
    0.5  # of the larger of rise and fall, the other is at least; a new load far out: less
)
MOVED: Final = 2.0  # times its usual square: something moves this meter
AGREED: Final = 0.6  # of the meters that something moves must tell of the neutral
UNSURE: Final = 0.4  # score where the pattern is not the neutral's, however strong
WAVERS: Final = 0.7  # the same, once it is told
COHERENT: Final = 2.0  # standard errors are so much larger, as residuals follow one another
LEAST_VAR: Final = 0.01  # V^2


@kernel("void(float64[::1], float64[:, ::1], uint8[::1], float32[:, ::1], UniTuple(float64, 2))")
def add_frame(left: F8, flow: F8, learned: U1, sums: F4, decay: tuple[float, float]) -> None:
    """Take one frame into the windows.

    left : float64[m]       V above what is expected, NaN not seen; learned : uint8[m]
    flow : float64[m, 3]    neutral current, real and imaginary part, and all that flows, A, at the
                            moment of the meter's reading; NaN not known
    sums : float32[m, 24]   updated; decay : what is kept of the fast and slow window a frame
    """
    for m in range(left.size):
        e, r, i, t = left[m], flow[m, 0], flow[m, 1], flow[m, 2]
        if learned[m] == 0 or math.isnan(e) or math.isnan(t):
            continue
        for j in range(2):
            w = sums[m, j * N_WINDOW : (j + 1) * N_WINDOW]
            for c in range(N_WINDOW):
                w[c] *= np.float32(decay[j])
            w[W] += np.float32(1.0)
            w[RR] += np.float32(r * r)
            w[RI] += np.float32(r * i)
            w[II] += np.float32(i * i)
            w[S_R] += np.float32(r)
            w[S_I] += np.float32(i)
            w[E_R] += np.float32(e * r)
            w[E_I] += np.float32(e * i)
            w[E] += np.float32(e)
            w[EE] += np.float32(e * e)
            w[E_T] += np.float32(e * t)
            w[TT] += np.float32(t * t)


@kernel("UniTuple(float64, 2)(float32[::1], int64)")
def along(w: F4, p: int) -> tuple[float, float]:
    """Products of a window along direction p: of the residual with g_p, and of g_p with itself."""
    b = -(w[E_R] * COS[p] + w[E_I] * SIN[p])
    a = w[RR] * COS[p] * COS[p] + 2.0 * w[RI] * COS[p] * SIN[p] + w[II] * SIN[p] * SIN[p]
    return float(b), float(max(a, 1e-9))


@kernel("int64(float32[::1], float64)")
def direction(w: F4, var: float) -> int:
    """The phase that a meter's residual follows as behind a bad neutral, -1 for none."""
    best, told = 0.0, -1
    for p in range(3):
        b, a = along(w, p)
        if b > 0.0 and b * b / a > best:
            best, told = b * b / a, p
    z = math.sqrt(best / var) / COHERENT
    return told if told >= 0 and z >= VOTE_Z and best >= VOTE_SHARE * w[EE] else -1


@kernel(
    "float64(float32[:, ::1], int64, int64, int64, float32[::1], float64[::1], boolean,"
    "int8[::1], float64[:, ::1], float64[::1])"
)
def window_score(
    sums: F4,
    begin: int,
    end: int,
    window: int,
    var: F4,
    limit: F8,
    raised: bool,
    vote: I1,
    by: F8,
    told: F8,
) -> float:
    """Score of one window of one place's meters begin:end.

    limit : float64[5]   ohm, volt rms of displacement, standard errors, share explained, share of
                         the slope left when a constant is allowed for
    raised : bool            a pattern that wavers ends nothing
    vote : int8[m]       out: direction of each meter; by : float64[3, 10] scratch; told : out
    """
    by.fill(0.0)
    moved = 0
    votes = 0
    plain = 0
    up, down = 0, 0
    rise, fall = 0.0, 0.0
    weight = 0.0
    for m in range(begin, end):
        w = sums[m, window * N_WINDOW : (window + 1) * N_WINDOW]
        vote[m] = -1
        if w[W] < 2.5:
            continue
        v = max(float(var[m]), LEAST_VAR)
        # What rises the more the more flows, and what falls.
        level = w[E_T] * abs(w[E_T]) / max(w[TT], 1e-9)
        z = math.sqrt(abs(level) / v) / COHERENT
        if z >= VOTE_Z and abs(level) >= VOTE_SHARE * w[EE]:
            if level > 0.0:
                up += 1
                rise += math.sqrt(level / w[W])
            else:
                down += 1
                fall += math.sqrt(-level / w[W])
        p = direction(w, v)
        moved += p >= 0 or w[EE] > MOVED * v * w[W]
        if p < 0:
            continue
        vote[m] = np.int8(p)
        votes += 1
        b, a = along(w, p)
        plain += level < 0.0 and b * b / a < -LEVEL_SHARE * level
        mean_g = -(w[S_R] * COS[p] + w[S_I] * SIN[p])
        x = by[p]
        x[0] += b
        x[1] += a
        x[2] += b / v
        x[3] += a / v
        x[4] += w[EE]
        x[5] += b - w[E] * mean_g / w[W]
        x[6] += a - mean_g * mean_g / w[W]
        weight += w[W]
    # Of another branch's neutral current only a part is known, but some still rise as others fall.
    mirrored = 0.0
    if up >= 2 and down >= 2:
        rise /= up
        fall /= down
        both = rise + fall
        mirrored = min(both / limit[1], min(rise, fall) / max(rise, fall) / BALANCE)
        mirrored = min(mirrored, (up + down) / max(moved, 1) / AGREED)
        told[SUSPECT] = max(told[SUSPECT], mirrored)
        told[RESISTANCE] = math.nan
        told[EXPLAINED] = math.nan
        told[SHIFT] = both / math.sqrt(2.0)
        told[VOTES] = up + down
    if votes < VOTES_MIN:
        return mirrored
    first, second = -1, -1
    for p in range(3):
        if by[p, 1] <= 0.0:
            continue
        if first < 0 or by[p, 2] * by[p, 2] / by[p, 3] > by[first, 2] * by[first, 2] / by[first, 3]:
            first, second = p, first
        elif second < 0 or (
            by[p, 2] * by[p, 2] / by[p, 3] > by[second, 2] * by[second, 2] / by[second, 3]
        ):
            second = p
    b, a, scaled, squares, slope, spread = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    sides = 0
    for p in range(3):
        if by[p, 1] > 0.0:
            sides += 1
            b += by[p, 0]
            a += by[p, 1]
            scaled += by[p, 3]
            squares += by[p, 4]
            slope += by[p, 5]
            spread += by[p, 6]
    r = b / a
    # The monitor's errors are in all meters alike: many of them are no surer than a few.
    error = COHERENT / math.sqrt(scaled / votes * sides)
    shift = r * math.sqrt(2.0 * a / max(weight, 1e-9))
    share = r * b / max(squares, 1e-9)
    x = min(min(r / limit[0], shift / limit[1]), min(r / error / limit[2], share / limit[3]))
    x = min(x, slope / max(spread, 1e-9) / r / limit[4])
    told[SUSPECT] = max(told[SUSPECT], x)
    alike = False
    if second >= 0:
        one, other = by[first, 0] / by[first, 1], by[second, 0] / by[second, 1]
        alike = max(one, other) <= ALIKE * min(one, other)
        alike = alike and by[second, 2] / math.sqrt(by[second, 3]) >= SECOND_Z * COHERENT
    if not alike or votes < AGREED * moved or (votes - plain < VOTES_MIN and up == 0):
        x = min(x, WAVERS if raised else UNSURE)
    if x < mirrored:
        return mirrored
    told[RESISTANCE] = r
    told[SHIFT] = shift
    told[EXPLAINED] = share
    told[VOTES] = votes
    return float(max(x, 0.0))


@kernel(
    "void(float64[::1], float32[:, ::1], int32[::1], uint8[::1], float32[::1],"
    "float64[:, ::1], int64[:, ::1], int8[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1])"
)
def test_mirror(
    left: F8,
    sums: F4,
    first: I4,
    learned: U1,
    var: F4,
    limits: F8,
    opened: I8,
    vote: I1,
    by: F8,
    told: F8,
    score: F8,
) -> None:
    """Score every place by what its lone meters show.

    first : int32[places + 1]   place k has the meters first[k]:first[k + 1]
    var : float32[m]            usual square of what is left over, V^2
    limits : float64[2, 5]      of the fast and slow window, see `window_score`
    opened : int64[places, 2]   0 = not raised
    vote : int8[m]  out; by : float64[4, 10] scratch; told : float64[places, 9]  updated
    score : float64[places, 2]  out: loosening, broken; NaN not judged
    """
    for k in range(first.size - 1):
        score[k, 0] = math.nan
        score[k, 1] = math.nan
        begin, end = first[k], first[k + 1]
        if end - begin < VOTES_MIN:
            continue
        # Two of the highest and two of the lowest: one meter's nonsense is none of the place's.
        high, high2, low, low2 = -math.inf, -math.inf, math.inf, math.inf
        seen = 0
        usual = 0.0
        hot = 0
        for m in range(begin, end):
            e = left[m]
            if learned[m] == 0 or math.isnan(e):
                continue
            seen += 1
            usual += max(float(var[m]), LEAST_VAR)
            w = sums[m, N_WINDOW : 2 * N_WINDOW]
            f = sums[m, :N_WINDOW]
            hot += w[EE] > 1.3 * var[m] * w[W] or f[EE] > 1.3 * var[m] * f[W]
            if e > high:
                high, high2 = e, high
            elif e > high2:
                high2 = e
            if e < low:
                low, low2 = e, low
            elif e < low2:
                low2 = e
        if seen < VOTES_MIN:
            continue
        row = told[k]
        row[SIGMA] = math.sqrt(usual / seen)
        row[UP] = max(high, 0.0)
        row[DOWN] = max(-low, 0.0)
        row[SIZE] = (high - low) / math.sqrt(3.0)
        size = (high2 - low2) / math.sqrt(3.0) if seen >= 4 else 0.0
        b = size / max(BROKEN_V, BROKEN_SIGMA * row[SIGMA])
        if min(high2, -low2) < OPPOSED * size:
            b = min(b, 0.7)
        score[k, 1] = min(b, row[LAST_SIZE])
        row[LAST_SIZE] = b
        best = 0.0
        row[SUSPECT] = b
        for j in range(2 if hot >= VOTES_MIN else 0):
            now = by[3]
            now[SUSPECT] = 0.0
            raised = opened[k, 0] > 0
            x = window_score(sums, begin, end, j, var, limits[j], raised, vote, by[:3], now)
            row[SUSPECT] = max(row[SUSPECT], now[SUSPECT])
            if x > best:
                best = x
                for c in (RESISTANCE, SHIFT, EXPLAINED, VOTES):
                    row[c] = now[c]
        score[k, 0] = best
