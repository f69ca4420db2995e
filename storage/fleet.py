"""How the fleet is: newest readings, who is silent, what is owed, what was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql

from grid.network import Device, Network
from grid.readings import ReadingBatch
from storage.arrays import copy_readings, reading_columns
from storage.database import Database
from storage.queries import queries
from storage.realms import find_realm
from storage.times import micros, moment

# Devices that owe readings; switches and gateways speak when something happens.
REPORTING_KINDS = frozenset({"meter", "transformer_monitor"})
INTERVAL_S = 900.0  # assumed where the network does not say
OVERDUE_FACTOR = 2.0
GRACE_S = 30.0  # for the way from the device to the table
SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class FleetHealth:
    """Are readings coming in?

    Attributes
    ----------
    devices, fresh
        Devices of the network that owe readings, and how many of them are up to date.
    newest_us
        Event time of the newest reading, None before the first.
    lag_s
        Site time now less `newest_us`, in seconds.
    delayed_since_us
        None while some reading is fresh enough; else since when nothing new has come.
    """

    devices: int
    fresh: int
    newest_us: int | None
    lag_s: float | None
    delayed_since_us: int | None


@dataclass(frozen=True, slots=True)
class Silent:
    """A device that owes readings; `newest_us` None: never heard."""

    device: str
    newest_us: int | None
    allowed_s: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings owed strictly between two stored ones; closed when they came or were given up.

    `reason` is "sequence", "interval" or `SILENCE`: the device is silent still, `before_us` is now,
    and no row is stored yet (`id` 0, `opened_us` is when the silence became too long).
    """

    id: int
    device: str
    after_us: int
    before_us: int
    reason: str
    missing: int
    filled: int
    opened_us: int
    closed_us: int | None


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """A refused payload with its reason; `times` counts how often it came."""

    id: int
    hash: str
    source: str
    reason: str
    device: str | None
    payload: bytes
    received_us: int
    times: int


@dataclass(frozen=True, slots=True)
class ReadingConflict:
    """Values that came for a time whose reading differs.

    The stored ones stand, unless a mended export gave the others; None in `arrived` is a value
    that such an export has taken back.
    """

    device: str
    time_us: int
    arrived: Mapping[str, float | None]
    stored: Mapping[str, float]
    received_us: int


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """How far a consumer has read, and when (real time) it last moved."""

    journal: str
    offset: int
    updated_us: int


def latest(
    database: Database, devices: Sequence[str] | None = None, *, realm: str = "live"
) -> ReadingBatch:
    """The newest reading of each device (of all, or of those named), one row a device."""
    with database.connection() as connection:
        found = connection.execute(
            "SELECT id, name FROM device WHERE %s::text[] IS NULL OR name = ANY(%s)",
            [devices and list(devices), devices and list(devices)],
        )
        names = {int(key): str(name) for key, name in found}
        realm_key = find_realm(connection, realm)
        if realm_key is None or not names or (devices is not None and not devices):
            return ReadingBatch.empty()
        statement = queries("fleet").compose(
            "latest",
            columns=reading_columns(),
            realm=sql.Literal(realm_key),
            all_devices=sql.SQL("true" if devices is None else "false"),
            keys=sql.Literal(list(names)),
        )
        return copy_readings(connection, statement, names)


def fleet_health(
    database: Database, network: Network, now_us: int, *, realm: str = "live"
) -> FleetHealth:
    """Whether readings come in, judged at site time `now_us`."""
    newest = _newest(database, realm)
    owing = _owing(network)
    fresh = sum(d.id in newest and now_us - newest[d.id] <= allowed_s(d) * 1e6 for d in owing)
    if not newest:
        return FleetHealth(len(owing), 0, None, None, None)
    last = max(newest.values())
    lag_s = (now_us - last) / 1e6
    patience_s = min((allowed_s(d) for d in owing), default=OVERDUE_FACTOR * INTERVAL_S)
    return FleetHealth(len(owing), fresh, last, lag_s, last if lag_s > patience_s else None)


def silent_devices(
    database: Database, network: Network, now_us: int, *, realm: str = "live"
) -> list[Silent]:
    """Devices that owe readings at site time `now_us`, the longest silent first."""
    newest = _newest(database, realm)
    found = [
        Silent(d.id, newest.get(d.id), allowed_s(d))
        for d in _owing(network)
        if d.id not in newest or now_us - newest[d.id] > allowed_s(d) * 1e6
    ]
    return sorted(found, key=lambda s: (s.newest_us or 0, s.device))


def allowed_s(device: Device) -> float:
    """How old the newest reading of a device may be before it counts as silent, seconds."""
    interval_s = device.interval_s or INTERVAL_S
    return OVERDUE_FACTOR * max(interval_s, device.delivery_s or 0.0) + GRACE_S


def _owing(network: Network) -> list[Device]:
    return [d for d in network.devices if d.kind in REPORTING_KINDS]


def _newest(database: Database, realm: str) -> dict[str, int]:
    with database.connection() as connection:
        realm_key = find_realm(connection, realm)
        rows = connection.execute(queries("fleet")["newest"], [realm_key])
        return {name: micros(time) for name, time, _ in rows}


def gaps(
    database: Database,
    *,
    device: str | None = None,
    open_only: bool = True,
    limit: int = 500,
    realm: str = "live",
    network: Network | None = None,
    now_us: int | None = None,
) -> list[Gap]:
    """What devices owe (or, with `open_only=False`, ever owed), newest first.

    A stored gap lies between two readings, so a silence has no row until the device speaks again.
    With `network` and site time `now_us` the silences that go on come first, the longest first,
    with reason `SILENCE`; devices never heard are in `silent_devices` only.
    """
    silences: list[Gap] = []
    if network is not None and now_us is not None:
        silences = _silences(database, network, now_us, device, realm)[:limit]
    given = {
        "realm": realm,
        "device": device,
        "open_only": open_only,
        "limit": limit - len(silences),
    }
    with database.connection() as connection:
        return silences + [
            Gap(
                id,
                name,
                micros(after),
                micros(before),
                reason,
                missing,
                filled,
                micros(opened),
                None if closed is None else micros(closed),
            )
            for id, name, after, before, reason, missing, filled, opened, closed in (
                connection.execute(queries("fleet")["gaps"], given)
            )
        ]


def _silences(
    database: Database, network: Network, now_us: int, device: str | None, realm: str
) -> list[Gap]:
    """A gap up to now for each device that was heard once and is silent for too long."""
    out: list[Gap] = []
    for s in silent_devices(database, network, now_us, realm=realm):
        if s.newest_us is None or device not in (None, s.device):
            continue
        interval_s = network.devices[network.device_index[s.device]].interval_s or INTERVAL_S
        missing = int((now_us - s.newest_us) / (interval_s * 1e6))
        since = s.newest_us + round(s.allowed_s * 1e6)
        out.append(Gap(0, s.device, s.newest_us, now_us, SILENCE, missing, 0, since, None))
    return out


def conflicts(
    database: Database, *, device: str | None = None, limit: int = 500, realm: str = "live"
) -> list[ReadingConflict]:
    """Readings that differ from those stored for their time, the newest found first."""
    given = {"realm": realm, "device": device, "limit": limit}
    with database.connection() as connection:
        return [
            ReadingConflict(name, micros(time), arrived, stored, micros(received))
            for name, time, arrived, stored, received in (
                connection.execute(queries("fleet")["conflicts"], given)
            )
        ]


def conflict_count(database: Database, *, realm: str = "live") -> int:
    """How many conflicts are on record."""
    with database.connection() as connection:
        row = connection.execute(queries("fleet")["conflict_count"], [realm]).fetchone()
    return 0 if row is None else int(row[0])


def gap_count(database: Database, *, realm: str = "live") -> int:
    """How many gaps are open."""
    with database.connection() as connection:
        row = connection.execute(queries("fleet")["gap_count"], [realm]).fetchone()
    return 0 if row is None else int(row[0])


def give_up_gaps(database: Database, before_us: int, *, realm: str = "live") -> int:
    """Close gaps that ended before a time: their readings are declared missing. How many."""
    given = {"realm": realm, "before": moment(before_us)}
    with database.connection() as connection:
        return connection.execute(queries("fleet")["close_gaps"], given).rowcount


def quarantine_rows(
    database: Database, *, limit: int = 100, before_id: int | None = None, realm: str = "live"
) -> list[QuarantineRow]:
    """Refused payloads, newest first; page on with the id of the last row."""
    given = {"realm": realm, "before": before_id, "limit": limit}
    with database.connection() as connection:
        return [
            QuarantineRow(id, hash, source, reason, device, payload, micros(received), times)
            for id, hash, source, reason, device, payload, received, times in (
                connection.execute(queries("fleet")["quarantine"], given)
            )
        ]


def quarantine_row(database: Database, id: int) -> QuarantineRow | None:
    """One refused payload by its id."""
    with database.connection() as connection:
        found = connection.execute(queries("fleet")["quarantine_row"], [id]).fetchone()
    if found is None:
        return None
    key, hash, source, reason, device, payload, received, times = found
    return QuarantineRow(key, hash, source, reason, device, payload, micros(received), times)


def quarantine_count(database: Database, *, realm: str = "live") -> int:
    """How many different payloads stand in quarantine."""
    with database.connection() as connection:
        row = connection.execute(queries("fleet")["quarantine_count"], [realm]).fetchone()
    return 0 if row is None else int(row[0])


def forget_quarantine(database: Database, ids: Sequence[int]) -> int:
    """Remove rows that were replayed or looked at; how many there were."""
    with database.connection() as connection:
        return connection.execute(queries("fleet")["forget_quarantine"], [list(ids)]).rowcount


def journal_positions(database: Database) -> dict[str, JournalPosition]:
    """How far each consumer has read, by its name."""
    with database.connection() as connection:
        return {
            name: JournalPosition(journal, offset, micros(updated))
            for name, journal, offset, updated in connection.execute(queries("fleet")["positions"])
        }
