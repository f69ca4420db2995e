"""Measured data out of storage for the pages; what every page asks is asked at most once in 2 s."""

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Final, Generic, TypeVar

import storage.fleet
import storage.series
from grid.clock import Clock
from grid.errors import ForewattError
from grid.network import Network
from storage.database import Database
from storage.fleet import FleetHealth, Gap, JournalPosition, QuarantineRow, Silent
from storage.series import Series

KEEP_S: Final = 2.0
T = TypeVar("T")


class _Kept(Generic[T]):
    """A value that is asked for again when it is older than `KEEP_S`; one asker at a time."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = Lock()
        self._value: tuple[float, T] | None = None

    def get(self) -> T:
        with self._lock:
            now = time.monotonic()
            if self._value is None or now - self._value[0] > KEEP_S:
                self._value = (now, self._ask())
            return self._value[1]


class StoredReadings:
    """Implements `web.doors.Readings` on the database."""

    def __init__(
        self, database: Database, network: Network, clock: Clock, realm: str = "live"
    ) -> None:
        self._database, self._realm = database, realm
        self._health = _Kept(
            lambda: storage.fleet.fleet_health(database, network, clock.now_us(), realm=realm)
        )
        self._silent = _Kept(
            lambda: storage.fleet.silent_devices(database, network, clock.now_us(), realm=realm)
        )

    def series(
        self, device: str, quantities: Sequence[str], start_us: int, end_us: int, max_points: int
    ) -> Series:
        return storage.series.series(
            self._database,
            device,
            quantities,
            start_us,
            end_us,
            max_points=max_points,
            realm=self._realm,
        )

    def health(self) -> FleetHealth:
        return self._health.get()

    def silent(self) -> Sequence[Silent]:
        return self._silent.get()

    def last_seen(self, device: str) -> int | None:
        batch = storage.fleet.latest(self._database, [device], realm=self._realm)
        return int(batch.time[0]) if len(batch) else None

    def gaps(self, limit: int) -> Sequence[Gap]:
        return storage.fleet.gaps(self._database, limit=limit, realm=self._realm)

    def refused(self, limit: int) -> Sequence[QuarantineRow]:
        return storage.fleet.quarantine_rows(self._database, limit=limit, realm=self._realm)

    def positions(self) -> Mapping[str, JournalPosition]:
        return storage.fleet.journal_positions(self._database)

    def well(self) -> bool:
        try:
            storage.fleet.journal_positions(self._database)
        except ForewattError:
            return False
        return True
