"""Turn MQTT payloads into rows: single JSON, arrays, columnar batches, events.

Receives topic, bytes and the site time of arrival; hands on `Rows` and quarantined payloads.
Knows nothing of sockets, journals or clocks. The forms are those of docs/payloads.md.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, repeat
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from grid.journal import Quarantined
from grid.quantities import EVENT_CODE, NAMES
from ingest.columns import NOT_PLAIN, NUMBER, SEQUENCE, TIME, decode_columns
from ingest.mapping import Rule
from ingest.packed import decode_packed
from ingest.rows import Origin, Rows, refusal, sequence_numbers, shortened, summed_up
from ingest.slow_json import BadPayload, BadRow, event_of, objects_of, parse_json, reading_of
from ingest.sparkplug import NAMESPACE, SparkplugHost
from ingest.times import milliseconds_us, time_us

PAYLOAD_BYTES_MAX: Final = 1 << 20
PAYLOAD_ROWS_MAX: Final = 10_000
TOPIC_ROOT: Final = "forewatt/v1"
FORMS: Final = ("readings", "batch", "packed", "events")
TOPICS: Final = tuple(f"{TOPIC_ROOT}/+/{form}" for form in FORMS)
_TOPICS_MAX: Final = 100_000  # remembered topics; a flood of new ones only costs the memory

# One Struct a reading, with a slot for each quantity: msgspec checks the types in C.
Reading: Any = msgspec.defstruct(
    "Reading",
    [
        ("t", TIME),
        ("seq", SEQUENCE | None, None),
        ("device", str | None, None),
        *((name, NUMBER, None) for name in NAMES),
    ],
    forbid_unknown_fields=True,
    gc=False,
)
_read_one: Callable[[bytes], Any] = msgspec.json.Decoder(Reading).decode
_read_many: Callable[[bytes], Any] = msgspec.json.Decoder(list[Reading]).decode
_FIRST_QUANTITY = 3  # place of the first quantity in a `Reading`


@dataclass(slots=True)
class Decoded:
    """What one or more payloads gave."""

    rows: Rows
    quarantined: list[Quarantined]


def decode(topic: str, payload: bytes, received_us: int, *, source: str = "mqtt") -> Decoded:
    """One payload by itself; see `PayloadDecoder` for many.

    >>> decode("forewatt/v1/M1/readings", b'{"t": 60000, "v_a": 231.2}', 0).rows.time
    array([60000000])
    """
    decoder = PayloadDecoder(source)
    decoder.add(topic, payload, received_us)
    return decoder.take()


class PayloadDecoder:
    """Collects the rows of many payloads; bounded by its user, who calls `take`.

    A payload that is not exactly of the fast form goes through `slow_json`, row by row, so that
    one bad row never takes its neighbours along.
    """

    def __init__(
        self,
        source: str = "mqtt",
        rules: Sequence[Rule] = (),
        sparkplug: SparkplugHost | None = None,
    ) -> None:
        self._source = source
        self._sparkplug = sparkplug
        self._rules = [(rule, rule.topic.regex) for rule in rules]
        self._forms: dict[str, tuple[Callable[..., None] | None, str]] = {}
        self._parts: list[Rows] = []
        self._quarantined: list[Quarantined] = []
        self._clear_readings()

    def _clear_readings(self) -> None:
        self._names: dict[str, int] = {}
        self._readings: list[Any] = []
        self._device: list[int] = []
        self._received: list[int] = []
        self._event: list[int] = []
        self._origin: list[int] = []
        self._origins: list[Origin] = []

    def __len__(self) -> int:
        return len(self._readings) + sum(map(len, self._parts)) + len(self._quarantined)

    def add(self, topic: str, payload: bytes, received_us: int) -> None:
        """Decode one payload; never raises for what stands in it."""
        found = self._forms.get(topic)
        if found is None:
            if len(self._forms) >= _TOPICS_MAX:
                self._forms.clear()
            found = self._forms[topic] = self._form(topic)
        form, device = found
        source = f"{self._source} {topic}"
        if form is None:
            reason = f"nothing is known about topic {topic!r}; publish below {TOPIC_ROOT}/<device>/"
            self._refuse(source, f"{reason} {', '.join(FORMS)}", payload, received_us)
        elif len(payload) > PAYLOAD_BYTES_MAX:
            digest = hashlib.sha256(payload).hexdigest()
            note = f"cut here; {len(payload):,} bytes, SHA-256 {digest}"
            reason = f"message of {len(payload):,} bytes; at most {PAYLOAD_BYTES_MAX:,} are taken"
            self._refuse(source, reason, shortened(payload, note), received_us, device or None)
        else:
            form(source, device, payload, received_us)

    def _form(self, topic: str) -> tuple[Callable[..., None] | None, str]:
        # A realm of its own, or a bridge between brokers, puts topic levels of its own before.
        before, root, after = topic.partition(f"{TOPIC_ROOT}/")
        parts = (root + after if root else topic).split("/")
        if root and len(parts) == 4 and before[-1:] in ("", "/") and parts[2]:
            forms = {"readings": self._add_readings, "events": self._add_events}
            if parts[3] == "batch":
                return self._add_columns, ""
            if parts[3] == "packed":
                return self._add_packed, ""
            return forms.get(parts[3]), parts[2]
        if self._sparkplug is not None and parts[0] == NAMESPACE:
            return partial(self._add_sparkplug, self._sparkplug, topic), ""
        for rule, pattern in self._rules:
            found = pattern.fullmatch(topic)
            if found:
                return partial(self._add_mapped, rule, found.groupdict()), ""
        return None, ""

    def _refuse(
        self, source: str, reason: str, payload: bytes, received_us: int, device: str | None = None
    ) -> None:
        self._quarantined.append(refusal(source, reason, payload, received_us, device))

    # -- one device a topic ----------------------------------------------------------------

    def _add_readings(self, source: str, device: str, payload: bytes, received_us: int) -> None:
        try:
            if payload[:1] == b"[":
                readings = _read_many(payload)
                if not 0 < len(readings) <= PAYLOAD_ROWS_MAX or not all(
                    r.device is None or r.device == device for r in readings
                ):
                    raise msgspec.ValidationError
            else:
                reading = _read_one(payload)
                if reading.device is not None and reading.device != device:
                    raise msgspec.ValidationError
                readings = (reading,)
        except NOT_PLAIN:
            self._slowly(source, device, payload, received_us, reading_of)
            return
        self._keep(
            readings, device, received_us, _origin(source, payload, len(readings)), repeat(0)
        )

    def _add_events(self, source: str, device: str, payload: bytes, received_us: int) -> None:
        self._slowly(source, device, payload, received_us, event_of)

    def _slowly(
        self,
        source: str,
        device: str,
        payload: bytes,
        received_us: int,
        one: Callable[[Any, str], dict[str, Any]],
    ) -> None:
        try:
            objects = objects_of(payload, PAYLOAD_ROWS_MAX)
        except BadPayload as bad:
            self._refuse(source, str(bad), payload, received_us, device)
            return
        whole = payload if len(objects) == 1 else None
        origin = _origin(source, payload, len(objects))
        refused = []
        for place, given in enumerate(objects):
            try:
                fields = one(given, device)
                event = EVENT_CODE[fields.pop("event")] if "event" in fields else 0
            except BadRow as bad:
                reason = str(bad) if whole is not None else f"row {place}: {bad}"
                text = bad.payload if whole is None else whole
                refused.append(refusal(source, reason, text, received_us, device))
                continue
            self._keep((Reading(**fields),), device, received_us, origin, (event,))
        self._quarantined += summed_up(refused, source, payload, received_us)

    def _keep(
        self, readings: Any, device: str, received_us: int, origin: Origin, events: Any
    ) -> None:
        place = self._names.setdefault(device, len(self._names))
        if not self._origins or self._origins[-1] is not origin:
            self._origins.append(origin)
        if len(readings) == 1:
            self._readings.append(readings[0])
            self._device.append(place)
            self._received.append(received_us)
            self._event.append(next(iter(events)))
            self._origin.append(len(self._origins) - 1)
            return
        n = len(readings)
        self._readings.extend(readings)
        self._device.extend([place] * n)
        self._received.extend([received_us] * n)
        self._event.extend(event for event, _ in zip(events, readings, strict=False))
        self._origin.extend([len(self._origins) - 1] * n)

    # -- other people's JSON ---------------------------------------------------------------

    def _add_mapped(
        self,
        rule: Rule,
        parts: dict[str, str],
        source: str,
        _: str,
        payload: bytes,
        received_us: int,
    ) -> None:
        try:
            found = list(
                islice(rule.readings(parse_json(payload), parts, received_us), PAYLOAD_ROWS_MAX + 1)
            )
        except BadPayload as bad:
            self._refuse(source, str(bad), payload, received_us)
            return
        if len(found) > PAYLOAD_ROWS_MAX:
            reason = f"more than {PAYLOAD_ROWS_MAX:,} rows in one message; no more are taken"
            self._refuse(source, reason, payload, received_us)
            return
        # A row of such a message cannot be written in its own form again: the message is kept.
        origin = Origin(source, payload, message=payload)
        refused = []
        for row in found:
            if isinstance(row, BadRow):
                refused.append(refusal(source, str(row), payload, received_us))
            else:
                device, fields = row
                self._keep((Reading(**fields),), device, received_us, origin, (0,))
        self._quarantined += summed_up(refused, source, payload, received_us)

    def _add_sparkplug(
        self, host: SparkplugHost, topic: str, source: str, _: str, payload: bytes, received_us: int
    ) -> None:
        self._add_part(*host.decode(source, topic, payload, received_us))

    # -- columns of many devices -----------------------------------------------------------

    def _add_columns(self, source: str, _: str, payload: bytes, received_us: int) -> None:
        self._add_part(*decode_columns(source, payload, received_us, PAYLOAD_ROWS_MAX))

    def _add_packed(self, source: str, _: str, payload: bytes, received_us: int) -> None:
        self._add_part(*decode_packed(source, payload, received_us, PAYLOAD_ROWS_MAX))

    def _add_part(self, rows: Rows, refused: list[Quarantined]) -> None:
        self._quarantined += refused
        if len(rows):
            self._close_readings()
            self._parts.append(rows)

    # -- handing on ------------------------------------------------------------------------

    def _close_readings(self) -> None:
        if self._readings:
            rows = self._rows_of_readings()
            if len(rows):
                self._parts.append(rows)
            self._clear_readings()

    def _rows_of_readings(self) -> Rows:
        columns = list(zip(*map(astuple, self._readings), strict=True))
        time, keep = self._times(columns[0])
        count = len(time)
        rows = Rows(
            tuple(self._names),
            np.array(self._device, np.int32),
            time,
            np.array(self._received, np.int64),
            sequence_numbers(columns[1], count),
            {
                name: np.array(column, np.float64)
                for name, column in zip(NAMES, columns[_FIRST_QUANTITY:], strict=True)
                if column.count(None) != count
            },
            np.array(self._event, np.uint8),
            np.zeros(count, np.uint16),
            np.array(self._origin, np.int32),
            self._origins,
        )
        return rows if keep is None else rows.select(keep)

    def _times(self, given: tuple[Any, ...]) -> tuple[NDArray[np.int64], NDArray[np.intp] | None]:
        """Times of the collected readings; with bad ones quarantined, the places of the good."""
        plain = milliseconds_us(given)
        if plain is not None:
            return plain, None
        out = np.zeros(len(given), np.int64)
        good = []
        for i, value in enumerate(given):
            try:
                out[i] = time_us(value)
                good.append(i)
            except ValueError as error:
                origin = self._origins[self._origin[i]]
                text = origin.payload
                if text is None:
                    fields = msgspec.structs.asdict(self._readings[i])
                    text = msgspec.json.encode({k: v for k, v in fields.items() if v is not None})
                device = tuple(self._names)[self._device[i]]
                self._refuse(origin.source, str(error), text, self._received[i], device)
        return out, None if len(good) == len(given) else np.array(good, np.intp)

    def take(self) -> Decoded:
        """Everything since the last call, in order of arrival; the decoder is empty afterwards."""
        self._close_readings()
        decoded = Decoded(Rows.concat(self._parts), self._quarantined)
        self._parts, self._quarantined = [], []
        return decoded


def _origin(source: str, payload: bytes, rows: int) -> Origin:
    return Origin(source, payload) if rows == 1 else Origin(source, None, message=payload)
