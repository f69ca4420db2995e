"""`Rows`: what a decoder found, before the checks.

The same structure of arrays as `ReadingBatch`, but in float64 (an absurd 1e300 must be seen as
absurd, not as infinity) and with the way back from each row to the payload it came in.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from grid.journal import Quarantined
from grid.quantities import EVENTS, NAMES

TEXT_MAX: Final = 500
REFUSALS_MAX: Final = 100  # refused rows of one message; beyond this it is kept once, whole
_PAYLOAD_MAX: Final = 1 << 16  # of an oversized message so much is kept for the people who look


def printable(text: str) -> str:
    """One short line without control characters or lone surrogates: safe in any log or column.

    >>> printable("M1\\x00\\n")
    'M1??'
    """
    return "".join(c if c.isprintable() else "?" for c in text[:TEXT_MAX])


def sequence_numbers(given: Any, count: int) -> NDArray[np.int64]:
    """int64[n] sequence numbers, -1 where there is none."""
    if given.count(None) == count:
        return np.full(count, -1, np.int64)
    return np.fromiter((-1 if s is None else s for s in given), np.int64, count)


def refusal(
    source: str, reason: str, payload: bytes, received_us: int, device: str | None = None
) -> Quarantined:
    """A quarantined payload with its texts made printable."""
    name = None if device is None else printable(device)
    return Quarantined(printable(source), printable(reason), payload, received_us, name)


def crowd(count: int, reason: str) -> str:
    """The reason for a whole message of which many rows are refused."""
    return f"{count:,} rows of this message are refused, the first: {reason}"


def summed_up(
    refused: list[Quarantined], source: str, payload: bytes, received_us: int
) -> list[Quarantined]:
    """The refused rows of one message, or the message once when they are too many to keep each."""
    if len(refused) <= REFUSALS_MAX:
        return refused
    return [refusal(source, crowd(len(refused), refused[0].reason), payload, received_us)]


def shortened(payload: bytes, note: str) -> bytes:
    """The beginning of an oversized payload, with a note (size, digest) that keeps it unique."""
    return payload[:_PAYLOAD_MAX] + b" [" + note.encode() + b"]"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where rows came from: the quarantine source, and the payload when it held just one row.

    `columns` tells that a single row of it must be written as a columnar batch to be replayed,
    `message` is the whole payload of a message of many rows.
    """

    source: str
    payload: bytes | None
    columns: bool = False
    message: bytes = b""


@dataclass(slots=True, eq=False)
class Rows:
    """Rows of many messages in order of arrival.

    Attributes
    ----------
    names : device names; `device` indexes them
    device : int32[n]
    time, received, seq : int64[n]      microseconds UTC; seq -1 where there is none
    values : quantity name to float64[n], NaN = not reported
    event : uint8[n]                    0 for a reading
    quality : uint16[n]                 flags known to the decoder (historical, partial)
    origin : int32[n]                   index into `origins`
    """

    names: Sequence[str]
    device: NDArray[np.int32]
    time: NDArray[np.int64]
    received: NDArray[np.int64]
    seq: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    event: NDArray[np.uint8]
    quality: NDArray[np.uint16]
    origin: NDArray[np.int32]
    origins: Sequence[Origin]

    def __len__(self) -> int:
        return int(self.time.size)

    @classmethod
    def empty(cls) -> "Rows":
        """No rows."""
        return cls.of((), [], [], {}, received=[], origin=[], origins=())

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        device: Any,
        time: Any,
        values: Mapping[str, Any],
        *,
        received: Any,
        origins: Sequence[Origin],
        origin: Any = 0,
        seq: Any = -1,
        event: Any = 0,
        quality: Any = 0,
    ) -> "Rows":
        """From array-likes; scalars stand for all rows."""
        time = np.asarray(time, np.int64)

        def column(given: Any, dtype: Any) -> Any:
            if np.ndim(given) == 0:  # faster than broadcasting, and most are single values
                return np.full(time.shape, given, dtype)
            out = np.array(given, dtype)
            if out.shape != time.shape:
                raise ValueError(f"a column has shape {out.shape}, time has {time.shape}")
            return out

        return cls(
            names,
            column(device, np.int32),
            time,
            column(received, np.int64),
            column(seq, np.int64),
            {name: column(values[name], np.float64) for name in NAMES if name in values},
            column(event, np.uint8),
            column(quality, np.uint16),
            column(origin, np.int32),
            origins,
        )

    @staticmethod
    def concat(parts: Sequence["Rows"]) -> "Rows":
        """All rows in the given order."""
        parts = [p for p in parts if len(p)]
        if not parts:
            return Rows.empty()
        if len(parts) == 1:
            return parts[0]
        position: dict[str, int] = {}
        devices, origin, origins = [], [], list[Origin]()
        for p in parts:
            place = [position.setdefault(name, len(position)) for name in p.names]
            devices.append(np.array(place, np.int32)[p.device])
            origin.append(p.origin + np.int32(len(origins)))
            origins.extend(p.origins)
        reported = set[str]().union(*(p.values for p in parts))
        present = [name for name in NAMES if name in reported]
        return Rows(
            tuple(position),
            np.concatenate(devices),
            np.concatenate([p.time for p in parts]),
            np.concatenate([p.received for p in parts]),
            np.concatenate([p.seq for p in parts]),
            {name: np.concatenate([_column(p, name) for p in parts]) for name in present},
            np.concatenate([p.event for p in parts]),
            np.concatenate([p.quality for p in parts]),
            np.concatenate(origin),
            origins,
        )

    def select(self, keep: NDArray[Any]) -> "Rows":
        """The rows given by a mask or an index array, in that order."""
        return Rows(
            self.names,
            self.device[keep],
            self.time[keep],
            self.received[keep],
            self.seq[keep],
            {name: column[keep] for name, column in self.values.items()},
            self.event[keep],
            self.quality[keep],
            self.origin[keep],
            self.origins,
        )

    def refused(self, row: int, reason: str) -> Quarantined:
        """The row as a quarantined payload that can be replayed by itself."""
        origin = self.origins[self.origin[row]]
        device = self.names[self.device[row]]
        payload = origin.payload
        if payload is None:
            payload = self._as_json(row, device, origin.columns)
        return refusal(origin.source, reason, payload, int(self.received[row]), device)

    def refused_message(self, row: int, count: int, reason: str) -> Quarantined:
        """The whole message of a row, when too many of its rows are refused to keep each."""
        origin = self.origins[self.origin[row]]
        text = crowd(count, reason)
        return refusal(origin.source, text, origin.message, int(self.received[row]))

    def _as_json(self, row: int, device: str, columns: bool) -> bytes:
        time_us = int(self.time[row])
        fields: dict[str, Any] = {"t": time_us // 1000 if time_us % 1000 == 0 else time_us / 1000}
        fields["device"] = device
        if self.seq[row] >= 0:
            fields["seq"] = int(self.seq[row])
        if self.event[row]:
            fields["event"] = EVENTS[self.event[row]]
        for name, column in self.values.items():
            if not np.isnan(column[row]):
                fields[name] = float(column[row])
        if columns:
            fields = {name: [value] for name, value in fields.items()}
        return json.dumps(fields, separators=(",", ":")).encode()


def _column(rows: Rows, name: str) -> NDArray[np.float64]:
    found = rows.values.get(name)
    return np.full(len(rows), np.nan) if found is None else found
