"""What a replay plays: the rows of a dataset in the order of arrival, numbered by device.

Receives a dataset; hands on its rows, its span, its shortest interval, and what its Modbus units
measure. Knows nothing of wires or clocks.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grid.dataset import Dataset
from grid.errors import BadInput
from grid.network import Device
from grid.readings import ReadingBatch
from simulators.modbus_server import UnitSeries
from simulators.registers import load_register_map

# Data files, not code: what is simulated answers by the same register maps as is polled.
_PROFILES = Path(__file__).parent.parent / "ingest" / "profiles"
_STEP_US = 60_000_000  # where no device says its interval


def numbered(
    dataset: Dataset, start_us: int | None, end_us: int | None
) -> Iterator[tuple[ReadingBatch, NDArray[np.int64]]]:
    """Batches in order of arrival with each device's own running number of its readings.

    Counted from the beginning of the dataset, so a replay in parts numbers as one in whole.
    """
    count: dict[str, int] = {}
    for batch in dataset.batches(order="received"):
        start = np.array([count.get(n, 0) for n in batch.names], np.int64)
        seq = np.full(len(batch), -1, np.int64)
        readings = np.flatnonzero(batch.event == 0)
        device = batch.device[readings]
        order = np.argsort(device, kind="stable")
        grouped = device[order]
        first = np.searchsorted(grouped, np.arange(len(batch.names)))
        rank = np.empty(readings.size, np.int64)
        rank[order] = np.arange(readings.size) - first[grouped]
        seq[readings] = start[device] + rank
        sizes = np.bincount(device, minlength=len(batch.names))
        for name, size in zip(batch.names, sizes.tolist(), strict=True):
            count[name] = count.get(name, 0) + size
        if start_us is not None or end_us is not None:
            low = start_us if start_us is not None else np.iinfo(np.int64).min
            high = end_us if end_us is not None else np.iinfo(np.int64).max
            keep = (batch.time >= low) & (batch.time < high)
            batch, seq = batch.select(keep), seq[keep]
        if len(batch):
            yield batch, seq


def span(dataset: Dataset, start_us: int | None, end_us: int | None) -> tuple[int, int]:
    """First and last arrival of the rows to play. Raises BadInput when there is none."""
    rows = dataset.batches(start_us=start_us, end_us=end_us)
    first = next((int(b.received[0]) for b in rows), None)
    if first is None:
        raise BadInput(
            "no readings in this span",
            file=str(dataset.folder),
            fix="Give a dataset with readings, and times within them.",
        )
    last = _last_us(dataset)
    return first, max(first, last if end_us is None else min(last, end_us))


def _last_us(dataset: Dataset) -> int:
    """Arrival of the last row; a Parquet file tells it without being read."""
    file = dataset.file("readings")
    if file is not None and file.suffix == ".parquet":
        found = pq.ParquetFile(file).metadata
        names = [found.schema.column(k).path for k in range(found.num_columns)]
        if "received" in names and found.num_row_groups:
            column: Any = found.row_group(found.num_row_groups - 1).column(names.index("received"))
            if column.statistics is not None and column.statistics.has_min_max:
                last: int = round(column.statistics.max.timestamp() * 1e6)
                return last
    return max(int(b.received[-1]) for b in dataset.batches())


def step_us(dataset: Dataset) -> int:
    """The shortest interval of its devices: what a step moves on by."""
    intervals = [int(d.interval_s * 1e6) for d in dataset.network.devices if d.interval_s]
    return min(intervals, default=_STEP_US)


def polled_devices(dataset: Dataset) -> dict[str, Device]:
    """Devices that stand on Modbus: those with a profile and a unit number."""
    return {d.id: d for d in dataset.network.devices if d.profile and d.unit is not None}


def unit_series(
    dataset: Dataset,
    polled: dict[str, Device],
    profiles: Path | None,
    start_us: int | None,
    end_us: int | None,
) -> dict[int, UnitSeries]:
    """What each Modbus unit measures over the replayed span."""
    profiles = profiles or _PROFILES
    maps = {
        name: load_register_map(profiles / f"{name}.toml")
        for name in {d.profile for d in polled.values() if d.profile}
    }
    parts: dict[str, list[ReadingBatch]] = {name: [] for name in polled}
    for batch in dataset.batches(order="time", start_us=start_us, end_us=end_us):
        for k, name in enumerate(batch.names):
            if name in parts:
                rows = (batch.device == k) & (batch.event == 0)
                if rows.any():
                    parts[name].append(batch.select(rows))
    units: dict[int, UnitSeries] = {}
    for name, device in polled.items():
        whole = ReadingBatch.concat(parts[name])
        if device.unit is None or device.profile is None:
            continue
        if device.unit in units:
            raise BadInput(
                f"Modbus unit {device.unit} stands twice",
                file="devices.csv",
                fix=f"Give {name} a unit of its own (1..247).",
            )
        interval = int((device.interval_s or 60.0) * 1e6)
        units[device.unit] = UnitSeries(whole.time, whole.values, interval, maps[device.profile])
    return units
