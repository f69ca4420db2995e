"""Which files were taken, so that none is taken twice and a mended one is known as such.

A small SQLite file beside the journal. It is written after the journal has the rows: killed in
between, a file is read once more, and storage recognises every row of it.
"""

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from grid.errors import ForewattError

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS taken (folder TEXT, name TEXT, size INTEGER NOT NULL,"
    " changed_ns INTEGER NOT NULL, digest TEXT NOT NULL, judged_by TEXT NOT NULL,"
    " state TEXT NOT NULL, lines INTEGER NOT NULL, taken_us INTEGER NOT NULL,"
    " PRIMARY KEY (folder, name))",
    "CREATE INDEX IF NOT EXISTS taken_digest ON taken (folder, digest)",
)
_COLUMNS: Final = "name, size, changed_ns, digest, judged_by, state, lines, taken_us"


class Taken(NamedTuple):
    """A file that was looked at.

    `state` is stored, copy (of a file with another name), refused (as a whole) or strangers (it
    names meters that the network does not have); `judged_by` is what the last two hang on.
    `lines` of a refused file are those that its name had before: they count until it is mended.
    """

    name: str
    size: int
    changed_ns: int
    digest: str
    judged_by: str
    state: str
    lines: int
    taken_us: int


class FileLedger:
    """The files of one folder. Raises ForewattError when the ledger cannot be used."""

    def __init__(self, path: Path, folder: str) -> None:
        self._path, self._folder = path, folder
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=10.0, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            for statement in _SCHEMA:
                self._db.execute(statement)
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> ForewattError:
        return ForewattError(
            f"the list of taken files {self._path} cannot be used: {error}. Check the folder and "
            "its rights; without it files could be taken twice"
        )

    def all(self) -> dict[str, Taken]:
        """Every file of the folder that is known, by name."""
        try:
            with self._lock:
                rows = self._db.execute(
                    f"SELECT {_COLUMNS} FROM taken WHERE folder = ?", (self._folder,)
                ).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return {row[0]: Taken(*row) for row in rows}

    def note(self, files: Iterable[Taken]) -> None:
        """Remember these as they are now, all or none."""
        places = ", ".join("?" * 9)
        try:
            with self._lock:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(
                    f"INSERT OR REPLACE INTO taken (folder, {_COLUMNS}) VALUES ({places})",
                    [(self._folder, *file) for file in files],
                )
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._failed(error) from error

    def forget(self, names: Iterable[str]) -> None:
        """Files that are gone for long and will not come again."""
        try:
            with self._lock:
                self._db.executemany(
                    "DELETE FROM taken WHERE folder = ? AND name = ?",
                    [(self._folder, name) for name in names],
                )
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._db.close()
