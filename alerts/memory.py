"""A ledger in memory: what `backtest` writes to, and the tests' oracle for the one in PostgreSQL.

Keeps the same promises: a transaction that fails leaves nothing behind, uniqueness is refused
loudly, writers run one after the other. It lives as long as the process and is meant for one
dataset, not for months.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from alerts.ledger import Advance
from alerts.memory_people import Memory
from alerts.memory_tables import NotUnique as NotUnique


class MemoryLedger:
    """Implements `alerts.ledger.Ledger`; see there."""

    def __init__(self, realm: str = "live") -> None:
        self._realm = realm
        self._lock = RLock()
        self._memory = Memory()

    @property
    def realm(self) -> str:
        return self._realm

    @contextmanager
    def transaction(self, advance: Advance | None = None) -> Iterator[Memory]:
        with self._lock:
            memory = self._memory
            memory.mark()
            try:
                yield memory
                if advance is not None:
                    consumer, journal, offset = advance
                    memory.offsets[consumer, journal] = offset
            except BaseException:
                memory.take_back()
                raise

    @contextmanager
    def reading(self) -> Iterator[Memory]:
        with self._lock:
            yield self._memory
