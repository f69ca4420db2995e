"""Energy that leaves the transformer and reaches no meter: theft, a meter that counts too little.

Per area the monitor's power less the sum of its meters is followed as `a + b M^2` (constant and
copper losses), learned on healthy days. A lasting excess over a day is a finding. Where it rises
and falls with what one meter still counts, and is what that meter misses, its usage point is the
place (`culprit.py`); otherwise the area is, and the mapping is to be checked first. Where meters
tell no power, their registers are balanced day by day instead (`daily.py`).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np

from detectors import daily
from detectors.balance import (
    C_RP,
    EXCESS,
    LEVEL_VAR,
    LOAD,
    LONG,
    LOSS_SHARE,
    LOSS_W,
    M_P,
    N_AREA,
    N_DEVICE,
    SUSPECT,
    V_P,
    V_R,
    balance,
)
from detectors.base import Array, Detector, Stateful, known_at, rounded
from detectors.culprit import log_odds, stands_out
from detectors.daily import balance_days
from detectors.frames import NEVER, REGISTERS, Frame
from detectors.layout import GroupLayout
from detectors.meter import MeterDetector
from detectors.neutral import NeutralDetector
from detectors.settings import DetectorSettings
from detectors.supply import SupplyDetector
from grid.records import NOT_ENOUGH, WATCH_LIST, Evidence, Finding

AREA_SHARE: Final = 0.08  # where none does: uneven load too costs some copper
# Log odds that one meter must have against any other and nobody to be named (20 to 1); the surer
# it is, the less the excess needs to stand out by itself.
NAMED: Final = 3.0
SURE: Final = (6.0, 9.0)
SURE_GAIN: Final = (1.0, 1.6, 2.4)
# So long a name is waited for, and longer while one meter is likelier than all others and nobody.
WAIT_US: Final = 24 * 3600 * 1_000_000
LEADS_US: Final = 3 * WAIT_US
CLEAR: Final = 0.5


class EnergyDetector(Detector):
    """The balance of every area with a monitor."""

    name: ClassVar[str] = "energy"
    version: ClassVar[int] = 5
    faults: ClassVar[tuple[str, ...]] = ("energy_loss",)
    listens: ClassVar[tuple[str, ...]] = ("neutral", "supply", "meter")

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        self.areas = self._array("areas", "area", (layout.n_areas, N_AREA), float)
        self.devices = self._array(
            "devices", "device", (layout.size, N_DEVICE), np.float32, order="F"
        )
        self.energy = self._array("energy", "device", layout.size, float, np.nan)
        self.powered = self._array("powered", "area", layout.n_areas, np.int64, NEVER)
        self.open = self._array("open", "area", layout.n_areas, np.int64)
        self.first = self._array("first", "area", layout.n_areas, np.int64)
        self.sure = self._array("sure", "area", layout.n_areas, np.uint8)
        self.by_day = self._array("by_day", "area", layout.n_areas, np.uint8)
        self.suspect = self._array("suspect", "device", layout.size, np.uint8)
        n, areas = layout.size, layout.n_areas
        self.day_areas = self._array("day_areas", "area", (areas, daily.N_AREA_DAY), float)
        self.day_when = self._array("day_when", "area", (areas, 2), np.int64, NEVER)
        self.day_energy = self._array("day_energy", "device", (n, 2), float)
        self.day_read = self._array("day_read", "device", (n, 3), np.int64, NEVER)
        self.days = self._array("days", "device", (n, daily.N_DEVICE_DAY), np.float32)
        devices = [layout.network.devices[i] for i in layout.device.tolist()]
        self._ratio = np.array([(d.ct_ratio or 1.0) * (d.pt_ratio or 1.0) for d in devices])
        largest = int(np.diff(layout.offsets).max(initial=0))
        self._scratch, self._late = np.empty((2, largest)), np.empty(largest + 1, np.int32)
        self._kept = np.ones(areas, np.uint8)  # where `energy` may hold a register
        self._score = np.full(areas, np.nan)
        self._day_score = np.full(areas, np.nan)
        self._none = layout.transformer < 0
        self.neutral: NeutralDetector | None = None
        self.supply: SupplyDetector | None = None
        self.meter: MeterDetector | None = None
        self._trusted = np.zeros(layout.size, np.uint8)
        self._marked = True

    def link(self, others: Sequence[Stateful]) -> None:
        self.neutral = next((d for d in others if isinstance(d, NeutralDetector)), None)
        self.supply = next((d for d in others if isinstance(d, SupplyDetector)), None)
        self.meter = next((d for d in others if isinstance(d, MeterDetector)), None)

    def restore(self, state: dict[str, Array]) -> None:
        super().restore(state)
        self._marked = True
        self._kept.fill(1)

    def edited(self, before: Sequence[str], now: Sequence[str]) -> None:
        """The usual losses of an area hold for its meters: where one has come from another area, or
        gone there, they are learned anew, or the corrected map would look like a theft."""
        areas = [{key.split("\0")[0]: key.split("\0")[1] for key in keys} for keys in (before, now)]
        old, new = areas
        moved = {d for d in old.keys() & new.keys() if old[d] != new[d]}
        changed = {at[d] for at in areas for d in moved}
        for k in range(self.layout.n_areas):
            if self.layout.area_id(k) in changed:
                self.areas[k] = 0.0
                self.day_areas[k] = 0.0
                self.first[k] = 0

    def step(self, frame: Frame) -> list[Finding]:
        layout, score = self.layout, self._score
        hot, unpowered = balance(
            frame.tick_us,
            layout.step_us / 3.6e9,
            frame.values,
            frame.p,
            frame.register,
            bool(frame.reported[REGISTERS]),
            self._ratio,
            self._trusted if self.meter is None else self.meter.repeating,
            layout.offsets,
            layout.monitor,
            layout.nominal_v,
            self.areas,
            self.devices.T,
            self.energy,
            self._kept,
            self._scratch,
            self._late,
            self.powered,
            score,
        )
        if not unpowered and self.quiet(hot):
            self._forget()
            return []
        self._marked = True
        self.by_day[~np.isnan(score)] = 0
        if unpowered:
            self._judge_days(frame)
        score[self._none] = np.nan
        if self.supply is not None:
            # Whatever leaks to earth is handed out and metered nowhere: the leakage is the finding.
            leaking_w = self.supply.leaking_a() * layout.nominal_v
            for k in np.flatnonzero((score > SUSPECT) & (leaking_w > 0.0)).tolist():
                excess, _ = self._excess(k)
                score[k] *= max(0.0, 1.0 - leaking_w[k] / max(excess, 1.0))
        for k in np.flatnonzero((score >= 1.0 / SURE_GAIN[-1]) & (self.by_day == 0)).tolist():
            if not self.open[k]:
                sure = self._named(k)[1]
                self.sure[k] = sum(sure >= least for least in SURE)
            # It stays so while it lasts: a site may ask for hours of it.
            score[k] *= SURE_GAIN[self.sure[k]]
        if self.neutral is not None:
            # A bad neutral heats: its losses are its own finding; they follow no meter's counting.
            moved = layout.run_area[self.neutral.moved_runs()]
            moved = moved[self.sure[moved] < len(SURE)]
            score[moved] = np.minimum(score[moved], 0.95)
        for k in np.flatnonzero(score >= 1.0).tolist():
            if self.open[k]:
                continue
            # The culprit shows by and by: a day is granted before the area itself is named.
            self.first[k] = self.first[k] or frame.tick_us
            self.suspect[layout.offsets[k] : layout.offsets[k + 1]] = 0
            p, sure = self._whose(k)
            if sure >= NAMED:
                self.suspect[p] = 1
            else:
                wait_us = LEADS_US if sure > 0.0 else WAIT_US
                excess, load = self._excess(k)
                if frame.tick_us - self.first[k] < wait_us or excess < AREA_SHARE * load:
                    score[k] = 0.95
        self.first[score < CLEAR] = 0
        found = self.over(frame, score, self.open, CLEAR, partial(self._finding, frame))
        self.sure[score < CLEAR] = 0
        return found

    def _forget(self) -> None:
        """Areas that were judged and are far below the limit hold no marks of earlier frames."""
        if self._marked:
            well = ~np.isnan(self._score)
            marks = (self.by_day, self.first, self.sure)
            for mark in marks:
                mark[well] = 0
            self._marked = any(mark.any() for mark in marks)

    def _judge_days(self, frame: Frame) -> None:
        """Score the areas whose day ended in this frame and whose powers nobody knows."""
        layout = self.layout
        balance_days(
            frame.tick_us,
            layout.step_us,
            frame.values,
            frame.register,
            frame.time,
            layout.offsets,
            layout.monitor,
            layout.interval_us,
            self._ratio,
            self.powered,
            self.day_areas,
            self.day_when,
            self.day_energy,
            self.day_read,
            self.days,
            self._day_score,
        )
        judged = ~np.isnan(self._day_score)
        self._score[judged] = self._day_score[judged]
        self.by_day[judged] = 1

    def _excess(self, k: int) -> tuple[float, float]:
        """(what is handed out unmetered, load) of an area, W."""
        if self.by_day[k]:
            return float(self.day_areas[k, daily.EXCESS]), float(self.day_areas[k, daily.LOAD])
        return float(self.areas[k, EXCESS]), float(self.areas[k, LOAD])

    def _whose(self, k: int) -> tuple[int, float]:
        """(device, log odds) of who explains the excess of an area best; to be named from `NAMED`
        on."""
        if self.by_day[k]:
            p = self._culprit_by_day(k)
            return p, NAMED if p >= 0 else 0.0
        return self._named(k)

    def _culprit_by_day(self, k: int) -> int:
        """The device that misses, day by day, about what is lost; -1 if none stands out."""
        layout, s = self.layout, self.day_areas[k]
        rows = np.arange(int(layout.offsets[k]), int(layout.offsets[k + 1]))
        d = self.days[rows].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            fits = d[:, daily.C_RF] ** 2 / (d[:, daily.V_F] * s[daily.V_R])
        fits[~np.isfinite(fits) | (d[:, daily.C_RF] <= 0.0)] = 0.0
        fits[rows == layout.monitor[k]] = 0.0
        risen = 1.0 - np.exp(-max(s[daily.HIGH_DAYS], 1.0) / daily.LATE_DAYS)
        missed = (d[:, daily.USUAL] - d[:, daily.OF_LATE]) / risen
        share = missed / max(float(s[daily.EXCESS]), 1.0)
        likely = (share > daily.SIZE[0]) & (share < daily.SIZE[1])
        likely &= missed > daily.FALLEN * d[:, daily.USUAL]
        fits[~likely] = 0.0
        order = np.argsort(fits)
        best = fits[order[-1]]
        second = fits[order[-2]] if order.size > 1 else 0.0
        return int(rows[order[-1]]) if best >= max(daily.FIT, daily.LEAD * second) else -1

    def _named(self, k: int) -> tuple[int, float]:
        """(device, log odds against all others and nobody) of who may count too little."""
        begin, end = int(self.layout.offsets[k]), int(self.layout.offsets[k + 1])
        devices = self.devices[begin:end].astype(float)
        monitor = int(self.layout.monitor[k]) - begin
        odds = log_odds(self.areas[k], devices, monitor, self.layout.step_us / 3.6e9)
        best, sure = stands_out(odds)
        return begin + best, sure

    def _numbers(self, k: int, culprit: int) -> dict[str, float | int | str | None]:
        """The evidence in numbers; `culprit` -1 where no meter stands out."""
        excess, load = self._excess(k)
        numbers: dict[str, float | int | str | None] = {
            "unmetered_w": rounded(excess, 0),
            "share_of_load": rounded(excess / max(load, 1.0), 3),
        }
        if self.by_day[k]:
            s, d = self.day_areas[k], self.days[culprit]
            numbers["days_in_a_row"] = int(s[daily.HIGH_DAYS])
            if culprit < 0:
                # What panels feed in no register of import tells: a dull week looks the same.
                numbers[WATCH_LIST] = NOT_ENOUGH
            if culprit >= 0:
                usual = float(d[daily.USUAL])
                numbers["counted_of_usual"] = rounded(d[daily.OF_LATE] / max(usual, 1.0), 2)
                square = float(d[daily.V_F]) * float(s[daily.V_R])
                numbers["explained"] = rounded(float(d[daily.C_RF]) ** 2 / max(square, 1e-9), 2)
            return numbers
        s, d = self.areas[k], self.devices[culprit]
        numbers["usual_deviation_w"] = rounded(math.sqrt(max(s[LEVEL_VAR], 0.0)), 0)
        if culprit >= 0:
            numbers["counted_of_usual"] = rounded(d[M_P] / max(d[LONG], 1.0), 2)
            numbers["explained"] = rounded(d[C_RP] ** 2 / max(d[V_P] * s[V_R], 1e-9), 2)
        return numbers

    def _finding(self, frame: Frame, k: int, score: float, since: int) -> Finding:
        layout = self.layout
        members = list(layout.devices_of(k))
        culprits = [p for p in members if self.suspect[p]]
        kind: Any = "transformer"
        asset = layout.area_id(k)
        following = "check the mapping of meters to this transformer first, then inspect"
        following_zh = "先核对台区户变关系，再现场稽查"
        numbers = self._numbers(k, culprits[0] if culprits else -1)
        if culprits:
            node = int(layout.network.tree.device[layout.device[culprits[0]]])
            kind, asset = ("device", layout.names[culprits[0]])
            if node >= 0:
                kind, asset = layout.network.asset_of(node)
            following = "inspect this meter: wiring, seals, bypass, current transformer"
            following_zh = "稽查该户：接线、封印、旁路、互感器"
            members = culprits
        _, load = self._excess(k)
        return Finding(
            self.name,
            "energy_loss",
            kind,
            asset,
            frame.tick_us,
            known_at(frame, slice(int(layout.offsets[k]), int(layout.offsets[k + 1]))),
            score,
            "P3",
            tuple(layout.names[p] for p in members),
            Evidence(
                "more energy leaves the transformer than its meters and the usual losses explain",
                "变压器供出电量持续超过户表电量与正常线损之和",
                numbers,
                limit=round(max(LOSS_SHARE * load, LOSS_W), 0),
                window=(since, frame.tick_us),
                peers=tuple(layout.names[q] for q in layout.devices_of(k) if q not in culprits)[:8],
                excluded=(
                    "a loose joint: it loses volts, not kilowatts",
                    "接头发热：只损失电压，不损失大量电量",
                ),
                next_check=following,
                next_check_zh=following_zh,
            ),
            clear_below=CLEAR,
        )
