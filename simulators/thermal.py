"""Oil and winding temperature of a transformer after IEC 60076-7, difference form.

Defaults are those of a distribution transformer (ONAN) of IEC 60076-7:2018. The detectors have
their own: a simulator that shared their code could not test it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ThermalModel:
    """Time constants in minutes, rises in kelvin at rated load."""

    oil_tau_min: float = 180.0
    winding_tau_min: float = 4.0
    oil_rise_k: float = 60.0
    gradient_k: float = 23.0
    hot_spot_factor: float = 1.2
    loss_ratio: float = 5.0
    oil_exponent: float = 0.8
    winding_exponent: float = 1.6
    k11: float = 1.0
    k21: float = 1.0
    k22: float = 2.0


def temperatures(
    load: Floats,
    ambient_c: Floats,
    step_s: float,
    model: ThermalModel | None = None,
    cooling: Floats | None = None,
    cold_c: float | None = None,
) -> tuple[Floats, Floats]:
    """Top-oil and hot-spot temperature, degC, of a load factor over time.

    Starts in equilibrium with the first load, or with all of it at `cold_c`. `cooling` multiplies
    the oil's rise (1 = normal), as a lost radiator would.

    >>> oil, hot = temperatures(np.ones(600), np.full(600, 20.0), 60.0)
    >>> round(float(oil[-1]), 1), round(float(hot[-1]), 1)
    (80.0, 107.6)
    """
    m = model or ThermalModel()
    k = np.abs(np.nan_to_num(load))
    factor = np.ones(k.size) if cooling is None else cooling
    oil_end = (
        factor * m.oil_rise_k * ((1 + m.loss_ratio * k**2) / (1 + m.loss_ratio)) ** m.oil_exponent
    )
    rise_end = m.hot_spot_factor * m.gradient_k * k**m.winding_exponent
    dt = step_s / 60.0
    a_oil = 1.0 - np.exp(-dt / (m.k11 * m.oil_tau_min))
    a_fast = 1.0 - np.exp(-dt / (m.k22 * m.winding_tau_min))
    a_slow = 1.0 - np.exp(-dt * m.k22 / m.oil_tau_min)
    oil = np.empty(k.size)
    hot = np.empty(k.size)
    now = float(ambient_c[0] + oil_end[0])
    fast = m.k21 * float(rise_end[0])
    slow = (m.k21 - 1.0) * float(rise_end[0])
    if cold_c is not None:
        now, fast, slow = cold_c, 0.0, 0.0
    for t in range(k.size):
        now += a_oil * (ambient_c[t] + oil_end[t] - now)
        fast += a_fast * (m.k21 * rise_end[t] - fast)
        slow += a_slow * ((m.k21 - 1.0) * rise_end[t] - slow)
        oil[t] = now
        hot[t] = now + fast - slow
    return oil, hot


def first_order(target: Floats, step_s: float, tau_s: float) -> Floats:
    """A temperature that follows `target` with one time constant, along the first axis."""
    a = 1.0 - np.exp(-step_s / tau_s)
    out = np.empty_like(target)
    now = target[0]
    for t in range(target.shape[0]):
        now = now + a * (target[t] - now)
        out[t] = now
    return out
