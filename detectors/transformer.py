"""Transformer overload, over-temperature and oil that is hotter than its load explains.

Load comes from the transformer's monitor, else from the sum of its meters. Overload follows an
inverse-time rule; the hot spot follows IEC 60076-7; measured oil is compared with the model after
a plausibility gate, because most "overheating" in real monitoring data is a broken sensor.
"""

import math
from functools import partial
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Detector, known_at, rounded
from detectors.compiled import F4, F8, I1, I4, I8, kernel
from detectors.frames import NEVER, Frame
from detectors.layout import CHANNEL, MORE, GroupLayout
from detectors.settings import DetectorSettings
from detectors.thermal import (
    DISTRIBUTION,
    HOT_SPOT_LIMIT_C,
    OIL_LIMIT_C,
    hours_to_limit,
    thermal_step,
)
from grid.faults import Severity
from grid.records import Evidence, Finding

DOSE_LIMIT_MIN: Final = 120.0  # eight quarter-hours just above rating, fewer further above
HEAVY: Final = 0.8
DEFAULT_AMBIENT_C: Final = 25.0
POWER_FACTOR: Final = 0.97  # of a street of households, where only active power is known
MIN_COVERAGE: Final = 0.7  # of an area's meters, where there is no monitor
JUMP_K: Final = 20.0  # oil cannot move faster in a quarter of an hour: IEC gives about 5 K
OIL_EXCESS_K: Final = 5.0
OIL_EXCESS_BLIND_K: Final = 25.0  # without measured ambient temperature the weather is in it,
OIL_WARM_C: Final = 60.0  # so oil must be warm as well
CLEAR: Final = (0.5, 0.9, 0.5)
GATHERING: Final = 0.25  # of the limit of an overload: from here on others are told of it
HOLD_US: Final = (26 * 3600 * 1_000_000, 0, 0)
LEARN_STEPS_US: Final = 3 * 86400 * 1_000_000

LOAD_DOUBT: Final = 0.1  # the load may be so much more or less than now, until the limit
EXCLUDED: Final[tuple[tuple[str, ...], ...]] = (
    (
        "a short peak: two hours above rating, or fewer further above, are counted",
        "missing meters: without a monitor 70 % of them must report",
        "短时尖峰：须累计越限两小时（越限越多，时间越短）",
        "缺数：无监测终端时须有七成电表上报",
    ),
    (
        "a sensor: oil that jumps faster than it can is left out",
        "load and weather: both are in the model",
        "传感器故障：超出物理速度的突变已剔除",
        "负荷与气温：模型已计入",
    ),
    (
        "heating: at full load oil gains about 5 K in a quarter of an hour",
        "过热：满载时油温一刻钟约升5K",
    ),
)

# Columns of the float state.
OIL, RISE_1, RISE_2, LOAD, DOSE, HEAVY_MIN, BASE, VAR, FAST, LAST_OIL, OTHER_OIL, REJECTS = range(
    12
)
AMBIENT, EXCESS, HOT, MODEL, S_MM, S_MY = range(12, 18)
N_STATE: Final = 18

V_A, I_A, P_ALL, Q_ALL, P_A = (CHANNEL[k] for k in ("v_a", "i_a", "p", "q", "p_a"))
T_OIL, T_AMBIENT = MORE["t_oil"], MORE["t_ambient"]


@kernel("float64(float32[:, ::1], int64, float64)")
def apparent_power(
    values: F4,
    p: int,
    nominal: float,
) -> float:
    """VA through one three-phase device: from voltage and current, else from p and q."""
    total = 0.0
    complete = True
    for c in range(3):
        i = values[p, I_A + c]
        if math.isnan(i):
            complete = False
        else:
            v = values[p, V_A + c]
            total += (nominal if math.isnan(v) else v) * abs(i)
    if complete:
        return total
    active = float(values[p, P_ALL])
    if math.isnan(active):
        active = float(values[p, P_A]) + float(values[p, P_A + 1]) + float(values[p, P_A + 2])
    q = float(values[p, Q_ALL])
    if math.isnan(q):
        return abs(active) / POWER_FACTOR
    return math.sqrt(active * active + q * q)


@kernel("float64(float32[:, ::1], int8[::1], int64, int64, float64)")
def metered_power(
    values: F4,
    phase: I1,
    start: int,
    stop: int,
    nominal: float,
) -> float:
    """VA of an area as the sum of its meters; NaN when too few of them reported."""
    total = 0.0
    reported = 0
    for p in range(start, stop):
        x = float(values[p, P_ALL])
        if math.isnan(x):
            if phase[p] == 3:
                x = apparent_power(values, p, nominal) * POWER_FACTOR
            elif not math.isnan(values[p, I_A]):
                v = values[p, V_A]
                x = (nominal if math.isnan(v) else float(v)) * values[p, I_A] * POWER_FACTOR
        if not math.isnan(x):
            total += x
            reported += 1
    n = stop - start
    if n == 0 or reported < MIN_COVERAGE * n:
        return math.nan
    return abs(total) / POWER_FACTOR * n / reported


@kernel(
    "UniTuple(int64, 2)(int64, float32[:, ::1], float32[:, ::1], int8[::1], int32[::1], int32[::1],"
    "float64[::1], float64[::1], float64[::1], float64[:, ::1], int64[:, ::1], float64[:, ::1])"
)
def advance(
    tick: int,
    values: F4,
    more: F4,
    phase: I1,
    offsets: I4,
    monitor: I4,
    nominal: F8,
    rated: F8,
    constants: F8,
    state: F8,
    when: I8,
    score: F8,
) -> tuple[int, int]:
    """Advance every transformer by one frame; returns how many scores are at the limit, and how
    many overloads are found or gathering.

    values, more : as a `Frame` has them
    state : float64[areas, 18]  see the column names above
    when : int64[areas, 4]      last tick with load; start of load history; start of oil history;
                                last oil reading
    score : float64[areas, 3]   overload, temperature, sensor; 1 = limit, NaN = nothing to judge
    """
    for k in range(offsets.size - 1):
        s = state[k]
        for c in range(3):
            score[k, c] = math.nan
        m = monitor[k]
        va = math.nan
        oil = math.nan
        ambient = math.nan
        if m >= 0:
            va = apparent_power(values, m, nominal[k])
            oil = more[m, T_OIL]
            ambient = more[m, T_AMBIENT]
        if math.isnan(va):
            first = offsets[k]
            while first < offsets[k + 1] and m >= 0 and first <= m:
                first += 1
            va = metered_power(values, phase, first, offsets[k + 1], nominal[k])
        blind = math.isnan(ambient)
        if blind:
            if not math.isnan(s[AMBIENT]) and when[k, 3] > tick - 86400 * 1_000_000:
                ambient = s[AMBIENT]
                blind = False
            else:
                ambient = DEFAULT_AMBIENT_C
        else:
            s[AMBIENT] = ambient
        load = va / rated[k]
        if not math.isnan(load):
            minutes = 0.0
            if when[k, 0] > NEVER:
                minutes = (tick - when[k, 0]) / 60e6
            if minutes > 720.0:
                s[OIL] = math.nan
                s[DOSE] = 0.0
                s[HEAVY_MIN] = 0.0
            if when[k, 1] == NEVER:
                when[k, 1] = tick
            thermal_step(s[:3], load, ambient, minutes, constants)
            s[LOAD] = load
            when[k, 0] = tick
            span = min(minutes, 60.0)
            if load > 1.0:
                s[DOSE] += span * min(8.0, max(1.0, (load - 1.0) / 0.1))
                s[DOSE] = min(s[DOSE], 2.0 * DOSE_LIMIT_MIN)
            else:
                s[DOSE] = max(0.0, s[DOSE] - span * (4.0 if load < 0.9 else 1.0))
            if load > HEAVY:
                s[HEAVY_MIN] = min(s[HEAVY_MIN] + span, 1e6)
            else:
                s[HEAVY_MIN] = 0.0
            score[k, 0] = s[DOSE] / DOSE_LIMIT_MIN
            s[HOT] = s[OIL] + s[RISE_1] - s[RISE_2]
            score[k, 1] = s[HOT] / HOT_SPOT_LIMIT_C
        if math.isnan(oil):
            continue
        quarters = 1.0
        if when[k, 3] > NEVER:
            quarters = max(1.0, (tick - when[k, 3]) / 900e6)
        jump = abs(oil - s[LAST_OIL])
        s[REJECTS] *= 0.5 ** (quarters / 96.0)
        if not math.isnan(jump) and jump > JUMP_K * min(math.sqrt(quarters), 2.0):
            # An impossible jump: judged as the sensor's fault until it proves a lasting level.
            steady = abs(oil - s[OTHER_OIL]) < OIL_EXCESS_K and oil < 140.0
            s[REJECTS] = s[REJECTS] + 1.0
            score[k, 2] = s[REJECTS] / 4.0
            s[OTHER_OIL] = oil
            if not steady or tick - when[k, 3] < 4 * 3600 * 1_000_000:
                continue
            when[k, 2] = NEVER  # a new level: learn again
        score[k, 2] = s[REJECTS] / 4.0
        s[LAST_OIL] = oil
        s[OTHER_OIL] = math.nan
        when[k, 3] = tick
        # Measured oil knows better than the model; the winding above it stays modelled.
        if not math.isnan(s[OIL]):
            s[HOT] = oil + s[RISE_1] - s[RISE_2]
            score[k, 1] = s[HOT] / HOT_SPOT_LIMIT_C
        score[k, 1] = max(oil / OIL_LIMIT_C, 0.0 if math.isnan(score[k, 1]) else score[k, 1])
        if math.isnan(load) or math.isnan(s[OIL]):
            continue
        # This unit's own rise over ambient as a line on the model's: y = base + gain * (m - mean).
        y = oil - ambient
        m_rise = s[OIL] - ambient
        if when[k, 2] == NEVER:
            when[k, 2] = tick
            s[BASE] = y
            s[MODEL] = m_rise
            s[S_MM] = 25.0  # as if a gain of 1 had been seen over 5 K
            s[S_MY] = 25.0
            s[VAR] = 4.0
            s[FAST] = 0.0
        age = (tick - when[k, 2]) / 60e6
        # The baseline forgets over two weeks, faster while it is young.
        a = min(1.0, 15.0 * quarters / min(max(age, 15.0), 20160.0))
        gain = min(2.0, max(0.3, s[S_MY] / s[S_MM]))
        d_m = m_rise - s[MODEL]
        excess = y - s[BASE] - gain * d_m
        f = 1.0 - math.exp(-15.0 * quarters / 180.0)
        s[FAST] += f * (excess - s[FAST])
        limit = max(OIL_EXCESS_K, 4.0 * math.sqrt(s[VAR]))
        if blind:
            limit = max(OIL_EXCESS_BLIND_K, 6.0 * math.sqrt(s[VAR]))
        s[EXCESS] = limit
        learned = tick - when[k, 2] > LEARN_STEPS_US
        high = learned and s[FAST] > 0.5 * limit
        if learned and (not blind or oil > OIL_WARM_C):
            score[k, 1] = max(score[k, 1], s[FAST] / limit)
        if not high:
            clipped = max(-3.0 * limit, min(3.0 * limit, excess))
            b = min(a, 0.01 * quarters)
            s[S_MM] = (1.0 - b) * s[S_MM] + b * d_m * d_m
            s[S_MY] = (1.0 - b) * s[S_MY] + b * d_m * (gain * d_m + clipped)
            s[BASE] += a * (y - s[BASE])
            s[MODEL] += a * d_m
            s[VAR] += a * (min(excess * excess, limit * limit) - s[VAR])
    hot = 0
    loaded = 0
    for k in range(len(score)):
        loaded += score[k, 0] >= GATHERING
        for c in range(3):
            hot += score[k, c] >= 1.0
    return hot, loaded


class TransformerDetector(Detector):
    """Overload and temperature of every transformer of a group."""

    name: ClassVar[str] = "transformer"
    version: ClassVar[int] = 1
    faults: ClassVar[tuple[str, ...]] = (
        "transformer_overload",
        "transformer_thermal",
        "sensor_fault",
    )

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.n_areas
        self.values = self._array("values", "area", (n, N_STATE), np.float64, np.nan)
        self.values[:, [DOSE, HEAVY_MIN, FAST, REJECTS, RISE_1, RISE_2]] = 0.0
        self.when = self._array("when", "area", (n, 4), np.int64, NEVER)
        self.open = self._array("open", "area", (n, 3), np.uint8)
        self.since = self._array("since", "area", (n, 3, 2), np.int64)  # first and last raise
        self.constants = DISTRIBUTION.array()
        self._score = np.full((n, 3), np.nan)
        self._judged = layout.transformer >= 0
        self.any_overloaded = True  # whether `overloaded` need be asked

    def overloaded(self) -> NDArray[np.bool_]:
        """bool[n_areas]: areas whose overload is found, or gathering."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self._score[:, 0] >= GATHERING) | (self.open[:, 0] > 0))

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        hot, loaded = advance(
            frame.tick_us,
            frame.values,
            frame.more,
            layout.phase,
            layout.offsets,
            layout.monitor,
            layout.nominal_v,
            layout.rated_va,
            self.constants,
            self.values,
            self.when,
            self._score,
        )
        quiet = self.quiet(hot)
        self.any_overloaded = loaded > 0 or not quiet
        if quiet:
            return []
        clear = np.array(CLEAR)
        with np.errstate(invalid="ignore"):
            raised = self._score >= 1.0
            below = self._score < clear
        # Every evening's overload is one condition: it ends after a day without one.
        self.since[raised, 1] = frame.tick_us
        below &= frame.tick_us - self.since[:, :, 1] > np.array(HOLD_US)
        self._score[(self.open > 0) & ~below & (self._score < clear)] = 0.95
        ended = below & (self.open > 0)
        kept = (self.open > 0) & ~ended & ~np.isnan(self._score)
        if self.near is not None:
            for what in range(len(clear)):
                score = np.where(self._judged, self._score[:, what], np.nan)
                named = partial(self._named, frame, what, CLEAR[what])
                self.tell_near(frame, score, self.open[:, what], named, str(what))
        out: list[Finding] = []
        for k, what in np.argwhere((raised | ended | kept) & self._judged[:, None]).tolist():
            if raised[k, what] and not self.open[k, what]:
                self.since[k, what, 0] = frame.tick_us
            self.open[k, what] = not ended[k, what]
            out.append(self._finding(frame, k, what, float(self._score[k, what]), clear[what]))
        return out

    def _named(
        self, frame: Frame, what: int, clear: float, k: int, score: float, since: int
    ) -> Finding:
        return self._finding(frame, k, what, score, clear)

    def _finding(self, frame: Frame, k: int, what: int, score: float, clear: float) -> Finding:
        layout = self.layout
        transformer = layout.area_id(k)
        monitor = int(layout.monitor[k])
        s = self.values[k]
        devices: tuple[str, ...] = (layout.names[monitor],) if monitor >= 0 else ()
        kind, asset = "transformer", transformer
        severity: Severity = "P2"
        horizon = None
        numbers: dict[str, float | int | str | None] = {
            "load_factor": rounded(s[LOAD]),
            "rated_kva": rounded(layout.rated_va[k] / 1000.0),
            "hot_spot_c": rounded(s[HOT], 1),
            "model_oil_c": rounded(s[OIL], 1),
            "ambient_c": rounded(s[AMBIENT], 1),
            "heavy_load_h": rounded(s[HEAVY_MIN] / 60.0, 1),
        }
        if what == 0:
            fault, limit = "transformer_overload", 1.0
            numbers["overload_dose_min"] = rounded(s[DOSE], 0)
            ambient = s[AMBIENT] if np.isfinite(s[AMBIENT]) else DEFAULT_AMBIENT_C
            if score >= 1.0:
                horizon, low, high = (
                    hours_to_limit(s[:3].copy(), s[LOAD] * more, ambient, self.constants)
                    for more in (1.0, 1.0 + LOAD_DOUBT, 1.0 - LOAD_DOUBT)
                )
                if horizon is not None:
                    numbers["horizon_low_h"] = None if low is None else rounded(low, 1)
                    # With a little less load it may never come: then there is no later end.
                    numbers["horizon_high_h"] = None if high is None else rounded(high, 1)
            if s[LOAD] > 1.5 or s[HOT] > 140.0:
                severity = "P1"
            rule = "load above rating for two hours, or shorter when further above"
            rule_zh = "负载率超过额定值达两小时（越限越多，时间越短）"
            following = "plan to shift load or uprate; look for one new large customer"
            following_zh = "安排负荷转移或增容；查是否有新增大用户"
        elif what == 1:
            fault, limit = "transformer_thermal", HOT_SPOT_LIMIT_C
            numbers["oil_c"] = rounded(s[LAST_OIL], 1)
            numbers["oil_above_model_k"] = rounded(s[FAST], 1)
            numbers["oil_excess_limit_k"] = rounded(s[EXCESS], 1)
            if np.isfinite(s[EXCESS]) and s[FAST] / s[EXCESS] >= 0.99 * score:
                limit = float(round(s[EXCESS], 1))
                rule = "oil hotter for hours than load and ambient temperature explain"
                rule_zh = "油温持续高于负荷与环境温度所能解释的水平"
            else:
                rule = "hot spot above 120 degC by IEC 60076-7, or oil above 105 degC"
                rule_zh = "按IEC 60076-7热点温度超过120℃，或顶层油温超过105℃"
            if s[HOT] > 140.0:
                severity = "P1"
            following = "check oil level, cooling and connections; reduce the load"
            following_zh = "检查油位、散热与接头，降低负荷"
        else:
            fault, limit, severity = "sensor_fault", JUMP_K, "P4"
            kind, asset = "device", layout.names[monitor]
            numbers = {"oil_c": rounded(s[LAST_OIL], 1), "jumps": rounded(s[REJECTS], 1)}
            rule = "oil temperature jumps by more than 20 K in a quarter of an hour: impossible"
            rule_zh = "油温一刻钟内突变超过20K，物理上不可能"
            following = "check the temperature sensor and its wiring"
            following_zh = "检查温度传感器及其接线"
        members = layout.names[int(layout.offsets[k]) : int(layout.offsets[k + 1])]
        return Finding(
            self.name,
            fault,
            kind,
            asset,
            frame.tick_us,
            known_at(frame, slice(int(layout.offsets[k]), int(layout.offsets[k + 1]))),
            score,
            severity,
            devices,
            Evidence(
                rule,
                rule_zh,
                numbers,
                limit=limit,
                window=(int(self.since[k, what, 0]) or frame.tick_us, frame.tick_us),
                # Against itself: its rating, its model, its sensor; the meters show the load.
                peers=tuple(n for n in members if n not in devices)[:8] if what == 0 else (),
                excluded=EXCLUDED[what],
                next_check=following,
                next_check_zh=following_zh,
            ),
            clear_below=float(clear),
            horizon_h=horizon,
        )
