"""IEC 60076-7: oil and hot-spot temperature of a transformer, as difference equations.

O(1) a step, exact for a load constant over the step. Default constants are those of a
distribution transformer (ONAN), as in the standard and in Alliander's reference implementation.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.compiled import F8, kernel


@dataclass(frozen=True, slots=True)
class ThermalConstants:
    """Constants of IEC 60076-7 (minutes, kelvin).

    oil_rise_k at rated loss; loss_ratio R = load loss / no-load loss at rated load; gradient_k
    winding to oil at rated load times hot_spot_factor gives the hot-spot rise.
    """

    oil_rise_k: float = 60.0
    loss_ratio: float = 5.0
    oil_time_min: float = 180.0
    winding_time_min: float = 4.0
    gradient_k: float = 23.0
    hot_spot_factor: float = 1.2
    k11: float = 1.0
    k21: float = 1.0
    k22: float = 2.0
    x: float = 0.8
    y: float = 1.6
    surcharge_k: float = 0.0  # 10 where the transformer stands in a closed housing

    def array(self) -> NDArray[np.float64]:
        """As the kernel takes them."""
        return np.array(
            [
                self.oil_rise_k,
                self.loss_ratio,
                self.oil_time_min,
                self.winding_time_min,
                self.gradient_k * self.hot_spot_factor,
                self.k11,
                self.k21,
                self.k22,
                self.x,
                self.y,
                self.surcharge_k,
            ]
        )


DISTRIBUTION: Final = ThermalConstants()
HOT_SPOT_LIMIT_C: Final = 120.0
OIL_LIMIT_C: Final = 105.0


@kernel("void(float64[::1], float64, float64, float64, float64[::1])")
def thermal_step(
    state: F8,
    load: float,
    ambient_c: float,
    minutes: float,
    constants: F8,
) -> None:
    """Advance one transformer.

    Parameters
    ----------
    state : float64[3]   top oil degC, the two hot-spot increases K; NaN oil starts in balance
    load : float         load factor K = S / rated, per unit
    constants : float64[11]   `ThermalConstants.array()`
    """
    rise, r, tau_o, tau_w, hot, k11, k21, k22, x, y, extra = (
        constants[0], constants[1], constants[2], constants[3], constants[4], constants[5],
        constants[6], constants[7], constants[8], constants[9], constants[10],
    )  # fmt: skip
    final_oil = ambient_c + extra + rise * ((1.0 + r * load * load) / (1.0 + r)) ** x
    final_1 = k21 * hot * abs(load) ** y
    final_2 = (k21 - 1.0) * hot * abs(load) ** y
    if math.isnan(state[0]):
        state[0] = final_oil
        state[1] = final_1
        state[2] = final_2
        return
    state[0] += (final_oil - state[0]) * (1.0 - math.exp(-minutes / (tau_o * k11)))
    state[1] = final_1 + (state[1] - final_1) * math.exp(-minutes / (k22 * tau_w))
    state[2] = final_2 + (state[2] - final_2) * math.exp(-minutes * k22 / tau_o)


def simulate(
    load: NDArray[np.float64],
    ambient_c: NDArray[np.float64],
    minutes: float,
    constants: ThermalConstants = DISTRIBUTION,
    start_oil_c: float = math.nan,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(oil, hot spot) in degC after each step of a load series.

    >>> oil, hot = simulate(np.ones(200), np.full(200, 20.0), 15.0, start_oil_c=20.0)
    >>> round(float(oil[-1]), 1), round(float(hot[-1]), 1)
    (80.0, 107.6)
    """
    state = np.array([start_oil_c, 0.0, 0.0])
    oil, hot = np.empty(load.size), np.empty(load.size)
    table = constants.array()
    for i in range(load.size):
        thermal_step(state, float(load[i]), float(ambient_c[i]), minutes, table)
        oil[i], hot[i] = state[0], state[0] + state[1] - state[2]
    return oil, hot


def hours_to_limit(
    state: NDArray[np.float64],
    load: float,
    ambient_c: float,
    constants: NDArray[np.float64],
    limit_c: float = HOT_SPOT_LIMIT_C,
) -> float | None:
    """Hours until the hot spot reaches the limit if the load stays; None if it never does."""
    ahead = state.copy()
    for minute in range(0, 24 * 60, 15):
        if ahead[0] + ahead[1] - ahead[2] >= limit_c:
            return minute / 60.0
        thermal_step(ahead, load, ambient_c, 15.0, constants)
    return None


def ageing_rate(hot_spot_c: float) -> float:
    """Relative ageing of normal paper: 1 at 98 degC, doubling every 6 K."""
    return float(2.0 ** ((hot_spot_c - 98.0) / 6.0))
