"""A journal in memory, for tests of what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grid.journal import Entry, Record
from grid.readings import ReadingBatch

START_US = 1_790_000_000_000_000 // 3_600_000_000 * 3_600_000_000  # a full hour in 2026
MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US


class MemoryJournal:
    """`grid.journal.Journal` without a file."""

    def __init__(self, uuid: str = "journal-1") -> None:
        self._uuid = uuid
        self._entries: list[Entry] = []
        self._head = 0

    @property
    def uuid(self) -> str:
        return self._uuid

    def append(self, records: Sequence[Record]) -> int:
        for record in records:
            self._head += 1
            self._entries.append(Entry(self._head, record))
        return self._head

    def read(self, after: int, limit: int) -> list[Entry]:
        return [e for e in self._entries if e.offset > after][:limit]

    def head(self) -> int:
        return self._head

    def trim(self, below: int) -> int:
        before = len(self._entries)
        self._entries = [e for e in self._entries if e.offset >= below]
        return before - len(self._entries)

    def close(self) -> None:
        self._entries = []

    def readings(self, names: Sequence[str], device: Any, time: Any, **columns: Any) -> int:
        """Append one batch; quantities by name, and received, seq, quality, event."""
        extra = {k: columns.pop(k) for k in ("received", "seq", "quality", "event") if k in columns}
        batch = ReadingBatch.of(names, device, time, columns, **extra)
        return self.append([Record("test", batch)])
