"""The gate before all others: a measurement that physics forbids is the sensor's, not the grid's.

Every phase voltage is compared with the middle of its area, its own usual distance taken off. A
voltage that leaps and then keeps its new distance, while the siblings on the branch stay calm and
none of them moves the other way, has no cause in the network: a displaced neutral raises some and
lowers others, a joint follows the load. Readings so found out are taken from the frame, so that
no other family builds a fault on them. Oil sensors are judged by `transformer.py`, which knows
how fast oil can move; wrong ratios by `records.py`.
"""

import math
from functools import partial
from typing import ClassVar, Final

import numpy as np

from detectors.base import Axis, Detector, known_at, rounded
from detectors.compiled import F4, F8, I1, I4, kernel
from detectors.frames import Frame
from detectors.layout import CHANNEL, GroupLayout
from detectors.measuring_words import RULES
from detectors.settings import DetectorSettings
from grid.records import Evidence, Finding

V: Final = CHANNEL["v_a"]

# Columns of a phase's state.
USUAL, VAR, COUNT, RUN, MEAN, SPREAD, FROZEN = range(7)
N_STATE: Final = 7

LEAP: Final = 0.065  # of nominal (15 V): more than any load or feed-in moves one meter alone
LEAP_SIGMA: Final = 8.0
CALM: Final = 0.02  # of nominal: siblings within this have not moved
CALM_SHARE: Final = 0.8
UP_RUN, DOWN_RUN = 8.0, 24.0  # readings; a joint too lowers a voltage, though never steadily
STEADY: Final = 0.15  # spread of a steady new distance, share of it
LEARN_FRAMES: Final = 96.0
MEMORY_DAYS: Final = 7.0
FREEZE_FRAMES: Final = 2880.0
CLEAR: Final = 0.6


@kernel(
    "boolean(float64[:, ::1], float64, int32[::1], int64, int64, int64, int64, int64, int64,"
    "float64)"
)
def alone(
    distance: F8,
    middle: float,
    run: I4,
    monitor: int,
    p: int,
    c: int,
    width: int,
    start: int,
    stop: int,
    calm: float,
) -> bool:
    """Whether phase c of device p has leapt by itself: its own other phases stand still, the
    siblings on its branch (in its area, where the branch has fewer than two) are calm, and none of
    them leapt the other way. `distance`, to be taken from `middle`, begins with
    device `start`."""
    d = distance[p - start, c] - middle
    for other in range(width):
        if other != c and not abs(distance[p - start, other] - middle) < 0.3 * abs(d):
            return False
    for own_branch in (True, False):
        quiet = 0
        number = 0
        against = False
        for q in range(start, stop):
            if q == p or (own_branch and (run[q] != run[p] or q == monitor)):
                continue
            for other in range(3):
                e = distance[q - start, other] - middle
                if math.isnan(e):
                    continue
                number += 1
                if abs(e) < calm:
                    quiet += 1
                elif e * d < 0.0 and abs(e) > 2.0 * calm:
                    against = True
        if number >= (2 if own_branch else 3):
            return quiet >= CALM_SHARE * number and not against
    return False


@kernel(
    "int64(float32[:, ::1], int8[::1], int32[::1], int32[::1], int32[::1], float64[::1], float64,"
    "int32[::1], float32[:, ::1], float64[:, ::1], float64[::1], float64[::1])"
)
def judge_voltages(
    values: F4,
    phase: I1,
    offsets: I4,
    monitor: I4,
    run: I4,
    nominal: F8,
    memory: float,
    row: I4,
    state: F4,
    distance: F8,
    score: F8,
    by: F8,
) -> int:
    """Judge every phase voltage and take the impossible ones from the frame; returns how many
    scores are at the limit.

    row : int32[n]             first row in `state` of each device's one or three
    state : float32[m, 7]      see the column names; updated
    distance : float64[., 3]   scratch of the largest area: V less the usual distance
    score : float64[n]         out: 1 = limit, NaN = nothing seen; by : float64[n]  V of the leap
    """
    hot = 0
    settled = 1.0 / memory
    for k in range(offsets.size - 1):
        start, stop = offsets[k], offsets[k + 1]
        u = nominal[k]
        total = 0.0
        number = 0
        for p in range(start, stop):
            score[p] = math.nan
            width = 3 if phase[p] == 3 else 1
            for c in range(3):
                # What was not reported is not a number, and so is its distance.
                e = math.nan
                if c < width:
                    s = state[row[p] + c]
                    v = float(values[p, V + c])
                    e = v - s[USUAL]
                    if 0.7 * u < v < 1.4 * u and s[RUN] == 0.0:
                        total += e
                        number += 1
                distance[p - start, c] = e
        if number < 4:
            continue
        middle = total / number
        for p in range(start, stop):
            width = 3 if phase[p] == 3 else 1
            for c in range(width):
                s = state[row[p] + c]
                d = distance[p - start, c] - middle
                if math.isnan(d):
                    continue
                if math.isnan(score[p]):
                    score[p] = 0.0
                square = d * d
                var = max(s[VAR], 0.25)
                # Nearly every distance is within the bound: a root is drawn for the others only.
                within = square < 15.99 * var
                learned = s[COUNT] >= LEARN_FRAMES
                sigma = math.nan
                leap = math.nan
                lonely = False
                if not within:
                    sigma = math.sqrt(var)
                    leap = max(LEAP * u, LEAP_SIGMA * sigma)
                    lonely = learned and leap < abs(d) < 0.45 * u
                if lonely:
                    lonely = alone(
                        distance, middle, run, monitor[k], p, c, width, start, stop, CALM * u
                    )
                if lonely:
                    s[RUN] += 1.0
                    if s[RUN] == 1.0:
                        s[MEAN] = d
                        s[SPREAD] = 0.0
                    s[SPREAD] += (abs(d - s[MEAN]) - s[SPREAD]) / min(s[RUN], 24.0)
                    s[MEAN] += (d - s[MEAN]) / min(s[RUN], 24.0)
                    steady = s[SPREAD] < STEADY * abs(s[MEAN])
                    needed = UP_RUN if d > 0.0 else DOWN_RUN
                    x = s[RUN] / needed if steady else min(0.9, s[RUN] / needed)
                    if x > score[p]:
                        score[p] = x
                        by[p] = s[MEAN]
                    if d > 0.0 or x >= 1.0:
                        values[p, V + c] = math.nan
                    if s[FROZEN] < FREEZE_FRAMES:
                        s[FROZEN] += 1.0
                        continue
                    s[RUN] = 0.0  # a month: then the new distance is the usual one
                elif within or abs(d) <= leap or not learned:
                    s[RUN] = 0.0
                    s[FROZEN] = 0.0
                s[COUNT] += 1.0
                rate = 1.0 / s[COUNT] if s[COUNT] < memory else settled
                if learned and not within:
                    bound = 4.0 * sigma
                    d = max(-bound, min(bound, d))
                    square = min(square, bound * bound)
                s[USUAL] += rate * d
                if s[COUNT] > 1.0:
                    s[VAR] += rate * (square - s[VAR])
            hot += score[p] >= 1.0
    return hot


class SensorDetector(Detector):
    """Every voltage of a group; runs before the others and cleans their frame."""

    name: ClassVar[str] = "sensor"
    version: ClassVar[int] = 2
    faults: ClassVar[tuple[str, ...]] = ("sensor_fault",)
    gate: ClassVar[bool] = True

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.size
        width = np.where(layout.phase == 3, 3, 1)
        self._row = (np.cumsum(width) - width).astype(np.int32)
        self._width = width
        self.track = self._array("track", "voltage", (int(width.sum()), N_STATE), np.float32)
        self.open = self._array("open", "device", n, np.int64)
        self.memory = MEMORY_DAYS * 86400e6 / layout.step_us
        self._distance = np.empty((int(np.diff(layout.offsets).max(initial=0)), 3))
        self._score = np.full(n, np.nan)
        self._by = np.zeros(n)

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        hot = judge_voltages(
            frame.values,
            layout.phase,
            layout.offsets,
            layout.monitor,
            layout.run,
            layout.nominal_v,
            self.memory,
            self._row,
            self.track,
            self._distance,
            self._score,
            self._by,
        )
        if self.quiet(hot):
            return []
        return self.over(frame, self._score, self.open, CLEAR, partial(self._finding, frame))

    def keys(self, axis: Axis) -> list[str]:
        if axis != "voltage":
            return super().keys(axis)
        pairs = zip(self.layout.device_keys(), self._width.tolist(), strict=True)
        return [f"{key}\0{c}" for key, width in pairs for c in range(width)]

    def _of(self, p: int) -> F4:
        """State of the phases of a device."""
        return self.track[self._row[p] : self._row[p] + self._width[p]]

    def _finding(self, frame: Frame, p: int, score: float, since: int) -> Finding:
        layout, words = self.layout, RULES["leap"]
        others = [q for q in layout.devices_of(int(layout.area[p])) if q != p]
        return Finding(
            self.name,
            "sensor_fault",
            "device",
            layout.names[p],
            frame.tick_us,
            known_at(frame, [p]),
            score,
            "P4",
            (layout.names[p],),
            Evidence(
                words.rule,
                words.rule_zh,
                {
                    "leap_v": rounded(self._by[p], 1),
                    "readings": int(self._of(p)[:, RUN].max()),
                },
                limit=round(LEAP * float(layout.nominal_v[layout.area[p]]), 1),
                window=(since, frame.tick_us),
                peers=tuple(layout.names[q] for q in others[:8]),
                excluded=words.excluded,
                next_check=words.next_check,
                next_check_zh=words.next_check_zh,
            ),
            clear_below=CLEAR,
        )
