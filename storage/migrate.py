"""Numbered SQL files to the schema: each applied once, in order, by one process at a time.

A file that was applied is never edited (its checksum is kept); a change is a new file. Numbers
of different rooms may interleave: whatever is not applied yet is, lowest number first.
"""

import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from storage.database import Connection, Database
from storage.errors import DatabaseBusy, MigrationError

FOLDER = Path(__file__).parent / "migrations"
LOCK_KEY = 0x666F7265  # "fore": one migration at a time in a database
LOCK_WAIT_S = 120
STEP_LOCK_MS = 2000  # readers of a busy table never wait longer than this for a migration
TRIES = 10

_CREATE = """
CREATE TABLE IF NOT EXISTS schema_migration (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """All migrations of a folder in order; a name that is not `NNNN_words.sql` is an error."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named NNNN_words.sql. Rename it.")
        version = int(match[1])
        if version in found:
            raise MigrationError(f"two migrations bear the number {version:04d}. Renumber one.")
        found[version] = Migration(version, path.stem, path.read_text(encoding="utf-8"))
    return list(found.values())


def migrate(database: Database, *, folder: Path = FOLDER) -> list[str]:
    """Bring the schema up to date and return the names of what was applied now.

    Raises
    ------
    MigrationError
        When an applied file was edited, the database is newer than this program, TimescaleDB is
        missing, or a file fails (its own changes are rolled back, earlier ones stay).
    DatabaseUnavailable
        When the server does not answer; `DatabaseBusy` when another migration keeps its lock.
    """
    known = migrations(folder)
    connection = database.connect(autocommit=True)
    try:
        _need_timescaledb(connection)
        connection.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
        connection.execute("SET statement_timeout = 0")
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        except psycopg.errors.LockNotAvailable as e:
            raise DatabaseBusy(
                f"another migration has held its lock for {LOCK_WAIT_S} s. "
                "Wait for it, or end its session in pg_stat_activity."
            ) from e
        connection.execute(f"SET lock_timeout = '{STEP_LOCK_MS}ms'")
        connection.execute(_CREATE)
        applied = {
            int(v): (str(n), str(c))
            for v, n, c in connection.execute(
                "SELECT version, name, checksum FROM schema_migration"
            )
        }
        _check(known, applied)
        waiting = [m for m in known if m.version not in applied]
        for migration in waiting:
            _apply(connection, migration)
        return [m.name for m in waiting]
    finally:
        connection.close()  # also releases the advisory lock


def _check(known: Sequence[Migration], applied: Mapping[int, tuple[str, str]]) -> None:
    by_version = {m.version: m for m in known}
    for version, (name, checksum) in applied.items():
        migration = by_version.get(version)
        if migration is None:
            raise MigrationError(
                f"the database has migration {name}, which this Forewatt does not know. "
                "Install the newer Forewatt that made it."
            )
        if migration.checksum != checksum:
            raise MigrationError(
                f"migration {migration.name} was edited after it was applied. "
                "Restore the file and put the change into a new migration."
            )


def _apply(connection: Connection, migration: Migration) -> None:
    for left in reversed(range(TRIES)):
        try:
            with connection.transaction():
                connection.execute(migration.text.encode())
                connection.execute(
                    "INSERT INTO schema_migration (version, name, checksum) VALUES (%s, %s, %s)",
                    [migration.version, migration.name, migration.checksum],
                )
            return
        except psycopg.errors.LockNotAvailable as e:
            if not left:
                raise DatabaseBusy(
                    f"migration {migration.name} did not get its lock in {TRIES} tries. "
                    "Stop long transactions and migrate again."
                ) from e
            time.sleep(0.2)  # let the writers through that queued behind the attempt
        except psycopg.Error as e:
            raise MigrationError(
                f"migration {migration.name} failed: {str(e).strip()}. Nothing of it was kept."
            ) from e


def _need_timescaledb(connection: Connection) -> None:
    found = connection.execute(
        "SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'"
    ).fetchone()
    if found is None:
        raise MigrationError(
            "this PostgreSQL has no TimescaleDB. Install the package for its version "
            "(Debian: postgresql-17-timescaledb) and set shared_preload_libraries = 'timescaledb'."
        )
