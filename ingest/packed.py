"""The packed form for concentrators: the columns of many devices as raw little-endian numbers.

Documented in docs/payloads.md. Decoding is a look at the bytes, with no step a row or a value.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from grid.journal import Quarantined
from grid.quantities import INDEX, QUANTITIES
from ingest.columns import decode_columns
from ingest.rows import Origin, Rows, refusal
from ingest.times import MILLISECONDS_MAX, MILLISECONDS_MIN

MAGIC: Final = b"FWP1"
ONE_TIME, SEQUENCES = 1, 2  # flags: a single time for all rows; sequence numbers follow
_HEAD: Final = struct.Struct("<4sBxHIIQ")  # magic, flags, devices, rows, bytes of names, mask


class _Malformed(ValueError):
    """Not of the packed form; the text says why."""


def encode_packed(
    names: Sequence[str],
    device: Any,
    time_ms: Any,
    values: Mapping[str, Any],
    *,
    seq: Any = None,
) -> bytes:
    """A packed message: what a concentrator sends.

    Parameters
    ----------
    names : the devices; `device` int[n] indexes them
    time_ms : int[n] epoch milliseconds, or one int for all rows
    values : quantity name to float[n], NaN for "not reported"
    seq : int[n] sequence numbers of the devices, or None

    >>> len(encode_packed(["M1", "M2"], [0, 1], 60_000, {"v_a": [231.2, 230.9]}))
    49
    """
    device = np.asarray(device, "<u2")
    table = "\0".join(names).encode()
    flags = (ONE_TIME if np.ndim(time_ms) == 0 else 0) | (0 if seq is None else SEQUENCES)
    mask = sum(1 << INDEX[name] for name in values)
    parts = [_HEAD.pack(MAGIC, flags, len(names), device.size, len(table), mask), table]
    parts += [device.tobytes(), np.atleast_1d(np.asarray(time_ms, "<i8")).tobytes()]
    if seq is not None:
        parts.append(np.asarray(seq, "<i8").tobytes())
    for q in QUANTITIES:
        if q.name in values:
            parts.append(np.asarray(values[q.name], q.dtype.newbyteorder("<")).tobytes())
    return b"".join(parts)


def decode_packed(
    source: str, payload: bytes, received_us: int, rows_max: int
) -> tuple[Rows, list[Quarantined]]:
    """The rows of one packed message, or the reason why there are none.

    A payload that begins with `{` is one row of such a message, replayed as columns of JSON.
    """
    if payload[:1] == b"{":
        return decode_columns(source, payload, received_us, rows_max)
    try:
        origin = Origin(source, None, columns=True, message=payload)
        return _unpack(payload, received_us, rows_max, origin), []
    except (_Malformed, UnicodeDecodeError) as error:
        reason = f"the packed batch cannot be read: {error}"
        return Rows.empty(), [refusal(source, reason, payload, received_us)]


def _unpack(payload: bytes, received_us: int, rows_max: int, origin: Origin) -> Rows:
    if len(payload) < _HEAD.size:
        raise _Malformed(f"{len(payload)} bytes are too few for its head of {_HEAD.size}")
    magic, flags, n_names, n, table_bytes, mask = _HEAD.unpack_from(payload)
    if magic != MAGIC:
        raise _Malformed(f"it begins with {magic!r} instead of {MAGIC!r}")
    if flags & ~(ONE_TIME | SEQUENCES):
        raise _Malformed(f"flags {flags:#x} are not known")
    if mask >> len(QUANTITIES):
        raise _Malformed("it holds quantities that are not known; is the sender newer than this?")
    if not 0 < n <= rows_max:
        raise _Malformed(f"{n:,} rows; 1 to {rows_max:,} are taken")
    present = [q for i, q in enumerate(QUANTITIES) if mask >> i & 1]
    times = 1 if flags & ONE_TIME else n
    row = 2 + (8 if flags & SEQUENCES else 0) + sum(q.dtype.itemsize for q in present)
    expected = _HEAD.size + table_bytes + times * 8 + n * row
    if len(payload) != expected:
        raise _Malformed(f"{len(payload):,} bytes where its head announces {expected:,}")
    at = _HEAD.size
    names = tuple(payload[at : at + table_bytes].decode().split("\0"))
    if len(names) != n_names or len(set(names)) != n_names:
        raise _Malformed(f"{len(set(names))} device names where {n_names} are announced")
    at += table_bytes

    def take(dtype: Any, count: int) -> Any:
        nonlocal at
        out = np.frombuffer(payload, dtype, count, at)
        at += out.nbytes
        return out

    device = take("<u2", n).astype(np.int32)
    if int(device.max()) >= n_names:
        raise _Malformed(f"device number {int(device.max())} where {n_names} are named")
    time_ms = take("<i8", times)
    if int(time_ms.min()) < MILLISECONDS_MIN or int(time_ms.max()) > MILLISECONDS_MAX:
        raise _Malformed("a time is not in epoch milliseconds")
    seq = take("<i8", n) if flags & SEQUENCES else np.int64(-1)
    with np.errstate(invalid="ignore"):  # a signalling NaN is NaN all the same
        return Rows.of(
            names,
            device,
            np.full(n, time_ms[0] * 1000) if times == 1 else time_ms * 1000,
            {q.name: take(q.dtype.newbyteorder("<"), n) for q in present},
            received=received_us,
            seq=np.maximum(seq, -1),
            origins=(origin,),
        )
