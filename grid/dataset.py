"""Read and write the dataset folder: readings and events in files, in the order they arrived.

Files may be Parquet or CSV, with columns missing, in another order or unknown. A cell that
cannot be read costs that cell, or its row when it is the time or the device; it is counted and
the first one is named, its neighbours stay.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from grid.errors import BadInput
from grid.network import Network
from grid.network_files import load_network
from grid.quantities import EVENT_CODE, INDEX, NAMES, QUANTITIES
from grid.readings import ReadingBatch

CHUNK_ROWS = 200_000
_STAMP = pa.timestamp("us", tz="UTC")
_FORMS = (".parquet", ".csv", ".csv.gz")


@dataclass(slots=True)
class ReadNotes:
    """What was left aside while reading, for the user to see once."""

    sentences: list[str] = field(default_factory=list)
    bad_cells: int = 0
    bad_rows: int = 0

    def say(self, sentence: str) -> None:
        """Add a sentence unless it was said before."""
        if sentence not in self.sentences:
            self.sentences.append(sentence)


class Dataset:
    """A dataset folder, read lazily; `notes` fills while batches are read."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.notes = ReadNotes()
        if not self.folder.is_dir():
            raise BadInput("no such folder", file=str(folder), fix="give a dataset folder")

    @cached_property
    def network(self) -> Network:
        """The network of the folder; raises as `load_network`."""
        return load_network(self.folder)

    def file(self, stem: str) -> Path | None:
        """`stem`.parquet, .csv or .csv.gz, whichever is there."""
        for form in _FORMS:
            if (self.folder / f"{stem}{form}").is_file():
                return self.folder / f"{stem}{form}"
        return None

    def batches(
        self,
        *,
        order: Literal["received", "time"] = "received",
        start_us: int | None = None,
        end_us: int | None = None,
        chunk_rows: int = CHUNK_ROWS,
    ) -> Iterator[ReadingBatch]:
        """Readings and events merged in arrival (or event-time) order, in bounded batches.

        Rows of equal key come events first, then in file order. `start_us <= time < end_us`.
        """
        readings, events = self.file("readings"), self.file("events")
        if readings is None and events is None:
            raise BadInput(
                "no readings.parquet, readings.csv or readings.csv.gz",
                file=str(self.folder),
                fix="put the readings beside network/",
            )
        streams = [
            _ordered(path, self.notes, order, chunk_rows) for path in (events, readings) if path
        ]
        merged = streams[0] if len(streams) == 1 else _merge(streams, order)
        for batch in merged:
            if start_us is not None or end_us is not None:
                low = start_us if start_us is not None else np.iinfo(np.int64).min
                high = end_us if end_us is not None else np.iinfo(np.int64).max
                batch = batch.select((batch.time >= low) & (batch.time < high))
            if len(batch):
                yield batch

    def contacts(self) -> pd.DataFrame:
        """contacts.csv as strings, `time_us` added; empty when there is none.

        Raises BadInput naming the line of a time without zone.
        """
        path = self.folder / "contacts.csv"
        if not path.is_file():
            return pd.DataFrame(columns=["time", "time_us", "channel", "external_id", "account"])
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        if "time" not in frame.columns:
            raise BadInput("column 'time' is missing", file=path.name, line=1, fix="add it")
        frame["time_us"] = _times(frame["time"], path.name)
        return frame.sort_values("time_us", kind="stable").reset_index(drop=True)


def write_readings(folder: Path, batches: Iterable[ReadingBatch]) -> int:
    """Write readings.parquet (rows with values only), streaming; returns the rows written.

    All quantity columns that any batch may hold are written, so that row groups agree.
    """
    columns = [("time", _STAMP), ("device", pa.dictionary(pa.int32(), pa.string()))]
    columns += [(q.name, pa.float64() if q.double else pa.float32()) for q in QUANTITIES]
    columns.append(("received", _STAMP))
    rows = 0
    writer: pq.ParquetWriter | None = None
    present: list[tuple[str, pa.DataType]] = []
    held = [b.readings() for b in batches]
    used = {name for b in held for name, v in b.values.items() if not np.isnan(v).all()}
    present = [c for c in columns if c[0] in used or c[0] in ("time", "device", "received")]
    schema = pa.schema(present)
    path = Path(folder) / "readings.parquet"
    try:
        writer = pq.ParquetWriter(path, schema, compression="zstd")
        for b in held:
            table = b.to_arrow()
            arrays = [
                table.column(name).cast(kind)
                if name in table.column_names
                else pa.nulls(len(b), kind)
                for name, kind in present
            ]
            writer.write_table(pa.table(arrays, schema=schema))
            rows += len(b)
    finally:
        if writer is not None:
            writer.close()
    return rows


def write_events(folder: Path, batch: ReadingBatch) -> int:
    """Write events.parquet from the event rows of a batch; returns the rows written."""
    events = batch.events()
    table = events.select(slice(None)).to_arrow()
    wanted = [c for c in ("time", "device", "event", "received") if c in table.column_names]
    if "event" not in wanted:
        table = table.append_column("event", pa.array([], pa.string()))
        wanted = ["time", "device", "event", "received"]
    pq.write_table(table.select(wanted), Path(folder) / "events.parquet", compression="zstd")
    return len(events)


def _times(text: "pd.Series[str]", file: str) -> Any:
    """RFC 3339 strings with zone to int64 microseconds; raises BadInput naming the line."""
    zoned = text.str.contains(r"(?:Z|z|[+-]\d{2}:?\d{2})\s*$", regex=True)
    parsed = pd.to_datetime(text.where(zoned), utc=True, errors="coerce", format="ISO8601")
    bad = parsed.isna().to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise BadInput(
            f"{text.iloc[row]!r} is not a time with zone",
            file=file,
            line=row + 2,
            column="time",
            fix="write RFC 3339, such as 2026-03-01T08:00:00+08:00",
        )
    return parsed.dt.as_unit("us").astype("int64").to_numpy()


# -- reading one file --------------------------------------------------------------------------


def _ordered(path: Path, notes: ReadNotes, order: str, chunk_rows: int) -> Iterator[ReadingBatch]:
    """The file's rows in the wanted order; streamed when the file already has it."""
    if path.suffix == ".parquet":
        stream = _parquet(path, notes, chunk_rows)
        if _parquet_in_order(path, order):
            yield from stream
            return
        whole = ReadingBatch.concat(list(stream))
    else:
        whole = _csv(path, notes)
    whole = whole.sort(by=order)
    for at in range(0, len(whole), chunk_rows):
        yield whole.select(slice(at, at + chunk_rows))


def _parquet_in_order(path: Path, order: str) -> bool:
    """Whether the key column never falls, read column-wise without the values."""
    parquet = pq.ParquetFile(path)
    column = order if order in parquet.schema_arrow.names else "time"
    if column not in parquet.schema_arrow.names:
        return True  # the missing column is reported when the rows are read
    last = np.iinfo(np.int64).min
    for group in parquet.iter_batches(batch_size=1_000_000, columns=[column]):
        values = group.column(0)
        if values.null_count or not pa.types.is_timestamp(values.type):
            return False
        # pandas writes nanoseconds: what is finer than a microsecond is cut off, as in the rows.
        stamp = pa.timestamp("us", tz=values.type.tz)
        key = values.cast(stamp, safe=False).cast(pa.int64()).to_numpy()
        if len(key) and (key[0] < last or (key[1:] < key[:-1]).any()):
            return False
        last = key[-1] if len(key) else last
    return True


def _parquet(path: Path, notes: ReadNotes, chunk_rows: int) -> Iterator[ReadingBatch]:
    parquet = pq.ParquetFile(path)
    schema = parquet.schema_arrow
    wanted = _known_columns(path, schema.names, notes)
    kind = schema.field("device").type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        # Names as numbers: each is decoded once. (Plain bytes must become text first.)
        parquet = pq.ParquetFile(path, metadata=parquet.metadata, read_dictionary=["device"])
    names = _Names()
    for chunk in parquet.iter_batches(batch_size=chunk_rows, columns=wanted, use_threads=False):
        yield _batch(pa.table(chunk), path, notes, names)


class _Names:
    """Names of devices, made once for all batches that have the same: one tuple for them, so that
    whoever looks names up need not do so again either."""

    def __init__(self) -> None:
        self._last: tuple[pa.Array, tuple[str, ...]] = pa.array([], pa.string()), ()

    def __call__(self, dictionary: pa.Array) -> tuple[str, ...]:
        if not dictionary.equals(self._last[0]):
            self._last = dictionary, tuple(dictionary.to_pylist())
        return self._last[1]


def _known_columns(path: Path, found: list[str], notes: ReadNotes) -> list[str]:
    known = {"time", "device", "event", "received", "seq", "quality", *NAMES}
    for needed in ("time", "device"):
        if needed not in found:
            raise BadInput(
                f"column {needed!r} is missing; found {', '.join(found)}",
                file=path.name,
                line=1,
                fix=f"name the column that holds it {needed!r}",
            )
    aside = [c for c in found if c and c not in known]
    if aside:
        notes.say(f"{path.name}: left aside {', '.join(aside)}")
    return [c for c in found if c in known]


def _batch(
    table: pa.Table, path: Path, notes: ReadNotes, names: _Names | None = None
) -> ReadingBatch:
    """Rows with a time and a device as a batch; rows without are counted."""
    for name in ("time", "received"):
        if name in table.column_names:
            kind = table.column(name).type
            if not pa.types.is_timestamp(kind):
                raise BadInput(
                    f"column {name!r} is {kind}",
                    file=path.name,
                    column=name,
                    fix="store it as a timestamp in UTC",
                )
            at = table.column_names.index(name)
            table = table.set_column(at, name, table.column(name).cast(_STAMP, safe=False))
    keep = pa.compute.and_(table["time"].is_valid(), table["device"].is_valid())
    lost = len(table) - (pa.compute.sum(keep).as_py() or 0)
    if lost:
        notes.bad_rows += lost
        notes.say(f"{path.name}: rows without a readable time or device were left out")
        table = table.filter(keep)
    if "received" in table.column_names and table["received"].null_count:
        filled = pa.compute.coalesce(table["received"], table["time"])
        table = table.set_column(table.column_names.index("received"), "received", filled)
    if "event" in table.column_names:
        words = table["event"].cast(pa.string())
        known = pa.compute.is_in(words, pa.array(list(EVENT_CODE)))
        unknown = len(table) - (pa.compute.sum(known).as_py() or 0)
        if unknown:
            notes.bad_rows += unknown
            notes.say(f"{path.name}: {unknown} events of unknown name were left out")
            table = table.filter(known)
    return ReadingBatch.from_arrow(table, names or _Names())


def _csv(path: Path, notes: ReadNotes) -> ReadingBatch:
    header = list(pd.read_csv(path, nrows=0, dtype=str).columns)
    wanted = _known_columns(path, header, notes)
    types: dict[str, pa.DataType] = {"time": _STAMP, "received": _STAMP, "device": pa.string()}
    types |= {"event": pa.string(), "seq": pa.int64(), "quality": pa.int64()}
    types |= {q.name: pa.float64() for q in QUANTITIES}
    convert = pacsv.ConvertOptions(
        column_types={c: types[c] for c in wanted},
        include_columns=wanted,
        null_values=["", "NA", "NaN", "nan", "null"],
        strings_can_be_null=True,
    )
    try:
        table = pacsv.read_csv(path, convert_options=convert)
    except pa.ArrowInvalid:
        # Something in the file is not of its column's kind: the slow, forgiving way names it.
        table = _csv_forgiving(path, wanted, notes)
    return _batch(table, path, notes)


def _csv_forgiving(path: Path, wanted: list[str], notes: ReadNotes) -> pa.Table:
    frame = pd.read_csv(
        path, dtype=str, keep_default_na=False, usecols=lambda c: c in wanted, on_bad_lines="warn"
    )
    columns: dict[str, Any] = {}
    for name in wanted:
        text = frame[name].str.strip()
        given = text != ""
        if name in ("time", "received"):
            zoned = text.str.contains(r"(?:Z|z|[+-]\d{2}:?\d{2})$", regex=True)
            parsed = pd.to_datetime(text.where(zoned), utc=True, errors="coerce", format="ISO8601")
            columns[name] = pa.array(parsed.dt.as_unit("us"), _STAMP, from_pandas=True)
            bad = (parsed.isna() & given).to_numpy()
        elif name in INDEX or name in ("seq", "quality"):
            numbers = pd.to_numeric(text.where(given), errors="coerce").replace(
                [np.inf, -np.inf], np.nan
            )
            columns[name] = pa.array(numbers.astype("float64"), from_pandas=True)
            bad = (numbers.isna() & given).to_numpy()
            if name in ("seq", "quality"):
                filled = numbers.fillna(-1 if name == "seq" else 0).astype("int64")
                columns[name] = pa.array(filled)
        else:
            columns[name] = pa.array(text.where(given), pa.string(), from_pandas=True)
            continue
        if bad.any():
            row = int(np.argmax(bad))
            notes.bad_cells += int(bad.sum())
            notes.say(
                f"{path.name}:{row + 2}, column {name}: {text.iloc[row]!r} cannot be read; "
                f"{int(bad.sum())} such cells were left empty"
            )
    return pa.table(columns)


def _merge(streams: list[Iterator[ReadingBatch]], order: str) -> Iterator[ReadingBatch]:
    """Merge ordered streams, earlier streams first on equal keys, keeping batches large.

    Of the batches at hand, everything up to the smallest last key can be handed on.
    """
    heads: list[ReadingBatch | None] = [next(s, None) for s in streams]
    while True:
        live = [(i, b) for i, b in enumerate(heads) if b is not None]
        if not live:
            return
        limit, owner = min((int(_key(b, order)[-1]), i) for i, b in live)
        parts = []
        for i, b in live:
            # Streams behind the owner keep rows equal to the limit: the owner may bring more.
            side: Literal["left", "right"] = "right" if i <= owner else "left"
            cut = int(np.searchsorted(_key(b, order), limit, side=side))
            parts.append(b.select(slice(0, cut)))
            rest = b.select(slice(cut, None))
            heads[i] = rest if len(rest) else next(streams[i], None)
        yield ReadingBatch.concat(parts).sort(by=order)


def _key(batch: ReadingBatch, order: str) -> Any:
    return batch.received if order == "received" else batch.time


def read_dataset(folder: Path) -> Dataset:
    """Open a dataset folder."""
    return Dataset(folder)
