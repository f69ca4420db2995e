"""The careful way through a payload that is not of the fast form: row by row, reasons in words.

Uses the standard library's parser because it reads what devices really send: NaN, Infinity and
1e999 are not JSON, but they must cost the row in which they stand and not the whole message.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from grid.quantities import EVENT_CODE, INDEX
from ingest.times import time_us

_SEQ_MAX: Final = (1 << 63) - 1
_BOM: Final = b"\xef\xbb\xbf"


class BadPayload(Exception):
    """The message as a whole cannot be read; the text says why."""


class BadRow(Exception):
    """One row cannot be a reading; the text says why, `payload` is the row by itself."""

    def __init__(self, reason: str, row: Any) -> None:
        super().__init__(reason)
        self.row = row

    @property
    def payload(self) -> bytes:
        """The row as JSON text (with NaN as it came)."""
        return as_json(self.row)


def as_json(row: Any) -> bytes:
    """One row as compact JSON text; NaN stays NaN, so that a replay meets what came."""
    return json.dumps(row, separators=(",", ":")).encode()


def parse_json(payload: bytes) -> Any:
    """The content of a payload, read as leniently as it can be; raises BadPayload."""
    if not payload.strip():
        raise BadPayload("the payload is empty")
    try:
        return json.loads(payload.removeprefix(_BOM).decode())
    except UnicodeDecodeError as error:
        raise BadPayload(f"the payload is not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise BadPayload("the payload is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadPayload(f"the payload is not JSON: {error.msg} (character {error.pos})") from None
    except ValueError:  # more digits than Python converts
        raise BadPayload(
            "the payload is not usable JSON: a number of thousands of digits"
        ) from None


def objects_of(payload: bytes, rows_max: int) -> list[Any]:
    """The object of a single payload, or those of an array; raises BadPayload."""
    parsed = parse_json(payload)
    if isinstance(parsed, list):
        if not parsed:
            raise BadPayload("the payload is an empty array")
        if len(parsed) > rows_max:
            raise BadPayload(f"{len(parsed):,} rows in one message; at most {rows_max:,} are taken")
        return parsed
    if not isinstance(parsed, dict):
        shown = "null" if parsed is None else _kind(parsed)
        raise BadPayload(f"the payload is {shown} where an object or an array was expected")
    return [parsed]


def rows_of_columns(payload: bytes, rows_max: int) -> list[dict[str, Any]]:
    """The rows of a columnar batch, without the cells that are null; raises BadPayload."""
    parsed = parse_json(payload)
    if not isinstance(parsed, dict):
        raise BadPayload(f"the batch is {_kind(parsed)} where an object of columns was expected")
    for needed in ("t", "device"):
        if needed not in parsed:
            raise BadPayload(f"the batch has no column {needed!r}")
    columns = {name: c for name, c in parsed.items() if c is not None}
    lengths = {name: len(c) for name, c in columns.items() if isinstance(c, list)}
    scalars = [name for name in columns if name not in lengths and name not in ("t", "device")]
    if scalars:
        raise BadPayload(f"column {scalars[0]!r} is {_kind(columns[scalars[0]])}, not an array")
    if not lengths:
        raise BadPayload("the batch has no array among its columns")
    count = next(iter(lengths.values()))
    for name, length in lengths.items():
        if length != count:
            first = next(iter(lengths))
            raise BadPayload(f"column {name!r} has {length:,} values where {first!r} has {count:,}")
    if count == 0:
        raise BadPayload("the batch has no rows")
    if count > rows_max:
        raise BadPayload(f"{count:,} rows in one message; at most {rows_max:,} are taken")
    return [
        {
            name: value
            for name, column in columns.items()
            if (value := column[i] if name in lengths else column) is not None
        }
        for i in range(count)
    ]


def reading_of(given: Any, device: str) -> dict[str, Any]:
    """Checked fields of one reading (`t`, `seq`, quantities as floats); raises BadRow."""
    row = _row(given, device)
    fields: dict[str, Any] = {"t": row["t"]}
    for name, value in row.items():
        if name in ("t", "device") or value is None:
            continue
        if name == "seq":
            fields["seq"] = _sequence(value, given)
        elif name not in INDEX:
            raise BadRow(f"unknown quantity {name!r}; the names are in docs/payloads.md", given)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            raise BadRow(f"{name} is {_kind(value)}, not a number", given)
        else:
            try:
                fields[name] = float(value)
            except OverflowError:
                raise BadRow(f"{name} is too large for any instrument", given) from None
            if not math.isfinite(fields[name]):
                word = "not a number (NaN)" if math.isnan(value) else "infinite"
                raise BadRow(f"{name} is {word}; leave out what was not measured", given)
    return fields


def event_of(given: Any, device: str) -> dict[str, Any]:
    """Checked fields of one event (`t`, `seq`, `event`); other fields are left aside.

    A last gasp is worth more than the form of what it brings along.
    """
    row = _row(given, device)
    event = row.get("event")
    if not isinstance(event, str) or event not in EVENT_CODE:
        known = ", ".join(EVENT_CODE)
        shown = repr(event[:40]) if isinstance(event, str) else _kind(event)
        raise BadRow(f"event is {shown}; known are {known}", given)
    fields: dict[str, Any] = {"t": row["t"], "event": event}
    if row.get("seq") is not None:
        fields["seq"] = _sequence(row["seq"], given)
    return fields


def _row(given: Any, device: str) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise BadRow(f"the row is {_kind(given)} where an object was expected", given)
    if given.get("t") is None:
        raise BadRow("the row has no time 't'", given)
    named = given.get("device")
    if named is not None and named != device:
        raise BadRow(
            f"the payload names device {str(named)[:60]!r}, but the topic belongs to {device!r}",
            given,
        )
    try:
        time_us(given["t"])
    except ValueError as error:
        raise BadRow(str(error), given) from None
    return given


def _sequence(value: Any, given: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _SEQ_MAX:
        shown = _kind(value)
        if shown == "a number" and abs(value) < 1e21:
            shown = f"{value}"
        raise BadRow(f"seq is {shown}; a whole number from 0 to 2^63 - 1 was expected", given)
    return value


def _kind(value: Any) -> str:
    words = {type(None): "missing", bool: "true/false", str: "a text", list: "an array"}
    words |= {dict: "an object", int: "a number", float: "a number"}
    return words.get(type(value), type(value).__name__)
