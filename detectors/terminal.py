"""Hot terminals: warmer than the neighbours' by more than the current ever explained.

The terminals of one area share weather and housing, so each is compared with their middle. The
excess is followed as `a + k I^2` with the kernel of the joints; a contact that goes bad makes `k`
grow long before the absolute limit is reached.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

import numpy as np

from detectors.base import Axis, Detector, Stateful, known_at, rounded
from detectors.compiled import F4, F8, I4, kernel
from detectors.currents import phase_current
from detectors.drops import (
    COUNT,
    CURRENT_MAX,
    N_STATE,
    RESISTANCE,
    SHIFT,
    test_drops,
)
from detectors.frames import Frame
from detectors.horizon import Growth
from detectors.layout import CHANNEL, MORE, GroupLayout
from detectors.meter import MeterDetector
from detectors.observed import (
    DROP,
    LEFT,
    N_SEEN,
    OWN,
    PEERS,
    REFERENCE,
    SHARED,
)
from detectors.settings import DetectorSettings
from grid.faults import Severity
from grid.records import Evidence, Finding

T: Final = MORE["t_terminal"]
LIMIT_C: Final = 90.0  # alarm of a well-known maker
TRIP_C: Final = 110.0  # where the same maker's trips
SUSPECT: Final = 0.5  # of the limit: from here on growth is followed
DANGER_C: Final = 70.0
DANGER_K: Final = 30.0
CLEAR: Final = 0.6
WINDOW_HOURS: Final = (6.0, 48.0)
# Fast and slow: K/A^2, share of the usual k, K rms explained, standard errors, share explained.
LIMITS: Final = np.array([[0.01, 2.0, 1.2, 7.0, 0.6], [0.006, 1.5, 0.7, 8.0, 0.5]])
# Without current a steady excess counts; the kernel's limit for that is a volt: one is 5 K here.
KELVIN_BLIND: Final = 5.0


@kernel(
    "void(float32[:, ::1], float32[:, ::1], int32[::1], float64[::1], float32[:, ::1],"
    "float64[::1])",
)
def observe_terminals(values: F4, more: F4, offsets: I4, nominal: F8, seen: F4, warm: F8) -> None:
    """Excess over the area's middle and squared current of every device.

    values, more : as a `Frame` has them
    seen : float32[n, 5]  columns of `observed.observe_drops`; warm : float64[n]  degC, NaN unknown
    """
    seen.fill(math.nan)
    for k in range(offsets.size - 1):
        # The mean of those within 4 K of the mean of those within 8 K of the mean.
        middle = math.nan
        band = 1e9
        number = 0
        for _ in range(3):
            total = 0.0
            number = 0
            for p in range(offsets[k], offsets[k + 1]):
                t = float(more[p, T])
                if not math.isnan(t) and (math.isnan(middle) or abs(t - middle) < band):
                    total += t
                    number += 1
            if number == 0:
                break
            middle = total / number
            band = 8.0 if band > 8.0 else 4.0
        for p in range(offsets[k], offsets[k + 1]):
            t = float(more[p, T])
            warm[p] = t
            if math.isnan(t) or number < 3:
                continue
            square = 0.0
            for c in range(3):
                i = phase_current(values, p, c, nominal[k])
                if not math.isnan(i):
                    square = max(square, i * i)
                elif c == 0:
                    square = math.nan
                    break
            seen[p, DROP] = t - middle
            if math.isnan(square):
                seen[p, DROP] /= KELVIN_BLIND
            seen[p, OWN] = square
            seen[p, SHARED] = 0.0
            seen[p, REFERENCE] = PEERS


class TerminalDetector(Detector):
    """Every device that measures its terminals."""

    name: ClassVar[str] = "terminal"
    version: ClassVar[int] = 4
    faults: ClassVar[tuple[str, ...]] = ("hot_terminal",)
    listens: ClassVar[tuple[str, ...]] = ("meter",)

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n = layout.size
        self.meter: MeterDetector | None = None
        self.track = self._array("track", "device", (n, N_STATE), np.float32)
        self.open = self._array("open", "device", n, np.int64)
        self.growth = Growth(self, "growth", "device", n)
        step_s = layout.step_us / 1e6
        self.memory = 14.0 * 86400.0 / step_s
        self.learn = max(60.0, 3.0 * 86400.0 / step_s)
        self.decay = tuple(math.exp(-step_s / (h * 3600.0)) for h in WINDOW_HOURS)
        self._seen = np.full((n, N_SEEN), np.nan, np.float32)
        self._warm = np.full(n, np.nan)
        self._score = np.full(n, np.nan)

    def link(self, others: Sequence[Stateful]) -> None:
        self.meter = next((d for d in others if isinstance(d, MeterDetector)), None)

    def keys(self, axis: Axis) -> list[str]:
        return self.layout.device_keys()

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        if not frame.reported[CHANNEL["t_terminal"]]:
            return []
        lines = (frame.values, frame.more)
        observe_terminals(*lines, layout.offsets, layout.nominal_v, self._seen, self._warm)
        if self.meter is not None:
            # A meter that repeats itself stays as warm as it was while its neighbours cool.
            self._seen[self.meter.repeating > 0] = np.nan
        args = (self.memory, self.learn, self.decay, LIMITS, False, 0.0)
        test_drops(self._seen, self.track, self._score, self.open, *args)
        rows = np.flatnonzero(self._score >= SUSPECT)
        self.growth.follow(rows, frame.tick_us, self._seen[rows, OWN], self._seen[rows, LEFT])
        np.fmax(self._score, self._warm / LIMIT_C, out=self._score)
        return self.over(frame, self._score, self.open, CLEAR, partial(self._finding, frame))

    def _finding(self, frame: Frame, p: int, score: float, since: int) -> Finding:
        layout = self.layout
        s = self.track[p]
        node = int(layout.network.tree.device[layout.device[p]])
        kind: str = "device"
        asset = layout.names[p]
        if node >= 0:
            kind, asset = layout.network.asset_of(node)
        excess = float(self._seen[p, DROP])
        hot = self._warm[p] >= DANGER_C or excess >= DANGER_K
        severity: Severity = "P1" if hot else "P2"
        # Trips where the neighbours' temperature and the heat of its peak current add up to that.
        room = TRIP_C - (float(self._warm[p]) - excess)
        outlook = self.growth.outlook(p, room / max(float(s[CURRENT_MAX]), 1.0))
        return Finding(
            self.name,
            "hot_terminal",
            kind,
            asset,
            frame.tick_us,
            known_at(frame, [p]),
            score,
            severity,
            (layout.names[p],),
            Evidence(
                "the terminal is warmer than its neighbours' by more than its current explains",
                "端子温度高于邻表，且超过其电流所能解释的温升",
                {
                    "terminal_c": rounded(self._warm[p], 1),
                    "above_neighbours_k": rounded(excess, 1),
                    "added_k_per_a2": rounded(s[RESISTANCE], 4),
                    "added_rms_k": rounded(s[SHIFT], 2),
                    "frames_learned": int(s[COUNT]),
                    **outlook.numbers(4),
                },
                limit=LIMIT_C if self._warm[p] >= LIMIT_C else float(LIMITS[1, 0]),
                window=(since, frame.tick_us),
                peers=self._neighbours(p),
                excluded=(
                    "weather and housing: the neighbours stay cool",
                    "more load: the excess is beyond what this current usually warms",
                    "天气与表箱：邻表温度正常",
                    "负荷增大：温升超过该电流平时所致",
                ),
                next_check="disconnect safely, open the terminal cover, rebuild the contact",
                next_check_zh="安全断电，打开端子盖，重做接线端子",
            ),
            clear_below=CLEAR,
            horizon_h=outlook.hours,
        )

    def _neighbours(self, p: int) -> tuple[str, ...]:
        """Up to eight devices of its area that measure their terminals too."""
        layout = self.layout
        others = [q for q in layout.devices_of(int(layout.area[p])) if q != p]
        return tuple(layout.names[q] for q in others if not math.isnan(self._warm[q]))[:8]
