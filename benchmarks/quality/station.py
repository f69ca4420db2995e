"""Faults put into a real station area: voltage steps against the transformer, joint resistance.

The area (hourly single-phase meters, a 15-minute transformer monitor, no labels) is taken as
healthy. A trial changes one meter from one moment on, judges everything up to a week later with
the whole program, and asks for an alert at that meter (ticket or watch list) which the untouched
run does not have. The injector knows nothing of the detectors.

Beside it an in-sample bound: the best of some simple statistics of meter minus transformer, with
thresholds fitted to each meter on the same untouched data so that none ever alarms. An honest
detector, which has not seen the data, cannot be asked for much more. For resistance the same, with
statistics that know the customer's current and the very ohms that were put in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.run import judged
from detectors.scoring import AlertLine
from grid.dataset import read_dataset
from grid.network import Network
from grid.readings import ReadingBatch

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
HISTORY_US = 28 * DAY_US
SEED = 20260305

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """The whole dataset in memory, by time of arrival."""

    network: Network
    batch: ReadingBatch
    untouched: list[AlertLine]

    @property
    def meter_days(self) -> float:
        """Days with readings, summed over the meters."""
        total = 0
        for d in self.network.devices:
            if d.kind == "meter" and d.id in self.batch.names:
                at = self.batch.time[self.batch.device == self.batch.names.index(d.id)]
                total += np.unique(at // DAY_US).size
        return float(total)


@dataclass(frozen=True, slots=True)
class Trial:
    """One change at one meter; hours until an alert and a ticket, None if none in a week."""

    meter: str
    start_us: int
    alert_h: float | None
    ticket_h: float | None
    ticket_fault: str = ""
    moves_v: float = 0.0


def load_area(folder: Path) -> Area:
    """The dataset and what the program says of it as it is."""
    dataset = read_dataset(folder)
    batch = ReadingBatch.concat(list(dataset.batches()))
    return Area(dataset.network, batch, judged(dataset.network, [batch]))


def meters(area: Area) -> list[str]:
    """Meters that report."""
    have = set(area.batch.names)
    return [d.id for d in area.network.devices if d.kind == "meter" and d.id in have]


def starts(area: Area, meter: str, count: int, column: str = "v_a") -> list[int]:
    """Moments, drawn by a fixed seed, with four weeks of readings before and a week after."""
    rows = (area.batch.device == area.batch.names.index(meter)) & ~np.isnan(
        area.batch.value(column)
    )
    at = np.unique(area.batch.time[rows])
    if not at.size:
        return []
    rng = np.random.default_rng([SEED, *meter.encode()])
    room = at[(at >= at[0] + HISTORY_US) & (at <= at[-1] - WEEK_US)]
    # A week with holes proves nothing about the detector.
    dense = room[np.searchsorted(at, room + WEEK_US) - np.searchsorted(at, room) >= 0.9 * 168]
    if not dense.size:
        return []
    return sorted(rng.choice(dense, min(count, dense.size), replace=False).tolist())


def step_trials(area: Area, volts: float, count: int) -> list[Trial]:
    """A voltage step of `volts` from a moment on, `count` moments a meter."""
    return [
        _trial(area, m, t, lambda b, rows: np.full(int(rows.sum()), volts))
        for m in meters(area)
        for t in starts(area, m, count)
    ]


def joint_trials(area: Area, ohm: float, count: int) -> list[Trial]:
    """`ohm` more in the service of a meter whose current is known: V falls by ohm times I."""
    out = []
    for m in meters(area):
        for t in starts(area, m, count, "i_a"):
            rows = (
                (area.batch.device == area.batch.names.index(m))
                & (area.batch.time >= t)
                & (area.batch.time < t + WEEK_US)
            )
            amps = area.batch.value("i_a")[rows]
            moves = ohm * float(np.nanpercentile(np.abs(amps), 95))

            def drop(b: ReadingBatch, at: NDArray[np.bool_]) -> Floats:
                current = np.asarray(b.value("i_a")[at], np.float64)
                return -ohm * np.nan_to_num(current)

            out.append(replace(_trial(area, m, t, drop), moves_v=moves))
    return out


def alerted_before(area: Area, trial: Trial) -> bool:
    """Whether an alert of the untouched area is open at the meter all the week: none can be new."""
    point = next(d.usage_point for d in area.network.devices if d.id == trial.meter)
    return any(
        a.asset in (trial.meter, point)
        and a.raised_us <= trial.start_us
        and (a.cleared_us is None or a.cleared_us > trial.start_us + WEEK_US)
        for a in area.untouched
    )


def _trial(area: Area, meter: str, start_us: int, change: Any) -> Trial:
    batch = area.batch.select(area.batch.time < start_us + WEEK_US)
    rows = (batch.device == batch.names.index(meter)) & (batch.time >= start_us)
    volts = batch.value("v_a").copy()
    volts[rows] += change(batch, rows).astype(volts.dtype)
    altered = replace(batch, values={**batch.values, "v_a": volts})
    found = judged(area.network, [altered])
    point = next(d.usage_point for d in area.network.devices if d.id == meter)
    known = {(a.id, a.ticket) for a in area.untouched}
    new = [
        a
        for a in found
        if a.asset in (meter, point)
        and start_us < a.raised_us <= start_us + WEEK_US
        and (a.id, a.ticket) not in known
    ]
    tickets = [a for a in new if a.ticket]

    def first_h(alerts: Sequence[AlertLine]) -> float | None:
        return min(((a.known_us - start_us) / HOUR_US for a in alerts), default=None)

    return Trial(
        meter, start_us, first_h(new), first_h(tickets), tickets[0].fault if tickets else ""
    )


# -- the in-sample bound --------------------------------------------------------------------------


def bound_trials(area: Area, volts: float, count: int) -> dict[str, list[float | None]]:
    """Hours to the alarm of each simple statistic, for the same trials as `step_trials`."""
    out: dict[str, list[float | None]] = {name: [] for name in _STATISTICS}
    for m in meters(area):
        at, residual = _residual(area, m)
        sigma = 1.4826 * float(np.median(np.abs(residual - np.median(residual))))
        for name, (kind, size) in _STATISTICS.items():
            highest = _statistic(residual, kind, size, sigma).max()
            for t in starts(area, m, count):
                changed = residual + volts * (at >= t)
                window = (at >= t) & (at < t + WEEK_US)
                over = _statistic(changed, kind, size, sigma)[window] > highest + 1e-9
                hit = at[window][over]
                out[name].append((float(hit[0]) - t) / HOUR_US if hit.size else None)
    return out


# Falls of the residual: leaky sums with two allowances (in sigma) and means over some hours.
_STATISTICS: dict[str, tuple[str, float]] = {
    "cusum k=0.25": ("cusum", 0.25),
    "cusum k=0.75": ("cusum", 0.75),
    "mean of 6": ("mean", 6),
    "mean of 24": ("mean", 24),
    "mean of 72": ("mean", 72),
}


def joint_bound_trials(area: Area, ohm: float, count: int) -> dict[str, list[float | None]]:
    """Hours to the alarm of each statistic of current, for the same trials as `joint_trials`."""
    out: dict[str, list[float | None]] = {name: [] for name in _JOINT_STATISTICS}
    for m in meters(area):
        begins = starts(area, m, count, "i_a")
        if not begins:
            continue
        at, residual, amps = _current_residual(area, m)
        for name, (kind, size) in _JOINT_STATISTICS.items():
            highest = _joint_statistic(residual, amps, kind, size, ohm).max()
            for t in begins:
                changed = residual - ohm * amps * (at >= t)
                window = (at >= t) & (at < t + WEEK_US)
                over = _joint_statistic(changed, amps, kind, size, ohm)[window] > highest + 1e-9
                hit = at[window][over]
                out[name].append((float(hit[0]) - t) / HOUR_US if hit.size else None)
    return out


# What of the residual falls with the current: volt along it (a fall at no current does not count),
# the same with an intercept, the level whatever the current; and a sum of log likelihood that
# begins anew at zero (Page 1954) for the very resistance put in.
_JOINT_STATISTICS: dict[str, tuple[str, int]] = {
    **{f"along the current, {n}": ("along", n) for n in (6, 24, 72, 168)},
    **{f"slope of {n}": ("slope", n) for n in (24, 72, 168)},
    **{f"level of {n}": ("level", n) for n in (24, 72, 168)},
    "cusum of the resistance": ("cusum", 0),
}


def _joint_statistic(residual: Floats, amps: Floats, kind: str, size: int, ohm: float) -> Floats:
    """Higher is worse: how much the residual falls with the current, at each reading."""
    fall = -residual
    if kind == "cusum":
        out = np.empty(fall.size)
        level = 0.0
        # In units of the noise's variance, which the threshold takes up.
        for k, x in enumerate((ohm * fall * amps - 0.5 * (ohm * amps) ** 2).tolist()):
            level = max(0.0, level + x)
            out[k] = level
        return out
    s_e, s_i, s_ei, s_ii = (_moving(x, size) for x in (fall, amps, fall * amps, amps * amps))
    if kind == "level":
        out = s_e / size
    else:
        if kind == "slope":
            s_ei, s_ii = s_ei - s_e * s_i / size, s_ii - s_i * s_i / size
        out = s_ei / np.sqrt(np.maximum(s_ii, 1e-3 * size))
    return np.where(np.isnan(out), -np.inf, out)


def _moving(x: Floats, n: int) -> Floats:
    """Sums of the last n values, NaN while there are fewer."""
    total = np.cumsum(np.concatenate([[0.0], x]))
    out = np.full(x.size, np.nan)
    out[n - 1 :] = total[n:] - total[:-n]
    return out


def _current_residual(area: Area, meter: str) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The residual while the meter's current is known, and that current.

    Once more by least squares over these readings: the own current (what the service usually
    takes), the hour, and every other meter's residual, each with its own weight.
    """
    at, residual = _residual(area, meter)
    b = area.batch
    rows = (b.device == b.names.index(meter)) & ~np.isnan(b.value("i_a"))
    own_at, first = np.unique(b.time[rows], return_index=True)
    known = np.isin(at, own_at)
    at, residual = at[known], residual[known]
    amps = np.asarray(b.value("i_a")[rows][first], np.float64)[np.searchsorted(own_at, at)]
    hours = (at // HOUR_US) % 24
    columns = [amps, *((hours == h).astype(np.float64) for h in range(24))]
    for other in meters(area):
        if other != meter:
            other_at, other_residual = _explained(area, other)
            place = np.minimum(np.searchsorted(other_at, at), other_at.size - 1)
            columns.append(np.where(other_at[place] == at, other_residual[place], 0.0))
    return at, residual - _fitted(np.stack(columns, axis=1), residual), amps


def _residual(area: Area, meter: str) -> tuple[NDArray[np.int64], Floats]:
    """What of a meter's voltage the transformer and the hour do not explain, in sample.

    Least squares on the monitor's voltages and currents and the hour of the day, less the median
    of the other meters' residuals at that moment.
    """
    own_at, own = _explained(area, meter)
    others = [_explained(area, m) for m in meters(area) if m != meter]
    shared = np.full((len(others), own_at.size), np.nan)
    for k, (at, residual) in enumerate(others):
        place = np.minimum(np.searchsorted(at, own_at), at.size - 1)
        same = at[place] == own_at
        shared[k, same] = residual[place[same]]
    enough = (~np.isnan(shared)).sum(axis=0) >= 3
    common = np.zeros(own_at.size)
    common[enough] = np.nanmedian(shared[:, enough], axis=0)
    likeness = float(common @ own) / max(float(common @ common), 1e-9)
    return own_at, own - likeness * common


@lru_cache(maxsize=64)
def _explained(area: Area, meter: str) -> tuple[NDArray[np.int64], Floats]:
    b = area.batch
    monitor = next(d.id for d in area.network.devices if d.kind == "transformer_monitor")
    rows = b.device == b.names.index(meter)
    at, first = np.unique(b.time[rows], return_index=True)
    volts = np.asarray(b.value("v_a")[rows][first], np.float64)
    lead = b.device == b.names.index(monitor)
    lead_at, lead_first = np.unique(b.time[lead], return_index=True)
    place = np.minimum(np.searchsorted(lead_at, at), lead_at.size - 1)
    columns = [
        np.asarray(b.value(q)[lead][lead_first], np.float64)[place]
        for q in ("v_a", "v_b", "v_c", "i_a", "i_b", "i_c")
    ]
    good = (lead_at[place] == at) & ~np.isnan(volts)
    good &= ~np.isnan(np.vstack(columns)).any(axis=0)
    at, volts = at[good], volts[good]
    hours = (at // HOUR_US) % 24
    dummies = [(hours == h).astype(np.float64) for h in range(24)]
    x = np.stack([c[good] for c in columns] + dummies, axis=1)
    return at, volts - _fitted(x, volts)


def _fitted(x: Floats, y: Floats) -> Floats:
    """Least squares, reweighted so that odd hours do not bend the fit."""
    weight = np.ones(y.size)
    fitted = np.zeros(y.size)
    for _ in range(5):
        fit, *_ = np.linalg.lstsq(x * weight[:, None], y * weight, rcond=None)
        fitted = np.asarray(x @ fit)
        sigma = 1.4826 * float(np.median(np.abs(y - fitted))) + 1e-6
        weight = np.sqrt(1.0 / np.maximum(1.0, np.abs(y - fitted) / (2.0 * sigma)))
    return fitted


def _statistic(residual: Floats, kind: str, size: float, sigma: float) -> Floats:
    """Higher is worse: the fall of the residual."""
    if kind == "cusum":
        out = np.empty(residual.size)
        level = 0.0
        for i, x in enumerate((-residual / sigma - size).tolist()):
            level = max(0.0, level + x)
            out[i] = level
        return out
    n = int(size)
    total = np.cumsum(np.concatenate([[0.0], -residual]))
    out = np.full(residual.size, -np.inf)
    out[n - 1 :] = (total[n:] - total[:-n]) / n
    return out


def share_within(hours: Sequence[float | None], limit_h: float) -> float:
    """Share of trials that alarmed within a time."""
    return sum(h is not None and h <= limit_h for h in hours) / max(len(hours), 1)
