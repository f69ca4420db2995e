"""The meter layer: what devices report of the physics, and when it arrives.

Receives `AreaPhysics` on the step grid; hands on readings and events as `ReadingBatch`. Here live
sampling, accuracy, rounding, registers, counters, last gasps, the faults of meters and
communication, and delivery. Knows nothing of networks or causes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.quantities import EVENT_CODE
from grid.readings import ReadingBatch
from simulators.drive import Drive, MeterEffect
from simulators.physics import AreaPhysics
from simulators.seeds import stream
from simulators.spec import DAY_US, DeliverySpec, TownSpec
from simulators.town import TownArea

Floats = NDArray[np.float64]
Times = NDArray[np.int64]
SAG_V = 198.0
POWER_DOWN_S = 0.4
EXCHANGE_US = 1_800_000_000
_PHASES = "abc"


EventRow = tuple[int, str, str, int]
"""(time, device, event, received), microseconds."""


@dataclass(slots=True)
class Reports:
    """What devices report, as a table of ticks by devices, before it becomes rows.

    times, received : int64[K, M], microseconds; columns : float64[K, M]; present : bool[K, M]
    """

    names: list[str]
    times: Times
    received: Times
    columns: dict[str, Floats]
    present: NDArray[np.bool_]
    events: list[EventRow]
    again: NDArray[np.bool_] | None = None

    def readings(self) -> ReadingBatch:
        """Time-major rows of all that is present, and what arrives `again`, half a minute on."""
        whole = self._rows(self.present, 0)
        if self.again is None:
            return whole
        return ReadingBatch.concat([whole, self._rows(self.again, 30_000_000)])

    def _rows(self, chosen: NDArray[np.bool_], later_us: int) -> ReadingBatch:
        device = np.broadcast_to(np.arange(len(self.names), dtype=np.int32), chosen.shape)
        return ReadingBatch.of(
            self.names,
            device[chosen],
            self.times[chosen],
            {name: column[chosen] for name, column in self.columns.items()},
            received=self.received[chosen] + later_us,
        )


def meter_reports(
    area: TownArea,
    physics: AreaPhysics,
    drive: Drive,
    spec: TownSpec,
    delivery: DeliverySpec,
    step_s: int,
    zone_s: int,
    seed: int,
) -> Reports:
    """Everything the meters of an area report, single-phase ones in `v_a`, `i_a`, `p`."""
    every = spec.meter_interval_s // step_s
    ticks = _tick_steps(drive.times_us, spec.meter_interval_s)
    points = area.usage_points
    names = [u.meter for u in points]
    n, k = len(points), ticks.size
    rng = stream(seed, area.id, "meters")
    gain_v = rng.normal(1.0, 0.0012, n)
    gain_i = rng.normal(1.0, 0.0025, n)
    columns = _sample(area, physics, drive, ticks, step_s, gain_v, gain_i, rng)
    if spec.meter_quantities == "full":
        columns |= _counters(area, physics, drive, ticks, every, gain_v)
    service = np.array([u.service for u in points])
    present = physics.alive[np.ix_(ticks, service)].copy()
    present &= rng.random((k, n), dtype=np.float32) >= delivery.missing
    times = np.repeat(drive.times_us[ticks][:, None], n, axis=1)
    latency = rng.uniform(*delivery.latency_s, (k, n)) * 1e6
    received = times + latency.astype(np.int64)
    if delivery.daily:
        received = next_morning(times, zone_s, stream(seed, area.id, "daily"))
    events = _power_events(area, physics, drive, delivery, seed)
    for effect in drive.meters:
        _distort(effect, names, times, received, columns, present, events, seed)
    return Reports(names, times, received, columns, present, events)


def _tick_steps(times_us: Times, interval_s: int) -> NDArray[np.intp]:
    """Indexes of the steps that are UTC multiples of the interval."""
    return np.flatnonzero(times_us % (interval_s * 1_000_000) == 0)


def _sample(
    area: TownArea,
    physics: AreaPhysics,
    drive: Drive,
    ticks: NDArray[np.intp],
    step_s: int,
    gain_v: Floats,
    gain_i: Floats,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    points = area.usage_points
    n = len(points)
    power = np.zeros((physics.p.shape[0], n))
    scale = _metered_share(drive, [u.meter for u in points])
    for m, u in enumerate(points):
        power[:, m] = physics.p[:, list(u.loads)].sum(axis=1)
    if scale is not None:
        power *= scale
    power *= (gain_v * gain_i)[None, :]
    start = rng.uniform(1e6, 3e7, n)
    hours = step_s / 3600.0
    taken = np.cumsum(np.maximum(power, 0.0), axis=0) * hours
    given = np.cumsum(np.maximum(-power, 0.0), axis=0) * hours
    columns: dict[str, Floats] = {}
    three = max((len(u.loads) for u in points), default=1) == 3
    for p in range(3 if three else 1):
        v = np.full((ticks.size, n), np.nan)
        i = np.full((ticks.size, n), np.nan)
        has = np.array([m for m, u in enumerate(points) if len(u.loads) > p])
        load = np.array([points[m].loads[p] for m in has.tolist()])
        noise = rng.standard_normal((ticks.size, has.size), dtype=np.float32)
        v[:, has] = np.round(physics.v[np.ix_(ticks, load)] * gain_v[has] + 0.05 * noise, 1)
        amps = physics.i[np.ix_(ticks, load)] * gain_i[has]
        if scale is not None:
            amps = amps * scale[np.ix_(ticks, has)]
        i[:, has] = np.round(amps, 2)
        columns[f"v_{_PHASES[p]}"], columns[f"i_{_PHASES[p]}"] = v, i
    columns["p"] = np.round(power[ticks])
    columns["e_import"] = np.floor((start + taken[ticks]) / 10.0) * 10.0
    if any(u.pv_kw for u in points) or area.area.pv or physics.p.min(initial=0.0) < 0:
        columns["e_export"] = np.where(
            np.array([bool(u.pv_kw) for u in points])[None, :] | (given[-1] > 50.0)[None, :],
            np.floor(given[ticks] / 10.0) * 10.0,
            np.nan,
        )
    return columns


def _metered_share(drive: Drive, names: list[str]) -> Floats | None:
    effects = [e for e in drive.meters if e.what == "scale"]
    if not effects:
        return None
    share = np.ones((drive.times_us.size, len(names)))
    for e in effects:
        inside = drive.times_us >= e.from_us
        if e.until_us is not None:
            inside &= drive.times_us < e.until_us
        for name in e.devices:
            share[inside, names.index(name)] *= 1.0 - e.amount
    return share


def _counters(
    area: TownArea,
    physics: AreaPhysics,
    drive: Drive,
    ticks: NDArray[np.intp],
    every: int,
    gain_v: Floats,
) -> dict[str, Floats]:
    """Lowest voltage of each interval, sag and power-down counters, terminal temperature."""
    points = area.usage_points
    n, k = len(points), ticks.size
    columns: dict[str, Floats] = {}
    begin = np.maximum(ticks - every + 1, 0)
    sags = np.zeros((physics.v.shape[0], n))
    for p in range(3):
        has = [m for m, u in enumerate(points) if len(u.loads) > p]
        if not has:
            continue
        load = np.array([points[m].loads[p] for m in has])
        v = physics.v[:, load]
        low = np.full((k, n), np.nan)
        # A voltage wanders within its interval; the lowest half-cycle lies a little below.
        low[:, has] = np.minimum.reduceat(v, begin, axis=0)[:k] * gain_v[has] - 0.4
        for m, moment in enumerate(drive.moments):
            row = int(np.searchsorted(drive.times_us[ticks], moment.time_us))
            if row < k:
                low[row, has] = np.minimum(low[row, has], physics.moment_v[m, load])
        columns[f"v_{_PHASES[p]}_min"] = np.round(np.maximum(low, 0.0), 1)
        below = v < SAG_V
        fresh = below & ~np.vstack([np.zeros((1, v.shape[1]), bool), below[:-1]])
        sags[:, has] += fresh
    service = np.array([u.service for u in points])
    dead = ~physics.alive[:, service]
    downs = dead & ~np.vstack([np.zeros((1, n), bool), dead[:-1]])
    downs = downs.astype(np.float64)
    for m, moment in enumerate(drive.moments):
        at = int(np.searchsorted(drive.times_us, moment.time_us))
        if at >= sags.shape[0]:
            continue
        for j, u in enumerate(points):
            lowest = float(physics.moment_v[m, list(u.loads)].min())
            if lowest < SAG_V:
                sags[at, j] += 1.0
                if lowest < 80.0 and moment.seconds > POWER_DOWN_S:
                    downs[at, j] += 1.0
    columns["sags"] = np.cumsum(sags, axis=0)[ticks]
    columns["power_downs"] = np.cumsum(downs, axis=0)[ticks]
    columns["t_terminal"] = np.round(physics.t_terminal[np.ix_(ticks, service)], 1)
    return columns


def _power_events(
    area: TownArea, physics: AreaPhysics, drive: Drive, delivery: DeliverySpec, seed: int
) -> list[EventRow]:
    """Last gasps at the set rate and power-up messages, at the second the supply changed."""
    rng = stream(seed, area.id, "gasps")
    events: list[EventRow] = []
    marks = np.sort(np.array(drive.supply_marks_us, dtype=np.int64))
    for u in area.usage_points:
        alive = physics.alive[:, u.service]
        for step in np.flatnonzero(alive[1:] != alive[:-1]) + 1:
            low, high = int(drive.times_us[step - 1]), int(drive.times_us[step])
            inside = marks[(marks > low) & (marks <= high)]
            at = int(inside[0]) if inside.size else high
            delay, travel, luck = rng.uniform(3, 40), rng.uniform(1, 45), rng.random()
            if alive[step]:
                time = at + int((delay + 15) * 1e3) * 1000
                if luck < 0.98:
                    events.append((time, u.meter, "power_up", time + int(travel * 1e6)))
            else:
                time = at + int(delay * 1e3) * 1000
                if luck < _gasp_rate(drive, at, delivery.gasp_rate):
                    events.append((time, u.meter, "last_gasp", time + int(travel * 1e6)))
    return events


def _gasp_rate(drive: Drive, at: int, usual: float) -> float:
    for begin, end, rate in drive.gasp_rate:
        if begin <= at < end:
            return rate
    return usual


def _distort(
    effect: MeterEffect,
    names: list[str],
    times: Times,
    received: Times,
    columns: dict[str, Floats],
    present: NDArray[np.bool_],
    events: list[EventRow],
    seed: int,
) -> None:
    """Carry out one fault of the measuring or of the communication."""
    who = [names.index(d) for d in effect.devices if d in names]
    until = effect.until_us if effect.until_us is not None else np.iinfo(np.int64).max
    for m in who:
        rows = (times[:, m] >= effect.from_us) & (times[:, m] < until)
        at = int(np.argmax(rows)) if rows.any() else -1
        if at < 0:
            continue
        if effect.what == "stuck":
            for column in columns.values():
                column[rows, m] = column[at, m]
        elif effect.what == "reset":
            for register in ("e_import", "e_export"):
                if register in columns:
                    columns[register][rows, m] -= columns[register][at, m]
        elif effect.what == "jump":
            column = columns[effect.quantity or "v_a"]
            column[rows, m] += effect.amount or 30.0
        elif effect.what == "drift":
            elapsed = times[rows, m] - effect.from_us
            fast = elapsed * (effect.amount or 120.0) / 86_400.0 / 1000.0
            times[rows, m] += fast.astype(np.int64) * 1000
        elif effect.what == "silent":
            present[rows, m] = False
        elif effect.what in ("missing", "burst"):
            present[rows & lost(effect, names[m], times[:, m], seed), m] = False
        elif effect.what == "backlog":
            received[rows, m] = np.maximum(
                received[rows, m], until + (received[rows, m] - times[rows, m])
            )
        elif effect.what == "exchange":
            away = rows & (times[:, m] < effect.from_us + EXCHANGE_US)
            present[away, m] = False
            for register in ("e_import", "e_export"):
                if register in columns:
                    columns[register][rows, m] -= columns[register][at, m]
            columns["v_a"][rows, m] = np.round(columns["v_a"][rows, m] * 1.0015, 1)
            name, begin = names[m], effect.from_us
            for event, delay in (("cover_open", 5), ("power_down", 20), ("power_up", 1700)):
                time = begin + delay * 1_000_000
                events.append((time, name, event, time + 9_000_000))
    if effect.what in ("silent", "backlog"):
        gone = {names[m] for m in who}
        events[:] = [r for r in events if r[1] not in gone or not effect.from_us <= r[0] < until]


def lost(effect: MeterEffect, device: str, times: Times, seed: int) -> NDArray[np.bool_]:
    """Which readings of a device are lost: single ones ("missing": a share), or runs of half an
    hour to three hours ("burst": so many a day). Drawn day by day, so that a part of the time
    loses what the whole does."""
    gone = np.zeros(times.size, np.bool_)
    day = times // DAY_US
    for d in np.unique(day).tolist():
        rng = stream(seed, device, effect.what, str(d))
        if effect.what == "missing":
            minute = (times[day == d] % DAY_US) // 60_000_000
            gone[day == d] = rng.random(1440)[minute] < (effect.amount or 0.3)
        else:
            for start in rng.random(int(rng.poisson(effect.amount or 4.0))):
                begin = (d + start) * DAY_US
                end = begin + rng.uniform(0.5, 3.0) * 3.6e9
                gone |= (times >= begin) & (times < end)
    return gone


def next_morning(times: Times, zone_s: int, rng: np.random.Generator) -> Times:
    """Arrival of the day's readings: next local morning at half past six, meter by meter."""
    day = (times // 1_000_000 + zone_s - 1) // 86_400
    base = ((day + 1) * 86_400 - zone_s + 6 * 3600 + 1800) * 1_000_000
    per_meter = np.asarray(rng.uniform(0.0, 1200.0, times.shape[1]) * 1e6, np.int64)
    within = np.arange(times.shape[0], dtype=np.int64) % 1000
    return np.asarray(base + per_meter[None, :] + within[:, None], np.int64)


def event_batch(events: list[EventRow]) -> ReadingBatch:
    """Events as rows, in the order of their arrival."""
    rows = sorted(events, key=lambda r: (r[3], r[0], r[1]))
    names = sorted({r[1] for r in rows})
    position = {name: i for i, name in enumerate(names)}
    return ReadingBatch.of(
        names,
        np.array([position[r[1]] for r in rows], np.int32),
        np.array([r[0] for r in rows], np.int64),
        {},
        received=np.array([r[3] for r in rows], np.int64),
        event=np.array([EVENT_CODE[r[2]] for r in rows], np.uint8),
    )
