"""A historian in a process of its own: `python historian_child.py URL JOURNAL [STEPS]`.

After so many steps it waits to be killed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ingest.journal import SqliteJournal
from storage.database import Database
from storage.historian import Historian


def main(url: str, path: str, most: int | None = None) -> None:
    with Database(url, application="historian-child") as database:
        journal = SqliteJournal(Path(path))
        historian = Historian(database, journal)
        steps = 0
        while historian.run_once(limit=1).entries:
            steps += 1
            if steps == most:
                sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None)
