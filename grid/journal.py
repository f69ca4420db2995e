"""The journal: one durable, ordered log between collectors and everything behind them.

`ingest` implements `Journal`, consumers in other rooms only see this protocol. A record holds
whatever arrived: readings and events, quarantined payloads, ticks of event time.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from grid.readings import ReadingBatch


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A payload, or a row of one, that could not become a reading, with the reason in words."""

    source: str  # e.g. "mqtt forewatt/v1/M1/readings"
    reason: str
    payload: bytes
    received_us: int
    device: str | None = None

    @property
    def hash(self) -> str:
        """Same source, same payload, same hash: redelivery adds no second row."""
        return hashlib.sha256(self.source.encode() + b"\0" + self.payload).hexdigest()


@dataclass(frozen=True, slots=True)
class Tick:
    """ "This source is connected and everything it had up to `up_to_us` has been appended." """

    source: str
    up_to_us: int


@dataclass(frozen=True, slots=True)
class Record:
    """What one append carries; any part may be empty.

    `source` names where the batch came from (one broker, one bus): watermarks are kept by source.
    `withdrawn` names values that no longer stand (cells that a mended export has emptied): its
    rows hold a number, no matter which, for each quantity that goes.
    """

    source: str
    batch: ReadingBatch = field(default_factory=ReadingBatch.empty)
    quarantined: Sequence[Quarantined] = ()
    ticks: Sequence[Tick] = ()
    withdrawn: ReadingBatch = field(default_factory=ReadingBatch.empty)

    def to_bytes(self) -> bytes:
        """Header (JSON, length first), quarantined payloads, what is withdrawn, the batch."""
        withdrawn = self.withdrawn.to_bytes() if len(self.withdrawn) else b""
        head: dict[str, Any] = {
            "source": self.source,
            "ticks": [[t.source, t.up_to_us] for t in self.ticks],
            "quarantined": [
                [q.source, q.reason, len(q.payload), q.received_us, q.device]
                for q in self.quarantined
            ],
        }
        if withdrawn:
            head["withdrawn"] = len(withdrawn)
        text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
        parts = [len(text).to_bytes(4, "little"), text]
        parts += [q.payload for q in self.quarantined]
        parts.append(withdrawn)
        if len(self.batch):
            parts.append(self.batch.to_bytes())
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Record":
        """The inverse of `to_bytes`; raises ValueError on other bytes."""
        size = int.from_bytes(data[:4], "little")
        at = 4 + size
        if len(data) < at:
            raise ValueError(f"journal record of {len(data)} bytes is cut short")
        head: Mapping[str, Any] = json.loads(data[4:at])
        quarantined = []
        for source, reason, length, received_us, device in head["quarantined"]:
            assert isinstance(length, int) and isinstance(received_us, int)
            payload = data[at : at + length]
            at += length
            name = None if device is None else str(device)
            quarantined.append(Quarantined(str(source), str(reason), payload, received_us, name))
        gone = int(head.get("withdrawn", 0))
        withdrawn = ReadingBatch.from_bytes(data[at : at + gone]) if gone else ReadingBatch.empty()
        at += gone
        batch = ReadingBatch.from_bytes(data[at:]) if at < len(data) else ReadingBatch.empty()
        ticks = []
        for source, up_to_us in head["ticks"]:
            assert isinstance(up_to_us, int)
            ticks.append(Tick(str(source), up_to_us))
        return cls(str(head["source"]), batch, tuple(quarantined), tuple(ticks), withdrawn)


@dataclass(frozen=True, slots=True)
class Entry:
    """A record with its place in the journal."""

    offset: int
    record: Record


class Journal(Protocol):
    """A durable ordered log. Offsets grow by appends and are never used twice, not even after
    a full trim. A consumer keeps (uuid, offset) and refuses another uuid."""

    @property
    def uuid(self) -> str:
        """Identity of this log, made when the file was made."""

    def append(self, records: Sequence[Record]) -> int:
        """Make the records durable in one step (fsync) and return the last offset."""

    def read(self, after: int, limit: int) -> list[Entry]:
        """At most `limit` entries with offset > `after`, in order, fetched whole."""

    def head(self) -> int:
        """The newest offset ever given, 0 for a journal that never held a record."""

    def trim(self, below: int) -> int:
        """Forget entries with offset < `below`, in small steps; return how many went."""

    def close(self) -> None:
        """Release the file; further calls are errors."""
