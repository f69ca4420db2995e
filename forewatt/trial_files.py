"""The folder of one trial: what was asked, how it goes, its readings and what was found.

    request.json            what was asked, as `forewatt trial` took it
    status.json             how far it is; at the end its result or what was wrong
    control.json            written by whoever watches: speed, pause, steps
    network.json            what hangs where
    series/                 one flat array a quantity, rows by device and time, and index.json
    a.alerts.jsonl  a.scores.parquet    of the first settings; b.* of the second
    truth.jsonl             what really happened, if the source knows it

Flat arrays, because a chart of any meter at any zoom is then two slices of a mapped file: no
decoding, no index to keep in memory.
"""

import json
import os
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grid.network import Network
from grid.quantities import NAMES
from grid.readings import ReadingBatch
from storage.series import Series, fold_readings

SIDES = ("a", "b")


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file; {} while it is not there."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def write_series(folder: Path, batch: ReadingBatch) -> None:
    """The readings of a trial as flat arrays in `folder`, by device and then time."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.lexsort((batch.time, batch.device))
    device = batch.device[order]
    np.save(folder / "time.npy", batch.time[order])
    quantities = []
    for name in NAMES:
        column = batch.values.get(name)
        if column is not None and np.isfinite(column).any():
            np.save(folder / f"{name}.npy", column[order])
            quantities.append(name)
    bounds = np.searchsorted(device, np.arange(len(batch.names) + 1))
    index = {
        "quantities": quantities,
        "span_us": [int(batch.time.min()), int(batch.time.max())] if len(batch) else [0, 0],
        "devices": {n: [int(bounds[k]), int(bounds[k + 1])] for k, n in enumerate(batch.names)},
    }
    write_whole(folder / "index.json", json.dumps(index))


class TrialFolder:
    """Reads a trial's folder; every method answers as far as the trial has come."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def request(self) -> dict[str, Any]:
        """What was asked."""
        return read_json(self.folder / "request.json")

    @property
    def status(self) -> dict[str, Any]:
        """How far it is."""
        return read_json(self.folder / "status.json")

    @cached_property
    def network(self) -> Network:
        """What hangs where. Raises FileNotFoundError before the data is loaded."""
        return msgspec.json.decode((self.folder / "network.json").read_bytes(), type=Network)

    @cached_property
    def _index(self) -> Mapping[str, Any]:
        return json.loads((self.folder / "series" / "index.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]

    def devices(self) -> Sequence[str]:
        """Devices that have readings."""
        return list(self._index["devices"])

    @property
    def span_us(self) -> tuple[int, int]:
        """Time of the first and the last reading."""
        first, last = self._index["span_us"]
        return first, last

    @property
    def quantities(self) -> Sequence[str]:
        """Quantities that somebody reported."""
        return list(self._index["quantities"])

    def _rows(self, device: str) -> tuple[int, int] | None:
        found = self._index["devices"].get(device)
        return None if found is None else (found[0], found[1])

    def _column(self, name: str) -> NDArray[Any]:
        mapped: NDArray[Any] = np.load(self.folder / "series" / f"{name}.npy", mmap_mode="r")
        return mapped

    def rows(
        self, device: str, quantities: Sequence[str], start_us: int, end_us: int
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """The raw readings of a device, `start_us <= time < end_us`."""
        bounds = self._rows(device)
        if bounds is None:
            return np.empty(0, np.int64), {}
        time = self._column("time")[bounds[0] : bounds[1]]
        first, last = np.searchsorted(time, [start_us, end_us])
        part = slice(bounds[0] + int(first), bounds[0] + int(last))
        known = [q for q in quantities if q in self._index["quantities"]]
        return np.array(time[first:last]), {q: np.array(self._column(q)[part]) for q in known}

    def series(
        self, device: str, quantities: Sequence[str], start_us: int, end_us: int, max_points: int
    ) -> Series:
        """The same as `storage.series.series`, out of the trial's own readings."""
        time, values = self.rows(device, quantities, start_us, end_us)
        return fold_readings(time, values, start_us, end_us, max_points)

    def alerts(self, side: str) -> list[dict[str, Any]]:
        """Alerts of one side as the public lines."""
        return _json_lines(self.folder / f"{side}.alerts.jsonl")

    def truth(self) -> list[dict[str, Any]]:
        """What really happened, as the source says."""
        return _json_lines(self.folder / "truth.jsonl")

    def scores(self, side: str, assets: Collection[str]) -> pa.Table:
        """Findings of some assets: tick_us, detector, fault, asset, score; ordered by tick."""
        path = self.folder / f"{side}.scores.parquet"
        columns = ["tick_us", "detector", "fault", "asset", "score"]
        if not path.is_file() or not assets:
            return pa.table({name: [] for name in columns})
        return pq.read_table(path, columns=columns, filters=[("asset", "in", sorted(assets))])


def _json_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.strip()]
