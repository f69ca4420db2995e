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

from detectors.base import Axis, Detector, Stateful, known_at, rounded
from detectors.displacement import BROKEN_V, COS, FREEZE_FRAMES, SIN
from detectors.expected import COUNT, VAR
from detectors.frames import Frame
from detectors.joint import JointDetector
from detectors.layout import GroupLayout
from detectors.lone import services
from detectors.mirror import (
    DOWN,
    EXPLAINED,
    N_TOLD,
    N_WINDOW,
    RESISTANCE,
    SHIFT,
    SIGMA,
    SIZE,
    SUSPECT,
    UP,
    VOTES,
    add_frame,
    test_mirror,
)
from detectors.neutral import FAULTS, NeutralDetector
from detectors.settings import DetectorSettings
from grid.faults import Severity
from grid.records import Evidence, Finding

WINDOW_HOURS: Final = (6.0, 24.0)
WINDOW_FRAMES: Final = 12
LEARN_DAYS: Final = 3.0
LEARN_FRAMES: Final = 72
CLEAR: Final = 0.6
DOUBT: Final = 0.5  # and from here on nothing is learned there
MOVED: Final = 0.8  # from here on no joint is told there
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
        self._first = np.searchsorted(layout.run[self._device], np.arange(runs + 1)).astype(
            np.int32
        )
        self.sums = self._array("sums", "lone", (rows.size, 2 * N_WINDOW), np.float32)
        self.vote = self._array("vote", "lone", rows.size, np.int8, -1)
        self.told = self._array("told", "run", (runs, N_TOLD), float)
        self.open = self._array("open", "run", (runs, 2), np.int64)
        self.doubt = self._array("doubt", "run", runs, np.int32)
        step_s = layout.step_us / 1e6
        self.learn = max(float(LEARN_FRAMES), LEARN_DAYS * 86400.0 / step_s)
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
        node = int(layout.run_node[k])
        kind, asset = "transformer", layout.area_id(int(layout.run_area[k]))
        if node >= 0:
            kind, asset = "branch", layout.network.tree.ids[node]
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
        following = (
            "measure the neutral joints from the transformer to this asset under load, tighten them"
        )
        following_zh = "带负荷测量变压器至该处的中性线接头并紧固"
        if what:
            rule = (
                "some meters rise while others fall beyond the limit in two intervals: "
                "the neutral is open"
            )
            rule_zh = "连续两个周期部分电能表电压升高、部分降低且越限：中性线断开"
            following = "warn the customers to switch off; repair the neutral today, shock hazard"
            following_zh = "通知用户断开电器；当日修复中性线，有触电危险"
        monitor = int(layout.monitor[layout.run_area[k]])
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
                },
                limit=BROKEN_V if what else float(LIMITS[1, 0]),
                window=(since, frame.tick_us),
                peers=(layout.names[monitor],) if monitor >= 0 else (),
                excluded=EXCLUDED,
                next_check=following,
                next_check_zh=following_zh,
            ),
            clear_below=CLEAR,
        )
