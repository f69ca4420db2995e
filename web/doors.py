"""What the pages ask of other rooms, as protocols: the real ones live in storage.

Kept small on purpose: tests of the pages bring their own readings and people, and the ledger in
memory, and need no database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alerts.ledger import Ledger
from desk.counter import SupplyView as SupplyView
from grid.records import OutboxMessage


class LiveLedger(Ledger, Protocol):
    """A ledger that can be waited on."""

    def wait_outbox(self, after: int, timeout_s: float) -> list[OutboxMessage]:
        """Messages with seq > `after`; returns at once when there are some, else [] in time."""


class PersonView(Protocol):
    """Somebody who may sign in."""

    @property
    def id(self) -> int: ...
    @property
    def login(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def account(self) -> str | None: ...
    @property
    def language(self) -> str | None: ...
    @property
    def active(self) -> bool: ...
    @property
    def password_hash(self) -> str | None: ...


class People(Protocol):
    """People, sessions, links and tokens (`storage.people.People`)."""

    def find(self, login: str) -> PersonView | None: ...
    def list(self) -> Sequence[PersonView]: ...
    def open_session(
        self, person_id: int, lifetime_s: float, *, user_agent: str = ""
    ) -> str: ...
    def session(self, token: str) -> PersonView | None: ...
    def close_session(self, token: str) -> None: ...
    def use_link(self, token: str) -> PersonView | None: ...
    def bearer(self, token: str) -> PersonView | None: ...
    def set_password(self, login: str, password_hash: str) -> None: ...
    def audit(
        self, actor: str, action: str, subject: str, detail: Mapping[str, Any] = ...
    ) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class SeriesData:
    """Readings of one device for a chart.

    `time_us` int64[n]; each of `values`: quantity to (lowest, mean, highest), float32[n], NaN
    where nothing was reported; `step_s` 0 for raw readings, else the width of a point.
    """

    time_us: NDArray[np.int64]
    step_s: float
    values: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the measuring: devices heard in time out of all, and how late we are."""

    devices: int
    fresh: int
    newest_us: int | None
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings of a device that are missing between two times."""

    device: str
    start_us: int
    end_us: int
    missing: int
    filled: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Data that could not be taken, with the reason; `count` equal ones."""

    at_us: int
    source: str
    device: str
    reason: str
    detail: str
    payload: str
    count: int


class Readings(Protocol):
    """Measured data for pages (`web.readings.StoredReadings`)."""

    def series(
        self, device: str, quantities: Sequence[str], start_us: int, end_us: int, max_points: int
    ) -> SeriesData: ...
    def health(self) -> Health: ...
    def last_seen(self, devices: Sequence[str]) -> Mapping[str, int]: ...
    def gaps(self, limit: int) -> Sequence[Gap]: ...
    def refused(self, limit: int) -> Sequence[Refused]: ...
    def well(self) -> bool: ...
