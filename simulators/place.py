"""Where a replay stands, kept in a small file so that it can go on after a stop."""

import time
from collections.abc import Callable
from pathlib import Path

SAVE_S = 1.0


class Place:
    """How many rows of the span are surely acknowledged, kept in a file for the next start."""

    def __init__(self, path: Path | None, what: str) -> None:
        self._path = path
        self._what = what
        self._next = time.monotonic() + SAVE_S
        self.rows = 0
        if path is not None and path.is_file():
            what_was, _, rows = path.read_text(encoding="utf-8").rpartition("\n")
            self.rows = int(rows) if what_was == what and rows.isdigit() else 0

    def reached(self, rows: int, drain: Callable[[], bool]) -> None:
        """Remember, now and then, once everything before has been acknowledged."""
        if self._path is not None and time.monotonic() >= self._next and drain():
            beside = self._path.with_suffix(".tmp")
            beside.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(f"{self._what}\n{rows}", encoding="utf-8")
            beside.replace(self._path)
            self._next = time.monotonic() + SAVE_S

    def forget(self) -> None:
        """The replay is through: the next one begins at the beginning."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
