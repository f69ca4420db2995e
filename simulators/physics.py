"""From drive to what could be measured: solve an area and derive powers and temperatures.

Receives a `Drive` and an area; hands on `AreaPhysics`, magnitudes on the step grid. Knows
nothing of meters: sampling, rounding and delivery come later.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.area import NOMINAL_V, Area, AreaInputs
from simulators.drive import Drive, Moment
from simulators.powerflow import PowerFlow
from simulators.thermal import first_order, temperatures

Floats = NDArray[np.float64]
ALIVE_PU = 0.35
"""A meter's supply holds down to about a third of nominal."""
_STEPS_A_RUN = 1440


@dataclass(frozen=True, slots=True)
class AreaPhysics:
    """Quantities of an area on the step grid (T steps, L loads, S services).

    v, i, p, q : float64[T, L]      terminal of each load, net of PV; p > 0 is drawn
    alive : bool[T, S]              supply enough for a meter to work
    v_bus, i_bus, p_bus, q_bus : float64[T, 3]  at the transformer's LV terminals
    vn_bus, i_n, i_residual, load_factor, t_ambient, t_oil, t_winding : float64[T]
    t_terminal : float64[T, S]
    moment_v : float64[M, L]        voltage during each moment of the drive
    """

    v: Floats
    i: Floats
    p: Floats
    q: Floats
    alive: NDArray[np.bool_]
    v_bus: Floats
    i_bus: Floats
    p_bus: Floats
    q_bus: Floats
    vn_bus: Floats
    i_n: Floats
    i_residual: Floats
    load_factor: Floats
    t_ambient: Floats
    t_oil: Floats
    t_winding: Floats
    t_terminal: Floats
    moment_v: Floats


def solve_area(
    engine: PowerFlow, area: Area, drive: Drive, ambient_c: Floats, step_s: int
) -> AreaPhysics:
    """Solve all steps of a drive; raises PowerFlowError where the network has no solution."""
    inputs = drive.inputs(area)
    parts = []
    for begin in range(0, drive.times_us.size, _STEPS_A_RUN):
        s = slice(begin, begin + _STEPS_A_RUN)
        answer = engine.run(_rows(inputs, s))
        i_sum = answer.i_head.sum(axis=1)
        power = answer.v_load * np.conj(answer.i_load)
        v_bus = answer.v_busbar[:, :3] - answer.v_busbar[:, 3:]
        bus_power = v_bus * np.conj(i_sum[:, :3])
        parts.append(
            (
                np.abs(answer.v_load),
                np.abs(answer.i_load),
                power.real,
                power.imag,
                np.abs(v_bus),
                np.abs(i_sum[:, :3]),
                bus_power.real,
                bus_power.imag,
                np.abs(answer.v_busbar[:, 3]),
                np.abs(i_sum[:, 3]),
                np.abs(i_sum.sum(axis=1)),
            )
        )
    v, i, p, q, v_bus_abs, i_bus, p_bus, q_bus, vn, i_n, i_res = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    services = np.array([x.service for x in area.loads])
    best = np.zeros((v.shape[0], len(area.services)))
    np.maximum.at(best.T, services, v.T)
    kva = np.hypot(p_bus.sum(axis=1), q_bus.sum(axis=1)) / 1000.0
    # The hottest winding is that of the phase that carries most.
    factor = np.maximum(kva / area.rated_kva, i_bus.max(axis=1) * NOMINAL_V * 3e-3 / area.rated_kva)
    oil, hot = temperatures(kva / area.rated_kva, ambient_c, step_s, cooling=drive.cooling)
    worst = np.zeros_like(best)
    np.maximum.at(worst.T, services, i.T)
    return AreaPhysics(
        v=v,
        i=i,
        p=p,
        q=q,
        alive=best > ALIVE_PU * NOMINAL_V,
        v_bus=v_bus_abs,
        i_bus=i_bus,
        p_bus=p_bus,
        q_bus=q_bus,
        vn_bus=vn,
        i_n=i_n,
        i_residual=i_res,
        load_factor=factor,
        t_ambient=ambient_c,
        t_oil=oil,
        t_winding=hot,
        t_terminal=_terminals(drive, ambient_c, worst, step_s),
        moment_v=_moments(engine, area, drive, inputs),
    )


def _terminals(drive: Drive, ambient_c: Floats, amps: Floats, step_s: int) -> Floats:
    """Meter terminal temperature: own losses, and 2.6 K for each watt in a bad contact."""
    rise = 6.0 + 0.0035 * amps**2
    for service, ohm in drive.terminal_ohm.items():
        rise[:, service] += np.minimum(2.6 * ohm * amps[:, service] ** 2, 180.0)
    return ambient_c[:, None] + first_order(rise, step_s, 600.0)


def _moments(engine: PowerFlow, area: Area, drive: Drive, inputs: AreaInputs) -> Floats:
    """Voltages while each moment lasts: the step before it, solved with the contact open."""
    n = len(drive.moments)
    if not n:
        return np.zeros((0, len(area.loads)))
    times = np.array([m.time_us for m in drive.moments])
    at = np.clip(np.searchsorted(drive.times_us, times, side="right") - 1, 0, None)
    rows = _rows(inputs, at)
    for k, moment in enumerate(drive.moments):
        _disturb(rows, k, moment, area)
    return np.abs(engine.run(rows).v_load)


def _disturb(rows: AreaInputs, k: int, moment: Moment, area: Area) -> None:
    if moment.joint and rows.joint_ohm is not None:
        rows.joint_ohm[k, area.joints.index(moment.joint), list(moment.conductors)] = 1e7
    if moment.leak >= 0 and rows.leak_s is not None:
        rows.leak_s[k, moment.leak] = moment.siemens


def _rows(inputs: AreaInputs, rows: slice | NDArray[np.intp]) -> AreaInputs:
    def part(series: Floats | None) -> Floats | None:
        return None if series is None else series[rows]

    return AreaInputs(
        inputs.emf_pu[rows],
        inputs.load_w[rows],
        inputs.load_tangent,
        inputs.pv_w[rows],
        part(inputs.tap),
        part(inputs.joint_ohm),
        part(inputs.leak_s),
    )
