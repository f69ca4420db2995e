"""One area from start to end: loads, faults, physics, reports, truth, calls.

`run_area` is the unit of work of a process. It depends on nothing but the scenario and the area's
name, so the bytes are the same whatever the number of processes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.readings import ReadingBatch
from simulators import faults as fault_kinds
from simulators.area import Area
from simulators.callers import Call, area_calls
from simulators.delivery import deliver
from simulators.drive import Drive, Place, base_drive, find_place, prepare_area
from simulators.dss_file import DssFilePowerFlow
from simulators.loads import Loads, area_loads
from simulators.meters import EventRow, Reports, meter_reports
from simulators.monitors import monitor_reports
from simulators.physics import AreaPhysics, solve_area
from simulators.powerflow import OpenDssPowerFlow
from simulators.seeds import stream
from simulators.spec import DAY_US, DeliverySpec, FaultSpec, MvSpec, Scenario
from simulators.spill import Spill, write_spill
from simulators.town import Town, TownArea
from simulators.truth import Shown, shown
from simulators.weather import Weather, local_clock, make_weather

Floats = NDArray[np.float64]
_TWIN_AFTER_US = 2 * 3_600_000_000
_TWIN_LONGEST_US = 45 * DAY_US


@dataclass(frozen=True, slots=True)
class AreaOutcome:
    """What one area adds to the dataset; its readings lie in `spill`, ordered by arrival."""

    area: str
    spill: Spill
    events: list[EventRow]
    shown: dict[str, Shown]
    calls: list[Call]
    power_flows: int


@dataclass(frozen=True, slots=True)
class Bench:
    """What is shared by the faulted run and its twins."""

    scenario: Scenario
    town: Town
    area: TownArea
    network: Area
    times_us: NDArray[np.int64]
    weather: Weather
    loads: Loads
    emf_pu: Floats
    faults: list[tuple[FaultSpec, Place]]
    leaks: dict[str, int]
    panels: dict[str, int]

    @property
    def zone_s(self) -> int:
        """Offset of local time from UTC, seconds."""
        return zone_seconds(self.scenario)

    def drive(self, chosen: list[tuple[FaultSpec, Place]], rows: slice) -> Drive:
        """The drive of some steps with some of the faults."""
        cut = Loads(self.loads.load_w[rows], self.loads.load_tangent, self.loads.pv_w[rows])
        tap = self.area.spec.tap_pu
        drive = base_drive(self.times_us[rows], self.emf_pu[rows], cut, self.network, tap)
        weather = Weather(self.weather.ambient_c[rows], self.weather.irradiance[rows])
        for fault, place in chosen:
            setting = fault_kinds.Setting(
                self.scenario.seed,
                self.scenario.start_us,
                self.zone_s,
                self.area,
                weather,
                self.leaks.get(fault.id, -1),
                self.panels.get(fault.id, -1),
            )
            fault_kinds.apply(fault, place, drive, setting)
        return drive


def zone_seconds(scenario: Scenario) -> int:
    """Offset of the scenario's local time from UTC, seconds."""
    offset = scenario.start.utcoffset()
    return int(offset.total_seconds()) if offset else 0


def step_times(scenario: Scenario) -> NDArray[np.int64]:
    """The step grid, microseconds UTC."""
    step = scenario.step_s * 1_000_000
    steps = np.arange(scenario.length_us // step, dtype=np.int64)
    return np.asarray(scenario.start_us + steps * step, np.int64)


def source_voltage(
    spec: MvSpec, feeder: str, times_us: NDArray[np.int64], zone_s: int, step_s: int, seed: int
) -> Floats:
    """MV voltage of a feeder, per unit: a slow wander, the day's swing, taps, a little noise."""
    _, hour, _ = local_clock(times_us, zone_s)
    # Low when the town cooks and in the evening, high at night.
    hours = [0, 4, 7.5, 10, 12, 15, 19.5, 22, 24]
    day = spec.daily_pu * np.interp(hour, hours, [0.6, 1, -0.2, 0, -0.4, 0.2, -1, 0, 0.6])
    own, noise = _wander(spec, stream(seed, feeder, "mv"), times_us.size, step_s)
    if spec.tap_step_pu <= 0:
        return np.asarray(spec.mean_pu + own + day + noise)
    # The busbar wanders for all feeders alike, so that they see the same taps.
    busbar, _ = _wander(spec, stream(seed, "substation", "mv"), times_us.size, step_s)
    steps = _tap_steps(spec, busbar + day, step_s)
    return np.asarray(spec.mean_pu + busbar + day + steps + 0.3 * own + noise)


def _wander(spec: MvSpec, rng: np.random.Generator, n: int, step_s: int) -> tuple[Floats, Floats]:
    draws = rng.standard_normal((n, 2))
    keep = float(np.exp(-step_s / 60.0 / spec.tau_min))
    wander = np.empty(n)
    level = 0.0
    for t in range(n):
        level = keep * level + np.sqrt(1 - keep**2) * draws[t, 0]
        wander[t] = level
    return spec.sigma_pu * wander, 0.0004 * draws[:, 1]


def _tap_steps(spec: MvSpec, deviation: Floats, step_s: int) -> Floats:
    """What the tap changer adds: a step back whenever the band was left for the delay."""
    out = np.empty(deviation.size)
    tap, outside_s = 0.0, 0.0
    for t in range(deviation.size):
        error = deviation[t] + tap
        outside_s = outside_s + step_s if abs(error) > spec.tap_band_pu else 0.0
        if outside_s > spec.tap_delay_s:
            tap -= float(np.sign(error)) * spec.tap_step_pu
            outside_s = 0.0
        out[t] = tap
    return out


def run_area(scenario: Scenario, town: Town, area: TownArea, spill: Path) -> AreaOutcome:
    """Simulate one area and write its readings to `spill` (compact bytes, by arrival)."""
    bench = prepare(scenario, town, area)
    engine = open_engine(bench)
    drive = bench.drive(bench.faults, slice(None))
    physics = solve_area(engine, bench.network, drive, bench.weather.ambient_c, scenario.step_s)
    flows = physics.v.shape[0]
    reports = _reports(bench, physics, drive, scenario.delivery)
    deliver(reports[0], area, scenario.delivery, scenario.seed)
    seen: dict[str, Shown] = {}
    for fault, place in bench.faults:
        seen[fault.id], solved = _truth(bench, engine, fault, place)
        flows += solved
    engine.close()
    calls = area_calls(
        area,
        physics,
        drive,
        scenario.callers,
        bench.zone_s,
        scenario.start_us + scenario.length_us,
        scenario.seed,
    )
    readings = ReadingBatch.concat([r.readings() for r in reports]).sort(by="received")
    events = [row for r in reports for row in r.events]
    return AreaOutcome(area.id, write_spill(spill, readings), events, seen, calls, flows)


def open_engine(bench: Bench) -> OpenDssPowerFlow:
    """The engine of an area, built or read from an operator's file."""
    if bench.area.source is not None:
        return DssFilePowerFlow(bench.network, bench.area.source)
    return OpenDssPowerFlow(bench.network)


def prepare(scenario: Scenario, town: Town, area: TownArea) -> Bench:
    """Everything that is the same with and without faults."""
    chosen = []
    for fault in scenario.fault:
        places = find_place(fault, town)
        if area.id in places:
            chosen.append((fault, places[area.id]))
    network, leaks, panels = prepare_area(area, chosen)
    times = step_times(scenario)
    zone_s = zone_seconds(scenario)
    weather = make_weather(scenario.weather, times, zone_s, scenario.town.latitude, scenario.seed)
    loads = area_loads(area, times, zone_s, weather, scenario.load, scenario.seed)
    emf = source_voltage(scenario.mv, area.feeder, times, zone_s, scenario.step_s, scenario.seed)
    if area.source is not None:
        emf = emf * area.source.source_pu
    return Bench(scenario, town, area, network, times, weather, loads, emf, chosen, leaks, panels)


def _reports(
    bench: Bench, physics: AreaPhysics, drive: Drive, delivery: DeliverySpec
) -> list[Reports]:
    s = bench.scenario
    reports = [
        meter_reports(bench.area, physics, drive, s.town, delivery, s.step_s, bench.zone_s, s.seed)
    ]
    monitor = monitor_reports(
        bench.area, physics, drive, s.town, delivery, s.step_s, bench.zone_s, s.seed
    )
    return [*reports, monitor] if monitor else reports


def _truth(
    bench: Bench, engine: OpenDssPowerFlow, fault: FaultSpec, place: Place
) -> tuple[Shown, int]:
    """The fault alone against the healthy twin, from its onset to its end."""
    s = bench.scenario
    begin = s.start_us + fault.onset_us
    end = s.start_us + s.length_us
    if fault.cleared_us is not None:
        end = min(end, s.start_us + fault.cleared_us + _TWIN_AFTER_US)
    end = min(end, begin + _TWIN_LONGEST_US)
    first = max(int(np.searchsorted(bench.times_us, begin)) - 3600 // s.step_s, 0)
    rows = slice(first, int(np.searchsorted(bench.times_us, end)))
    perfect = DeliverySpec(missing=0.0, gasp_rate=s.delivery.gasp_rate)
    ambient = bench.weather.ambient_c[rows]
    pair = []
    solved = 0
    for chosen in ([(fault, place)], []):
        drive = bench.drive(chosen, rows)
        physics = solve_area(engine, bench.network, drive, ambient, s.step_s)
        solved += physics.v.shape[0]
        pair.append(_reports(bench, physics, drive, perfect))
    concerned = {u.meter for u in place.usage_points} | {bench.area.monitor or ""}
    return shown(list(zip(pair[0], pair[1], strict=True)), begin, frozenset(concerned)), solved
