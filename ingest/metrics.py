"""Plain counters of a collector, readable at any time from any thread; no metrics library.

Each counter has one writing thread, so no lock is needed; readers may see the parts of one
moment a few milliseconds apart.
"""

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from grid.journal import Quarantined
from ingest.checks import Checked

# What people can act on, by a piece of the reason's text.
_KINDS: Final = (
    ("is not in the network", "unknown_device"),
    ("unknown quantity", "unknown_quantity"),
    ("ahead of the site clock", "future_time"),
    ("before the year 2000", "clock_not_set"),
    ("impossible", "out_of_range"),
    ("holds no value", "no_value"),
    ("are taken", "too_large"),
    ("nothing is known about topic", "unknown_topic"),
    ("names device", "wrong_device"),
    ("not JSON", "not_json"),
    ("not usable JSON", "not_json"),
    ("UTF-8", "not_json"),
    ("nested too deeply", "not_json"),
    ("event is", "unknown_event"),
    ("leave out what was not measured", "not_finite"),
    ("too large for any instrument", "not_finite"),
    ("not a number", "wrong_type"),
    ("was expected", "wrong_type"),
    ("device is not a text", "wrong_type"),
    ("an empty array", "wrong_shape"),
    ("the payload is empty", "wrong_shape"),
    ("the packed batch cannot be read", "wrong_shape"),
    ("column", "wrong_shape"),
    ("the batch has", "wrong_shape"),
    ("time", "bad_time"),
)


def reason_kind(reason: str) -> str:
    """A short label for a quarantine reason, for counting.

    >>> reason_kind("row 3: unknown quantity 'volt'; the names are in docs/payloads.md")
    'unknown_quantity'
    """
    return next((kind for piece, kind in _KINDS if piece in reason), "other")


@dataclass(slots=True)
class SourceMetrics:
    """Counters of one broker or one bus."""

    connected: bool = False
    trouble: str = ""  # the last thing that went wrong, empty when all is well
    connections: int = 0
    sessions_lost: int = 0  # the broker had forgotten us: what it held is gone
    dropped_by_broker: int = 0  # since this collector first heard of it (Mosquitto's own count)
    warnings: tuple[str, ...] = ()  # promises that the broker's settings break, with the fix
    tried: tuple[str, ...] = ()  # what the experiment with the broker's limits found
    errors: int = 0  # unexpected exceptions, each logged with its traceback
    messages: int = 0
    bytes: int = 0
    readings: int = 0
    events: int = 0
    duplicates: int = 0
    sequence_gaps: int = 0  # Sparkplug messages that were lost on the way
    quarantined: Counter[str] = field(default_factory=Counter)
    appends: int = 0
    ticks: int = 0
    tick_us: int = 0  # site time of the last tick
    holding: bool = False  # the journal has no room; nothing is acknowledged
    queue_depth: int = 0  # received, not yet in the journal
    oldest_unacked: float = 0.0  # monotonic time of its arrival, 0 for none
    last_append: float = 0.0  # monotonic time

    def ack_age_s(self) -> float:
        """How long the oldest unacknowledged message has been waiting here, seconds."""
        oldest = self.oldest_unacked
        return max(0.0, time.monotonic() - oldest) if oldest else 0.0

    def count(self, checked: Checked, quarantined: Iterable[Quarantined]) -> None:
        """Add what one append carried."""
        events = int((checked.batch.event != 0).sum())
        self.readings += len(checked.batch) - events
        self.events += events
        self.duplicates += checked.duplicates
        for q in quarantined:
            self.quarantined[reason_kind(q.reason)] += 1


@dataclass(slots=True)
class UnitMetrics:
    """Counters of one Modbus unit."""

    device: str
    polls_ok: int = 0
    polls_partial: int = 0
    polls_failed: int = 0
    polls_missed: int = 0  # due, but the bus had no time or the unit was backed off
    requests: int = 0
    last_error: str = ""
    backoff_s: float = 0.0


@dataclass(slots=True)
class CollectorMetrics:
    """All counters of a collector; sources by name, units by (source, unit number)."""

    sources: dict[str, SourceMetrics] = field(default_factory=dict)
    units: dict[tuple[str, int], UnitMetrics] = field(default_factory=dict)
    skewed: dict[str, float] = field(default_factory=dict)  # device: seconds its clock is ahead
    journal_bytes: int = 0  # live entries
    journal_wal_bytes: int = 0
    journal_head: int = 0

    def source(self, name: str) -> SourceMetrics:
        """The counters of a source, made at the first call."""
        return self.sources.setdefault(name, SourceMetrics())

    def forget(self, name: str) -> None:
        """A source that is no longer configured."""
        self.sources.pop(name, None)
        for key in [key for key in self.units if key[0] == name]:
            del self.units[key]

    def healthy(self) -> bool:
        """Every source is connected, nothing is held."""
        return all(s.connected and not s.holding for s in self.sources.values())
