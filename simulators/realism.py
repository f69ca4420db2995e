"""How real is a simulated town? A table of figures, beside measured data where there is some.

    python -m simulators.realism DIR [MEASURED_DIR ...]

Receives dataset folders (or a file of readings inside one); hands on a table with one row a
figure. Figures that a dataset cannot give (no power, one phase only, hourly readings) stay empty.
Ranges are those of docs/simulation.md.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from grid.dataset import Dataset
from grid.network import Network
from grid.readings import ReadingBatch

Frame = pd.DataFrame

PEAK = "evening peak, kW a home (30 min, diversified)"
USE = "use, kWh a home and year"
CHANGE = "change of voltage between readings, V (std)"
MINUTE = "change of voltage in a minute, V ({share} %)"
NUMBERS = (2, 5, 10, 20, 50, 100)
CLASSES = ("urban", "rural", "remote")
EXPECTED = {
    PEAK: "0.5-1.8 (Low Carbon London)",
    **{f"evening peak, {c}": "0.5-1.8" for c in CLASSES},
    USE: "2,600-4,500",
    "coincidence of 2 homes": "0.6-0.9",
    "coincidence of 5 homes": "0.45-0.75",
    "coincidence of 10 homes": "0.35-0.6",
    "coincidence of 20 homes": "0.3-0.5",
    "coincidence of 50 homes": "0.25-0.4",
    "coincidence of 100 homes": "0.2-0.4",
    "voltage inside 198-235.4 V, %": "> 95 (GB/T 12325)",
    CHANGE: "0.5-3",
    MINUTE.format(share="50"): "0.1-0.5",
    MINUTE.format(share="99"): "1-5",
    "neighbour correlation, same phase": "0.6-0.98",
    "current unbalance of transformer, % (median)": "10-40",
    "load factor of transformer": "0.3-0.6",
}


def realism_table(folders: Mapping[str, Path]) -> Frame:
    """One column a dataset, one row a figure; `expected` holds what is usual."""
    columns = {name: _figures(Path(folder)) for name, folder in folders.items()}
    table = pd.DataFrame(columns)
    table["expected"] = [EXPECTED.get(str(row), "") for row in table.index]
    return table


def realism_text(folders: Mapping[str, Path]) -> str:
    """The table as text, three significant digits."""
    table = realism_table(folders)
    shown = table.apply(
        lambda column: [
            x if isinstance(x, str) else "" if pd.isna(x) else f"{float(x):,.3g}" for x in column
        ]
    )
    return str(shown.to_string(justify="right"))


def measured_folder(given: Path) -> Path:
    """The dataset folder that a person means by it or by a file of readings inside it."""
    return given.parent if given.is_file() else given


def _figures(folder: Path) -> "pd.Series[float]":
    dataset = Dataset(measured_folder(folder))
    network = dataset.network
    whole = ReadingBatch.concat(list(dataset.batches(order="time"))).readings()
    phase = {u.id: u.phase for u in network.usage_points}
    category = {
        u.id: network.customer_by_account[u.account].category
        for u in network.usage_points
        if u.account and u.account in network.customer_by_account
    }
    meters = {d.id: d.usage_point for d in network.devices if d.kind == "meter" and d.usage_point}
    homes = [m for m, u in meters.items() if category.get(u, "residential") == "residential"]
    volts = _wide(whole, "v_a", list(meters))
    figures = _of_homes(_power(whole, homes), _classes(network, homes))
    figures |= _of_voltage(volts, {m: phase.get(u, "unknown") for m, u in meters.items()}, network)
    figures |= _of_transformers(whole, network)
    figures["readings missing, %"] = _missing(volts)
    return pd.Series(figures)


def _classes(network: Network, homes: list[str]) -> dict[str, str]:
    """Class of the area that each home's meter stands in."""
    transformers = ((m, network.transformer_of("device", m)) for m in homes)
    return {m: t.area_class for m, t in transformers if t is not None and t.area_class}


def _wide(whole: ReadingBatch, quantity: str, devices: list[str]) -> Frame:
    """Times by devices."""
    place = {n: i for i, n in enumerate(whole.names)}
    columns = {}
    for name in devices:
        if name in place:
            rows = whole.device == place[name]
            values = np.asarray(whole.value(quantity)[rows], np.float64)
            times = pd.to_datetime(whole.time[rows], unit="us", utc=True)
            column = pd.Series(values, index=times)
            columns[name] = column[~column.index.duplicated()]
    return pd.DataFrame(columns)


def _power(whole: ReadingBatch, devices: list[str]) -> Frame:
    """Watt; where meters report none, voltage times current stands for it."""
    power = _wide(whole, "p", devices)
    if power.empty or bool(power.isna().all(axis=None)):
        power = _wide(whole, "v_a", devices) * _wide(whole, "i_a", devices)
    return power.dropna(how="all")


def _of_homes(power: Frame, classes: Mapping[str, str]) -> dict[str, float]:
    names = [PEAK, *(f"evening peak, {c}" for c in CLASSES), USE]
    figures = dict.fromkeys([*names, *(f"coincidence of {n} homes" for n in NUMBERS)], float("nan"))
    if power.empty:
        return figures
    half_hours = power.resample("30min").mean().dropna(how="all").fillna(0.0).clip(lower=0.0)
    total = half_hours.sum(axis=1)
    figures[PEAK] = float(total.max() / power.shape[1] / 1000.0)
    for name in CLASSES:
        mine = [m for m in half_hours.columns if classes.get(str(m)) == name]
        if mine:
            peak = half_hours[mine].sum(axis=1).max() / len(mine)
            figures[f"evening peak, {name}"] = float(peak / 1000.0)
    figures[USE] = float(half_hours.to_numpy().mean() * 8.76)
    rng = np.random.default_rng(0)
    for n in NUMBERS:
        found = []
        for _ in range(20 if power.shape[1] >= n else 0):
            some = half_hours.iloc[:, rng.permutation(power.shape[1])[:n]]
            if some.max().sum() > 0.0:
                found.append(some.sum(axis=1).max() / some.max().sum())
        if found:
            figures[f"coincidence of {n} homes"] = float(np.mean(found))
    return figures


def _of_voltage(volts: Frame, phase: dict[str, str], network: Network) -> dict[str, float]:
    values = volts.to_numpy()
    values = values[np.isfinite(values)]
    quantiles = (
        np.quantile(values, [0.001, 0.01, 0.5, 0.99, 0.999]) if values.size else [np.nan] * 5
    )
    figures = {
        f"voltage, {name}": float(q)
        for name, q in zip(("0.1 %", "1 %", "median", "99 %", "99.9 %"), quantiles, strict=True)
    }
    inside = (values >= 198.0) & (values <= 235.4)
    figures["voltage inside 198-235.4 V, %"] = float(100.0 * inside.mean())
    step = np.diff(volts.to_numpy(), axis=0)
    figures[CHANGE] = float(np.nanstd(step))
    figures |= _of_minutes(volts)
    area = {d.id: int(a) for d, a in zip(network.devices, network.device_transformer, strict=True)}
    correlations: list[float] = []
    groups: dict[tuple[int, str], list[str]] = {}
    for name in volts.columns:
        groups.setdefault((area.get(str(name), -1), phase[str(name)]), []).append(str(name))
    for (_, letter), names in groups.items():
        if letter in ("a", "b", "c", "unknown") and len(names) > 1:
            matrix = volts[names[:40]].corr(min_periods=30).to_numpy()
            correlations += matrix[np.triu_indices_from(matrix, 1)].tolist()
    figures["neighbour correlation, same phase"] = (
        float(np.nanmedian(correlations)) if correlations else float("nan")
    )
    return figures


def _of_minutes(volts: Frame) -> dict[str, float]:
    """How far a voltage moves from one minute to the next; only minute readings can tell."""
    steps = np.diff(volts.index.to_numpy()) / np.timedelta64(1, "s")
    shares = (50, 99)
    if not steps.size or np.median(steps) > 60.0:
        return {MINUTE.format(share=s): float("nan") for s in shares}
    minute = volts.resample("1min").first().diff().abs().to_numpy()
    found = np.nanquantile(minute, [s / 100.0 for s in shares])
    return {MINUTE.format(share=s): float(q) for s, q in zip(shares, found, strict=True)}


def _of_transformers(whole: ReadingBatch, network: Network) -> dict[str, float]:
    unbalance: list[float] = []
    factors: list[float] = []
    for d in network.devices:
        if d.kind != "transformer_monitor":
            continue
        amps = [_wide(whole, f"i_{p}", [d.id]) for p in "abc"]
        if any(a.empty for a in amps):
            continue
        current = np.abs(np.column_stack([a.iloc[:, 0].to_numpy() for a in amps]))
        mean = current.mean(axis=1)
        busy = mean > 0.1 * np.nanmax(mean)
        off = (current.max(axis=1) - mean)[busy] / mean[busy]
        unbalance.append(float(np.nanmedian(off)) * 100.0)
        factors.append(float(np.nanmean(mean) / np.nanquantile(mean, 0.999)))
    return {
        "current unbalance of transformer, % (median)": float(np.mean(unbalance))
        if unbalance
        else float("nan"),
        "load factor of transformer": float(np.mean(factors)) if factors else float("nan"),
    }


def _missing(volts: Frame) -> float:
    """Share of readings absent between each device's first and last."""
    lost = held = 0
    for name in volts.columns:
        column = volts[name]
        first, last = column.first_valid_index(), column.last_valid_index()
        if first is not None:
            span = column.loc[first:last]
            lost += int(span.isna().sum())
            held += len(span)
    return 100.0 * lost / held if held else float("nan")


def main(arguments: list[str]) -> None:
    """Print the table of the folders given."""
    print(realism_text({Path(a).name: Path(a) for a in arguments}))


if __name__ == "__main__":
    main(sys.argv[1:])
