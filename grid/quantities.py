"""The closed vocabulary of what a device can report, in SI units.

The order is public (contracts.md, section 1): files, the journal and the database rely on it, so
new quantities go at the end. Values outside `low..high` are impossible, not merely unusual.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quantity:
    """One measured quantity; `low` and `high` bound what is physically believable."""

    name: str
    unit: str
    low: float
    high: float
    meaning: str
    meaning_zh: str
    double: bool = False

    @property
    def dtype(self) -> np.dtype[np.floating]:
        """Registers need float64: float32 loses the last watt-hours above 16 MWh."""
        return np.dtype(np.float64 if self.double else np.float32)


def _phases(prefix: str, unit: str, low: float, high: float, en: str, zh: str) -> list[Quantity]:
    return [
        Quantity(f"{prefix}_{p}", unit, low, high, f"{en}, phase {p.upper()}", f"{p.upper()}相{zh}")
        for p in "abc"
    ]


QUANTITIES: Final[tuple[Quantity, ...]] = (
    *_phases("v", "V", 0, 500, "rms voltage, line to neutral", "电压"),
    Quantity("v_n", "V", 0, 500, "neutral to earth voltage", "中性线对地电压"),
    *_phases("i", "A", -2000, 2000, "rms current", "电流"),
    Quantity("i_n", "A", -2000, 2000, "neutral current", "中性线电流"),
    Quantity("i_residual", "A", 0, 100, "residual (leakage) current", "剩余电流"),
    *_phases("p", "W", -2e6, 2e6, "active power drawn by the customer", "有功功率"),
    Quantity("p", "W", -2e6, 2e6, "total active power drawn by the customer", "总有功功率"),
    Quantity("q", "var", -2e6, 2e6, "total reactive power", "总无功功率"),
    Quantity("pf", "1", -1, 1, "power factor", "功率因数"),
    Quantity("f", "Hz", 40, 70, "frequency", "频率"),
    Quantity("e_import", "Wh", 0, 1e12, "energy register, import", "正向有功电能", double=True),
    Quantity("e_export", "Wh", 0, 1e12, "energy register, export", "反向有功电能", double=True),
    Quantity("t_terminal", "degC", -50, 250, "terminal temperature", "端子温度"),
    Quantity("t_oil", "degC", -50, 250, "top-oil temperature", "顶层油温"),
    Quantity("t_winding", "degC", -50, 250, "winding temperature", "绕组温度"),
    Quantity("t_ambient", "degC", -50, 250, "ambient temperature", "环境温度"),
    Quantity("thd_v", "%", 0, 100, "total harmonic distortion of voltage", "电压总谐波畸变率"),
    Quantity("sags", "1", 0, 1e9, "voltage sag counter", "电压暂降次数"),
    Quantity("power_downs", "1", 0, 1e9, "power-down counter", "掉电次数"),
    Quantity("v_a_min", "V", 0, 500, "lowest half-cycle rms, phase A", "A相最低电压"),
    Quantity("v_b_min", "V", 0, 500, "lowest half-cycle rms, phase B", "B相最低电压"),
    Quantity("v_c_min", "V", 0, 500, "lowest half-cycle rms, phase C", "C相最低电压"),
)

NAMES: Final[tuple[str, ...]] = tuple(q.name for q in QUANTITIES)
INDEX: Final[dict[str, int]] = {q.name: i for i, q in enumerate(QUANTITIES)}
LOW: Final[NDArray[np.float64]] = np.array([q.low for q in QUANTITIES])
HIGH: Final[NDArray[np.float64]] = np.array([q.high for q in QUANTITIES])

# 0 means "this row is a reading"; the codes are stored, so new events go at the end.
EVENTS: Final[tuple[str, ...]] = (
    "",
    "last_gasp",
    "power_up",
    "power_down",
    "cover_open",
    "clock_set",
    "register_reset",
    "relay_open",
    "relay_closed",
    "switch_open",
    "switch_closed",
    "comms_lost",
    "comms_back",
)
EVENT_CODE: Final[dict[str, int]] = {name: code for code, name in enumerate(EVENTS) if name}


def quantity(name: str) -> Quantity:
    """The quantity of that name.

    >>> quantity("v_a").unit
    'V'
    """
    return QUANTITIES[INDEX[name]]
