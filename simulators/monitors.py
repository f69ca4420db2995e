"""The transformer monitor: what the LV-side measuring device of one area reports.

Two kinds: "sdm630", a Modbus meter whose registers are 32-bit floats (values are rounded to what
those registers hold, so that a poll gives back exactly the dataset's value), and "ttu", a
transformer terminal unit that also has temperatures and residual current.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.drive import Drive, MeterEffect
from simulators.meters import Reports, lost, next_morning
from simulators.physics import AreaPhysics
from simulators.seeds import stream
from simulators.spec import DeliverySpec, TownSpec
from simulators.town import TownArea

Floats = NDArray[np.float64]
_COMMON = (
    "v_a", "v_b", "v_c", "i_a", "i_b", "i_c", "i_n", "p_a", "p_b", "p_c", "p", "q", "pf", "f",
    "e_import", "e_export", "thd_v",
)  # fmt: skip
QUANTITIES = {
    "sdm630": _COMMON,
    "ttu": (*_COMMON, "v_n", "i_residual", "t_oil", "t_winding", "t_ambient"),
}


def monitor_reports(
    area: TownArea,
    physics: AreaPhysics,
    drive: Drive,
    spec: TownSpec,
    delivery: DeliverySpec,
    step_s: int,
    zone_s: int,
    seed: int,
) -> Reports | None:
    """Readings of the area's monitor; nothing while its transformer is dead."""
    if area.monitor is None:
        return None
    rng = stream(seed, area.id, "monitor")
    ticks = np.flatnonzero(drive.times_us % (spec.monitor_interval_s * 1_000_000) == 0)
    n = ticks.size
    gain_v, gain_i = rng.normal(1.0, 0.001, 3), rng.normal(1.0, 0.002, 3)
    found: dict[str, Floats] = {}
    for k, phase in enumerate("abc"):
        found[f"v_{phase}"] = physics.v_bus[ticks, k] * gain_v[k] + rng.normal(0, 0.03, n)
        found[f"i_{phase}"] = physics.i_bus[ticks, k] * gain_i[k]
        found[f"p_{phase}"] = physics.p_bus[ticks, k] * gain_v[k] * gain_i[k]
    found["i_n"] = physics.i_n[ticks]
    found["p"] = found["p_a"] + found["p_b"] + found["p_c"]
    found["q"] = physics.q_bus[ticks].sum(axis=1)
    apparent = np.hypot(found["p"], found["q"])
    found["pf"] = np.divide(found["p"], apparent, out=np.ones(n), where=apparent > 1.0)
    found["f"] = 50.0 + 0.012 * np.sin(ticks / 37.0) + rng.normal(0, 0.006, n)
    power = physics.p_bus.sum(axis=1) * step_s / 3600.0
    found["e_import"] = rng.uniform(2e8, 9e8) + np.cumsum(np.maximum(power, 0))[ticks]
    found["e_export"] = np.cumsum(np.maximum(-power, 0))[ticks]
    found["thd_v"] = np.abs(2.1 + 0.5 * physics.load_factor[ticks] + rng.normal(0, 0.12, n))
    found["v_n"] = physics.vn_bus[ticks]
    found["i_residual"] = physics.i_residual[ticks] + np.abs(rng.normal(0, 0.002, n))
    found["t_oil"] = physics.t_oil[ticks] + rng.normal(0, 0.2, n)
    found["t_winding"] = physics.t_winding[ticks] + rng.normal(0, 0.4, n)
    found["t_ambient"] = physics.t_ambient[ticks] + rng.normal(0, 0.2, n)
    values = {name: _round(name, found[name]) for name in QUANTITIES[spec.monitor]}
    times = drive.times_us[ticks].copy()
    present = physics.v_bus[ticks].max(axis=1) > 80.0
    received = times + (rng.uniform(0.2, 1.5, n) * 1e6).astype(np.int64)
    if delivery.daily:
        rng = stream(seed, area.id, "daily monitor")
        received = next_morning(times[:, None], zone_s, rng)[:, 0]
    for effect in drive.meters:
        if area.monitor in effect.devices:
            _distort(effect, times, received, values, present, area.monitor, seed)
    return Reports(
        [area.monitor],
        times[:, None],
        received[:, None],
        {name: column[:, None] for name, column in values.items()},
        present[:, None],
        [],
    )


def _round(name: str, values: Floats) -> Floats:
    """To the resolution of the device; registers keep kWh as 32-bit floats."""
    if name.startswith("e_"):
        return np.asarray((values / 1000.0).astype(np.float32).astype(np.float64) * 1000.0)
    decimals = {"v": 2, "i": 3, "p": 1, "q": 1, "f": 3, "t": 1}
    return np.round(values, decimals.get(name.partition("_")[0], 3))


def _distort(
    effect: MeterEffect,
    times: NDArray[np.int64],
    received: NDArray[np.int64],
    values: dict[str, Floats],
    present: NDArray[np.bool_],
    device: str,
    seed: int,
) -> None:
    until = effect.until_us if effect.until_us is not None else np.iinfo(np.int64).max
    rows = (times >= effect.from_us) & (times < until)
    if not rows.any():
        return
    at = int(np.argmax(rows))
    if effect.what == "stuck":
        for column in values.values():
            column[rows] = column[at]
    elif effect.what == "jump" and (effect.quantity or "v_a") in values:
        values[effect.quantity or "v_a"][rows] += effect.amount or 30.0
    elif effect.what == "silent":
        present[rows] = False
    elif effect.what in ("missing", "burst"):
        present[rows & lost(effect, device, times, seed)] = False
    elif effect.what == "reset":
        for register in ("e_import", "e_export"):
            values[register][rows] -= values[register][at]
    elif effect.what == "drift":
        elapsed = times[rows] - effect.from_us
        times[rows] += (elapsed * (effect.amount or 120.0) / 86.4e6).astype(np.int64) * 1000
    elif effect.what == "backlog":
        received[rows] = np.maximum(received[rows], until + 1_000_000)
