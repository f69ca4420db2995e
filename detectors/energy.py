"""Energy that leaves the transformer and reaches no meter: theft, a meter that counts too little.

Per area the monitor's power less the sum of its meters is followed as `a + b M^2` (constant and
copper losses), learned on healthy days. A lasting excess over a day is a finding. Where the excess
rises and falls with what one meter still counts, that meter counts a part of what it should, and
its usage point is the place; otherwise the area is, and the mapping is to be checked first. Where
meters tell no power, their registers are balanced day by day instead (`daily.py`).
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors import daily
from detectors.base import Array, Detector, Stateful, known_at, rounded
from detectors.compiled import F4, F8, I4, I8, U1, kernel
from detectors.daily import DAY_US, LEAP_W, balance_days, power
from detectors.displacement import COS, SIN
from detectors.frames import NEVER, REGISTERS, Frame
from detectors.layout import CHANNEL, GroupLayout
from detectors.meter import MeterDetector
from detectors.neutral import NeutralDetector
from detectors.settings import DetectorSettings
from detectors.supply import SupplyDetector
from grid.records import NOT_ENOUGH, WATCH_LIST, Evidence, Finding

I_A = CHANNEL["i_a"]

# Columns of an area's state.
COUNT, M_X, M_L, S_XX, S_XL, VAR = range(6)
LEVEL, LEVEL_VAR, LOAD, FROZEN, WEIGHT, EXCESS, LAST_R, V_R, R_HOUR, R_HOURS, ABSENT = range(6, 17)
HANDED, SQUARE = 17, 18  # what the monitor told in the frame before, which is the one judged
WHOLE: Final = 19  # share of frames in which nothing much was guessed
N_AREA: Final = 20
# Columns of a device's state: usual and mean power, moments of its changes with the excess's,
# its mean of the last hour and of the last hours; what it told last, frames ago.
USUAL, M_P, V_P, C_RP, LONG, HOUR, HOURS, TOLD, MISSED = range(9)
N_DEVICE: Final = 9

COVERAGE: Final = 0.85  # of the meters must be known; the others count with their usual power,
HELD_H: Final = 1.0  # so long with what they told last, until their next reading tells what it was
COARSE_WH: Final = 1000.0  # a register of whole kilowatt-hours tells nothing of a frame
GUESSED: Final = 0.01  # of the meters: with more of them held a frame tells neither how far the
FEW_WHOLE: Final = 0.1  # excess strays nor whose counting moves, unless so few frames are whole
LEVEL_HOURS: Final = 24.0
MEAN_HOURS: Final = 24.0  # what a meter counts now
CULPRIT_HOURS: Final = 72.0
# Changes are those of an hour's mean against some hours': from reading to reading the monitor's
# moment and the meter's quarter of an hour are too far apart.
CHANGE_HOURS: Final = (1.0, 3.0)
LOSS_SHARE: Final = 0.02  # of the power handed out, where one meter explains it
AREA_SHARE: Final = 0.08  # where none does: uneven load too costs some copper
LOSS_W: Final = 150.0
LEVEL_SIGMA: Final = 8.0
LEARN_DAYS: Final = 4.0
MEMORY_DAYS: Final = 21.0
SUSPECT: Final = 0.3  # of the limit: from here on nothing is learned
STRAY: Final = 2.0  # times the usual: a larger excess is learned as no more than that
FREEZE_FRAMES: Final = 2880.0
CULPRIT: Final = 0.3  # share of the excess's variance that one meter explains,
CHANCE: Final = 8.0  # or so much divided by the changes seen since: one of many fits by luck
LEAD: Final = 1.5  # and so much more than the next
FALLEN: Final = (0.4, 1.8)  # a meter that lost so much of the excess, and 40 % of its usual,
HINT: Final = 0.08  # needs to explain but this
# One meter's counting fell by the excess and explains most of its changes for a day: then the
# excess need not stand out so far by itself.
SURE: Final = (1.0, 0.6, 0.75)
SURE_GAIN: Final = (1.0, 1.6, 2.4)
# Whoever else is named has lost so much of the excess, and of its own.
PLAUSIBLE: Final = (0.3, 2.5)
PLAUSIBLE_FALL: Final = 0.25
WAIT_US: Final = 24 * 3600 * 1_000_000
CLEAR: Final = 0.5


@kernel(
    "UniTuple(int64, 2)(int64, float64, float32[:, ::1], float64[:], boolean, float64[::1],"
    "uint8[::1], int32[::1], int32[::1], float64[::1], float64[:, ::1], float32[:, ::1],"
    "float64[::1], float64[::1], int64[::1], float64[::1])"
)
def balance(
    tick: int,
    step_h: float,
    values: F4,
    register: F8,
    registered: bool,
    ratio: F8,
    repeating: U1,
    offsets: I4,
    monitor: I4,
    nominal: F8,
    areas: F8,
    devices: F4,
    energy: F8,
    used: F8,
    powered: I8,
    score: F8,
) -> tuple[int, int]:
    """Advance the energy balance of every area by one frame; returns how many scores are above
    `SUSPECT`, and how many areas have long had no powers to balance.

    Judged is the frame before: what a meter used whose reading was lost, its next one tells.

    register : float64[n]  import register, Wh; `registered` is false where there is none to read
    ratio : float64[n]     secondary to primary energy
    repeating : uint8[n]   1 = says what it said before while the area moves: not believed
    areas : float64[areas, 20], devices : float32[n, 9]   updated
    energy : float64[n]    register when the power was told last; updated
    used : float64[n]      scratch: power in the frame judged, W, NaN = not known
    powered : int64[areas]   out: the tick where the powers of the area could be balanced
    score : float64[areas]   out: 1 = limit, NaN = not judged
    """
    memory = MEMORY_DAYS * 24.0 / step_h
    learn = max(96.0, LEARN_DAYS * 24.0 / step_h)
    fast = 1.0 - math.exp(-step_h / LEVEL_HOURS)
    mean = 1.0 - math.exp(-step_h / MEAN_HOURS)
    slow = 1.0 - math.exp(-step_h / CULPRIT_HOURS)
    hour = 1.0 - math.exp(-step_h / CHANGE_HOURS[0])
    hours = 1.0 - math.exp(-step_h / CHANGE_HOURS[1])
    hot = 0
    for k in range(offsets.size - 1):
        score[k] = math.nan
        m = monitor[k]
        if m < 0:
            continue
        s = areas[k]
        metered = 0.0
        absent = 0.0
        made = 0.0
        guessed = 0
        heard = 0
        meters = 0
        for p in range(offsets[k], offsets[k + 1]):
            if p == m:
                continue
            meters += 1
            x = math.nan if repeating[p] else power(values, p)
            d = devices[p]
            frames = d[MISSED]
            y = float(d[TOLD])
            held = frames * step_h <= max(HELD_H, step_h)
            if frames == 0.0:
                metered += y
            elif math.isnan(x) or not held:
                metered += y if held else d[USUAL]
                absent += 0.0 if held else max(d[LONG], 0.0)
                guessed += held
                y = math.nan
            else:
                # Its register says what was used meanwhile; panels feed in past it.
                now_wh = register[p] if registered else math.nan
                wh = (now_wh - energy[p]) * ratio[p]
                known = x >= 0.0 and y >= 0.0
                known = known and 0.0 <= wh <= LEAP_W * max(ratio[p], 1.0) * frames * step_h
                coarse = now_wh % COARSE_WH == 0.0 and energy[p] % COARSE_WH == 0.0
                known = known and not coarse
                mean_w = max(wh / step_h - x, 0.0) / frames if known else 0.5 * (x + y)
                # The frames before the last one were judged with what had been told.
                made += (frames - 1.0) * (mean_w - y)
                metered += mean_w
                y = mean_w
            used[p] = y
            if not math.isnan(y):
                heard += 1
                d[USUAL] += (y - d[USUAL]) * (1.0 if s[COUNT] == 0.0 else 0.02)
            if math.isnan(x):
                d[MISSED] = frames + 1.0
            else:
                d[TOLD] = x
                d[MISSED] = 0.0
                # Where nobody tells one, the half of the rows where it stands is not touched.
                energy[p] = register[p] if registered else math.nan
        handed = s[HANDED]
        square = s[SQUARE]
        now = power(values, m)
        s[HANDED] = now
        # Copper warms with the current of each conductor, the neutral's included: uneven load costs
        # more. In units of the power squared that even load would be.
        s[SQUARE] = now * abs(now) * 1e-6
        amps2 = 0.0
        n_re = 0.0
        n_im = 0.0
        for c in range(3):
            i = float(values[m, I_A + c])
            amps2 += i * i
            n_re += abs(i) * COS[c]
            n_im += abs(i) * SIN[c]
        if not math.isnan(amps2):
            s[SQUARE] = 3e-6 * nominal[k] * nominal[k] * (amps2 + n_re * n_re + n_im * n_im)
        if math.isnan(handed) or handed == 0.0 or meters == 0 or heard < COVERAGE * meters:
            continue
        powered[k] = tick
        loss = handed - metered
        if s[COUNT] == 0.0:
            s[M_X] = square
            s[M_L] = loss
        dx = square - s[M_X]
        dl = loss - s[M_L]
        r = dl - s[S_XL] / (s[S_XX] + 1.0) * dx
        sigma = math.sqrt(max(s[VAR], 100.0))
        learned = s[COUNT] >= learn
        bounded = max(-6.0 * sigma, min(6.0 * sigma, r)) if learned else r
        s[LOAD] += fast * (abs(handed) - s[LOAD])
        whole = guessed <= GUESSED * meters
        s[WHOLE] += 0.02 * (whole - s[WHOLE])
        whole = whole or s[WHOLE] < FEW_WHOLE
        x = 0.0
        if learned:
            s[LEVEL] -= fast * made
            s[WEIGHT] += fast * (1.0 - s[WEIGHT])
            odd = max(20.0 * sigma, 0.2 * s[LOAD])
            s[LEVEL] += fast * (max(-odd, min(odd, r)) - s[LEVEL])
            level = s[LEVEL] / s[WEIGHT]
            s[EXCESS] = level
            # Who is silent may draw twice what it does on the whole.
            s[ABSENT] += fast * (absent - s[ABSENT])
            level -= s[ABSENT] / s[WEIGHT]
            usual = math.sqrt(max(s[LEVEL_VAR], 25.0))
            load = s[LOAD] / max(s[WEIGHT], 0.5)
            x = min(level / max(LOSS_SHARE * load, LOSS_W), level / (LEVEL_SIGMA * usual))
            if s[WEIGHT] < 0.3:
                x = min(x, 0.5)
            score[k] = max(x, 0.0)
            hot += x > SUSPECT
        # Whose counting moves with the excess? Changes from hour to hour: the theft's own
        # beginning, where one falls and the other rises, is over before it is suspected.
        if whole:
            s[LAST_R] = r
        s[R_HOUR] += hour * (r - s[R_HOUR] - made)
        s[R_HOURS] += hours * (r - s[R_HOURS] - made)
        e_r = s[R_HOUR] - s[R_HOURS]
        begins = learned and x > SUSPECT and s[FROZEN] == 0.0
        frozen = learned and x > SUSPECT and s[FROZEN] < FREEZE_FRAMES
        a = max(1.0 / (s[COUNT] + 1.0), 1.0 / memory)
        if whole:
            s[V_R] += slow * (e_r * e_r - s[V_R])
        if begins:
            s[V_R] = 0.0  # what moved with what before is no evidence
        for p in range(offsets[k], offsets[k + 1]):
            if p == m:
                continue
            d = devices[p]
            y = used[p]
            if not math.isnan(y):
                d[M_P] += mean * (y - d[M_P])
                d[HOUR] += hour * (y - d[HOUR])
                d[HOURS] += hours * (y - d[HOURS])
                if whole:
                    e_p = d[HOUR] - d[HOURS]
                    d[V_P] += slow * (e_p * e_p - d[V_P])
                    d[C_RP] += slow * (e_p * e_r - d[C_RP])
            if begins:
                d[V_P] = 0.0
                d[C_RP] = 0.0
            if not frozen:
                d[LONG] += a * (d[USUAL] - d[LONG])
        if frozen:
            s[FROZEN] += 1.0
            continue
        s[FROZEN] = 0.0 if x <= SUSPECT else s[FROZEN]
        s[COUNT] += 1.0
        fit = dl - r + bounded
        s[M_X] += a * dx
        s[M_L] += a * fit
        s[S_XX] = (1.0 - a) * (s[S_XX] + a * dx * dx)
        s[S_XL] = (1.0 - a) * (s[S_XL] + a * dx * fit)
        stray = max(-6.0 * sigma, min(6.0 * sigma, s[LAST_R])) if learned else s[LAST_R]
        s[VAR] += max(1.0 / (s[COUNT] + 4.0), 1.0 / memory) * (stray * stray - s[VAR])
        if learned:
            since = max(s[COUNT] - learn, 1.0)
            most = STRAY * math.sqrt(max(s[LEVEL_VAR], 25.0))
            stray = max(-most, min(most, s[LEVEL] / max(s[WEIGHT], 1e-9)))
            s[LEVEL_VAR] += max(1.0 / (since + 10.0), 1.0 / memory) * (stray * stray - s[LEVEL_VAR])
        else:
            s[LEVEL_VAR] = s[VAR] * 0.05
    unpowered = 0
    for k in range(monitor.size):
        unpowered += monitor[k] >= 0 and powered[k] <= tick - 2 * DAY_US
    return hot, unpowered


class EnergyDetector(Detector):
    """The balance of every area with a monitor."""

    name: ClassVar[str] = "energy"
    version: ClassVar[int] = 4
    faults: ClassVar[tuple[str, ...]] = ("energy_loss",)
    listens: ClassVar[tuple[str, ...]] = ("neutral", "supply", "meter")

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        self.areas = self._array("areas", "area", (layout.n_areas, N_AREA), float)
        self.devices = self._array("devices", "device", (layout.size, N_DEVICE), np.float32)
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
        self._used = np.full(layout.size, np.nan)
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
            frame.register,
            bool(frame.reported[REGISTERS]),
            self._ratio,
            self._trusted if self.meter is None else self.meter.repeating,
            layout.offsets,
            layout.monitor,
            layout.nominal_v,
            self.areas,
            self.devices,
            self.energy,
            self._used,
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
            if not self.open[k] and score[k] < 1.0:
                self.sure[k] = self._sureness(k)
            # It stays so while it lasts: a site may ask for hours of it.
            score[k] *= SURE_GAIN[self.sure[k]]
        if self.neutral is not None:
            # A bad neutral heats: its losses are its own finding.
            moved = layout.run_area[self.neutral.moved_runs()]
            score[moved] = np.minimum(score[moved], 0.95)
        for k in np.flatnonzero(score >= 1.0).tolist():
            if self.open[k]:
                continue
            # The culprit shows by and by: a day is granted before the area itself is named.
            self.first[k] = self.first[k] or frame.tick_us
            self.suspect[layout.offsets[k] : layout.offsets[k + 1]] = 0
            p = self._whose(k)
            if p >= 0:
                self.suspect[p] = 1
            else:
                waited = frame.tick_us - self.first[k] >= WAIT_US
                excess, load = self._excess(k)
                if not waited or excess < AREA_SHARE * load:
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

    def _whose(self, k: int) -> int:
        """The device whose counting explains the excess of an area; -1 if none stands out."""
        return self._culprit_by_day(k) if self.by_day[k] else self._culprit(k)

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

    def _explained(self, k: int) -> tuple[NDArray[np.intp], F8, NDArray[Any], NDArray[Any]]:
        """(rows, share of the excess's changes that each explains, whether each lost a part of the
        excess, whether about all of it and much of its own) of an area's devices."""
        layout = self.layout
        rows = np.arange(int(layout.offsets[k]), int(layout.offsets[k + 1]))
        d = self.devices[rows].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            explained = d[:, C_RP] ** 2 / (d[:, V_P] * self.areas[k, V_R])
        explained[~np.isfinite(explained) | (d[:, C_RP] <= 0.0)] = 0.0
        explained[rows == layout.monitor[k]] = 0.0
        # A part of what is drawn is never less than nothing: panels feed in when they please.
        explained[d[:, M_P] <= 0.0] = 0.0
        fell = d[:, LONG] - d[:, M_P]
        share = fell / max(float(self.areas[k, EXCESS]), 1.0)
        plausible = (share > PLAUSIBLE[0]) & (share < PLAUSIBLE[1])
        plausible &= fell > PLAUSIBLE_FALL * d[:, LONG]
        likely = (share > FALLEN[0]) & (share < FALLEN[1]) & (fell > 0.4 * d[:, LONG])
        return rows, explained, plausible, likely & (d[:, M_P] > 0.0)

    def _sureness(self, k: int) -> int:
        """How surely one meter has lost the excess and explains its changes, for a day: 0, 1, 2."""
        if float(self.areas[k, FROZEN]) * self.layout.step_us < MEAN_HOURS * 3.6e9:
            return 0
        _, explained, _, likely = self._explained(k)
        at = int(np.argmax(explained))
        rest = np.delete(explained, at).max(initial=0.0)
        if not likely[at] or explained[at] < LEAD * rest:
            return 0
        return sum(explained[at] >= least for least in SURE[1:])

    def _culprit(self, k: int) -> int:
        """The device whose own counting explains the excess; -1 if none stands out."""
        rows, explained, plausible, likely = self._explained(k)
        # Another one whose counting fell alike may be it: then the changes must tell.
        explained[~plausible] = 0.0
        if likely.sum() == 1 and explained[likely][0] >= max(HINT, explained.max()):
            return int(rows[int(np.argmax(likely))])
        seen_h = float(self.areas[k, FROZEN]) * self.layout.step_us / 3.6e9
        luck = CHANCE / max(min(seen_h, CULPRIT_HOURS) / CHANGE_HOURS[1], 1.0)
        order = np.argsort(explained)
        if order.size < 2:
            return -1
        if explained[order[-1]] < max(CULPRIT, luck, LEAD * explained[order[-2]]):
            return -1
        return int(rows[order[-1]])

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
