"""What a transformer hands out: level, balance of phases, balance of load, leakage to earth.

Four slow conditions of the transformer itself, each a dose or a lasting shift against what it
learned: voltage outside the country's limits, one phase's winding ratio that stepped away from
the other two, load that sits on one phase, residual current that grows. None of them is judged
from a single frame.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, Stateful, known_at, rounded
from detectors.columns import sum_within
from detectors.compiled import F4, F8, I4, I8, kernel
from detectors.currents import phase_current
from detectors.displacement import COS, SIN
from detectors.frames import NEVER, Frame
from detectors.horizon import NOTHING, Growth
from detectors.layout import CHANNEL, MORE, GroupLayout
from detectors.leakage import (
    APART_A,
    APART_HOURS,
    APART_SIGMA,
    leak_at_no_current,
    told_of_leakage,
)
from detectors.neutral import NeutralDetector
from detectors.settings import DetectorSettings
from detectors.supply_words import TEXTS
from detectors.transformer import TransformerDetector
from grid.faults import Severity
from grid.records import Evidence, Finding

V, I_A, LEAK = CHANNEL["v_a"], CHANNEL["i_a"], MORE["i_residual"]

# Columns of an area's state.
HIGH, LOW, LEVEL, LEVEL_BASE, COUNT = range(5)
C_RE, C_IM, Z_RE, Z_IM, Z_SIZE, Z_VAR = range(5, 11)
UNBALANCE_MIN, LEAK_FAST, LEAK_BASE, LEAK_VAR, LEAK_COUNT, UNBALANCE, LOAD, FROZEN = range(11, 19)
NEUTRAL, S_NN, S_NL, LEAK_NOW = range(19, 23)
ROUGH, ROUGH_BASE, LAST_LEAK, USUAL_UNBALANCE, HEAVY_FRAMES = range(23, 28)
MI_RE, MI_IM, S_II, S_RE, S_IM, FED = range(28, 34)  # asymmetry along the unbalance current
UNBALANCE_VAR = 34
N_STATE: Final = 35

SPIN: Final = np.array(COS) + 1j * np.array(SIN)

FAULTS: Final = (
    "over_voltage",
    "under_voltage",
    "transformer_winding",
    "unbalance",
    "insulation_leakage",
    "sensor_fault",
)
OVER, UNDER, WINDING, UNBALANCED, LEAKING, MISREAD = range(6)

LEVEL_HOURS: Final = 12.0
BEYOND: Final = 0.01  # of nominal beyond the limit before a reading counts as outside
OUTSIDE_LIMIT: Final = 0.5  # share of half a day outside
FALL: Final = 0.05  # of nominal: so far below its own usual level the supply is abnormal
FALL_NEAR: Final = 0.045  # and so near to the limit
WINDING_SHIFT: Final = 0.002  # of nominal: two thirds of a 0.3 % step of one phase
WINDING_HOURS: Final = 8.0
WINDING_SIGMA: Final = 6.0
CONTRADICTED: Final = 0.4  # of a winding's step, missing at the meters: the monitor alone shows it
CONTRADICTED_SIGMA: Final = 2.0
UNDECIDED_HOURS: Final = 24.0  # so long the meters are asked again
UNBALANCE_LIMIT: Final = 0.5  # of the mean current
UNBALANCE_NEW: Final = 0.35  # of the mean current above what is usual here under load
UNBALANCE_STRAY: Final = 2.0  # and so many times its usual stray
UNBALANCE_DAYS: Final = 5.0  # in five days running at least two are working days
UNBALANCE_LOAD: Final = 0.25  # of rating: light load is never balanced
BRANCH_SHARE: Final = 0.6  # of the excess on the loaded phase: then the branch is the place
UNBALANCE_DOSE_MIN: Final = 240.0
OVERLOADED_DOSE: Final = 0.75  # of it, at most, is left of the hours of an overload
LEAK_MIN_A: Final = 0.1
LEAK_DANGER_A: Final = 1.0
SUSPECT: Final = 0.5  # of the limit: from here on growth is followed
HELD: Final = 0.9  # of the limit: no more where another fault explains it
LEAK_SIGMA: Final = 6.0
LEAK_HOURS: Final = 3.0
ROUGH_HOURS: Final = 6.0
ROUGH_SHARE: Final = 0.12  # of what has grown, as change from reading to reading
MEMORY_DAYS: Final = 14.0
LEARN_DAYS: Final = 3.0
FREEZE_FRAMES: Final = 2880
CLEAR: Final = 0.6


@kernel(
    "UniTuple(int64, 4)(int64, float64, float32[:, ::1], float32[:, ::1], float32[::1],"
    "int32[::1], int32[::1], int32[::1], float64[::1], float64[::1], float64, float64,"
    "float64[:, ::1], int64[::1], float64[:, ::1])"
)
def follow_supply(
    tick: int,
    step_h: float,
    values: F4,
    more: F4,
    slot_v: F4,
    first: I4,
    offsets: I4,
    monitor: I4,
    nominal: F8,
    rated: F8,
    high: float,
    low: float,
    state: F8,
    last: I8,
    score: F8,
) -> tuple[int, int, int, int]:
    """Advance every area by one frame; returns how many scores are at the limit, how many of
    windings are near it, of unbalanced load above 0 and of leakage from `SUSPECT` on.

    values, more : as a `Frame` has them
    slot_v : float32[m], first : int32[n + 1]   V of every phase, see `GroupLayout.slots`
    high, low : limits, per unit of nominal
    state : float64[areas, 35], last : int64[areas]  tick last seen; both updated
    score : float64[areas, 6]  in the order of `FAULTS`, 1 = limit, NaN = not judged; the last is
                               left as it is
    """
    memory = MEMORY_DAYS * 24.0 / step_h
    learn = max(60.0, LEARN_DAYS * 24.0 / step_h)
    for k in range(offsets.size - 1):
        s = state[k]
        for c in range(5):
            score[k, c] = math.nan
        u = nominal[k]
        m = monitor[k]
        # Level: the mean over everything single-phase or three-phase that was heard.
        begin, end = first[offsets[k]], first[offsets[k + 1]]
        least, most = 0.5 * u, 1.6 * u
        total, number = sum_within(slot_v, begin, end, least, most)
        if number == 0:
            continue
        above = 0
        below = 0
        rather_high, rather_low = (high + BEYOND) * u, (low - BEYOND) * u
        for j in range(begin, end):
            v = float(slot_v[j])
            above += (v > rather_high) & (v > least) & (v < most)
            below += (v < rather_low) & (v > least) & (v < most)
        gap_h = step_h
        if last[k] > NEVER:
            gap_h = min(24.0, max(step_h, (tick - last[k]) / 3.6e9))
        last[k] = tick
        level = total / number / u
        f = 1.0 - math.exp(-gap_h / LEVEL_HOURS)
        s[HIGH] += f * ((1.0 if above * 2 >= number else 0.0) - s[HIGH])
        s[LOW] += f * ((1.0 if below * 2 >= number else 0.0) - s[LOW])
        if s[COUNT] == 0.0:
            s[LEVEL] = level
            s[LEVEL_BASE] = level
        s[LEVEL] += f * (level - s[LEVEL])
        s[COUNT] += 1.0
        learned = s[COUNT] > learn
        fall = s[LEVEL_BASE] - s[LEVEL]
        score[k, 0] = s[HIGH] / OUTSIDE_LIMIT
        score[k, 1] = s[LOW] / OUTSIDE_LIMIT
        if learned:
            # Fallen or risen far from its own level, up to the limit's edge: something is wrong.
            near = min(fall / FALL, 2.0 - (s[LEVEL] - low) / FALL_NEAR)
            score[k, 1] = max(score[k, 1], near)
            near = min(-fall / FALL, 2.0 - (high - s[LEVEL]) / FALL_NEAR)
            score[k, 0] = max(score[k, 0], near)
        a = max(1.0 / s[COUNT], 1.0 / memory)
        if max(score[k, 0], score[k, 1]) < 0.6 or not learned:
            s[LEVEL_BASE] += a * (level - s[LEVEL_BASE])
        if m < 0:
            continue
        # One phase against the other two: direction and size of the asymmetry, at the monitor.
        z_re = 0.0
        z_im = 0.0
        whole = True
        for c in range(3):
            v = float(values[m, V + c])
            whole = whole and 0.7 * u < v < 1.4 * u
            z_re += v / u * COS[c] * 2.0 / 3.0
            z_im += v / u * SIN[c] * 2.0 / 3.0
        if whole:
            if s[C_RE] == 0.0 and s[C_IM] == 0.0:
                s[C_RE] = z_re
                s[C_IM] = z_im
                s[Z_VAR] = 1e-6
            # What uneven load takes in the transformer itself follows its current, no winding does.
            i_re = 0.0
            i_im = 0.0
            for c in range(3):
                i = phase_current(values, m, c, u)
                i_re += i * COS[c]
                i_im += i * SIN[c]
            fed = not math.isnan(i_re)
            k_re = 0.0
            k_im = 0.0
            if fed:
                if s[FED] == 0.0:
                    s[MI_RE] = i_re
                    s[MI_IM] = i_im
                i_re -= s[MI_RE]
                i_im -= s[MI_IM]
                if s[S_II] > 1e-6:
                    k_re = s[S_RE] / s[S_II]
                    k_im = s[S_IM] / s[S_II]
            else:
                i_re = 0.0
                i_im = 0.0
            d_re = z_re - s[C_RE] - (k_re * i_re - k_im * i_im)
            d_im = z_im - s[C_IM] - (k_re * i_im + k_im * i_re)
            size2 = d_re * d_re + d_im * d_im
            g = 1.0 - math.exp(-gap_h / WINDING_HOURS)
            s[Z_RE] += g * (d_re - s[Z_RE])
            s[Z_IM] += g * (d_im - s[Z_IM])
            s[Z_SIZE] += g * (math.sqrt(size2) - s[Z_SIZE])
            mean = math.sqrt(s[Z_RE] * s[Z_RE] + s[Z_IM] * s[Z_IM])
            if learned:
                # A loose neutral turns with the load; a winding keeps its direction.
                steady = mean / max(s[Z_SIZE], 1e-9)
                x = min(mean / WINDING_SHIFT, mean / (WINDING_SIGMA * math.sqrt(s[Z_VAR])))
                score[k, 2] = min(x, 1.5 * (steady - 0.75) / 0.1) if steady > 0.75 else 0.0
            if not learned or mean < 0.5 * WINDING_SHIFT or s[FROZEN] > FREEZE_FRAMES:
                all_re = z_re - s[C_RE]
                all_im = z_im - s[C_IM]
                s[C_RE] += a * all_re
                s[C_IM] += a * all_im
                s[Z_VAR] += a * (min(size2, 1e-3) - s[Z_VAR])
                if fed:
                    s[FED] += 1.0
                    f = max(1.0 / s[FED], 1.0 / memory)
                    s[MI_RE] += f * i_re
                    s[MI_IM] += f * i_im
                    g = f * (1.0 - f)
                    s[S_II] = (1.0 - f) * s[S_II] + g * (i_re * i_re + i_im * i_im)
                    s[S_RE] = (1.0 - f) * s[S_RE] + g * (all_re * i_re + all_im * i_im)
                    s[S_IM] = (1.0 - f) * s[S_IM] + g * (all_im * i_re - all_re * i_im)
            if mean >= 0.5 * WINDING_SHIFT:
                s[FROZEN] += 1.0
            else:
                s[FROZEN] = 0.0
        # Load that sits on one phase, while there is load.
        amps = 0.0
        most = 0.0
        n_re = 0.0
        n_im = 0.0
        known = True
        for c in range(3):
            i = abs(float(values[m, I_A + c]))
            known = known and not math.isnan(i)
            amps += i / 3.0
            most = max(most, i)
            n_re += i * COS[c]
            n_im += i * SIN[c]
        if known and amps > 0.0:
            s[UNBALANCE] = most / amps - 1.0
            s[LOAD] = 3.0 * amps * u / rated[k]
            beyond = s[UNBALANCE] - s[USUAL_UNBALANCE]
            settled = s[COUNT] * step_h > UNBALANCE_DAYS * 24.0 and s[HEAVY_FRAMES] >= 48.0
            # A workshop on one phase is in the mean by half only: it is there by day alone.
            stray = UNBALANCE_STRAY * math.sqrt(s[UNBALANCE_VAR])
            new = settled and beyond > max(UNBALANCE_NEW, stray)
            if s[LOAD] > UNBALANCE_LOAD / 3.0 and not new:
                # What the street always was is a matter for planning, not for a ticket.
                s[HEAVY_FRAMES] += 1.0
                rate = max(1.0 / s[HEAVY_FRAMES], 1.0 / memory)
                s[USUAL_UNBALANCE] += rate * beyond
                s[UNBALANCE_VAR] += rate * ((1.0 - rate) * beyond * beyond - s[UNBALANCE_VAR])
            if s[UNBALANCE] > UNBALANCE_LIMIT and new and s[LOAD] > UNBALANCE_LOAD:
                s[UNBALANCE_MIN] += min(gap_h, 1.0) * 60.0
            s[UNBALANCE_MIN] = min(s[UNBALANCE_MIN], 2.0 * UNBALANCE_DOSE_MIN)
            s[UNBALANCE_MIN] *= math.exp(-gap_h / 48.0)
            if not math.isnan(s[LOAD]):
                score[k, 3] = s[UNBALANCE_MIN] / UNBALANCE_DOSE_MIN
        # Leakage to earth.
        x = float(more[m, LEAK])
        if not math.isnan(x):
            s[LEAK_COUNT] += 1.0
            if s[LEAK_COUNT] == 1.0:
                s[LEAK_FAST] = x
                s[LEAK_BASE] = x
                s[LAST_LEAK] = x
                s[LEAK_VAR] = 1e-4
            # Part of the neutral current returns through the earth and is no leakage.
            s[LEAK_NOW] = x
            d_n = math.sqrt(n_re * n_re + n_im * n_im) if known else s[NEUTRAL]
            if s[LEAK_COUNT] == 1.0:
                s[NEUTRAL] = d_n
            d_n -= s[NEUTRAL]
            share = max(0.0, s[S_NL] / s[S_NN]) if s[S_NN] > 1e-6 else 0.0
            raw = x - s[LEAK_BASE]
            x -= share * d_n
            s[LEAK_FAST] += (1.0 - math.exp(-gap_h / LEAK_HOURS)) * (x - s[LEAK_FAST])
            # What returns through the earth because a neutral is bad is as restless as the load;
            # what leaks through insulation follows the voltage, which is steady.
            s[ROUGH] += (1.0 - math.exp(-gap_h / ROUGH_HOURS)) * (abs(x - s[LAST_LEAK]) - s[ROUGH])
            s[LAST_LEAK] = x
            grown = s[LEAK_FAST] - s[LEAK_BASE]
            limit = max(LEAK_MIN_A, LEAK_SIGMA * math.sqrt(s[LEAK_VAR]) / 2.0)
            if s[LEAK_COUNT] > learn:
                score[k, 4] = grown / limit
            score[k, 4] = max(
                s[LEAK_FAST] / LEAK_DANGER_A, 0.0 if math.isnan(score[k, 4]) else score[k, 4]
            )
            if s[ROUGH] - s[ROUGH_BASE] > ROUGH_SHARE * grown:
                score[k, 4] = min(score[k, 4], 0.9)
            b = max(1.0 / s[LEAK_COUNT], 1.0 / memory)
            if score[k, 4] < 0.5 or s[LEAK_COUNT] <= learn:
                e = x - s[LEAK_BASE]
                s[LEAK_BASE] += b * e
                s[ROUGH_BASE] += b * (s[ROUGH] - s[ROUGH_BASE])
                s[NEUTRAL] += b * d_n
                s[S_NN] += b * (d_n * d_n - s[S_NN])
                s[S_NL] += b * (d_n * raw - s[S_NL])
                s[LEAK_VAR] += b * (min(e * e, 1.0) - s[LEAK_VAR])
    hot = 0
    wound = 0
    unbalanced = 0
    leaking = 0
    for k in range(len(score)):
        wound += score[k, 2] > HELD
        unbalanced += score[k, 3] > 0.0
        leaking += score[k, 4] >= SUSPECT
        for c in range(5):
            hot += score[k, c] >= 1.0
    return hot, wound, unbalanced, leaking


class SupplyDetector(Detector):
    """Every transformer of a group."""

    name: ClassVar[str] = "supply"
    version: ClassVar[int] = 5
    faults: ClassVar[tuple[str, ...]] = FAULTS
    listens: ClassVar[tuple[str, ...]] = ("neutral", "transformer")

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.n_areas
        self.track = self._array("track", "area", (n, N_STATE), float)
        self.last = self._array("last", "area", n, np.int64, NEVER)
        self.open = self._array("open", "area", (n, len(FAULTS)), np.int64)
        self._score = np.full((n, len(FAULTS)), np.nan)
        self._none = layout.transformer < 0
        self._homeless = bool(self._none.any())
        self.neutral: NeutralDetector | None = None
        self.transformer: TransformerDetector | None = None
        self.growth = Growth(self, "growth", "area", n)
        self.apart = self._array("apart", "area", (n, 7), float)  # of `leak_at_no_current`
        self.torn_us = self._array("torn", "area", n, np.int64)  # when a neutral was last broken
        self._leak_a = np.full(n, np.nan)
        self._apart_keep = math.exp(-layout.step_us / (APART_HOURS * 3.6e9))
        self.chosen = self._array("chosen", "run", len(layout.run_area), np.uint8)
        self.excess = self._array("excess", "run", len(layout.run_area), float)

    def link(self, others: Sequence[Stateful]) -> None:
        self.neutral = next((d for d in others if isinstance(d, NeutralDetector)), None)
        self.transformer = next((d for d in others if isinstance(d, TransformerDetector)), None)

    def leaking_a(self) -> F8:
        """float64[n_areas]: ampere that leak to earth beyond what is usual there, at least 0."""
        return np.asarray(np.maximum(self.track[:, LEAK_FAST] - self.track[:, LEAK_BASE], 0.0))

    def misread_areas(self) -> NDArray[np.bool_]:
        """Areas whose monitor is found to measure a phase that it did not."""
        return np.asarray(self.open[:, MISREAD] > 0)

    def step(self, frame: Frame) -> list[Finding]:
        layout, limits = self.layout, self.settings.limits
        hot, wound, unbalanced, leaking = follow_supply(
            frame.tick_us,
            layout.step_us / 3.6e9,
            frame.values,
            frame.more,
            frame.slot_v,
            layout.slots.first,
            layout.offsets,
            layout.monitor,
            layout.nominal_v,
            layout.rated_va,
            limits.high,
            limits.low,
            self.track,
            self.last,
            self._score,
        )
        if self._homeless:
            self._score[self._none] = np.nan
        # Most frames have nothing of what follows, and then no array of it is looked at.
        loaded = None
        if self.transformer is not None and self.transformer.any_overloaded:
            loaded = self.transformer.overloaded()
        if self.neutral is not None:
            if unbalanced:
                self._share_excess(self.neutral.run_currents())
            else:
                self.excess.fill(0.0)
            uneven = loaded
            if unbalanced:
                uneven = self._score[:, UNBALANCED] > 0.0
                uneven = uneven if loaded is None else uneven | loaded
            hot += self._tell_leak_apart(frame, uneven, self.neutral.run_currents())
            if wound:
                # A star point that is displaced is no winding, however steady an hour's means look.
                winding = self._score[:, WINDING]
                loose = self.neutral.broken_areas()
                displaced = loose & (winding > HELD)
                winding[displaced] = HELD
                # Nor does what it has left in the mean become one when it is mended.
                fresh = displaced & (self.open[:, WINDING] == 0)
                self.track[fresh, Z_RE] = self.track[fresh, Z_IM] = 0.0
            if wound or self.open[:, MISREAD].any():
                hot += self._tell_monitor_apart()
        if loaded is not None:
            # A crowd of new loads never lands evenly: the overload is the finding.
            self._score[loaded, UNBALANCED] = np.minimum(self._score[loaded, UNBALANCED], HELD)
            dose = self.track[:, UNBALANCE_MIN]  # nor does it count once the overload is over
            dose[loaded] = np.minimum(dose[loaded], OVERLOADED_DOSE * UNBALANCE_DOSE_MIN)
        if leaking or hot:
            leaks = np.flatnonzero(self._score[:, LEAKING] >= SUSPECT)
            grown = self.track[leaks, LAST_LEAK] - self.track[leaks, LEAK_BASE]
            self.growth.follow(leaks, frame.tick_us, np.ones(leaks.size), grown)
        if self.quiet(hot):
            return []
        out = []
        for what in range(len(FAULTS)):
            named = partial(self._finding, frame, what)
            columns = (self._score[:, what], self.open[:, what])
            out += self.over(frame, *columns, CLEAR, named, FAULTS[what])
        return out

    def _tell_monitor_apart(self) -> int:
        """Judge windings whose step the meters behind them contradict as the monitor's own; returns
        how many there are."""
        assert self.neutral is not None
        winding, misread = self._score[:, WINDING], self._score[:, MISREAD]
        misread[:] = np.where(np.isnan(winding), np.nan, 0.0)
        step_h = self.layout.step_us / 3.6e9
        for k in np.flatnonzero(winding > HELD).tolist():
            # What was told stays: the meters take the distance for the usual one within days, and
            # where they are silent they tell nothing.
            told = self.open[k] > 0
            if told[MISREAD]:
                misread[k], winding[k] = winding[k], HELD
                continue
            step_v = complex(self.track[k, Z_RE], self.track[k, Z_IM]) * self.layout.nominal_v[k]
            moved, variance = self.neutral.against_monitor_v(k)
            if told[WINDING] or not moved.size:
                continue
            # A monitor that reads too much has meters that stand lower against it.
            missing = float(np.median(-(moved * np.conj(step_v)).real)) / abs(step_v) ** 2
            doubt = math.sqrt(float(variance.mean()) / moved.size) / abs(step_v)
            if missing > CONTRADICTED:
                misread[k], winding[k] = winding[k], HELD
            asked = self.track[k, FROZEN] * step_h < UNDECIDED_HOURS
            if asked and abs(missing - CONTRADICTED) < CONTRADICTED_SIGMA * doubt:
                misread[k], winding[k] = min(misread[k], HELD), min(winding[k], HELD)
        return int((misread >= 1.0).sum())

    def _tell_leak_apart(self, frame: Frame, uneven: NDArray[np.bool_] | None, amps: F8) -> int:
        """Judge the leakage of areas whose residual current follows a neutral, or new load that
        sits unevenly (`uneven`): by what is left where no neutral current flows (`leakage.py`).
        Returns how many were judged."""
        assert self.neutral is not None
        layout, leaking = self.layout, self._score[:, LEAKING]
        self._leak_a.fill(np.nan)
        self.apart *= self._apart_keep
        runs_moved = self.neutral.moved_runs()
        if uneven is None and not runs_moved.any():
            return 0
        moved = np.zeros(layout.n_areas, bool)
        moved[layout.run_area[runs_moved]] = True
        if uneven is not None:
            moved |= uneven
        # A broken neutral carries nothing: all that the loads leave over strays through the earth.
        self.torn_us[self.neutral.torn_areas()] = frame.tick_us
        torn = frame.tick_us - self.torn_us < APART_HOURS * 3.6e9
        self.apart[torn] = 0.0
        judged = np.flatnonzero(moved & ~np.isnan(leaking)).tolist()
        for k in judged:
            runs = np.flatnonzero(layout.run_area == k)
            bad = runs[runs_moved[runs]]
            phasor = amps[bad if bad.size else runs] @ SPIN
            x = float((np.abs(phasor) ** 2).sum())
            y = float(self.track[k, LEAK_NOW]) ** 2
            if math.isfinite(x) and math.isfinite(y):
                self.apart[k] += told_of_leakage(x, y)
            leak_a, error_a2 = leak_at_no_current(self.apart[k])
            # It is as steady as the voltage: what is not there now is none.
            grown = min(leak_a, math.sqrt(y)) - float(self.track[k, LEAK_BASE])
            sure = leak_a * leak_a / max(APART_SIGMA * error_a2, 1e-9)
            enough = self.apart[k, 0] * layout.step_us >= 0.3 * APART_HOURS * 3.6e9
            apart = min(grown / APART_A, sure) if enough else 0.0
            # An open alert stays so far as it was judged before.
            leaking[k] = max(apart, min(leaking[k], HELD))
            if enough:
                self._leak_a[k] = leak_a
        return len(judged)

    def _share_excess(self, amps: F8) -> None:
        """Follow how much of the loaded phase's excess each branch brings, A, while it lasts."""
        layout = self.layout
        if not (self._score[:, UNBALANCED] > 0.0).any():
            self.excess.fill(0.0)
            return
        total = np.zeros((layout.n_areas, 3))
        np.add.at(total, layout.run_area, amps)
        heavy = np.argmax(total, axis=1)[layout.run_area]
        own = amps[np.arange(heavy.size), heavy] - amps.mean(axis=1)
        lasting = self._score[layout.run_area, UNBALANCED] > 0.0
        with np.errstate(invalid="ignore"):
            growing = lasting & (self.track[layout.run_area, UNBALANCE] > UNBALANCE_LIMIT)
        growing &= np.isfinite(own)
        self.excess[growing] += 0.1 * (own[growing] - self.excess[growing])
        self.excess[~lasting] = 0.0

    def _place(self, what: int, k: int, first: bool) -> tuple[str, str]:
        """Kind and id of the asset of an area's finding; it stays what it was first found to be."""
        if what == MISREAD:
            return "device", self.layout.names[int(self.layout.monitor[k])]
        if what != UNBALANCED:
            return "transformer", self.layout.area_id(k)
        runs = np.flatnonzero(self.layout.run_area == k)
        if first:
            self.chosen[runs] = 0
            loaded = self._loaded_branch(k)
            if loaded >= 0:
                self.chosen[loaded] = 1
        for r in runs[self.chosen[runs] > 0].tolist():
            return self.layout.network.asset_of(int(self.layout.run_node[r]))
        return "transformer", self.layout.area_id(k)

    def _loaded_branch(self, k: int) -> int:
        """The run that brings most of the excess of an area; -1 if none does."""
        runs = np.flatnonzero((self.layout.run_area == k) & (self.layout.run_node >= 0))
        excess = np.maximum(self.excess[runs], 0.0)
        if runs.size < 2 or excess.sum() <= 0.0 or excess.max() < BRANCH_SHARE * excess.sum():
            return -1
        return int(runs[int(np.argmax(excess))])

    def _finding(self, frame: Frame, what: int, k: int, score: float, since: int) -> Finding:
        layout, s = self.layout, self.track[k]
        u = float(layout.nominal_v[k])
        limits = self.settings.limits
        severity: Severity = "P2" if what in (WINDING, LEAKING) else "P3"
        if what == MISREAD:
            severity = "P4"
        shift = math.hypot(s[Z_RE], s[Z_IM])
        outlook = NOTHING
        numbers: dict[str, Any]
        if what in (OVER, UNDER):
            limit = round((limits.high if what == OVER else limits.low) * u, 1)
            numbers = {
                "mean_v": rounded(s[LEVEL] * u, 1),
                "usual_v": rounded(s[LEVEL_BASE] * u, 1),
                "share_outside": rounded(s[HIGH if what == OVER else LOW], 2),
                "rule_of": limits.source,
            }
        elif what in (WINDING, MISREAD):
            limit = round(WINDING_SHIFT * u, 2)
            # A step of one phase alone shows with two thirds of its size.
            angle = [s[Z_RE] * COS[c] + s[Z_IM] * SIN[c] for c in range(3)]
            c = int(np.argmax(np.abs(angle)))
            numbers = {
                "step_percent": rounded(150.0 * angle[c], 2),
                "phase": "abc"[c],
                "asymmetry_v": rounded(shift * u, 2),
                "usual_deviation_v": rounded(math.sqrt(max(s[Z_VAR], 0.0)) * u, 2),
            }
        elif what == UNBALANCED:
            limit = UNBALANCE_LIMIT
            numbers = {
                "unbalance": rounded(s[UNBALANCE], 2),
                "load_factor": rounded(s[LOAD], 2),
                "minutes_unbalanced": rounded(s[UNBALANCE_MIN], 0),
            }
        else:
            limit = LEAK_MIN_A
            numbers = {
                "residual_a": rounded(s[LEAK_NOW], 3),
                "without_neutral_share_a": rounded(s[LEAK_FAST], 3),
                "usual_a": rounded(s[LEAK_BASE], 3),
            }
            outlook = self.growth.outlook(k, LEAK_DANGER_A - float(s[LEAK_BASE]))
            numbers |= outlook.numbers()
            lasting = s[LEAK_FAST] if math.isnan(self._leak_a[k]) else self._leak_a[k]
            if lasting > LEAK_DANGER_A:
                severity = "P1"
        rule, rule_zh, excluded, following, following_zh = TEXTS[FAULTS[what]]
        members = slice(int(layout.offsets[k]), int(layout.offsets[k + 1]))
        monitor = int(layout.monitor[k])
        # A level is the area's against its neighbours'; the other three stand against themselves.
        peers = layout.names[members][:8] if what in (OVER, UNDER) else ()
        return Finding(
            self.name,
            FAULTS[what],
            *self._place(what, k, since == frame.tick_us),
            frame.tick_us,
            known_at(frame, members),
            score,
            severity,
            (layout.names[monitor],) if monitor >= 0 else layout.names[members],
            Evidence(
                rule,
                rule_zh,
                numbers,
                limit=limit,
                window=(since, frame.tick_us),
                peers=peers,
                excluded=excluded,
                next_check=following,
                next_check_zh=following_zh,
            ),
            clear_below=CLEAR,
            horizon_h=outlook.hours,
        )
