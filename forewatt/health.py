"""How each process says that it works: one small file, replaced whole, read by the others.

Health is the age of the last commit and the lag behind the journal, never "is connected". A file
whose writer has died or fallen silent counts as unhealthy, whatever it says.
"""

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SILENT_S = 15.0  # a process writes every second; a busy machine gets the benefit of the doubt
WRITE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Report:
    """What one process said last.

    Attributes
    ----------
    at : float
        Machine time of the report, seconds since 1970.
    offset, lag : int or None
        Journal offset committed last, and entries behind it.
    commit_at : float or None
        Machine time of the last commit.
    waiting_for : str
        What it waits for in one sentence; empty when it works.
    detail : mapping
        Counters and gauges for people and for `/metrics`.
    reload : mapping
        The last `forewatt reload`: its `token`, and the `troubles` it met.
    """

    role: str
    pid: int
    ready: bool
    at: float
    offset: int | None = None
    lag: int | None = None
    commit_at: float | None = None
    waiting_for: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    reload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """The process exists and spoke within `SILENT_S`."""
        return time.time() - self.at < SILENT_S and _exists(self.pid)

    @property
    def healthy(self) -> bool:
        """Alive, serving, and not waiting for anything."""
        return self.alive and self.ready and not self.waiting_for


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class HealthFile:
    """The writer's side; safe to call from several threads."""

    def __init__(self, folder: Path, role: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{role}.json"
        self.role = role
        self._fields: dict[str, Any] = {"ready": False}
        self._lock = threading.Lock()
        self._written = 0.0

    def say(self, **fields: Any) -> None:
        """Remember fields of `Report`; written at once when readiness or waiting changes."""
        with self._lock:
            urgent = any(
                key in fields and fields[key] != self._fields.get(key, "")
                for key in ("ready", "waiting_for", "reload")
            )
            self._fields.update(fields)
            if urgent or time.monotonic() - self._written >= WRITE_EVERY_S:
                self._write()

    def _write(self) -> None:
        text = json.dumps(
            {"role": self.role, "pid": os.getpid(), "at": time.time(), **self._fields}
        )
        beside = self.path.with_suffix(".tmp")
        beside.write_text(text)
        beside.replace(self.path)
        self._written = time.monotonic()

    def remove(self) -> None:
        """The process ends in good order."""
        self.path.unlink(missing_ok=True)


def read_reports(folder: Path) -> dict[str, Report]:
    """The last word of every process, by role; a file cut short by a crash is left out."""
    reports: dict[str, Report] = {}
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            data = json.loads(path.read_text())
            reports[path.stem] = Report(**data)
        except (ValueError, TypeError, FileNotFoundError):
            continue
    return reports
