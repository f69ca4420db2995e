"""Loose and broken neutrals: at a customer, on a branch, at the transformer.

Two rules on the displacement of every place (`displacement.py`). Loosening: the displacement
follows the unbalance current through a resistance that was not there on healthy days. Broken:
phase voltages stand apart by more than the limit in two frames running, some up, some down.
One cause gives one finding: the place nearest to the transformer that explains the others.
"""

import math
from functools import partial
from itertools import repeat
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import Axis, Detector, any_over, known_at, rounded
from detectors.compiled import F8, I8
from detectors.displacement import (
    BLIND_SHIFT,
    BROKEN_V,
    COUNT,
    DOWN,
    E_IM,
    E_RE,
    EXPLAINED,
    FROZEN,
    I_0,
    LAST_SIZE,
    LEFT,
    MZ_IM,
    MZ_RE,
    N_PLACE,
    N_STATE,
    N_WINDOW,
    NEUTRAL,
    READINGS,
    RESISTANCE,
    S_II,
    S_IM,
    S_RE,
    SHIFT,
    SIZE,
    UP,
    VAR,
    WINDOW,
    Z_IM,
    Z_RE,
    A,
    B,
    E,
    W,
    observe,
    test_places,
)
from detectors.frames import Frame
from detectors.horizon import Growth
from detectors.layout import GroupLayout
from detectors.settings import DetectorSettings
from grid.faults import Severity
from grid.records import NOT_ENOUGH, WATCH_LIST, Evidence, Finding

DAY_S: Final = 86400.0
MEMORY_DAYS: Final = 14.0
LEARN_DAYS: Final = 2.0
LEARN_FRAMES: Final = 60
WINDOW_HOURS: Final = (1.0, 12.0)
MONITOR_HOURS: Final = 1.0  # so long a monitor that tells nothing is waited for
FAST, SLOW = range(2)
NO_BOUND: Final = math.inf
CROWD: Final = 2.0  # times the usual neutral current, rms: new loads where no slope was learned


def _within(bound: float, rules: list[list[float]]) -> F8:
    """Rules with the bound of the neutral current, see `test_places`."""
    return np.array([[*rule, bound] for rule in rules])


# Window, ohm, share of the healthy slope, volt rms, standard errors, share explained, 1 = half of
# the slope remains when a constant shift is allowed for. The first two of each place are set at
# about 1.3 times what healthy simulated months with new vehicles, panels and taps reach: a change
# of that size is a fault even where other things move as well. The third asks for half of the volts
# and ohms where nearly everything that is left over follows the neutral current, which no vehicle,
# panel or tap does for half a day: healthy months with eight of them in each area reach half of it.
LIMITS: Final = _within(
    NO_BOUND,
    [
        [FAST, 0.08, 1.0, 1.7, 6.5, 0.5, 0],
        [SLOW, 0.05, 1.0, 0.75, 8.0, 0.5, 1],
        [SLOW, 0.03, 0.6, 0.4, 8.0, 0.7, 1],
    ],
)
# Without a monitor what all branches share shows on each of them, and a winding as a neutral.
BARE_LIMITS: Final = LIMITS[:2].copy()
BARE_LIMITS[:, 6:] = 1, CROWD
# At the transformer a monitor sees the supply alone: almost nothing moves there while healthy.
MONITOR_LIMITS: Final = _within(
    NO_BOUND,
    [
        [FAST, 0.02, 1.0, 1.0, 7.0, 0.5, 1],
        [SLOW, 0.015, 1.0, 0.5, 10.0, 0.65, 1],
        [SLOW, 0.01, 0.6, 0.24, 8.0, 0.7, 1],
    ],
)
# One customer: a neighbour's load moves the shared neutral too, so half a day must agree.
DEVICE_LIMITS: Final = _within(
    NO_BOUND, [[FAST, 0.3, 3.0, 99.0, 9.0, 0.8, 1], [SLOW, 0.3, 3.0, 2.0, 9.0, 0.8, 1]]
)
# Where no current is known, an evening's uneven load shows as a neutral does; a neutral displaces
# by day and by night. Until so many of half a day's frames are, nobody can tell them apart.
DAY_AND_NIGHT: Final = 0.6
SPELLS: Final = 12.0  # in half a day a load lasts so long that there are about so many of them
OPEN: Final = {"area": "area_open", "run": "run_open", "three": "device_open"}
Index = NDArray[np.intp]
FAULTS: Final = ("neutral_loose", "neutral_broken")
CLEAR: Final = 0.6
SUSPECT: Final = 0.5  # of the limit: from here on growth is followed
MOVED: Final = 0.8  # and from here on other families leave the place to this one
# What the crew does about a loose neutral, and about a broken one.
TIGHTEN: Final = (
    "measure the neutral joints from the transformer to this asset under load, tighten them",
    "带负荷测量变压器至该处的中性线接头并紧固",
)
WARN: Final = (
    "warn the customers to switch off; repair the neutral today, shock hazard",
    "通知用户断开电器；当日修复中性线，有触电危险",
)
EXCLUDED: Final = (
    "overload of one phase: another phase rises",
    "a joint in one phase explains less",
    "a lost phase: the line voltages are whole",
    "单相过载：另有相电压升高",
    "单相接头不良：不足以解释",
    "缺相：线电压正常",
)
SHARED_REST: Final = 0.5  # of a branch's displacement, on another one too: it is not the branch's
ALONG: Final = 0.4  # of a customer's displacement, at a neighbour too: it is the line's
HELD: Final = 0.9  # what another explanation leaves of a score
SHARED: Final = 0.6  # a place with this part of the strongest one's resistance shares its cause


def _quiet(score: F8, opened: I8, least: float) -> bool:
    """Nothing raised, and nothing from `least` on: so it is in nearly all frames."""
    return not any_over(score, opened, least) and not opened.any()


def _standing(score: F8, opened: I8) -> NDArray[np.bool_]:
    """Places that are, or may be, displaced: raised (seen now or not) or near the limit."""
    with np.errstate(invalid="ignore"):
        return np.asarray((score >= MOVED).any(1) | (opened > 0).any(1))


def _torn(score: F8, state: F8) -> NDArray[np.bool_]:
    """Places displaced beyond the limit of a broken neutral in this frame, for the first time or
    not."""
    return np.asarray((state[:, LAST_SIZE] >= 1.0) & ~np.isnan(score[:, 1]))


def place_of_run(layout: GroupLayout, run: int) -> tuple[str, str]:
    """(kind, id) of what a branch stands for: itself, or its transformer if none is on record."""
    node = int(layout.run_node[run])
    if node >= 0:
        return "branch", layout.network.tree.ids[node]
    return "transformer", layout.area_id(int(layout.run_area[run]))


class NeutralDetector(Detector):
    """Follows every three-phase device, branch and area of a group."""

    name: ClassVar[str] = "neutral"
    version: ClassVar[int] = 3
    faults: ClassVar[tuple[str, ...]] = FAULTS

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        n, runs, areas = layout.size, len(layout.run_area), layout.n_areas
        slots = layout.slots.device.size
        self.offset = self._array("offset", "voltage", slots, np.float32)
        self.heard = self._array("heard", "device", n, np.int32)
        self.usual_i = self._array("usual_i", "voltage", slots, np.float32, np.nan)
        # Only three-phase devices are places of their own; the others share row 0 of nothing.
        self.three = np.flatnonzero(layout.phase == 3).astype(np.int32)
        self.device_state = self._array("device_state", "three", (self.three.size, N_STATE), float)
        self.run_state = self._array("run_state", "run", (runs, N_STATE), float)
        self.area_state = self._array("area_state", "area", (areas, N_STATE), float)
        self.device_open = self._array("device_open", "three", (self.three.size, 2), np.int64)
        self.run_open = self._array("run_open", "run", (runs, 2), np.int64)
        self.area_open = self._array("area_open", "area", (areas, 2), np.int64)
        self.absent = self._array("absent", "area", areas, np.int32)
        self.moved = self._array("moved", "run", runs, np.uint8)
        self._growth = {
            "area": Growth(self, "area_growth", "area", areas),
            "run": Growth(self, "run_growth", "run", runs),
            "three": Growth(self, "device_growth", "three", self.three.size),
        }
        step_s = layout.step_us / 1e6
        self.memory = MEMORY_DAYS * DAY_S / step_s
        self.learn = max(float(LEARN_FRAMES), LEARN_DAYS * DAY_S / step_s)
        self.decay = tuple(math.exp(-step_s / (h * 3600.0)) for h in WINDOW_HOURS)
        self.patience = max(1, round(MONITOR_HOURS * 3600.0 / step_s))
        watched = bool((layout.monitor >= 0).all()) and areas > 0
        self._run_limits = LIMITS if watched else BARE_LIMITS
        self._area_limits = MONITOR_LIMITS if watched else BARE_LIMITS
        self._frozen = np.zeros(runs, np.uint8)
        self._sums = np.zeros((runs, 13))
        self._runs = np.zeros((runs, N_PLACE))
        self._areas = np.zeros((areas, N_PLACE))
        self._devices = np.zeros((self.three.size, N_PLACE))
        self._scratch = np.zeros((3, 13))
        self._run_score = np.full((runs, 2), np.nan)
        self._area_score = np.full((areas, 2), np.nan)
        self._device_score = np.full((self.three.size, 2), np.nan)
        self._three_area = layout.area[self.three]
        self._three_run = layout.run[self.three]
        self._run_area = layout.run_area
        named = np.zeros(areas, np.bool_)
        named[layout.run_area[layout.run_node >= 0]] = True
        # No branch on record, and a monitor: what its meters share is the transformer's own line.
        self._unbranched = (~named & (layout.monitor >= 0)).astype(np.uint8)

    def moved_runs(self) -> NDArray[np.bool_]:
        """Branches whose star point is, or may be, displaced now."""
        return self.moved > 0

    def _note_moved(self) -> None:
        """Where a monitor is waited for, branches stay as they were."""
        runs, areas = (self._run_score, self.run_open), (self._area_score, self.area_open)
        # Broken is told by the second frame, but already in the first no drop is what it seems.
        torn = _torn(self._run_score, self.run_state)
        torn |= _torn(self._area_score, self.area_state)[self._run_area]
        still = not torn.any() and not self.moved.any()
        if still and _quiet(*runs, MOVED) and _quiet(*areas, MOVED):
            return  # nearly always
        deaf = (self.absent > 0) & (self.absent <= self.patience)
        moved = torn | _standing(*runs) | _standing(*areas)[self._run_area]
        np.copyto(self.moved, moved, where=~deaf[self._run_area])

    def told_devices(self) -> NDArray[Any]:
        """int[m]: positions of three-phase devices whose own neutral is found loose or broken."""
        return np.asarray(self.three[(self.device_open > 0).any(1)])

    def torn_areas(self) -> NDArray[np.bool_]:
        """Areas with a neutral that is found broken, or has just gone beyond that limit: their own
        or a branch's."""
        torn = (self.area_open[:, 1] > 0) | _torn(self._area_score, self.area_state)
        runs = (self.run_open[:, 1] > 0) | _torn(self._run_score, self.run_state)
        torn[self._run_area[runs]] = True
        return np.asarray(torn)

    def broken_areas(self) -> NDArray[np.bool_]:
        """Areas whose own star point is found displaced, or was far beyond its limit just now."""
        with np.errstate(invalid="ignore"):
            return np.asarray((self.area_open > 0).any(1) | (self._area_score[:, 1] >= 0.5))

    def against_monitor_v(self, area: int) -> tuple[NDArray[np.complex128], F8]:
        """How far the phases of each branch judged have moved against the monitor's within half a
        day, V, as a displacement, and its variance; for areas with a monitor."""
        runs = np.flatnonzero((self._run_area == area) & ~np.isnan(self._run_score[:, 1]))
        state = self.run_state[runs]
        slow = state[:, WINDOW + N_WINDOW :]
        judged = slow[:, W] > 0.0
        slow = slow[judged]
        moved = (slow[:, E_RE] + 1j * slow[:, E_IM]) / slow[:, W]
        return moved, state[judged, VAR] / SPELLS

    def run_currents(self) -> NDArray[np.float64]:
        """float64[n_runs, 3]: currents of every branch by phase in this frame, A; NaN unknown."""
        return self._runs[:, I_0 : I_0 + 3]

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        self._frozen[:] = (self.run_state[:, FROZEN] > 0) & (self.run_state[:, FROZEN] < 2880) | (
            self.area_state[self._run_area, FROZEN] > 0
        )
        observe(
            frame.slot_v,
            frame.slot_i,
            layout.slots.first,
            layout.phase,
            layout.offsets,
            layout.monitor,
            layout.run,
            self.three,
            layout.nominal_v,
            self.offset,
            self.heard,
            self.usual_i,
            self._frozen,
            self._sums,
            self._runs,
            self._areas,
            self._devices,
            self._scratch,
            self.memory,
            self.absent,
            self.patience,
            self._unbranched,
        )
        args = (self.memory, self.learn, self.decay)
        test_places(self._runs, self.run_state, self._run_score, *args, self._run_limits)
        test_places(self._areas, self.area_state, self._area_score, *args, self._area_limits)
        places = self._devices
        test_places(places, self.device_state, self._device_score, *args, DEVICE_LIMITS)
        scores = (self._area_score, self._run_score, self._device_score)
        opens = (self.area_open, self.run_open, self.device_open)
        if self.near is None and all(map(_quiet, scores, opens, repeat(SUSPECT))):
            self._note_moved()
            return []  # nearly always
        for growth, score, seen in zip(
            self._growth.values(), scores, (self._areas, self._runs, places), strict=True
        ):
            rows = np.flatnonzero(score[:, 0] >= SUSPECT)
            if rows.size:
                growth.follow(rows, frame.tick_us, seen[rows, NEUTRAL], seen[rows, LEFT])
        if self.near is not None:
            self._tell_near(frame, places)
        busy = any(bool((s >= 1.0).any()) for s in scores) or any(bool(o.any()) for o in opens)
        found = self._judge(frame, places) if busy else []
        self._note_moved()
        return found

    def _tell_near(self, frame: Frame, places: F8) -> None:
        """Every place by its own score, before one of them is chosen as the cause."""
        layout = self.layout
        axes: tuple[tuple[Axis, F8, F8, NDArray[np.bool_]], ...] = (
            ("area", self._area_score, self._areas, layout.transformer >= 0),
            ("run", self._run_score, self._runs, self._has_place(slice(None))),
            ("three", self._device_score, places, np.ones(self.three.size, bool)),
        )
        for axis, score, seen, known in axes:
            for what, fault in enumerate(FAULTS):
                named = partial(self._named, frame, axis, what, seen)
                own = np.where(known, score[:, what], np.nan)
                self.tell_near(frame, own, self.state[OPEN[axis]][:, what], named, axis + fault)

    def _named(
        self, frame: Frame, axis: Axis, what: int, seen: F8, k: int, score: float, since: int
    ) -> Finding:
        return self._finding(frame, axis, k, what, score, since, seen[k])

    # -- one cause, one finding ------------------------------------------------------------

    def _judge(
        self, frame: Frame, places: "np.ndarray[tuple[int, int], np.dtype[np.float64]]"
    ) -> list[Finding]:
        layout = self.layout
        out: list[Finding] = []
        hot: list[NDArray[np.int32]] = [
            np.flatnonzero((self._area_score >= CLEAR).any(1) | self.area_open.any(1)).astype(
                np.int32
            ),
            layout.run_area[(self._run_score >= CLEAR).any(1) | self.run_open.any(1)],
            self._three_area[(self._device_score >= CLEAR).any(1) | self.device_open.any(1)],
        ]
        for area in np.unique(np.concatenate(hot)).tolist():
            if layout.transformer[area] < 0:
                continue
            runs = np.flatnonzero(layout.run_area == area)
            three = np.flatnonzero(self._three_area == area)
            for what in range(2):
                out += self._judge_area(frame, int(area), runs, three, what, places)
        return out

    def _judge_area(
        self, frame: Frame, area: int, runs: Index, three: Index, what: int, places: F8
    ) -> list[Finding]:
        """Choose among the area, its branches and its three-phase devices."""
        above = float(self._area_score[area, what])
        branch = self._run_score[runs, what]
        device = self._device_score[three, what]
        monitor = int(self.layout.monitor[area]) >= 0
        real = self._has_place(runs)
        explained_area = False
        judged = ~np.isnan(branch)
        if above >= CLEAR:
            if monitor:
                explained_area = True
            else:
                # Without a monitor the area shows its branches' mean: it is the area only if
                # every branch shares the displacement, or there is no branch to point at.
                strength = self._strength(self.run_state[runs], what)
                top = strength[judged].max(initial=0.0)
                sharing = (strength >= SHARED * top) & judged
                explained_area = not real.any() or (
                    judged.sum() >= 2 and sharing.sum() == judged.sum()
                )
        out = []
        out += self._report(
            frame, "area", area, what, above if explained_area else 0.0, self._areas
        )
        run_claims = np.zeros(runs.size, bool)
        for j, r in enumerate(runs.tolist()):
            score = float(branch[j])
            if explained_area or not real[j]:
                score = 0.0
            run_claims[j] = score >= CLEAR
            out += self._report(frame, "run", r, what, score, self._runs)
        for j, t in enumerate(three.tolist()):
            score = float(device[j])
            r = int(self._three_run[t])
            claimed = explained_area or (r >= 0 and bool(run_claims[runs == r].any()))
            if claimed or (r < 0):
                score = 0.0
            elif score >= 1.0 and self._moves_with_others(places, t, three):
                score = HELD
            out += self._report(frame, "three", t, what, score, places)
        return out

    def _moves_with_others(self, places: F8, t: int, three: Index) -> bool:
        """Whether another three-phase device of the same branch is displaced the same way: then it
        is no neutral of its own, but load or a joint on the line that both hang on."""
        near = three[(self._three_run[three] == self._three_run[t]) & (three != t)]
        near = near[places[near, READINGS] > 0.0]
        at = [MZ_RE, MZ_IM]
        mine = places[t, [Z_RE, Z_IM]] - self.device_state[t, at]
        theirs = places[near][:, [Z_RE, Z_IM]] - self.device_state[near][:, at]
        return bool((theirs @ mine >= ALONG * (mine @ mine)).any())

    def _has_place(self, runs: Index | slice) -> NDArray[np.bool_]:
        """Whether there is an asset to point at: a branch on record, else the line of a monitored
        transformer of which no branch is."""
        unbranched = self._unbranched[self._run_area[runs]] > 0
        return np.asarray((self.layout.run_node[runs] >= 0) | unbranched)

    @staticmethod
    def _strength(state: F8, what: int) -> F8:
        return np.asarray(state[:, RESISTANCE] if what == 0 else state[:, SIZE])

    def _report(
        self, frame: Frame, axis: Axis, index: int, what: int, score: float, places: F8
    ) -> list[Finding]:
        """The finding of one place, while it is open or above its limit."""
        opened = self.state[OPEN[axis]]
        if math.isnan(score):
            return []  # nothing seen: the condition stays as it is
        was = int(opened[index, what])
        if not was and score < 1.0:
            return []
        if not was:
            opened[index, what] = frame.tick_us
            was = frame.tick_us
        if score < CLEAR:
            opened[index, what] = 0
        return [self._finding(frame, axis, index, what, score, was, places[index])]

    def _finding(
        self, frame: Frame, axis: Axis, index: int, what: int, score: float, since: int, place: F8
    ) -> Finding:
        layout = self.layout
        kind: str
        if axis == "area":
            kind, asset = "transformer", layout.area_id(index)
            members = list(layout.devices_of(index))
            state = self.area_state[index]
        elif axis == "run":
            kind, asset = place_of_run(layout, index)
            members = np.flatnonzero(layout.run == index).tolist()
            state = self.run_state[index]
        else:
            p = int(self.three[index])
            members = [p]
            state = self.device_state[index]
            node = int(layout.network.tree.device[layout.device[p]])
            kind, asset = (
                layout.network.asset_of(node) if node >= 0 else ("device", layout.names[p])
            )
        healthy = math.hypot(state[S_RE], state[S_IM]) / state[S_II] if state[S_II] > 1e-6 else 0.0
        numbers: dict[str, float | int | str | None] = {
            "displacement_v": rounded(state[SIZE], 1),
            "highest_rise_v": rounded(place[UP], 1),
            "deepest_fall_v": rounded(place[DOWN], 1),
            "added_resistance_ohm": rounded(state[RESISTANCE]),
            "healthy_slope_ohm": rounded(healthy),
            "shift_rms_v": rounded(state[SHIFT], 1),
            "explained": rounded(state[EXPLAINED], 2),
            "usual_deviation_v": rounded(math.sqrt(max(state[VAR], 0.0)), 2),
            "frames_learned": int(state[COUNT]),
            "meters": int(place[READINGS]),
        }
        # As good as broken where twice the usual unbalance displaces it by a broken one's limit.
        slow = state[WINDOW + N_WINDOW : WINDOW + 2 * N_WINDOW]
        peak = 2.0 * math.sqrt(slow[A] / slow[W]) if slow[W] > 0.0 else math.nan
        outlook = self._growth[axis].outlook(index, BROKEN_V / max(peak, 1.0))
        if what == 0:
            numbers |= outlook.numbers()
        severity: Severity
        blind = math.isnan(state[RESISTANCE])
        if what == 0 and axis == "run" and self._is_shared(index):
            numbers[WATCH_LIST] = NOT_ENOUGH  # it comes from above, where nothing measures
        if what == 0 and blind:
            severity, limit = "P2", BLIND_SHIFT
            share = slow[B] / slow[W] if slow[W] > 0.0 else 0.0
            numbers["share_displaced"] = rounded(share, 2)
            if share < DAY_AND_NIGHT:
                numbers[WATCH_LIST] = NOT_ENOUGH
            rule = (
                "phase voltages drift apart, no currents are known: by day and by night it is the "
                "neutral, for some hours it may be uneven load"
            )
            rule_zh = (
                "各相电压反向偏移（无电流数据）：昼夜持续为中性线接触不良，仅数小时可能为单相负荷"
            )
            following = "measure currents and the neutral joints at this asset in the evening"
            following_zh = "晚高峰在该处测量各相电流与中性线接头"
        elif what == 0:
            table = {"three": DEVICE_LIMITS, "area": self._area_limits}.get(axis, LIMITS)
            severity, limit = "P2", round(max(table[-1, 1], table[-1, 2] * healthy), 3)
            rule = (
                "phase voltages drift apart in step with the unbalance current: "
                "the neutral has gained resistance"
            )
            rule_zh = "相电压随不平衡电流反向偏移：中性线接触电阻增大"
            following, following_zh = TIGHTEN
        else:
            severity, limit = "P1", BROKEN_V
            rule = (
                "some phases rise while others fall beyond the limit in two intervals: "
                "the neutral is open"
            )
            rule_zh = "连续两个周期部分相电压升高、部分降低且越限：中性线断开"
            following, following_zh = WARN
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
                numbers,
                limit=limit,
                window=(since, frame.tick_us),
                peers=self._peers(axis, index),
                excluded=EXCLUDED,
                next_check=following,
                next_check_zh=following_zh,
            ),
            clear_below=CLEAR,
            horizon_h=outlook.hours if what == 0 else None,
        )

    def _is_shared(self, run: int) -> bool:
        """Whether another branch of an area without a monitor is displaced nearly as much: then
        this branch's neutral is not the cause, and what is (winding, supply, load) is not seen."""
        area = int(self._run_area[run])
        if int(self.layout.monitor[area]) >= 0:
            return False
        others = np.flatnonzero((self._run_area == area) & (self.layout.run_node >= 0))
        others = others[others != run]
        for j in range(2):
            first = WINDOW + j * N_WINDOW
            rms = self.run_state[:, first + E] / np.maximum(self.run_state[:, first + W], 1e-9)
            if (rms[others] >= SHARED_REST * SHARED_REST * rms[run]).any():
                return True
        return False

    def _peers(self, axis: Axis, index: int) -> tuple[str, ...]:
        """What the place is compared with: the monitor, else the area's other devices."""
        layout = self.layout
        if axis == "area":
            return ()
        row = int(self.three[index]) if axis == "three" else -1
        area = int(layout.area[row] if row >= 0 else self._run_area[index])
        monitor = int(layout.monitor[area])
        if monitor >= 0:
            return (layout.names[monitor],)
        own = np.flatnonzero(layout.run == index).tolist() if axis == "run" else [row]
        return tuple(layout.names[q] for q in layout.devices_of(area) if q not in own)[:8]
