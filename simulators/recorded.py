"""Somebody else's recording as a dataset: CSV or Parquet with a map of its columns.

Receives a file and a mapping (TOML); writes a dataset folder that `replay` and `backtest` take.

    time = "ts"                  # column
    zone = "Asia/Shanghai"       # for times without zone
    device = "meter"             # column; or device_name = "M1" for a file of one device
    interval_s = 900             # optional
    transformer = "area"         # optional column: the transformer a device belongs to
    [columns]
    v_a = "U1"
    p = { column = "P_kW", scale = 1000.0 }
"""

import csv
import difflib
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from grid.dataset import write_readings
from grid.errors import BadInput
from grid.quantities import INDEX, NAMES
from grid.readings import ReadingBatch
from simulators.tables import read_table


@dataclass(frozen=True, slots=True)
class RecordedMap:
    """Which column is what; `columns` maps quantity to column and factor."""

    time: str
    zone: str = ""
    device: str = ""
    device_name: str = ""
    transformer: str = ""
    interval_s: float | None = None
    columns: dict[str, tuple[str, float]] = field(init=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was converted; `unreadable` counts cells and rows left out."""

    folder: Path
    devices: int
    rows: int
    unreadable: int


def load_map(path: Path) -> RecordedMap:
    """Read a mapping file. Raises BadInput naming file, key and fix."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise BadInput("no such mapping", file=str(path), fix="Check the path.") from problem
    except tomllib.TOMLDecodeError as problem:
        raise BadInput(f"not valid TOML: {problem}", file=str(path)) from problem
    columns = table.pop("columns", {})
    found = read_table(RecordedMap, table, file=str(path), where="")
    for quantity, given in columns.items():
        if quantity not in INDEX:
            near = difflib.get_close_matches(quantity, NAMES, 1)
            raise BadInput(
                f"columns.{quantity} is no quantity",
                file=str(path),
                fix=f"Did you mean {near[0]!r}?" if near else f"Use one of: {', '.join(NAMES)}.",
            )
        if isinstance(given, str):
            found.columns[quantity] = (given, 1.0)
        elif isinstance(given, dict) and isinstance(given.get("column"), str):
            found.columns[quantity] = (given["column"], float(given.get("scale", 1.0)))
        else:
            raise BadInput(
                f"columns.{quantity} = {given!r}",
                file=str(path),
                fix='Write a column name, or { column = "...", scale = 1000.0 }.',
            )
    if not found.columns:
        raise BadInput("no [columns]", file=str(path), fix='Add for example v_a = "U1".')
    if bool(found.device) == bool(found.device_name):
        raise BadInput("which device?", file=str(path), fix="Give device or device_name, not both.")
    return found


def convert_recorded(file: Path, mapping: Path, out: Path) -> Recorded:
    """Write the dataset folder `out` (must not exist). Raises BadInput with place and fix."""
    spec = load_map(mapping)
    if out.exists():
        raise BadInput("already there", file=str(out), fix="Give a new folder.")
    frame = _read(file, spec)
    time_us, good = _times(frame[spec.time], spec, file)
    unreadable = int((~good).sum())
    values: dict[str, Any] = {}
    for quantity, (column, scale) in spec.columns.items():
        numbers = pd.to_numeric(frame[column], errors="coerce")
        unreadable += int((numbers.isna() & frame[column].notna() & (frame[column] != "")).sum())
        values[quantity] = numbers.to_numpy(np.float64)[good] * scale
    if spec.device:
        names = frame[spec.device].astype(str).to_numpy(dtype=object)[good]
    else:
        names = np.full(int(good.sum()), spec.device_name, dtype=object)
    devices, codes = np.unique(names.astype(str), return_inverse=True)
    order = np.argsort(time_us[good], kind="stable")
    batch = ReadingBatch.of(devices.tolist(), codes, time_us[good], values).select(order)
    beside = out.with_name(f".{out.name}.part")
    (beside / "network").mkdir(parents=True)
    _network(beside / "network", frame, spec, devices.tolist())
    rows = write_readings(beside, [batch])
    beside.rename(out)
    return Recorded(out, len(devices), rows, unreadable)


def _read(file: Path, spec: RecordedMap) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, dtype=str)
    except FileNotFoundError as problem:
        raise BadInput("no such file", file=str(file), fix="Check the path.") from problem
    except (ValueError, OSError) as problem:
        raise BadInput(f"cannot be read: {problem}", file=str(file)) from problem
    wanted = [spec.time, spec.device, spec.transformer, *(c for c, _ in spec.columns.values())]
    for column in filter(None, wanted):
        if column not in frame.columns:
            near = difflib.get_close_matches(column, [str(c) for c in frame.columns], 1)
            raise BadInput(
                f"no column {column!r}",
                file=str(file),
                line=1,
                fix=f"Did you mean {near[0]!r}?"
                if near
                else f"It has: {', '.join(map(str, frame.columns))}.",
            )
    return frame


def _times(
    column: "pd.Series[Any]", spec: RecordedMap, file: Path
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Microseconds UTC and which could be read; a repeated autumn hour counts as winter time."""
    parsed = _parsed(column)
    if parsed.dt.tz is None:
        if not spec.zone:
            raise BadInput(
                f"times such as {column.iloc[0]!r} have no zone",
                file=str(file),
                column=spec.time,
                fix='Add zone = "Asia/Shanghai" (or another) to the mapping.',
            )
        try:
            zone = ZoneInfo(spec.zone)
        except (ZoneInfoNotFoundError, ValueError) as problem:
            raise BadInput(
                f"zone {spec.zone!r} is not known", fix="Use a name such as Asia/Shanghai."
            ) from problem
        parsed = parsed.dt.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    good = parsed.notna().to_numpy()
    whole = parsed.dt.tz_convert("UTC").dt.as_unit("us")
    filled = whole.fillna(pd.Timestamp(0, tz="UTC")).astype("int64")
    return filled.to_numpy(np.int64), good


def _parsed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Times with zone become UTC, times without stay local; ISO first, then pandas' guess."""
    if not pd.api.types.is_string_dtype(column):
        return pd.to_datetime(column, errors="coerce")
    zoned = bool(column.str.contains(r"(?:Z|[+-]\d{2}:?\d{2})\s*$", regex=True).any())
    parsed = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=zoned)
    if parsed.isna().all():
        parsed = pd.to_datetime(column, errors="coerce", utc=zoned)
    return parsed


def _network(folder: Path, frame: pd.DataFrame, spec: RecordedMap, devices: list[str]) -> None:
    """The least a dataset needs: devices, and where a column tells it their transformer."""
    interval = "" if spec.interval_s is None else f"{spec.interval_s:g}"
    area: dict[str, str] = {}
    if spec.transformer and spec.device:
        pairs = frame[[spec.device, spec.transformer]].dropna().drop_duplicates(spec.device)
        area = dict(zip(pairs.iloc[:, 0].astype(str), pairs.iloc[:, 1].astype(str), strict=True))

    def table(name: str, header: list[str], rows: Iterable[list[str]]) -> None:
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as target:
            writer = csv.writer(target, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)

    table(
        "devices",
        ["device", "kind", "usage_point", "interval_s"],
        ([d, "meter", d if d in area else "", interval] for d in devices),
    )
    if area:
        table("transformers", ["transformer"], ([t] for t in sorted(set(area.values()))))
        table(
            "usage_points",
            ["usage_point", "transformer"],
            ([d, t] for d, t in sorted(area.items())),
        )
