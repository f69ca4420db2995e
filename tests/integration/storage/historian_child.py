"""A historian in a process of its own, to be killed: `python historian_child.py URL JOURNAL`."""

from __future__ import annotations

import sys
from pathlib import Path

from ingest.journal import SqliteJournal
from storage.database import Database
from storage.historian import Historian


def main(url: str, path: str) -> None:
    with Database(url, application="historian-child") as database:
        journal = SqliteJournal(Path(path))
        historian = Historian(database, journal)
        while historian.run_once(limit=1).entries:
            pass


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
