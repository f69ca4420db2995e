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

from detectors.base import Detector, known_at, rounded
from detectors.columns import LANES
from detectors.compiled import F4, F8, I4, kernel
from detectors.currents import phase_current
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
WITHIN: Final = 15.99  # squares of a usual deviation: nearly every distance is less
VAR_LEAST: Final = 0.25  # V^2
CALM: Final = 0.02  # of nominal: siblings within this have not moved
CALM_SHARE: Final = 0.8
UP_RUN, DOWN_RUN = 8.0, 24.0  # readings; a joint too lowers a voltage, though never steadily
STEADY: Final = 0.15  # spread of a steady new distance, share of it
LOOP_OHM: Final = 1.0  # a weak line's loop: through less, a current lowers a voltage alone
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
    "Tuple((float64, int64))(float32[::1], float32[::1], float32[::1], float64, float64)",
)
def sum_apart(v: F4, usual: F4, running: F4, least: float, most: float) -> tuple[float, int]:
    """Sum and number of voltages less their usual distances, of those between two bounds that have
    not leapt; always the same four sums side by side."""
    a = b = c = d = 0.0
    number = 0
    whole = v.size // LANES * LANES
    for j in range(0, whole, LANES):
        w, x, y, z = float(v[j]), float(v[j + 1]), float(v[j + 2]), float(v[j + 3])
        a += w - usual[j] if (w > least) & (w < most) & (running[j] == 0.0) else 0.0
        b += x - usual[j + 1] if (x > least) & (x < most) & (running[j + 1] == 0.0) else 0.0
        c += y - usual[j + 2] if (y > least) & (y < most) & (running[j + 2] == 0.0) else 0.0
        d += z - usual[j + 3] if (z > least) & (z < most) & (running[j + 3] == 0.0) else 0.0
    for j in range(whole, v.size):
        w = float(v[j])
        a += w - usual[j] if (w > least) & (w < most) & (running[j] == 0.0) else 0.0
    for j in range(v.size):
        number += (v[j] > least) & (v[j] < most) & (running[j] == 0.0)
    return (a + b) + (c + d), number


@kernel("void(float32[::1], int64, int64, float64, float64, float64, float32[:, ::1])")
def follow_calm(
    slot_v: F4, begin: int, end: int, middle: float, memory: float, settled: float, state: F4
) -> None:
    """Follow the usual distances of those phases of an area that are where they usually are.

    slot_v : float32[m]  V; state : float32[7, m]  updated
    """
    v, usual, variance = slot_v[begin:end], state[USUAL, begin:end], state[VAR, begin:end]
    count, running, frozen = (
        state[COUNT, begin:end],
        state[RUN, begin:end],
        state[FROZEN, begin:end],
    )
    for j in range(v.size):
        d = float(v[j]) - usual[j] - middle
        square = d * d
        calm = (square < WITHIN * max(float(variance[j]), VAR_LEAST)) & (running[j] == 0.0)
        calm &= frozen[j] == 0.0
        n = count[j] + np.float32(1.0)
        rate = 1.0 / n if n < memory else settled
        distance = np.float32(usual[j] + rate * d)
        spread = np.float32(variance[j] + rate * (square - variance[j]))
        usual[j] = distance if calm else usual[j]
        variance[j] = spread if calm & (n > 1.0) else variance[j]
        count[j] = n if calm else count[j]


@kernel(
    "int64(float32[:, ::1], float32[::1], float32[::1], float64[::1], int32[::1], int32[::1],"
    "int32[::1], int32[::1], int32[::1], float64[::1], float64, float32[:, ::1], float64[:, ::1],"
    "int32[::1], float64[::1], float32[::1])"
)
def judge_voltages(
    values: F4,
    v: F4,
    slot_v: F4,
    slot_i: F8,
    device: I4,
    first: I4,
    offsets: I4,
    monitor: I4,
    run: I4,
    nominal: F8,
    memory: float,
    state: F4,
    distance: F8,
    strays: I4,
    score: F8,
    by: F4,
) -> int:
    """Judge every phase voltage and take the impossible ones from the frame; returns how many
    scores are at the limit.

    values, v, slot_v, slot_i : as a `Frame` has them; updated
    device : int32[m], first : int32[n + 1]   see `GroupLayout.slots`
    state : float32[7, m]      see the column names; updated
    distance : float64[., 3], strays : int32[.]   scratch of the largest area: V less the usual
                               distance; phases that are not where they usually are
    score : float64[n]         out: 1 = limit, NaN = nothing seen; by : float32[n]  V of the leap,
                               the last one's while there is none
    """
    hot = 0
    settled = 1.0 / memory
    for k in range(offsets.size - 1):
        start, stop = offsets[k], offsets[k + 1]
        begin, end = first[start], first[stop]
        u = nominal[k]
        volts, usual, running = slot_v[begin:end], state[USUAL, begin:end], state[RUN, begin:end]
        variance, frozen = state[VAR, begin:end], state[FROZEN, begin:end]
        total, number = sum_apart(volts, usual, running, 0.7 * u, 1.4 * u)
        if number < 4:
            for p in range(start, stop):
                score[p] = math.nan
            continue
        middle = total / number
        seen = 0
        astray = 0
        far = 0
        for j in range(volts.size):
            d = float(volts[j]) - usual[j] - middle
            seen += d == d
            # Nearly every distance is within the bound: a root is drawn for the others only.
            stray = d * d >= WITHIN * max(float(variance[j]), VAR_LEAST)
            astray += stray | ((d == d) & ((running[j] != 0.0) | (frozen[j] != 0.0)))
            far += abs(d) > LEAP * u
        if seen == volts.size:
            for p in range(start, stop):
                score[p] = 0.0
        else:
            for p in range(start, stop):
                score[p] = math.nan
                for j in range(first[p], first[p + 1]):
                    if slot_v[j] == slot_v[j]:
                        score[p] = 0.0
        if far > 0:
            for p in range(start, stop):
                for c in range(3):
                    j = first[p] + c
                    # What was not reported is not a number, and so is its distance.
                    e = slot_v[j] - float(state[USUAL, j]) if j < first[p + 1] else math.nan
                    distance[p - start, c] = e
        if astray > 0:
            astray = 0
            for j in range(volts.size):
                d = float(volts[j]) - usual[j] - middle
                stray = d * d >= WITHIN * max(float(variance[j]), VAR_LEAST)
                strays[astray] = begin + j
                astray += stray | ((d == d) & ((running[j] != 0.0) | (frozen[j] != 0.0)))
        follow_calm(slot_v, begin, end, middle, memory, settled, state)
        for x in range(astray):
            j = strays[x]
            p = device[j]
            c = j - first[p]
            s = state[:, j]
            d = float(slot_v[j]) - s[USUAL] - middle
            square = d * d
            sigma = math.sqrt(max(float(s[VAR]), VAR_LEAST))
            within = square < WITHIN * max(float(s[VAR]), VAR_LEAST)
            leap = max(LEAP * u, LEAP_SIGMA * sigma)
            learned = s[COUNT] >= LEARN_FRAMES
            lonely = not within and learned and leap < abs(d) < 0.45 * u
            if lonely and d < 0.0:
                # What the customer draws takes so much on a long or thin line.
                i = phase_current(values, p, c, u)
                lonely = math.isnan(i) or i * LOOP_OHM < -d
            if lonely:
                width = first[p + 1] - first[p]
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
                reached = s[RUN] / needed if steady else min(0.9, s[RUN] / needed)
                if reached > score[p]:
                    score[p] = reached
                    by[p] = s[MEAN]
                if d > 0.0 or reached >= 1.0:
                    values[p, V + c] = math.nan
                    slot_v[j] = math.nan
                    if c == 0:
                        v[p] = math.nan
                    # Currents that powers tell are worked out without it.
                    for q in range(first[p + 1] - first[p]):
                        slot_i[first[p] + q] = phase_current(values, p, q, u)
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
        for p in range(start, stop):
            hot += score[p] >= 1.0
    return hot


class SensorDetector(Detector):
    """Every voltage of a group; runs before the others and cleans their frame."""

    name: ClassVar[str] = "sensor"
    version: ClassVar[int] = 3
    faults: ClassVar[tuple[str, ...]] = ("sensor_fault",)
    gate: ClassVar[bool] = True

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.size
        slots = layout.slots
        # Side by side, neighbours are judged several a step of the processor.
        self.track = self._array(
            "track", "voltage", (slots.device.size, N_STATE), np.float32, order="F"
        )
        self.open = self._array("open", "device", n, np.int64)
        self.memory = MEMORY_DAYS * 86400e6 / layout.step_us
        largest = int(np.diff(layout.offsets).max(initial=0))
        self._distance = np.empty((largest, 3))
        self._strays = np.empty(3 * largest, np.int32)
        self._score = np.full(n, np.nan)
        # Told once more when it is over, perhaps after a restart.
        self.leap = self._array("leap", "device", n, np.float32)

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        hot = judge_voltages(
            frame.values,
            frame.v,
            frame.slot_v,
            frame.slot_i,
            layout.slots.device,
            layout.slots.first,
            layout.offsets,
            layout.monitor,
            layout.run,
            layout.nominal_v,
            self.memory,
            self.track.T,
            self._distance,
            self._strays,
            self._score,
            self.leap,
        )
        if self.quiet(hot):
            return []
        return self.over(frame, self._score, self.open, CLEAR, partial(self._finding, frame))

    def _of(self, p: int) -> F4:
        """State of the phases of a device."""
        first = self.layout.slots.first
        return self.track[first[p] : first[p + 1]]

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
                    "leap_v": rounded(self.leap[p], 1),
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
