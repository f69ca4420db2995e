"""The thermal kernel against a reference table, and real transformers without a false overheat.

The table is of a three-winding transformer: 12 h of 120 % load, then none.
One number that a two-winding model cannot have, the load loss, is taken from the table's steady
end; everything else is the type plate's. Two real transformers with hourly load and oil
temperature (no fault is known of them) go through the whole program.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quality.run import judged
from detectors.scoring import AlertLine
from detectors.thermal import ThermalConstants, simulate
from grid.network import Device, Feeder, Network, Transformer
from grid.readings import ReadingBatch

AMBIENT_C = 25.0
NO_LOAD_W, LOAD_W = 51_740.0, 329_800.0
OIL_RISE_K = 51.4
STEP_MIN = 15.0
WINDINGS = {"hotspot_hs": (17.6, 1.2), "hotspot_ms": (18.6, 1.2), "hotspot_ls": (25.4, 1.2)}
HOT = ("transformer_thermal", "transformer_overload")

Floats = NDArray[np.float64]


def constants(gradient_k: float) -> ThermalConstants:
    """Of the table's transformer (forced air), one winding."""
    return ThermalConstants(
        oil_rise_k=OIL_RISE_K,
        loss_ratio=(LOAD_W - NO_LOAD_W) / NO_LOAD_W,
        oil_time_min=150.0,
        winding_time_min=7.0,
        gradient_k=gradient_k,
        hot_spot_factor=1.3,
        k11=0.5,
        k21=2.0,
        k22=2.0,
        x=0.8,
        y=1.3,
    )


def table_errors(path: Path) -> dict[str, float]:
    """Largest difference to the table of oil and of each winding's hot spot, K."""
    table = pd.read_csv(path, sep=";", comment="#")
    steps = len(table)
    loaded = np.arange(steps) < steps // 2
    oil_end = float(table["top_oil"][loaded].iloc[-1])
    c = constants(17.6)
    lost = ((oil_end - AMBIENT_C) / OIL_RISE_K) ** (1.0 / c.x) * (1.0 + c.loss_ratio)
    oil_load = math.sqrt((lost - 1.0) / c.loss_ratio)
    ambient = np.full(steps - 1, AMBIENT_C)
    oil, _ = simulate(np.where(loaded[1:], oil_load, 0.0), ambient, STEP_MIN, c, AMBIENT_C)
    errors = {"top oil": _largest(oil, table["top_oil"])}
    for name, (gradient_k, load) in WINDINGS.items():
        # The rise of a winding over the oil does not depend on the oil.
        base, hot = simulate(
            np.where(loaded[1:], load, 0.0), ambient, STEP_MIN, constants(gradient_k), AMBIENT_C
        )
        errors[name] = _largest(oil + hot - base, table[name])
    return errors


def _largest(ours: Floats, theirs: "pd.Series[float]") -> float:
    return float(np.abs(ours - theirs.to_numpy()[1:]).max())


@dataclass(frozen=True, slots=True)
class RealTransformer:
    """What the program said of one real transformer."""

    name: str
    days: float
    hot: list[AlertLine]
    alerts: list[AlertLine]


def real_transformers(folder: Path) -> list[RealTransformer]:
    """Each CSV of the folder (date, useful loads, OT) as a transformer monitor."""
    out = []
    for path in sorted(folder.glob("*.csv")):
        times, kw, oil = _series(path)
        network = Network(
            feeders=(Feeder("F1"),),
            transformers=(Transformer(path.stem, "F1"),),
            devices=(
                Device("monitor", "transformer_monitor", transformer=path.stem, interval_s=3600.0),
            ),
        )
        zeros = np.zeros(times.size, np.int32)
        batch = ReadingBatch.of(
            ["monitor"], zeros, times, {"p": kw * 1000.0, "t_oil": oil}, received=times.copy()
        )
        alerts = judged(network, [batch])
        hot = [a for a in alerts if a.ticket and a.fault in HOT]
        days = (times[-1] - times[0]) / 86_400e6
        out.append(RealTransformer(path.stem, float(days), hot, alerts))
    return out


def _series(path: Path) -> tuple[NDArray[np.int64], Floats, Floats]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    times = pd.to_datetime([r["date"] for r in rows], utc=True).as_unit("us").astype("int64")
    kw = [sum(float(r[c]) for c in ("HUFL", "MUFL", "LUFL")) for r in rows]
    oil = [float(r["OT"]) for r in rows]
    return np.array(times, np.int64), np.array(kw), np.array(oil)
