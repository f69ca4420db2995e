"""Do the records fit what is measured? Phase and transformer of each meter, and the ratios.

Keeps two days of voltages a meter and once a day asks `mapping` where each belongs. A meter whose
place nobody noted is given one; a meter that plainly moves with another phase or transformer is
moved there, and reported. The engine then judges with the learned map (`Engine.learned`).
A monitor whose power is a fixed fraction of its meters', or a device whose voltage is a steady
fraction of nominal, has a wrong ratio on record.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from detectors import mapping
from detectors.base import Axis, Detector, known_at, rounded
from detectors.columns import sum_within
from detectors.compiled import F4, F8, I2, I4, kernel
from detectors.frames import Frame
from detectors.layout import CHANNEL, GroupLayout
from detectors.settings import DetectorSettings
from grid.network import Network
from grid.records import Evidence, Finding

V, AMP, P_A = CHANNEL["v_a"], CHANNEL["i_a"], CHANNEL["p_a"]

RING: Final = 192
SPACING_US: Final = 900_000_000  # finer steps are thinned: their changes are noise of the meter
UNIT_V: Final = 0.02
MISSING: Final = -32768
DAY_US: Final = 86_400_000_000

# A place nobody noted may be guessed sooner than a written one may be contradicted.
GUESS_RATIO: Final = 0.8
GUESS_PAIRS: Final = 90
CONTRADICT_RATIO: Final = 0.7
CONTRADICT_PAIRS: Final = 120
CLEAREST_NEEDED: Final = max(GUESS_RATIO, CONTRADICT_RATIO)
CONTRADICT_DAYS: Final = 3  # in a row: a fault of a day or two disturbs what neighbours share
CONTRADICT_SHARE: Final = 0.2  # more of an area at once is its reference that has gone wrong
MISFIT: Final = 1.5  # times the area's usual variance, before another transformer is looked for
FIT: Final = 2.0  # times the usual variance there: a fault makes a meter fit badly anywhere
FOREIGN_SLOPE: Final = 0.35  # of the changes of the own transformer, seen at the meter: less, and
FOREIGN_MOST: Final = 0.7  # surely (three standard errors) less than this, is no meter of its area
CANDIDATES_MAX: Final = 3000
TOGETHER: Final = 1024  # meters looked for elsewhere in one go

# Columns of an area's power moments: frames, means, variances, covariance.
N, M_X, M_Y, S_XX, S_YY, S_XY = range(6)
RATIO_DAYS: Final = 2.0
RATIO_R: Final = 0.8
RATIO_LOW: Final = 0.4
HEARD_SHARE: Final = 0.7
# Columns of a row's voltage: count, mean, mean square deviation.
COUNT, MEAN, VARIANCE = range(3)
STEADY: Final = 0.08
LOW_V: Final = 0.6


@kernel(
    "void(float32[::1], int32[::1], int32[::1], float64[::1], int64, int64, boolean, float64,"
    "int16[:, ::1], float32[:, ::1])"
)
def remember(
    slot_v: F4,
    first: I4,
    offsets: I4,
    nominal: F8,
    at: int,
    unit: int,
    sampled: bool,
    memory: float,
    ring: I2,
    level: F4,
) -> None:
    """Store one frame's voltages and follow their level.

    slot_v : float32[m], first : int32[n + 1]   V of every phase, see `GroupLayout.slots`
    at : row of the ring; unit : steps a volt; sampled : whether this frame enters the ring
    ring : int16[192, m] deviation from nominal, -32768 missing; level : float32[3, m]
    """
    settled = 1.0 / memory
    for k in range(offsets.size - 1):
        begin, end = first[offsets[k]], first[offsets[k + 1]]
        v = slot_v[begin:end]
        u = nominal[k]
        if sampled:
            line = ring[at, begin:end]
            for j in range(v.size):
                x = (float(v[j]) - u) * unit
                known = (x > -32000.0) & (x < 32000.0)
                line[j] = np.int16(np.rint(x if known else float(MISSING)))
        count, mean = level[COUNT, begin:end], level[MEAN, begin:end]
        variance = level[VARIANCE, begin:end]
        for j in range(v.size):
            there = v[j] == v[j]
            n = count[j] + np.float32(1.0)
            a = 1.0 / n if n < memory else settled
            e = float(v[j]) - mean[j]
            far = variance[j] + np.float32(a * ((1.0 - a) * e * e - variance[j]))
            count[j] = n if there else count[j]
            mean[j] = mean[j] + np.float32(a * e) if there else mean[j]
            variance[j] = far if there else variance[j]


@kernel("float64(float32[:, ::1], int64)")
def power_of_phases(values: F4, p: int) -> float:
    """Active power of a device that tells no sum, W: what its phases tell; NaN if none does."""
    power = 0.0
    seen = False
    for c in range(3):
        part = float(values[p, P_A + c])
        if np.isnan(part):
            part = float(values[p, V + c]) * float(values[p, AMP + c])
        if not np.isnan(part):
            power += part
            seen = True
    return power if seen else np.nan


@kernel(
    "void(float32[:, ::1], float32[::1], int32[::1], int32[::1], float64, float64[::1],"
    "float64[:, ::1])"
)
def compare_power(
    values: F4, told: F4, offsets: I4, monitor: I4, memory: float, usual: F8, state: F8
) -> None:  # fmt: skip
    """Moments of the monitor's power against the sum of its meters'.

    told : float32[n]          powers as told, W
    usual : float64[areas]     meters usually heard, updated
    state : float64[areas, 6]  updated, columns N .. S_XY; x the meters, y the monitor
    """
    for k in range(offsets.size - 1):
        m = monitor[k]
        if m < 0:
            continue
        begin, end = offsets[k], offsets[k + 1]
        before, n_before = sum_within(told, begin, m, -np.inf, np.inf)
        after, n_after = sum_within(told, m + 1, end, -np.inf, np.inf)
        total, heard = before + after, n_before + n_after
        if heard < end - begin - 1:
            for p in range(begin, end):
                if p != m and np.isnan(told[p]):
                    power = power_of_phases(values, p)
                    if not np.isnan(power):
                        total += power
                        heard += 1
        own = float(told[m])
        if np.isnan(own):
            own = power_of_phases(values, m)
        if heard > usual[k]:
            usual[k] = heard
        else:
            usual[k] += 0.001 * (heard - usual[k])
        if np.isnan(own) or heard < 2 or heard < HEARD_SHARE * usual[k]:
            continue
        s = state[k]
        s[N] += 1.0
        a = max(1.0 / s[N], 1.0 / memory)
        dx = total - s[M_X]
        dy = own - s[M_Y]
        s[M_X] += a * dx
        s[M_Y] += a * dy
        s[S_XX] += a * ((1.0 - a) * dx * dx - s[S_XX])
        s[S_YY] += a * ((1.0 - a) * dy * dy - s[S_YY])
        s[S_XY] += a * ((1.0 - a) * dx * dy - s[S_XY])


@dataclass(frozen=True, slots=True)
class Learned:
    """A meter's place as measured: transformer id and phase.

    `file_transformer`, `file_phase` are what the records said: if they change, this is forgotten.
    """

    device: str
    file_transformer: str | None
    file_phase: str
    transformer: str | None
    phase: str

    @property
    def contradicts(self) -> bool:
        """Whether the records said something else (and not merely nothing)."""
        moved = self.file_transformer is not None and self.transformer != self.file_transformer
        return moved or (self.file_phase != "unknown" and self.phase != self.file_phase)


def with_learned(network: Network, learned: Iterable[Learned]) -> Network:
    """The network with meters where they were measured to be, as far as the records still say
    what they said then."""
    points = list(network.usage_points)
    for x in learned:
        at = network.device_index.get(x.device, -1)
        point = network.devices[at].usage_point if at >= 0 else None
        k = network.usage_point_index.get(point, -1) if point else -1
        if k < 0 or x.transformer not in network.transformer_index:
            continue
        u = network.usage_points[k]
        if (u.transformer, u.phase) != (x.file_transformer, x.file_phase):
            continue
        here = u.transformer == x.transformer
        points[k] = replace(
            u,
            transformer=x.transformer,
            phase=x.phase,  # type: ignore[arg-type]
            branch=u.branch if here else None,
            node=u.node if here else None,
        )
    return replace(network, usage_points=tuple(points))


class RecordsDetector(Detector):
    """One group's records against its measurements."""

    name: ClassVar[str] = "records"
    version: ClassVar[int] = 2
    faults: ClassVar[tuple[str, ...]] = ("unknown", "sensor_fault")
    beside: ClassVar[bool] = True

    def __init__(self, layout: GroupLayout, settings: DetectorSettings) -> None:
        super().__init__(layout, settings)
        self._device, self._slot, _ = layout.slots
        rows = self._device
        self._nominal = np.ascontiguousarray(layout.nominal_v[layout.area[self._device]])
        self.ring = self._array("ring", "voltage", (len(rows), RING), np.int16, MISSING, "F")
        self.level = self._array("level", "voltage", (len(rows), 3), np.float32, order="F")
        self.power = self._array("power", "area", (layout.n_areas, 6), float)
        self.usual = self._array("usual", "area", layout.n_areas, float)
        self.told_place = self._array("told_place", "voltage", len(rows), np.int64)
        self.suspect = self._array("suspect", "voltage", (len(rows), 2), np.int64, -1)
        self.ratio = self._array("ratio", "voltage", len(rows), np.float32)
        self.told = self._array("told", "voltage", len(rows), np.int64)
        self.foreign = self._array("foreign", "device", layout.size, np.int64)
        self.told_power = self._array("told_power", "area", layout.n_areas, np.int64)
        # Frames taken, column of the ring, day.
        self.clock = self._array("clock", "one", (1, 3), np.int64)[0]
        step_s = layout.step_us / 1e6
        self._every = max(1, round(SPACING_US / layout.step_us))
        self._memory = max(8.0, 86400.0 / step_s)
        self._position = {name: p for p, name in enumerate(layout.names)}
        self.learned: list[Learned] = []
        # Rows of each area, the first of its monitor's three (-1 none), and the phases whose bus
        # is seen.
        self._first = np.searchsorted(self._device, layout.offsets).astype(np.int32)
        at = np.searchsorted(self._device, layout.monitor).astype(np.int32)
        self._monitor = np.where(layout.monitor >= 0, at, np.int32(-1))
        labelled = np.zeros((layout.n_areas, 3), np.int64)
        lines = np.flatnonzero(np.isin(layout.phase, (0, 1, 2)))
        np.add.at(labelled, (layout.area[lines], layout.phase[lines]), 1)
        self._known = (labelled >= mapping.LABELLED_MIN) | (layout.monitor >= 0)[:, None]
        self._known &= (layout.transformer >= 0)[:, None]
        self._monitor[layout.transformer < 0] = mapping.NO_TRANSFORMER

    def keys(self, axis: Axis) -> list[str]:
        if axis == "voltage":
            # By name alone: what was measured stays true when the meter turns out to be elsewhere.
            names = self.layout.names
            pairs = zip(self._device.tolist(), self._slot.tolist(), strict=True)
            return [f"{names[p]}\0{c}\0{self.layout.step_us}" for p, c in pairs]
        return super().keys(axis)

    def step(self, frame: Frame) -> list[Finding]:
        layout = self.layout
        sampled = self.clock[0] % self._every == 0
        remember(
            frame.slot_v,
            layout.slots.first,
            layout.offsets,
            layout.nominal_v,
            int(self.clock[1]),
            round(1.0 / UNIT_V),
            sampled,
            self._memory,
            self.ring.T,
            self.level.T,
        )
        compare_power(
            frame.values,
            frame.p,
            layout.offsets,
            layout.monitor,
            RATIO_DAYS * self._memory,
            self.usual,
            self.power,
        )
        self.clock[0] += 1
        if sampled:
            self.clock[1] = (self.clock[1] + 1) % RING
        day = frame.tick_us // DAY_US
        if day == self.clock[2]:
            return []
        first = self.clock[2] == 0
        self.clock[2] = day
        if first:
            return []
        self.learned = self._sure(list(self._learn(frame.tick_us)))
        out = [*self._misplaced(frame), *self._levels(frame), *self._powers(frame)]
        return out

    def take_learned(self) -> list[Learned]:
        """What the last frame taught and nobody has taken yet."""
        out, self.learned = self.learned, []
        return out

    def foreign_now(self, positions: NDArray[np.int32], tick_us: int) -> NDArray[np.bool_]:
        """bool[m]: whose voltage does not move with its own transformer. What a frame finds holds
        from the next one on, so that others may run beside."""
        since = self.foreign[positions]  # -t: was so before t
        return ((since > 0) & (since <= tick_us)) | (-since > tick_us)

    # -- place -----------------------------------------------------------------------------

    def _ring(self) -> tuple[NDArray[np.int16], int, int, np.float32]:
        """The remembered voltages as the kernels of the map take them."""
        return self.ring.T, int(self.clock[1]), MISSING, np.float32(UNIT_V)

    def _usual(
        self, best: mapping.Floats, rows: NDArray[np.int64], area: NDArray[np.int32]
    ) -> NDArray[np.float64]:
        """float64[n_areas]: median over an area's rows of their variance; inf for none."""
        order = rows[np.lexsort((best[rows], area[rows]))]
        count = np.bincount(area[order], minlength=self.layout.n_areas)
        some = np.flatnonzero(count)
        begin, n = (np.cumsum(count) - count)[some], count[some]
        usual = np.full(len(count), np.inf)
        usual[some] = 0.5 * (best[order[begin + (n - 1) // 2]] + best[order[begin + n // 2]])
        return usual

    def _tell_foreign(
        self, here: mapping.Nearest, usual: NDArray[np.float64], references: Any, tick_us: int
    ) -> None:
        """Note who moves with no phase of its own transformer: however far its voltage strays from
        there, nothing on its way from there is the cause.

        references : float32[n_areas, 3, RING - 1]   changes of voltage, V
        """
        layout = self.layout
        area = layout.area[self._device]
        doubtful = (here.variance > MISFIT * usual[area]) & (layout.transformer[area] >= 0)
        doubtful &= (here.reference >= 0) & (here.pairs >= CONTRADICT_PAIRS)
        strange = np.zeros(layout.size, np.bool_)
        rows = np.flatnonzero(doubtful)
        for first in range(0, len(rows), TOGETHER):
            some = rows[first : first + TOGETHER]
            moves = np.empty((RING - 1, len(some)), np.float32)
            mapping.changes(*self._ring(), some, moves)
            mapping.cut(moves)
            y, x = moves.T.astype(float), references[area[some], here.reference[some]].astype(float)
            both = ~np.isnan(x) & ~np.isnan(y)
            y, x = np.where(both, y, 0.0), np.where(both, x, 0.0)
            xx = np.maximum((x * x).sum(1), 1e-9)
            slope = (x * y).sum(1) / xx
            rest = ((y - slope[:, None] * x) ** 2).sum(1) / both.sum(1)
            most = slope + 3.0 * np.sqrt(rest / xx)
            strange[self._device[some[(slope < FOREIGN_SLOPE) & (most < FOREIGN_MOST)]]] = True
        from_us = tick_us + layout.step_us
        self.foreign[strange & (self.foreign <= 0)] = from_us
        self.foreign[~strange & (self.foreign > 0)] = -from_us

    def _learn(self, tick_us: int) -> Iterator[Learned]:
        """Meters whose place is measured and not what the layout has."""
        layout = self.layout
        rows, areas = len(self._device), layout.n_areas
        variance, pairs = np.empty((rows, 3)), np.empty((rows, 3), np.int64)
        references = np.empty((areas, 3, RING - 1), np.float32)
        phase = layout.phase[self._device]
        mapping.own_places(
            *self._ring(), self._first, self._monitor, phase, references, variance, pairs
        )
        area = layout.area[self._device]
        placed, single = layout.transformer[area] >= 0, phase < 3
        here = mapping.places(variance, pairs)
        best = here.variance
        usual = self._usual(best, np.flatnonzero(placed), area)
        self._tell_foreign(here, usual, references, tick_us)
        usual = self._usual(best, np.flatnonzero(placed & single), area)
        fits = single & placed & (best <= FIT * usual[area]) & (here.ratio <= CLEAREST_NEEDED)
        fits &= (here.reference >= 0) & (here.reference != phase)
        fits &= self._known[area].sum(1) > 1
        for j in np.flatnonzero(fits).tolist():
            yield from self._phase_of(j, here, variance[j])
        # A place elsewhere must fit better than the best here.
        strays = np.flatnonzero(single & (~placed | (best > MISFIT * usual[area])))
        # Neighbours in the list are neighbours on the feeder more often than not.
        labels = np.argwhere(self._known)[:CANDIDATES_MAX]
        if len(labels) < 2:
            return
        among = references[labels[:, 0], labels[:, 1]]
        bounds = np.where(placed, best, np.inf)
        for first in range(0, len(strays), TOGETHER):  # not all at once: memory is bounded
            some = strays[first : first + TOGETHER]
            yield from self._elsewhere(some, bounds[some], among, labels, usual)

    def _sure(self, found: list[Learned]) -> list[Learned]:
        """Guesses at once; contradictions when they have stood for days and are few."""
        layout = self.layout
        row_of = self._row_of()
        rows = [int(row_of[self._position[x.device]]) for x in found]
        against = [j for j, x in zip(rows, found, strict=True) if x.contradicts]
        count = np.bincount(layout.area[self._device[against]], minlength=layout.n_areas)
        out = [x for x in found if not x.contradicts]
        before = self.suspect.copy()
        self.suspect[:] = -1
        for j, x in zip(rows, found, strict=True):
            area = self._area(j)
            size = len(layout.devices_of(area))
            if not x.contradicts or count[area] > max(1.0, CONTRADICT_SHARE * size):
                continue
            code = 3 * layout.network.transformer_index[x.transformer or ""] + "abc".index(x.phase)
            days = int(before[j, 1]) + 1 if before[j, 0] == code else 1
            self.suspect[j] = code, days
            if days >= CONTRADICT_DAYS:
                out.append(x)
        return out

    def _row_of(self) -> NDArray[Any]:
        """The first row of each device."""
        row_of = np.full(self.layout.size, -1)
        row_of[self._device[::-1]] = np.arange(len(self._device))[::-1]
        return row_of

    def _phase_of(
        self, row: int, here: mapping.Nearest, variance: NDArray[np.float64]
    ) -> Iterator[Learned]:
        """The measured phase of a meter of a known transformer; variance : float64[3] of it."""
        area, now = self._area(row), int(self.layout.phase[self._device[row]])
        phase, ratio, pairs = (int(here.reference[row]), float(here.ratio[row]), here.pairs[row])
        if now < 0:
            if ratio <= GUESS_RATIO and pairs >= GUESS_PAIRS:
                yield self._make(row, area, phase, ratio)
            return
        if not self._known[area, now]:
            return
        ratio = max(ratio, float(variance[phase] / variance[now]))
        if ratio <= CONTRADICT_RATIO and pairs >= CONTRADICT_PAIRS:
            yield self._make(row, area, phase, ratio)

    def _area(self, row: int) -> int:
        return int(self.layout.area[self._device[row]])

    def _elsewhere(
        self,
        strays: NDArray[np.int64],
        bounds: NDArray[np.float64],
        references: NDArray[np.float32],
        labels: NDArray[np.int64],
        usual: NDArray[np.float64],
    ) -> Iterator[Learned]:
        """Meters that fit their own transformer badly, or have none: where do they fit?

        bounds : float64[n]   variance at the best place of their own transformer, inf for none
        references : float32[m, RING - 1]; labels : int64[m, 2]  area and phase of each
        """
        layout = self.layout
        moves = np.empty((RING - 1, len(strays)), np.float32)
        mapping.changes(*self._ring(), strays, moves)
        mapping.cut(moves)
        found = mapping.nearest(moves, references, bounds)
        there, own = labels[found.reference, 0], layout.area[self._device[strays]]
        fits = (found.variance <= FIT * usual[there]) & (found.reference >= 0) & (there != own)
        for k in np.flatnonzero(fits & (found.ratio <= CLEAREST_NEEDED)).tolist():
            j, mine, ratio, seen = int(strays[k]), own[k], float(found.ratio[k]), found.pairs[k]
            area, phase = labels[found.reference[k]].tolist()
            if layout.transformer[mine] < 0:
                if ratio <= GUESS_RATIO and seen >= GUESS_PAIRS:
                    yield self._make(j, area, phase, ratio)
            elif mine in labels[:, 0] and np.isfinite(bounds[k]):
                against = max(float(found.variance[k] / bounds[k]), ratio)
                if against <= CONTRADICT_RATIO and seen >= CONTRADICT_PAIRS:
                    yield self._make(j, area, phase, against)

    def _make(self, row: int, area: int, phase: int, ratio: float) -> Learned:
        layout = self.layout
        self.ratio[row] = ratio
        transformer, said = self._recorded(row)
        measured = layout.area_id(area) if layout.transformer[area] >= 0 else None
        name = layout.names[self._device[row]]
        return Learned(name, transformer, said, measured, "abc"[phase])

    def _recorded(self, row: int, learned: bool = False) -> tuple[str | None, str]:
        """Transformer and phase of a row's meter on record, or as judged with now."""
        network = self.layout.network if learned else self.layout.given
        device = network.devices[self.layout.device[self._device[row]]]
        k = network.usage_point_index.get(device.usage_point, -1) if device.usage_point else -1
        u = network.usage_points[k] if k >= 0 else None
        return (u.transformer, u.phase) if u else (device.transformer, "unknown")

    def _misplaced(self, frame: Frame) -> Iterator[Finding]:
        """Meters whose records are contradicted, and those whose records are right again."""
        found = {self._position[x.device]: x for x in self.learned}
        rows = np.flatnonzero((self.told_place > 0) | np.isin(self._device, list(found)))
        for row in rows.tolist():
            if self._slot[row]:
                continue
            position = int(self._device[row])
            x = found.get(position)
            if x is None:
                now = self._recorded(row, learned=True)
                x = Learned(self.layout.names[position], *self._recorded(row), *now)
            if x.contradicts:
                self.told_place[row] = self.told_place[row] or frame.tick_us
            elif not self.told_place[row]:
                continue
            else:
                self.told_place[row] = 0
            yield self._place_finding(frame, position, x, float(self.ratio[row]))

    def _place_finding(self, frame: Frame, position: int, x: Learned, ratio: float) -> Finding:
        moved = x.transformer != x.file_transformer
        said, is_ = (x.file_transformer, x.transformer) if moved else (x.file_phase, x.phase)
        what, what_zh = ("transformer", "台区") if moved else ("phase", "相别")
        score = min(CONTRADICT_RATIO / max(ratio, 1e-3), 100.0) if x.contradicts else 0.0
        return Finding(
            self.name,
            "unknown",
            "device",
            x.device,
            frame.tick_us,
            known_at(frame, [position]),
            score,
            "P4",
            (x.device,),
            Evidence(
                f"the records say {what} {said}, its voltage moves with {what} {is_}",
                f"档案{what_zh}为 {said}，电压实际随{what_zh} {is_} 变化：户变（相）关系疑似有误",
                {
                    "recorded": said,
                    "measured": is_,
                    "variance_ratio": rounded(ratio),
                    "changes_compared": RING - 1,
                },
                limit=CONTRADICT_RATIO,
                window=(frame.tick_us - RING * self._every * self.layout.step_us, frame.tick_us),
                peers=(f"all phases of the {'other transformers' if moved else 'transformer'}",),
                excluded=(
                    "a fault of this meter: it moves as closely as its new neighbours do",
                    "电能表故障：其电压与新邻户同步变化",
                ),
                next_check=f"correct the {what} of this meter on record; it is judged as measured",
                next_check_zh=f"核对并更正该表档案{what_zh}；检测已按实测关系进行",
            ),
        )

    # -- ratios ----------------------------------------------------------------------------

    def _levels(self, frame: Frame) -> Iterator[Finding]:
        """Devices whose voltage is a steady fraction of nominal."""
        level = self.level
        with np.errstate(divide="ignore", invalid="ignore"):
            share = level[:, MEAN] / self._nominal
            steady = np.sqrt(level[:, VARIANCE]) / level[:, MEAN]
        wrong = (
            (level[:, COUNT] >= RATIO_DAYS * self._memory)
            & (level[:, MEAN] > 1.0)
            & (share < LOW_V)
            & (steady < STEADY)
        )
        for j in np.flatnonzero(wrong | (self.told > 0)).tolist():
            if self._slot[j]:
                continue
            p = int(self._device[j])
            factor = float(1.0 / share[j]) if wrong[j] else 1.0
            self.told[j] = 0 if not wrong[j] else int(self.told[j]) or frame.tick_us
            yield self._ratio(
                frame, p, "pt_ratio", factor, bool(wrong[j]),
                {"mean_v": rounded(float(level[j, MEAN]), 2), "nominal_v": self._nominal[j]},
            )  # fmt: skip

    def _powers(self, frame: Frame) -> Iterator[Finding]:
        """Monitors that show a fixed fraction of what their meters show."""
        s = self.power
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = s[:, S_XY] / s[:, S_XX]
            r = s[:, S_XY] / np.sqrt(s[:, S_XX] * s[:, S_YY])
        enough = s[:, N] >= RATIO_DAYS * self._memory
        wrong = enough & (np.abs(r) >= RATIO_R) & (slope < RATIO_LOW)
        for k in np.flatnonzero(wrong | (self.told_power > 0)).tolist():
            self.told_power[k] = 0 if not wrong[k] else int(self.told_power[k]) or frame.tick_us
            yield self._ratio(
                frame, int(self.layout.monitor[k]), "ct_ratio",
                float(1.0 / slope[k]) if slope[k] else 0.0, bool(wrong[k]),
                {
                    "monitor_w_a_meter_w": rounded(float(slope[k]), 4),
                    "correlation": rounded(float(r[k])),
                    "meters_mean_w": rounded(float(s[k, M_X]), 0),
                    "monitor_mean_w": rounded(float(s[k, M_Y]), 0),
                },
            )  # fmt: skip

    def _ratio(
        self, frame: Frame, p: int, key: str, factor: float, wrong: bool, numbers: dict[str, Any]
    ) -> Finding:
        name = self.layout.names[p]
        device = self.layout.network.devices[self.layout.device[p]]
        have = getattr(device, key) or 1.0
        turned = factor < 0
        rule = (
            "its power runs against that of its meters: current transformers are reversed"
            if turned
            else f"its values are 1/{abs(factor):.3g} of what they must be: the ratio is wrong"
        )
        rule_zh = (
            "监测功率方向与用户总功率相反：互感器极性接反"
            if turned
            else f"测量值仅为应有值的 1/{abs(factor):.3g}：互感器变比档案有误"
        )
        return Finding(
            self.name,
            "sensor_fault",
            "device",
            name,
            frame.tick_us,
            known_at(frame, [p]),
            2.0 if wrong else 0.0,
            "P4",
            (name,),
            Evidence(
                rule,
                rule_zh,
                {**numbers, f"{key}_on_record": have, f"{key}_measured": rounded(have * factor, 1)},
                limit=RATIO_LOW if key == "ct_ratio" else LOW_V,
                window=(frame.tick_us - int(RATIO_DAYS * DAY_US), frame.tick_us),
                peers=("the sum of its meters",) if key == "ct_ratio" else ("the nominal voltage",),
                excluded=(
                    "missing meters: they would make it more, not less",
                    "缺表：只会使比值偏大而非偏小",
                )
                if key == "ct_ratio"
                else (
                    "a fault of supply: it does not stay so even",
                    "供电故障：不会如此稳定",
                ),
                next_check=f"correct {key} on record, or the wiring of the transformer",
                next_check_zh="核对互感器变比与接线，更正档案",
            ),
        )
