"""Every fault as a physical quantity in time: what each kind changes in an area's `Drive`.

Receives a fault of the scenario, its place and the drive; changes arrays, never readings. Faults
of meters and communication are `MeterEffect`s that the meter layer carries out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.area import HEALTHY_CONTACT_OHM, NOMINAL_V, OPEN_OHM
from simulators.drive import Drive, MeterEffect, Moment, Place, conductors
from simulators.growth import contact_resistance
from simulators.seeds import stream
from simulators.spec import FaultSpec, offset_us
from simulators.town import TownArea
from simulators.weather import Weather, local_clock

Floats = NDArray[np.float64]

# These take the supply at their onset; what grows takes it, if at all, when it fails.
SUPPLY_LOST = ("outage", "planned_outage", "phase_loss")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a fault may need to know besides itself."""

    seed: int
    start_us: int
    zone_s: int
    area: TownArea
    weather: Weather
    leak: int = -1
    pv: int = -1


def apply(fault: FaultSpec, place: Place, drive: Drive, setting: Setting) -> None:
    """Let the fault work on the drive, from its onset to its clearing."""
    lost_us = fault.onset_us if fault.kind in SUPPLY_LOST else fault.failure_us
    if lost_us is not None:
        marks = (lost_us, fault.cleared_us)
        drive.supply_marks_us += [setting.start_us + m for m in marks if m is not None]
    if fault.gasp_rate >= 0:
        end = fault.cleared_us if fault.cleared_us is not None else fault.onset_us + 10**15
        begin = setting.start_us + fault.onset_us
        drive.gasp_rate.append((begin, setting.start_us + end, fault.gasp_rate))
    rng = stream(setting.seed, "fault", fault.id, setting.area.id)
    KINDS[fault.kind](fault, place, drive, setting, rng)


def _growing(
    f: FaultSpec, drive: Drive, s: Setting, rng: np.random.Generator, end: float | None = None
) -> Floats:
    return contact_resistance(
        drive.times_us,
        s.start_us + f.onset_us,
        None if f.failure_us is None else s.start_us + f.failure_us,
        None if f.cleared_us is None else s.start_us + f.cleared_us,
        f.growth,
        f.ohm_start,
        f.ohm_end if end is None else end,
        f.arcing,
        rng,
    )


def _contact(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """A joint or a neutral that loosens and, with a failure time, opens."""
    ohm = _growing(f, drive, s, rng)
    for c in conductors(f, place):
        column = drive.joint(place.head)[:, c]
        np.maximum(column, ohm, out=column)


def _outage(f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator) -> None:
    inside = drive.window(f, s.start_us)
    if place.head in ("mv", "main"):
        drive.emf_pu[inside] = 0.0
        return
    for c in conductors(f, place):
        drive.joint(place.head)[inside, c] = OPEN_OHM


def _phase_loss(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """A blown fuse, or at a transformer a lost MV conductor."""
    for c in conductors(f, place):
        drive.joint(place.head)[drive.window(f, s.start_us), c] = OPEN_OHM


def _evening_load(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """Vehicles or heaters that come on every day between two hours (overload, unbalance)."""
    _, hour, _ = local_clock(drive.times_us, s.zone_s)
    begin, end = (offset_us(t) / 3.6e9 for t in f.between)
    points = list(place.usage_points)
    if f.conductor in ("a", "b", "c"):
        wanted = "abc".index(f.conductor)
        points = [u for u in points if wanted in u.phases]
    count = f.customers or (1 if place.kind in ("usage_point", "device") else len(points))
    chosen = [points[i] for i in np.sort(rng.permutation(len(points))[:count])]
    inside = drive.window(f, s.start_us)
    for u in chosen:
        early, late = rng.uniform(0.0, 0.35), rng.uniform(0.0, 0.35)
        since, until = hour >= begin + early, hour < end - late
        on = inside & (since & until if begin <= end else since | until)
        phase = u.phases.index("abc".index(f.conductor)) if f.conductor in ("a", "b", "c") else 0
        drive.load_w[on, u.loads[phase]] += (f.amount or 7.0) * 1000.0


def _thermal(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """Cooling that fails: the oil's rise over ambient grows to `amount` times the normal one."""
    inside = drive.window(f, s.start_us)
    days = (drive.times_us - s.start_us - f.onset_us) / 86.4e9
    drive.cooling[inside] *= 1.0 + ((f.amount or 1.6) - 1.0) * np.clip(days[inside] * 4, 0, 1)


def _winding(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """Shorted MV turns raise one phase's ratio: first by `amount`, later by 2.3 times that."""
    inside = drive.window(f, s.start_us)
    end = f.failure_us or f.cleared_us or int(drive.times_us[-1]) - s.start_us
    second = s.start_us + f.onset_us + (end - f.onset_us) * 0.6
    step = f.amount or 0.015
    ratio = np.where(drive.times_us >= second, 1.0 + 2.3 * step, 1.0 + step)
    phase = conductors(f, place)[0]
    drive.tap[inside, phase] *= ratio[inside]
    if f.failure_us is not None:
        drive.emf_pu[inside & (drive.times_us >= s.start_us + f.failure_us)] = 0.0


def _level(f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator) -> None:
    """A tap in the wrong place, or, with mode "pv", more panels than the street can carry."""
    if f.mode == "pv":
        _panels(f, place, drive, s, rng)
        return
    sign = -1.0 if f.kind == "under_voltage" else 1.0
    drive.tap[drive.window(f, s.start_us)] *= 1.0 + sign * (f.amount or 0.06)


def _panels(f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator) -> None:
    inside = drive.window(f, s.start_us)
    k = s.pv
    for u in place.usage_points[: max(f.customers, 1)]:
        for _ in u.phases:
            kw = (f.amount or 6.0) / len(u.phases)
            drive.pv_w[inside, k] = 1000.0 * kw * s.weather.irradiance[inside]
            k += 1


def _hot_terminal(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    ohm = _growing(f, drive, s, rng, min(f.ohm_end, 0.08))
    for c in conductors(f, place):
        column = drive.joint(place.head)[:, c]
        np.maximum(column, ohm, out=column)
    drive.terminal_ohm[place.usage_points[0].service] = np.where(ohm >= OPEN_OHM, 0.0, ohm)


def _momentary(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """Contacts shorter than a step: a branch that swings against a tree, a clamp that lets go."""
    begin = s.start_us + f.onset_us
    end = s.start_us + f.cleared_us if f.cleared_us is not None else int(drive.times_us[-1])
    hours = (end - begin) / 3.6e9
    count = int(rng.poisson((f.amount or 3.0) * hours))
    when = np.sort(rng.uniform(begin, end, count)).astype(np.int64)
    length = rng.uniform(0.06, 1.2, count)
    for t, seconds in zip(when.tolist(), length.tolist(), strict=True):
        if f.mode == "vegetation":
            siemens = float(rng.uniform(0.6, 4.0))
            drive.moments.append(Moment(t, seconds, leak=s.leak, siemens=siemens))
        else:
            drive.moments.append(Moment(t, seconds, place.head, conductors(f, place)))


def _leakage(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """Insulation that gives way: leakage to earth grows to `amount` ampere."""
    ohm = _growing(f, drive, s, rng, 1.0)
    start = max(f.ohm_start, HEALTHY_CONTACT_OHM)
    span = np.log(ohm / start) / max(np.log(1.0 / start), 1e-9)
    share = np.clip(span, 0.0, 1.0)
    final = (f.amount or 2.0) / NOMINAL_V
    inside = drive.window(f, s.start_us)
    drive.leak(s.leak)[inside] = (0.02 * final * (50.0**share))[inside]


def _scale(f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator) -> None:
    """Theft past the meter: the network carries all, the meter sees (1 - amount)."""
    for u in place.usage_points:
        _meter_effect("scale", f, (u.meter,), drive, s, f.amount or 0.6)


def _meter(f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator) -> None:
    mode = f.mode or {"sensor_fault": "jump", "comms_failure": "silent"}.get(f.kind, "stuck")
    devices = tuple(u.meter for u in place.usage_points)
    if place.monitor and s.area.monitor and (place.kind != "device" or not devices):
        devices = (*devices, s.area.monitor)
    _meter_effect(mode, f, devices, drive, s, f.amount)


def _exchange(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    _meter_effect("exchange", f, tuple(u.meter for u in place.usage_points), drive, s, 0.0)


def _meter_effect(
    what: str, f: FaultSpec, devices: tuple[str, ...], drive: Drive, s: Setting, amount: float
) -> None:
    until = None if f.cleared_us is None else s.start_us + f.cleared_us
    drive.meters.append(
        MeterEffect(what, devices, s.start_us + f.onset_us, until, amount, f.quantity)
    )


def _tap_change(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    drive.tap[drive.window(f, s.start_us)] *= 1.0 + (f.amount or 0.0125)


def _switching(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    """Supplied from the neighbour feeder for a while: a shift of the source, no interruption."""
    drive.emf_pu[drive.window(f, s.start_us)] *= 1.0 + (f.amount or -0.012)


def _moved_out(
    f: FaultSpec, place: Place, drive: Drive, s: Setting, rng: np.random.Generator
) -> None:
    inside = drive.window(f, s.start_us)
    for u in place.usage_points:
        for k in u.loads:
            drive.load_w[inside, k] = 4.0


Effect = Callable[[FaultSpec, Place, Drive, Setting, np.random.Generator], None]
KINDS: dict[str, Effect] = {
    "over_voltage": _level,
    "under_voltage": _level,
    "neutral_loose": _contact,
    "neutral_broken": _contact,
    "joint_resistance": _contact,
    "transformer_overload": _evening_load,
    "transformer_thermal": _thermal,
    "transformer_winding": _winding,
    "unbalance": _evening_load,
    "hot_terminal": _hot_terminal,
    "outage": _outage,
    "phase_loss": _phase_loss,
    "momentary": _momentary,
    "energy_loss": _scale,
    "insulation_leakage": _leakage,
    "meter_health": _meter,
    "sensor_fault": _meter,
    "comms_failure": _meter,
    "new_ev": _evening_load,
    "new_pv": _panels,
    "tap_change": _tap_change,
    "feeder_switching": _switching,
    "planned_outage": _outage,
    "moved_out": _moved_out,
    "meter_exchange": _exchange,
}
