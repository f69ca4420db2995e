"""Sixteen devices of two areas and random frames of them, for the oracles of kernels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.currents import phase_current
from detectors.layout import CHANNEL, LINE_FLOATS, ROW_FLOATS

SEEDS = range(4)
U = 230.0
STEP_US = 900_000_000
# Two areas: a monitor, two branches of five; a monitor, one branch of four.
OFFSETS = np.array([0, 11, 16], np.int32)
MONITOR = np.array([0, 11], np.int32)
RUN = np.array([-1, *[0] * 5, *[1] * 5, -1, *[2] * 4], np.int32)
AREA = np.array([0] * 11 + [1] * 5)
N = 16
NOMINAL = np.array([U, U])


def phases(rng: np.random.Generator) -> NDArray[np.int8]:
    """Single-phase meters on a, b, c; sometimes three-phase; monitors always."""
    phase = rng.choice(np.array([0, 1, 2, 3], np.int8), N, p=[0.3, 0.3, 0.3, 0.1])
    phase[MONITOR] = 3
    return phase


def frame(rng: np.random.Generator, phase: NDArray[np.int8], holes: float = 0.2) -> Any:
    """float32[n, 32]: plausible values; single-phase devices fill only the first phase."""
    values = np.full((N, ROW_FLOATS), np.nan, np.float32)
    for c in range(3):
        for name, x in (("v", rng.normal(U, 3, N)), ("i", rng.gamma(2, 3, N))):
            values[:, CHANNEL[f"{name}_{'abc'[c]}"]] = np.where((phase == 3) | (c == 0), x, np.nan)
    values[:, CHANNEL["p"]] = rng.normal(900, 500, N)
    values[:, CHANNEL["t_terminal"]] = rng.normal(30, 3, N)
    values[:, CHANNEL["v_a_min"]] = values[:, CHANNEL["v_a"]] * rng.choice([1.0, 0.5], N)
    values[rng.random(values.shape) < holes] = np.nan
    return values


def beside(values: Any, phase: NDArray[np.int8]) -> tuple[Any, Any, Any, Any]:
    """First phase and device of the slots (`GroupLayout.slots`), their voltages and currents."""
    device = np.repeat(np.arange(N, dtype=np.int32), np.where(phase == 3, 3, 1))
    first = np.searchsorted(device, np.arange(N + 1)).astype(np.int32)
    slot = np.arange(device.size) - first[device]
    amps = [phase_current(values, p, c, U) for p, c in zip(device, slot, strict=True)]
    volts = np.ascontiguousarray(values[device, CHANNEL["v_a"] + slot])
    return first, device, volts, np.array(amps)


def more(values: Any) -> Any:
    """The second lines of a frame's rows."""
    return np.ascontiguousarray(values[:, LINE_FLOATS:])


def column(values: Any, name: str) -> Any:
    """float32[n]: what each device tells of a channel."""
    return np.ascontiguousarray(values[:, CHANNEL[name]])


def volts(values: Any, c: int = 0) -> NDArray[np.float64]:
    return np.asarray(values[:, CHANNEL["v_a"] + c], float)


def slots(phase: NDArray[np.int8]) -> list[tuple[int, int, int]]:
    """(device, slot, network phase) of every service, as the joint detector lists them."""
    return [
        (p, c, c if phase[p] == 3 else int(phase[p]))
        for p in range(N)
        for c in range(3 if phase[p] == 3 else 1)
        if RUN[p] >= 0
    ]
