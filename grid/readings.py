"""`ReadingBatch`: the one type that travels from the collectors to storage and detectors.

A structure of arrays. A row is either a reading (values, event 0) or an event of the device
(event code, no values), so that both keep the order in which they came. Devices are named in a
batch-local dictionary: records carry names, never indexes of some network that may change.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grid.quantities import EVENT_CODE, EVENTS, INDEX, NAMES, QUANTITIES

Floats = NDArray[np.floating[Any]]


class Quality(IntFlag):
    """What the checks before the journal found; a flagged reading is kept, never dropped."""

    GOOD = 0
    OUT_OF_RANGE = 1  # at least one value was impossible and was set to NaN
    CLOCK_SKEW = 2  # the device's clock disagrees with arrival
    LATE = 4  # arrived later than its delivery interval explains
    DUPLICATE = 8  # same device and time seen shortly before
    ROLLBACK = 16  # an energy register ran backwards
    PARTIAL = 32  # some registers of the poll were not read
    BACKFILL = 64  # resent history (Sparkplug `historical`, gap refill)
    REPLACES = 128  # of a mended export: counts instead of what is stored for its time


_MAGIC = b"FWB1"
_HEAD = struct.Struct("<4sIIQI")  # magic, rows, names, quantity mask, bytes of the name table
_FIXED = (("device", "<i4"), ("time", "<i8"), ("received", "<i8"), ("seq", "<i8"))
_FLAGS = (("quality", "<u2"), ("event", "u1"))


@dataclass(frozen=True, slots=True, eq=False)
class ReadingBatch:
    """Readings and events of many devices.

    Attributes
    ----------
    names : tuple of str
        Devices of this batch.
    device : int32[n]
        Index into `names`.
    time : int64[n]
        Event time, microseconds since 1970 UTC.
    values : dict of quantity name to float32[n] or float64[n]
        Only the quantities somebody reported; NaN where this row did not.
    received : int64[n]
        Arrival at the head-end, microseconds UTC.
    seq : int64[n]
        The device's own sequence number, -1 when it has none.
    quality : uint16[n]
        `Quality` flags.
    event : uint8[n]
        0 for a reading, else the code in `grid.quantities.EVENTS`.
    """

    names: tuple[str, ...]
    device: NDArray[np.int32]
    time: NDArray[np.int64]
    values: Mapping[str, Floats]
    received: NDArray[np.int64]
    seq: NDArray[np.int64]
    quality: NDArray[np.uint16]
    event: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        device: Any,
        time: Any,
        values: Mapping[str, Any],
        *,
        received: Any = None,
        seq: Any = None,
        quality: Any = None,
        event: Any = None,
    ) -> "ReadingBatch":
        """Build a batch from array-likes, converting to the contract's dtypes and checking shapes.

        Raises ValueError for unequal lengths, unknown quantities or device indexes out of range.

        >>> batch = ReadingBatch.of(["M1"], [0, 0], [0, 60_000_000], {"v_a": [231.2, float("nan")]})
        >>> len(batch), batch.values["v_a"].dtype.name
        (2, 'float32')
        """
        time = np.ascontiguousarray(time, np.int64)
        n = time.size

        def column(given: Any, dtype: Any, default: Any) -> Any:
            array = np.ascontiguousarray(default if given is None else given, dtype)
            if array.shape == (n,):
                return array
            return np.array(np.broadcast_to(array, (n,)))

        unknown = [name for name in values if name not in INDEX]
        if unknown:
            raise ValueError(f"unknown quantity {unknown[0]!r}; known: {', '.join(NAMES)}")
        device = np.ascontiguousarray(device, np.int32)
        if device.shape != (n,):
            raise ValueError(f"device has shape {device.shape}, time has {n} rows")
        if n and not (0 <= int(device.min()) and int(device.max()) < len(names)):
            raise ValueError("device index outside the batch's names")
        columns = {
            name: column(values[name], QUANTITIES[INDEX[name]].dtype, None)
            for name in NAMES
            if name in values
        }
        return cls(
            tuple(names),
            device,
            time,
            columns,
            column(received, np.int64, time),
            column(seq, np.int64, -1),
            column(quality, np.uint16, 0),
            column(event, np.uint8, 0),
        )

    @classmethod
    def empty(cls) -> "ReadingBatch":
        """A batch of no rows."""
        return cls.of([], np.empty(0, np.int32), np.empty(0, np.int64), {})

    def __len__(self) -> int:
        return int(self.time.size)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays (names not counted)."""
        fixed = (self.device, self.time, self.received, self.seq, self.quality, self.event)
        return sum(a.nbytes for a in fixed) + sum(v.nbytes for v in self.values.values())

    def value(self, name: str) -> Floats:
        """The column of one quantity, all NaN when nobody reported it."""
        found = self.values.get(name)
        if found is not None:
            return found
        return np.full(len(self), np.nan, QUANTITIES[INDEX[name]].dtype)

    def device_names(self) -> NDArray[np.object_]:
        """The device name of each row: for tests and reports, not for the hot path."""
        return np.array(self.names, object)[self.device] if len(self) else np.empty(0, object)

    def select(self, rows: Any) -> "ReadingBatch":
        """The rows given by a boolean mask, a slice or an index array, in that order."""
        return replace(
            self,
            device=self.device[rows],
            time=self.time[rows],
            values={k: v[rows] for k, v in self.values.items()},
            received=self.received[rows],
            seq=self.seq[rows],
            quality=self.quality[rows],
            event=self.event[rows],
        )

    def sort(self, *, by: str = "time") -> "ReadingBatch":
        """Rows in order of `time` or `received`; equal keys keep the order in which they stood."""
        if by not in ("time", "received"):
            raise ValueError(f"cannot sort by {by!r}; use 'time' or 'received'")
        key = self.time if by == "time" else self.received
        return self.select(np.argsort(key, kind="stable"))

    def readings(self) -> "ReadingBatch":
        """Only the rows that carry values."""
        return self.select(self.event == 0)

    def events(self) -> "ReadingBatch":
        """Only the rows that are device events."""
        return self.select(self.event != 0)

    @staticmethod
    def concat(batches: Sequence["ReadingBatch"]) -> "ReadingBatch":
        """One batch of all rows in the given order; names are merged."""
        batches = [b for b in batches if len(b)]
        if not batches:
            return ReadingBatch.empty()
        if len(batches) == 1:
            return batches[0]
        position: dict[str, int] = {}
        devices = []
        for b in batches:
            mapping = np.array([position.setdefault(n, len(position)) for n in b.names], np.int32)
            devices.append(mapping[b.device])
        present = [n for n in NAMES if any(n in b.values for b in batches)]

        def joined(get: Callable[["ReadingBatch"], Any]) -> Any:
            return np.concatenate([get(b) for b in batches])

        return ReadingBatch(
            tuple(position),
            np.concatenate(devices),
            joined(lambda b: b.time),
            {n: np.concatenate([b.value(n) for b in batches]) for n in present},
            joined(lambda b: b.received),
            joined(lambda b: b.seq),
            joined(lambda b: b.quality),
            joined(lambda b: b.event),
        )

    # -- forms outside the process ---------------------------------------------------------

    def to_bytes(self) -> bytes:
        """The compact form kept in the journal: a header, the names, then the raw columns."""
        table = "\0".join(self.names).encode()
        mask = 0
        for name in self.values:
            mask |= 1 << INDEX[name]
        parts: list[bytes] = [_HEAD.pack(_MAGIC, len(self), len(self.names), mask, len(table))]
        parts.append(table)
        for name, dtype in _FIXED + _FLAGS:
            parts.append(getattr(self, name).astype(dtype, copy=False).tobytes())
        for q in QUANTITIES:
            if q.name in self.values:
                parts.append(self.values[q.name].astype(q.dtype.newbyteorder("<")).tobytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview) -> "ReadingBatch":
        """The inverse of `to_bytes`; raises ValueError when the bytes are not of that form."""
        data = memoryview(data)
        if len(data) < _HEAD.size:
            raise ValueError(f"{len(data)} bytes are too few for a reading batch")
        magic, n, n_names, mask, table_bytes = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise ValueError(f"not a reading batch: it starts with {bytes(magic)!r}")
        present = [q for i, q in enumerate(QUANTITIES) if mask >> i & 1]
        sizes = [np.dtype(d).itemsize for _, d in _FIXED + _FLAGS]
        sizes += [q.dtype.itemsize for q in present]
        expected = _HEAD.size + table_bytes + n * sum(sizes)
        if len(data) != expected or mask >> len(QUANTITIES):
            raise ValueError(f"reading batch of {len(data)} bytes where {expected} were announced")
        at = _HEAD.size
        text = bytes(data[at : at + table_bytes]).decode()
        names = tuple(text.split("\0")) if n_names else ()
        if len(names) != n_names:
            raise ValueError(f"reading batch names {len(names)} devices, {n_names} announced")
        at += table_bytes

        def take(dtype: Any) -> Any:
            nonlocal at
            out = np.frombuffer(data, dtype, n, at)
            at += out.nbytes
            return out

        fixed = {name: take(dtype) for name, dtype in _FIXED + _FLAGS}
        values = {q.name: take(q.dtype.newbyteorder("<")) for q in present}
        return cls(names=names, values=values, **fixed)

    def to_arrow(self) -> pa.Table:
        """An Arrow table in the columns of the dataset folder: time, device, quantities, ..."""
        stamp = pa.timestamp("us", tz="UTC")
        index = pa.array(self.device, pa.int32())
        columns: dict[str, Any] = {
            "time": pa.array(self.time, pa.int64()).cast(stamp),
            "device": pa.DictionaryArray.from_arrays(index, pa.array(self.names, pa.string())),
        }
        for name, v in self.values.items():
            columns[name] = pa.array(v, from_pandas=True)
        if (self.event != 0).any():
            event = pa.array(self.event, pa.int32())
            columns["event"] = pa.DictionaryArray.from_arrays(event, pa.array(EVENTS))
        columns["received"] = pa.array(self.received, pa.int64()).cast(stamp)
        if (self.seq >= 0).any():
            columns["seq"] = pa.array(self.seq)
        if self.quality.any():
            columns["quality"] = pa.array(self.quality)
        return pa.table(columns)

    @classmethod
    def from_arrow(
        cls, table: pa.Table, names: Callable[[pa.Array], Sequence[str]] = pa.Array.to_pylist
    ) -> "ReadingBatch":
        """From a table with `time`, `device` and any quantities; other columns are left aside.

        `names` turns a dictionary of devices into names: one who reads many tables may remember.
        Raises ValueError when `time` or `device` is missing or of the wrong kind.
        """
        for needed in ("time", "device"):
            if needed not in table.column_names:
                raise ValueError(f"no column {needed!r}; found {', '.join(table.column_names)}")

        def micros(name: str) -> Any:
            column = table.column(name)
            if not pa.types.is_timestamp(column.type):
                raise ValueError(f"column {name!r} is {column.type}, expected a timestamp")
            return column.cast(pa.timestamp("us", tz=column.type.tz)).cast(pa.int64()).to_numpy()

        device = table.column("device").combine_chunks()
        if not pa.types.is_dictionary(device.type):
            device = device.cast(pa.string()).dictionary_encode()
        if isinstance(device, pa.ChunkedArray):
            device = device.combine_chunks() if device.num_chunks != 1 else device.chunk(0)
        values = {
            n: np.require(
                table.column(n).to_numpy(zero_copy_only=False),
                QUANTITIES[INDEX[n]].dtype,
                ("C", "W"),
            )
            for n in NAMES
            if n in table.column_names
        }
        event = None
        if "event" in table.column_names:
            words = table.column("event").cast(pa.string()).to_pylist()
            bad = [w for w in words if w and w not in EVENT_CODE]
            if bad:
                raise ValueError(f"unknown event {bad[0]!r}; known: {', '.join(EVENT_CODE)}")
            event = [EVENT_CODE.get(w or "", 0) for w in words]
        extra = {
            n: table.column(n).to_numpy() for n in ("seq", "quality") if n in table.column_names
        }
        return cls.of(
            names(device.dictionary),
            device.indices.to_numpy(zero_copy_only=False),
            micros("time"),
            values,
            received=micros("received") if "received" in table.column_names else None,
            event=event,
            **extra,
        )

    def to_parquet(self, path: str) -> None:
        """Write the Arrow form as Parquet (zstd)."""
        pq.write_table(self.to_arrow(), path, compression="zstd")

    @classmethod
    def from_parquet(cls, path: str) -> "ReadingBatch":
        """Read what `to_parquet` wrote, or any Parquet file with those columns."""
        return cls.from_arrow(pq.read_table(path))


@dataclass(slots=True)
class BatchBuilder:
    """Collects single rows into a batch: for decoders of one-sample messages.

    Bounded by its user: call `take` when `len` reaches the batch size.
    """

    _names: dict[str, int] = field(default_factory=dict)
    _device: list[int] = field(default_factory=list)
    _time: list[int] = field(default_factory=list)
    _received: list[int] = field(default_factory=list)
    _seq: list[int] = field(default_factory=list)
    _quality: list[int] = field(default_factory=list)
    _event: list[int] = field(default_factory=list)
    _values: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._time)

    def add(
        self,
        device: str,
        time_us: int,
        values: Mapping[str, float],
        *,
        received_us: int,
        seq: int = -1,
        quality: int = 0,
        event: int = 0,
    ) -> None:
        """Append one row; `values` maps known quantity names to numbers."""
        n = len(self._time)
        self._device.append(self._names.setdefault(device, len(self._names)))
        self._time.append(time_us)
        self._received.append(received_us)
        self._seq.append(seq)
        self._quality.append(quality)
        self._event.append(event)
        for name, v in values.items():
            column = self._values.get(name)
            if column is None:
                column = self._values[name] = []
            if len(column) < n:
                column.extend([np.nan] * (n - len(column)))
            column.append(v)

    def take(self) -> ReadingBatch:
        """The collected batch; the builder is empty afterwards."""
        n = len(self._time)
        values = {k: v + [np.nan] * (n - len(v)) for k, v in self._values.items()}
        batch = ReadingBatch.of(
            list(self._names),
            self._device,
            self._time,
            values,
            received=self._received,
            seq=self._seq,
            quality=self._quality,
            event=self._event,
        )
        fresh = BatchBuilder()
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))
        return batch
