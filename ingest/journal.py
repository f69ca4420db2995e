"""The journal in one SQLite file: what it acknowledges has reached the disk.

WAL mode with `synchronous=FULL`: an append is one transaction and one fsync, whatever is killed
afterwards. One process appends, any number of processes read; trimming may come from another one.
"""

import logging
import sqlite3
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn
from uuid import uuid4

from grid.errors import ForewattError
from grid.journal import Entry, Quarantined, Record

FILE_NAME: Final = "journal.sqlite"
BUSY_TIMEOUT_S: Final = 10.0
READ_BYTES_MAX: Final = 64 << 20  # one read never hands out much more than this
TRIM_STEP: Final = 500  # entries a transaction: a trim never holds the write lock for long
_VACUUM_PAGES: Final = 2_048  # free pages handed back to the file system in one step
_PAGE_BYTES: Final = 8_192  # fewer overflow pages than 4096 for batches of some hundred KB
_WAL_PAGES: Final = 2_048  # checkpoint after 16 MB

log = logging.getLogger(__name__)

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    # AUTOINCREMENT: a plain key starts again at 1 after a full trim, and offsets would be reused.
    "CREATE TABLE IF NOT EXISTS entries ("
    " offset INTEGER PRIMARY KEY AUTOINCREMENT, crc INTEGER NOT NULL, payload BLOB NOT NULL)",
)


class JournalError(ForewattError):
    """The journal file cannot be used; what was not appended must be held and tried again."""


class JournalFull(JournalError):
    """No room for another record: the disk is full, or the configured limit is reached."""


class SqliteJournal:
    """`grid.journal.Journal` in a file.

    Parameters
    ----------
    path : Path
        The file, or a folder (no suffix) in which `journal.sqlite` is kept.
    max_bytes : int or None
        Appends are refused with `JournalFull` while the live entries take more than this.

    All methods may be called from several threads.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None) -> None:
        path = Path(path)
        self.path = path / FILE_NAME if path.is_dir() or not path.suffix else path
        self.max_bytes = max_bytes
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._open()
            self._uuid = self._prepare(self._writer)
            self._reader = self._open()
        except (sqlite3.Error, OSError) as error:
            self._raise(error, "open")

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # counts only while the file is new
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit={4 * _WAL_PAGES * _PAGE_BYTES}")
        return connection

    @staticmethod
    def _prepare(connection: sqlite3.Connection) -> str:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute("INSERT OR IGNORE INTO meta VALUES ('uuid', ?)", (str(uuid4()),))
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.rollback()
            raise
        row = connection.execute("SELECT value FROM meta WHERE name = 'uuid'").fetchone()
        return str(row[0])

    def _raise(self, error: Exception, verb: str) -> NoReturn:
        code = getattr(error, "sqlite_errorcode", None)
        if code == sqlite3.SQLITE_FULL:
            raise JournalFull(
                f"journal {self.path} cannot {verb}: the disk is full. Free space; readings are "
                "held and not acknowledged until then"
            ) from error
        if code is not None and code & 0xFF == sqlite3.SQLITE_BUSY:
            raise JournalError(
                f"journal {self.path} cannot {verb}: another process has held it for "
                f"{BUSY_TIMEOUT_S:g} s. Check that only one collector uses this file"
            ) from error
        if code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise JournalError(
                f"journal {self.path} cannot {verb}: the file is damaged ({error}). Move it away; "
                "a new one is made at the next start"
            ) from error
        raise JournalError(
            f"journal {self.path} cannot {verb}: {error}. Check the folder and its rights"
        ) from error

    @property
    def uuid(self) -> str:
        """Identity of this log, made when the file was made."""
        return self._uuid

    def append(self, records: Sequence[Record]) -> int:
        """Make the records durable in one transaction and return the last offset.

        Raises `JournalFull` when there is no room and `JournalError` for any other trouble; in
        both cases nothing of this call was kept.
        """
        rows = []
        for record in records:
            payload = record.to_bytes()
            rows.append((zlib.crc32(payload), payload))
        with self._write_lock:
            if not rows:
                return self._head(self._writer)
            if self.max_bytes is not None and self._live_bytes(self._writer) > self.max_bytes:
                raise JournalFull(
                    f"journal {self.path} has reached its limit of {self.max_bytes:,} bytes. "
                    "Start the historian, or raise [journal] max_bytes; readings are held and not "
                    "acknowledged until then"
                )
            try:
                self._writer.execute("BEGIN IMMEDIATE")
                self._writer.executemany("INSERT INTO entries(crc, payload) VALUES (?, ?)", rows)
                last = self._head(self._writer)
                self._writer.execute("COMMIT")
            except sqlite3.Error as error:
                self._abandon()
                self._raise(error, "append")
            return last

    def _abandon(self) -> None:
        if self._writer.in_transaction:
            try:
                self._writer.execute("ROLLBACK")
            except sqlite3.Error as error:
                log.warning("journal %s: rollback after a failed append: %s", self.path, error)

    def read(self, after: int, limit: int) -> list[Entry]:
        """At most `limit` entries (and about 64 MiB) with offset > `after`, in order.

        An entry whose checksum fails comes back as a quarantined payload with the reason, so that
        the consumer stores it where people look and goes on.
        """
        rows: list[tuple[int, int, bytes]] = []
        with self._read_lock:
            try:
                cursor = self._reader.execute(
                    "SELECT offset, crc, payload FROM entries WHERE offset > ?"
                    " ORDER BY offset LIMIT ?",
                    (after, limit),
                )
                size = 0
                try:
                    for row in cursor:
                        rows.append(row)
                        size += len(row[2])
                        if size >= READ_BYTES_MAX:
                            break
                finally:
                    cursor.close()  # an open cursor would stop every checkpoint
            except sqlite3.Error as error:
                self._raise(error, "read")
        return [Entry(offset, self._decode(offset, crc, payload)) for offset, crc, payload in rows]

    def _decode(self, offset: int, crc: int, payload: bytes) -> Record:
        reason = "its checksum does not match"
        if zlib.crc32(payload) == crc:
            try:
                return Record.from_bytes(payload)
            except (ValueError, KeyError, TypeError) as error:
                reason = f"it cannot be read: {error}"
        source = f"journal {self.path.name} {self._uuid}"
        text = f"journal entry {offset} is damaged: {reason}"
        log.error("%s (%s)", text, self.path)
        return Record(source, quarantined=(Quarantined(source, text, payload, 0),))

    @staticmethod
    def _head(connection: sqlite3.Connection) -> int:
        row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name='entries'").fetchone()
        return int(row[0]) if row else 0

    def head(self) -> int:
        """The newest offset ever given, 0 for a journal that never held a record."""
        with self._read_lock:
            try:
                return self._head(self._reader)
            except sqlite3.Error as error:
                self._raise(error, "read")

    def trim(self, below: int) -> int:
        """Forget entries with offset < `below`, some hundred a transaction; return how many went.

        Space is used again by later appends and given back to the file system in small steps.
        """
        gone = 0
        while True:
            # The lock is taken anew for each step, so an append waits for one step at most.
            with self._write_lock:
                try:
                    cursor = self._writer.execute(
                        "DELETE FROM entries WHERE offset IN (SELECT offset FROM entries"
                        " WHERE offset < ? ORDER BY offset LIMIT ?)",
                        (below, TRIM_STEP),
                    )
                    step = cursor.rowcount
                    if step < TRIM_STEP:
                        self._give_back()
                except sqlite3.Error as error:
                    self._raise(error, "trim")
            gone += step
            if step < TRIM_STEP:
                return gone

    def _give_back(self) -> None:
        free = self._pragma(self._writer, "freelist_count")
        if free > 2 * _VACUUM_PAGES:
            self._writer.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()

    @staticmethod
    def _pragma(connection: sqlite3.Connection, name: str) -> int:
        return int(connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _live_bytes(self, connection: sqlite3.Connection) -> int:
        pages = self._pragma(connection, "page_count") - self._pragma(connection, "freelist_count")
        return pages * self._pragma(connection, "page_size")

    def sizes(self) -> dict[str, int]:
        """Bytes for metrics: `live` (entries), `file` (database file), `wal` (write-ahead log)."""
        with self._read_lock:
            try:
                live = self._live_bytes(self._reader)
            except sqlite3.Error as error:
                self._raise(error, "read")
        wal = self.path.with_name(self.path.name + "-wal")
        return {"live": live, "file": _size(self.path), "wal": _size(wal)}

    def close(self) -> None:
        """Release the file; further calls are errors."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
