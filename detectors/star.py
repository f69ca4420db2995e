"""Loose and broken neutrals among meters of which nobody knows the phase, behind a monitor.

What is left of each lone meter's voltage (`expected.py`) is held against the three directions in
which the neutral current of the transformer would move it (`mirror.py`). Where meters of two
directions or three follow it through one and the same resistance, it is the neutral, told at the
branch, or at the transformer where no branch is on record; until it is mended no joint is told
there, as each of these meters looks like one.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Axis, Detector, Stateful, known_at, rounded
from detectors.compiled import F8
from detectors.displacement import BROKEN_V, COS, FREEZE_FRAMES, SIN
from detectors.expected import COUNT, VAR
from detectors.frames import Frame
from detectors.horizon import Growth
from detectors.joint import JointDetector
from detectors.layout import GroupLayout
from detectors.lone import services
from detectors.mirror import (
    DOWN,
    EXPLAINED,
    II,
    N_TOLD,
    N_WINDOW,
    RESISTANCE,
    RR,
    SHIFT,
    SIGMA,
    SIZE,
    SUSPECT,
    UP,
    VOTES,
    W,
    add_frame,
    test_mirror,
)
from detectors.neutral import (
    FAULTS,
    HELD,
    MEMORY_DAYS,
    TIGHTEN,
    WARN,
    NeutralDetector,
    place_of_run,
)
from detectors.settings import DetectorSettings
from grid.faults import Severity
from grid.records import NOT_ENOUGH, WATCH_LIST, Evidence, Finding

WINDOW_HOURS: Final = (6.0, 24.0)
WINDOW_FRAMES: Final = 12
LEARN_DAYS: Final = 3.0
LEARN_FRAMES: Final = 72
CLEAR: Final = 0.6
DOUBT: Final = 0.5  # and from here on nothing is learned there
MOVED: Final = 0.8  # from here on no joint is told there
CROWD: Final = 1.5  # times the usual neutral current, rms
# Ohm, volt rms of displacement, standard errors, share explained, share of the slope left when a
# constant is allowed for.
EXCLUDED: Final = (
    "joints: they lift no meter",
    "a new load far out: it lifts others by less than half of its own fall",
    "接头不良：不会使其他电能表电压升高",
    "末端新增负荷：他相升高不及自身降低的一半",
)
LIMITS: Final = np.array([[0.08, 1.7, 6.5, 0.5, 0.5], [0.04, 0.75, 8.0, 0.5, 0.5]])


class StarDetector(Detector):
    """Every branch (or transformer) with three meters or more of unknown phase."""

    name: ClassVar[str] = "star"
    version: ClassVar[int] = 1
    faults: ClassVar[tuple[str, ...]] = FAULTS
    listens: ClassVar[tuple[str, ...]] = ("joint", "neutral")

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        self._table = services(layout)
        lone = self._table.lone_rows()
        # Whose phase is known is the neutral family's, together with its neighbours.
        self._among = np.flatnonzero(self._table.at[lone] < 0)
        rows = lone[self._among]
        self._device = self._table.device[rows]
        runs = len(layout.run_area)
        self._run = layout.run[self._device]
        self._first = np.searchsorted(self._run, np.arange(runs + 1)).astype(np.int32)
        self.sums = self._array("sums", "lone", (rows.size, 2 * N_WINDOW), np.float32)
        self.vote = self._array("vote", "lone", rows.size, np.int8, -1)
        self.told = self._array("told", "run", (runs, N_TOLD), float)
        self.open = self._array("open", "run", (runs, 2), np.int64)
        self.doubt = self._array("doubt", "run", runs, np.int32)
        self.growth = Growth(self, "growth", "run", runs)
        self.usual_a2 = self._array("usual_a2", "run", runs, np.float64)  # neutral current, squared
        step_s = layout.step_us / 1e6
        self.learn = max(float(LEARN_FRAMES), LEARN_DAYS * 86400.0 / step_s)
        self.memory = MEMORY_DAYS * 86400.0 / step_s
        spans = [max(h * 3600.0, WINDOW_FRAMES * step_s) for h in WINDOW_HOURS]
        spans[1] = max(spans[1], 2.0 * spans[0])
        self.decay = tuple(math.exp(-step_s / span) for span in spans)
        self.joint: JointDetector | None = None
        self.neutral: NeutralDetector | None = None
        self._score = np.full((runs, 2), np.nan)
        self._flow = np.zeros((rows.size, 3))
        self._by = np.zeros((4, N_TOLD))
        self._rows = rows

    def link(self, others: Sequence[Stateful]) -> None:
        self.joint = next((d for d in others if isinstance(d, JointDetector)), None)
        self.neutral = next((d for d in others if isinstance(d, NeutralDetector)), None)

    def keys(self, axis: Axis) -> list[str]:
        if axis == "lone":
            keys = self._table.keys(self.layout)
            return [keys[j] for j in self._rows.tolist()]
        return super().keys(axis)

    def step(self, frame: Frame) -> list[Finding]:
        if self.joint is None or not self._rows.size:
            return []
        seen = self.joint.lone_seen(frame)[self._among]
        line = self.joint.expected[self._among]
        learned = (line[:, COUNT] >= self.learn).astype(np.uint8)
        current = seen[:, 1:]
        self._flow[:, 0] = current @ COS
        self._flow[:, 1] = current @ SIN
        self._flow[:, 2] = current.sum(1)
        left = np.ascontiguousarray(seen[:, 0])
        add_frame(left, self._flow, learned, self.sums, self.decay)
        test_mirror(
            left,
            self.sums,
            self._first,
            learned,
            np.ascontiguousarray(line[:, VAR]),
            LIMITS,
            self.open,
            self.vote,
            self._by,
            self.told,
            self._score,
        )
        score = self._score
        hot = np.flatnonzero(score[:, 0] >= DOUBT)
        self._bound_by_usual(hot)
        if hot.size:
            along = np.array([self._along(k, left) for k in hot.tolist()])
            self.growth.follow(hot, frame.tick_us, along[:, 0], along[:, 1])
        if self.neutral is not None:
            score[self.neutral.moved_runs()] *= 0.0  # seen there, phase by phase
        self._note_moved()
        # As long as it is seen to be loose a broken one is not whole, however little flows.
        open_ = self.open[:, 1] > 0
        with np.errstate(invalid="ignore"):
            score[open_ & (score[:, 0] >= CLEAR) & (score[:, 1] < CLEAR), 1] = CLEAR
        out = []
        for what in (1, 0):
            named = partial(self._finding, frame, what)
            opened = self.open[:, what]
            own = score[:, what].copy()
            if what == 0:
                own[(self.open[:, 1] > 0) & (opened == 0)] *= 0.0  # one cause, one finding
            out += self.over(frame, own, opened, CLEAR, named, FAULTS[what])
        return out

    def _bound_by_usual(self, hot: NDArray[np.intp]) -> None:
        """Learn the neutral current, rms, and hold places where it is far beyond that: new load far
        out displaces its neighbours through a sound neutral, by a slope that nobody has learned."""
        amps2 = self._flow[:, 0] ** 2 + self._flow[:, 1] ** 2
        seen = np.isfinite(amps2)
        run = self._run[seen]
        number = np.bincount(run, minlength=self.usual_a2.size)
        total = np.bincount(run, amps2[seen], minlength=self.usual_a2.size)
        calm = (number > 0) & (self.doubt == 0)
        now = total / np.maximum(number, 1)
        first = calm & (self.usual_a2 == 0.0)
        self.usual_a2[first] = now[first]
        self.usual_a2[calm] += (now[calm] - self.usual_a2[calm]) / self.memory
        for k in hot.tolist():
            sums = self.sums[self._first[k] : self._first[k + 1]].sum(0, dtype=float)
            for w in (sums[:N_WINDOW], sums[N_WINDOW:]):
                if w[RR] + w[II] > CROWD * CROWD * self.usual_a2[k] * w[W]:
                    self._score[k, 0] = min(self._score[k, 0], HELD)

    def _along(self, k: int, left: F8) -> tuple[float, float]:
        """(neutral current, A; what it moves the meters of place k by, V) in this frame."""
        rows = np.arange(self._first[k], self._first[k + 1])
        rows = rows[(self.vote[rows] >= 0) & np.isfinite(left[rows])]
        p = self.vote[rows]
        moves = -(self._flow[rows, 0] * np.take(COS, p) + self._flow[rows, 1] * np.take(SIN, p))
        squares = float(moves @ moves)
        if not squares > 0.0:
            return math.nan, math.nan
        amps = math.sqrt(2.0 * squares / rows.size)  # the three directions share its square
        return amps, amps * float(moves @ left[rows]) / squares

    def _note_moved(self) -> None:
        """Where no joint is told, and where nothing is learned: from the first doubt on."""
        assert self.joint is not None
        with np.errstate(invalid="ignore"):
            moved = (self._score >= MOVED).any(1) | (self.open > 0).any(1)
            doubt = moved | (self.told[:, SUSPECT] >= DOUBT)
        # After a month the new state is the usual one.
        self.doubt[:] = np.where(doubt, self.doubt + 1, 0)
        young = self.doubt < FREEZE_FRAMES
        self.joint.held[:] = doubt & young
        self.joint.mirrored[:] = moved & young

    def _finding(self, frame: Frame, what: int, k: int, score: float, since: int) -> Finding:
        layout = self.layout
        kind, asset = place_of_run(layout, k)
        begin, end = self._first[k], self._first[k + 1]
        rows = np.arange(begin, end)
        rows = rows[self.vote[rows] >= 0] if what == 0 else rows
        members = sorted(set(self._device[rows].tolist()))
        told = self.told[k]
        severity: Severity = "P1" if what else "P2"
        rule = (
            "some meters rise while others fall, in step with the neutral current: "
            "the neutral has gained resistance (the phases of the meters are not on record)"
        )
        rule_zh = (
            "部分电能表电压升高、部分降低，且随中性线电流变化：中性线接触电阻增大（户表相别未知）"
        )
        following, following_zh = WARN if what else TIGHTEN
        if what:
            rule = (
                "some meters rise while others fall beyond the limit in two intervals: "
                "the neutral is open"
            )
            rule_zh = "连续两个周期部分电能表电压升高、部分降低且越限：中性线断开"
        # That some rise while others fall is all that is known: new load far out does as much.
        unsure = not what and math.isnan(float(told[RESISTANCE]))
        monitor = int(layout.monitor[layout.run_area[k]])
        # As good as broken where its usual current moves as much as a broken one would.
        peak = 2.0 * float(told[SHIFT]) / max(float(told[RESISTANCE]), 1e-6)
        outlook = self.growth.outlook(k, BROKEN_V / max(peak, 1.0))
        return Finding(
            self.name,
            FAULTS[what],
            kind,
            asset,
            frame.tick_us,
            known_at(frame, members),
            score,
            severity,
            tuple(layout.names[p] for p in members),
            Evidence(
                rule,
                rule_zh,
                {
                    "displacement_v": rounded(told[SIZE], 1),
                    "highest_rise_v": rounded(told[UP], 1),
                    "deepest_fall_v": rounded(told[DOWN], 1),
                    "added_resistance_ohm": rounded(told[RESISTANCE]),
                    "shift_rms_v": rounded(told[SHIFT], 1),
                    "explained": rounded(told[EXPLAINED], 2),
                    "usual_deviation_v": rounded(told[SIGMA], 2),
                    "meters": int(told[VOTES]),
                    **({} if what else outlook.numbers()),
                    **({WATCH_LIST: NOT_ENOUGH} if unsure else {}),
                },
                limit=BROKEN_V if what else float(LIMITS[1, 0]),
                window=(since, frame.tick_us),
                peers=(layout.names[monitor],) if monitor >= 0 else (),
                excluded=EXCLUDED,
                next_check=following,
                next_check_zh=following_zh,
            ),
            clear_below=CLEAR,
            horizon_h=None if what else outlook.hours,
        )
