"""Heating joints: a service, or one phase of a branch, whose resistance grows.

The drop of a customer below its neighbours on the same branch and phase is `c + R I + K T`: own
current through its own service, the branch's current through where it stands. The same for the
drop of a branch's phase below the transformer (kernels in `drops.py`). A lone meter is compared
with what the transformer lets expect (`expected.py`).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Axis, Detector, Stateful, known_at, rounded, rows_from
from detectors.drops import (
    BLIND_V,
    COUNT,
    CURRENT_MAX,
    FREEZE,
    FROZEN,
    LEVEL_VAR,
    N_LONG,
    N_STATE,
    N_WINDOW,
    REF,
    RESISTANCE,
    SE,
    SHIFT,
    STDERR,
    VAR,
    WINDOW,
    W,
    test_drops,
    test_long,
)
from detectors.expected import HOURS, N_LONE, OWN_I, deviations
from detectors.frames import Frame
from detectors.horizon import Growth
from detectors.layout import GroupLayout
from detectors.lone import services
from detectors.meter import MeterDetector
from detectors.neutral import NeutralDetector
from detectors.observed import (
    DROP,
    LEFT,
    MODEL_REF,
    N_SEEN,
    OWN,
    PEERS,
    REFERENCE,
    observe_drops,
)
from detectors.records import RecordsDetector
from detectors.settings import DetectorSettings
from detectors.supply import SupplyDetector
from detectors.transformer import TransformerDetector
from grid.faults import Severity
from grid.records import Evidence, Finding

HOUR_US: Final = 3_600_000_000
WINDOW_HOURS: Final = (6.0, 48.0)
WINDOW_FRAMES: Final = 12  # at least: six hourly readings in a row fall by chance
MEMORY_DAYS: Final = 14.0
LEARN_DAYS: Final = 3.0
LEARN_FRAMES: Final = 60
CLEAR: Final = 0.6
SUSPECT: Final = 0.5  # of the limit: from here on growth is followed
FAILS: Final = 0.1  # of nominal, lost in the joint at peak current
BELIEVED: Final = 0.25  # of nominal: who still gets voltage has lost no more, rms, for hours
HAZARD_W: Final = 50.0  # heat in one joint that scorches
SUMS: Final = [WINDOW + j * N_WINDOW + c for j in range(2) for c in range(LEVEL_VAR)]
EXCLUDED: Final = (
    "a neighbour's load: the drop follows this current alone",
    "a loose neutral: no other phase rises",
    "a new load: the drop is beyond what this current usually takes",
    "邻户负荷：压降仅随自身电流变化",
    "中性线松动：其他相电压未升高",
    "新增负荷：压降超过该电流平时所致",
)
BLIND_EXCLUDED: Final = (
    "an evening's load: the fall is there day and night",
    "the supply: the neighbours and the transformer did not fall",
    "晚高峰负荷：昼夜均偏低",
    "供电侧：邻户与变压器电压未降低",
)
# Two windows: ohm, share of the usual slope, volt rms explained, standard errors, share explained.
# How sure it is decides; the volts are a floor, else a joint that grows waits for its size.
# Services have two rows more: against what the transformer says a lone meter should read.
SERVICE: Final = np.array(
    [
        [0.1, 0.8, 0.54, 7.0, 0.6],
        [0.09, 0.8, 0.3, 7.0, 0.5],
        [0.15, 1.0, 0.7, 6.0, 0.55],
        [0.15, 1.0, 0.3, 5.5, 0.4],
    ]
)
# Lone services once more, over days: ohm, share of the usual slope, volt, standard errors, share.
LONG: Final = np.array([0.2, 0.3, 0.2, 4.6, 0.25])
LONG_HOURS: Final = 120.0
# Times that the residual must have moved as the customer's current was switched, to count in full.
OCCASIONS: Final = 3.0
BRANCH: Final = np.array([[0.028, 0.8, 0.65, 8.0, 0.6], [0.018, 0.5, 0.38, 9.0, 0.5]])


class JointDetector(Detector):
    """Every service, and every phase of every branch below a monitor."""

    name: ClassVar[str] = "joint"
    version: ClassVar[int] = 7
    faults: ClassVar[tuple[str, ...]] = ("joint_resistance",)
    listens: ClassVar[tuple[str, ...]] = (
        "neutral",
        "transformer",
        "meter",
        "records",
        "supply",
    )

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        self.device, self.slot, self.at, self.lone = self._table = services(layout)
        m, runs = len(self.device), len(layout.run_area)
        start = layout.slots.first
        self._place = start[self.device] + self.slot.astype(np.int32)
        self._monitor = np.where(layout.monitor >= 0, start[layout.monitor], np.int32(-1))
        self.usual_i = self._array("usual_i", "service", m, np.float32, np.nan)
        self.service = self._array("service", "service", (m, N_STATE), np.float32)
        self.branch = self._array("branch", "run3", (3 * runs, N_STATE), np.float32)
        self.service_open = self._array("service_open", "service", m, np.int64)
        self.branch_open = self._array("branch_open", "run3", 3 * runs, np.int64)
        self._service_growth = Growth(self, "service_growth", "service", m)
        self._branch_growth = Growth(self, "branch_growth", "run3", 3 * runs)
        step_s = layout.step_us / 1e6
        self.memory = MEMORY_DAYS * 86400.0 / step_s
        self.learn = max(float(LEARN_FRAMES), LEARN_DAYS * 86400.0 / step_s)
        spans = [max(h * 3600.0, WINDOW_FRAMES * step_s) for h in WINDOW_HOURS]
        self.decay = tuple(math.exp(-step_s / span) for span in spans)
        lone = self._alone_rows = self._table.lone_rows()
        self.expected = self._array("expected", "lone", (lone.size, N_LONE), np.float32)
        self.hours = self._array("hours", "lone", (lone.size, HOURS), np.int16)
        self.before = self._array("before", "area", (layout.n_areas, OWN_I), np.float32, np.nan)
        self.long = self._array("long", "lone", (lone.size, N_LONG), np.float32)
        self._keep = math.exp(-step_s / (LONG_HOURS * 3600.0))
        self._lone_device = np.ascontiguousarray(self.device[lone])
        self._lone_slot = np.ascontiguousarray(self.slot[lone])
        self._deviation = np.full(lone.size, np.nan)
        self._lone_seen = np.full((lone.size, 4), np.nan)
        self._followed_us = -1
        # Branches of which the star family says, before each step, that their neutral moves.
        self.mirrored = np.zeros(runs, np.bool_)
        self.held = self._array("held", "run", runs, np.bool_)  # or may move: nothing is learned
        self.neutral: NeutralDetector | None = None
        self.transformer: TransformerDetector | None = None
        self.meter: MeterDetector | None = None
        self.records: RecordsDetector | None = None
        self.supply: SupplyDetector | None = None
        self._never = np.zeros(layout.size, np.uint8)
        self._sums = np.zeros((3, 8))
        self._services = np.full((m, N_SEEN), np.nan, np.float32)
        self._branches = np.full((3 * runs, N_SEEN), np.nan, np.float32)
        self._service_score = np.full(m, np.nan)
        self._branch_score = np.full(3 * runs, np.nan)
        self._branch_area = layout.run_area.repeat(3)
        # What no branch is on record for is one only where no branch is on record at all.
        named = np.zeros(layout.n_areas, np.bool_)
        named[layout.run_area[layout.run_node >= 0]] = True
        leftover = np.repeat((layout.run_node < 0) & named[layout.run_area], 3)
        self._leftover = np.flatnonzero(leftover)
        self._service_area = layout.area[self.device]
        self._branch_rows = np.zeros(3 * runs, np.int32)
        self._service_rows = np.zeros(m, np.int32)
        self._run = layout.run[self.device]  # rises: an area's meters lie run by run
        self._first = np.searchsorted(self._run, np.arange(runs + 1)).astype(np.int32)
        # Row of phase a of a three-phase service, -1 for others.
        three = layout.phase[self.device] == 3
        self._first_row = np.where(three, np.arange(m) - self.slot, -1)
        self._channel = 3 * layout.run[self.device] + np.maximum(self.at, 0)

    def link(self, others: Sequence[Stateful]) -> None:
        self.neutral = next((d for d in others if isinstance(d, NeutralDetector)), None)
        self.transformer = next((d for d in others if isinstance(d, TransformerDetector)), None)
        self.meter = next((d for d in others if isinstance(d, MeterDetector)), None)
        self.records = next((d for d in others if isinstance(d, RecordsDetector)), None)
        self.supply = next((d for d in others if isinstance(d, SupplyDetector)), None)

    def keys(self, axis: Axis) -> list[str]:
        if axis == "service":
            return self._table.keys(self.layout)
        if axis == "lone":
            keys = self.keys("service")
            return [keys[j] for j in self._alone_rows.tolist()]
        if axis == "run3":
            return [f"{k}\0{c}" for k in self.layout.run_keys() for c in "abc"]
        return super().keys(axis)

    def lone_seen(self, frame: Frame) -> NDArray[np.float64]:
        """float64[n_lone, 4] of this frame, see `deviations`; followed once, whoever asks first."""
        if self._followed_us != frame.tick_us and self._alone_rows.size:
            self._followed_us = frame.tick_us
            frozen = self.service[self._alone_rows, FROZEN]
            hold = (frozen > 0) & (frozen < FREEZE * self.memory)
            hold |= self.held[self._run[self._alone_rows]]
            if self.neutral is not None:
                hold |= self.neutral.moved_runs()[self._run[self._alone_rows]]
            deviations(
                frame.values,
                self.layout.offsets,
                self.layout.monitor,
                self.layout.nominal_v,
                self._lone_device,
                self._lone_slot,
                hold.astype(np.uint8),
                self.memory,
                frame.tick_us // HOUR_US % HOURS,
                self.expected,
                self.hours,
                self.before,
                self._deviation,
                self._lone_seen,
            )
        return self._lone_seen

    def _moved(self) -> NDArray[np.bool_] | None:
        """Branches whose neutral moves, as far as is known now; None, nearly always, for none."""
        moved = self.mirrored
        if self.neutral is not None:
            moved = moved | self.neutral.moved_runs()
        return moved if moved.any() else None

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        lone = self._alone_rows
        self.lone_seen(frame)
        moved = self._moved()
        observe_drops(
            frame.slot_v,
            frame.slot_i,
            self._monitor,
            layout.run_area,
            layout.nominal_v,
            self._first,
            self.device,
            self._place,
            self.at,
            self.lone,
            self._deviation,
            self._never if self.meter is None else self.meter.repeating,
            self.usual_i,
            self._sums,
            self._services,
            self._branches,
        )
        if moved is not None:
            # Siblings move with their neutral alike; a lone meter would learn it as the usual.
            self._services[lone[moved[self._run[lone]]], DROP] = np.nan
        return self._judge(frame, moved)

    def _judge(self, frame: Frame, moved: NDArray[np.bool_] | None) -> list[Finding]:
        """Test what was seen, and leave to others what is theirs."""
        args = (self.memory, self.learn, self.decay)
        hot = test_drops(
            self._branches,
            self.branch,
            self._branch_score,
            self.branch_open,
            *args,
            BRANCH,
            True,
            0.0,
        )
        hot += test_drops(
            self._services,
            self.service,
            self._service_score,
            self.service_open,
            *args,
            SERVICE,
            False,
            OCCASIONS,
        )
        hot += test_long(
            self._services,
            self._alone_rows,
            self.service,
            self.long,
            self._service_score,
            self.memory,
            self.learn,
            self._keep,
            LONG,
        )
        if moved is not None:
            # Where a neutral moves, every drop moves with it.
            self._branch_score[np.repeat(moved, 3)] *= 0.0
            self._service_score[moved[self._run]] *= 0.0
        if not hot and self.near is None:
            return []  # nearly always
        if self.supply is not None and (misread := self.supply.misread_areas()).any():
            # Against a monitor that measures a phase wrongly every branch and lone meter has moved.
            self._branch_score[misread[self._branch_area]] *= 0.0
            self._service_score[
                self._alone_rows[misread[self._service_area[self._alone_rows]]]
            ] *= 0.0
        if self._leftover.size:
            self._branch_score[self._leftover] *= 0.0
        n_branches = rows_from(self._branch_score, self.branch_open, SUSPECT, self._branch_rows)
        n_services = rows_from(self._service_score, self.service_open, SUSPECT, self._service_rows)
        branches = self._branch_rows[:n_branches]
        services = self._service_rows[:n_services]
        if n_services and self.records is not None:
            # However far it strays from a transformer that it does not move with, no joint is why.
            strange = self.records.foreign_now(self.device[services], frame.tick_us)
            strange &= self.service_open[services] == 0
            self._service_score[services[strange]] *= 0.0
        if n_services and self.neutral is not None:
            # However long the other phases have risen: where the neutral is told, it is the place.
            told = np.isin(self.device[services], self.neutral.told_devices())
            self._service_score[services[told & (self.service_open[services] == 0)]] *= 0.0
        for rows, area, score, state in (
            (branches, self._branch_area, self._branch_score, self.branch),
            (services, self._service_area, self._service_score, self.service),
        ):
            # More than there is to lose: the known current is not the one that flows there.
            absurd = rows[state[rows, SHIFT] > BELIEVED * self.layout.nominal_v[area[rows]]]
            score[absurd] = np.minimum(score[absurd], 0.5)
        if self.transformer is not None:
            # A crowd of new loads goes where no line was ever learned: the overload is the finding,
            # and what the windows hold of it says nothing afterwards.
            crowded = self.transformer.overloaded()
            for rows, area, score, opened, state in (
                (branches, self._branch_area, self._branch_score, self.branch_open, self.branch),
                (
                    services,
                    self._service_area,
                    self._service_score,
                    self.service_open,
                    self.service,
                ),
            ):
                young = rows[score[rows] > 0.9]
                young = young[crowded[area[young]] & (opened[young] == 0)]
                score[young] = 0.9
                state[np.ix_(young, SUMS)] = 0.0
        for k in branches[self._branch_score[branches] >= CLEAR].tolist():
            self._branch_score[k] = self._alone(k)
        for j in services[self._service_score[services] >= CLEAR].tolist():
            if self._others_rise(self.service, self._first_row[j], j):
                self._service_score[j] = min(self._service_score[j], 0.5)
        tick = frame.tick_us
        for rows, growth, score, seen in (
            (branches, self._branch_growth, self._branch_score, self._branches),
            (services, self._service_growth, self._service_score, self._services),
        ):
            suspected = rows[score[rows] >= SUSPECT]
            growth.follow(suspected, tick, seen[suspected, OWN], seen[suspected, LEFT])
        named = partial(self._finding, frame, True)
        out = self.over(frame, self._branch_score, self.branch_open, CLEAR, named, "branch")
        # Measured against the transformer, several customers of a branch show what they share.
        weak = services[self._service_score[services] >= 0.5]
        if weak.size:
            run = self._run[weak]
            several = np.bincount(run, minlength=len(self.layout.run_area)) > 1
            several &= self.layout.run_node >= 0  # of no branch: they share nothing known
            weak = weak[several[run] & (self._services[weak, REFERENCE] == MODEL_REF)]
            self._service_score[weak] = 0.5
        # A branch's joint explains what its customers show.
        if self.branch_open.any():
            self._service_score[self.branch_open[self._channel] > 0] *= 0.0
        named = partial(self._finding, frame, False)
        return out + self.over(frame, self._service_score, self.service_open, CLEAR, named)

    @staticmethod
    def _others_rise(state: NDArray[np.float32], first: int, k: int) -> bool:
        """Whether another of the three phases from row `first` on rises while that of row k falls;
        a negative `first`: there is no other."""
        if first < 0:
            return False
        w = state[first : first + 3, WINDOW : WINDOW + N_WINDOW]
        level = w[:, SE] / np.maximum(w[:, W], 1.0)
        return bool(np.delete(level, k - first).min() < -0.2 * abs(level[k - first]))

    def _alone(self, k: int) -> float:
        """Score of one phase of a branch; if the others rise with it, it is the neutral's."""
        score = float(self._branch_score[k])
        if self._others_rise(self.branch, 3 * (k // 3), k):
            score = min(score, 0.5)
        # One customer's joint pulls the mean of its phase; then the customer is the place.
        mine = (self._channel == k) & (self._services[:, REFERENCE] == PEERS)
        if (self._service_score[mine] >= 0.5).any():
            score = min(score, 0.5)
        return score

    def _finding(self, frame: Frame, branch: bool, k: int, score: float, since: int) -> Finding:
        layout = self.layout
        s = (self.branch if branch else self.service)[k]
        if branch:
            run = k // 3
            node = int(layout.run_node[run])
            kind: str = "branch"
            asset = layout.network.tree.ids[node] if node >= 0 else ""
            if node < 0:
                kind, asset = "transformer", layout.area_id(int(layout.run_area[run]))
            members = sorted(set(self.device[self._channel == k].tolist()))
            phase = "abc"[k % 3]
        else:
            members = [int(self.device[k])]
            node = int(layout.network.tree.device[layout.device[members[0]]])
            kind, asset = "device", layout.names[members[0]]
            if node >= 0:
                kind, asset = layout.network.asset_of(node)
            phase = "abc"[self.at[k]]
        # It has failed, whatever burns first, where it takes a tenth of the supply at the peak.
        fails = FAILS * float(layout.nominal_v[layout.area[members[0]]]) if members else math.nan
        growth = self._branch_growth if branch else self._service_growth
        outlook = growth.outlook(k, fails / max(float(s[CURRENT_MAX]), 1.0))
        heat = s[RESISTANCE] * s[CURRENT_MAX] ** 2
        # A lone meter has no sibling to confirm it: serious, never yet a danger.
        sure = not branch and s[REF] == PEERS and score > 1.5
        severity: Severity = "P1" if sure and heat > HAZARD_W else "P2"
        blind = not np.isfinite(s[RESISTANCE])
        rule = "the drop below the neighbours has grown with the customer's own current"
        rule_zh = "相对邻户的压降随自身电流增大：接头接触电阻增大"
        if branch:
            rule = "the drop of one phase of this branch has grown with its current"
            rule_zh = "该线路一相压降随电流增大：相线接头接触电阻增大"
        if blind:
            rule = "the voltage has fallen below the neighbours' and stays there"
            rule_zh = "电压持续低于邻户：疑似接头不良"
            severity = "P2" if s[SHIFT] > 3.0 else "P3"
        table = BRANCH if branch else SERVICE
        return Finding(
            self.name,
            "joint_resistance",
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
                    "added_resistance_ohm": rounded(s[RESISTANCE]),
                    "standard_error_ohm": None if blind else rounded(s[STDERR]),
                    "drop_added_rms_v": rounded(s[SHIFT], 2),
                    "heat_at_peak_w": rounded(heat, 0),
                    "current_max_a": rounded(s[CURRENT_MAX], 1),
                    "usual_deviation_v": rounded(math.sqrt(max(s[VAR], 0.0)), 2),
                    "frames_learned": int(s[COUNT]),
                    "phase": phase,
                    **outlook.numbers(),
                },
                limit=BLIND_V if blind else float(table[1, 0]),
                window=(since, frame.tick_us),
                peers=self._peers(members, branch, k),
                excluded=BLIND_EXCLUDED if blind else EXCLUDED,
                next_check="tighten or replace the joints from the branch to the meter",
                next_check_zh="紧固或更换自线路至电能表的接头",
            ),
            clear_below=CLEAR,
            horizon_h=outlook.hours,
        )

    def _peers(self, members: list[int], branch: bool, k: int) -> tuple[str, ...]:
        """What the drop is measured against: the siblings of a service, else the monitor."""
        layout = self.layout
        monitor = int(layout.monitor[layout.area[members[0]]]) if members else -1
        if branch or self.service[k, REF] == MODEL_REF:
            return (layout.names[monitor],) if monitor >= 0 else ()
        same = self.device[self._channel == self._channel[k]].tolist()
        return tuple(layout.names[p] for p in same if p not in members)[:8]
