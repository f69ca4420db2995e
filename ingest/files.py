"""The file collector: a folder that a head-end writes exports to, rows to the journal.

It only reads the folder. A file is taken when it has not changed for a while, once; when it comes
again under its name with other content, its rows replace those stored (`Quality.REPLACES`). Files
that lie ready together are taken together, in order of time, so that event time does not pass
a meter whose file is read later. No ticks: event time of a folder follows its readings.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from grid.clock import Clock
from grid.errors import ForewattError
from grid.journal import Journal, Quarantined, Record
from grid.network import Network
from grid.readings import Quality
from ingest.checks import Checks, batch_of
from ingest.exports import SUFFIXES, BadExport, Exports
from ingest.file_ledger import FileLedger, Taken
from ingest.journal import JournalError
from ingest.metrics import CollectorMetrics
from ingest.rows import Rows, refusal
from ingest.settings import CollectorSettings, FileSource

# Of files read together, about 500 MB of memory; more wait for the next turn.
GROUP_BYTES: Final = 320 << 20
FILE_BYTES_MAX: Final = 1 << 30
ROWS_MAX: Final = 50_000  # of one journal record
KEEP_S: Final = 400 * 86_400  # a file that has gone is remembered so long
_KEPT_BYTES: Final = 1 << 16
_SAID: Final = {
    "stored": "is taken",
    "copy": "is a copy of another file and left alone",
    "refused": "cannot be read, see the quarantine",
    "strangers": "is taken but for meters that the network lacks, see the quarantine",
}
STRANGERS: Final = "meters are not in the network"
_NAMED: Final = 20  # meters listed by name in a reason

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that lies ready, and what is known of it."""

    path: Path
    size: int
    changed_ns: int
    known: Taken | None


class FileCollector:
    """Collects from one folder; see the module."""

    def __init__(
        self,
        source: FileSource,
        settings: CollectorSettings,
        journal: Journal,
        network: Network,
        clock: Clock,
        metrics: CollectorMetrics,
    ) -> None:
        self._source, self._settings = source, settings
        self._journal, self._clock = journal, clock
        self.name = f"files {source.path.name}"
        self._metrics = metrics.source(self.name)
        self._known = network.device_index
        if source.layout.primary:
            network = without_ratios(network)
        self._checks = Checks(network, clock, settings.checks)
        names = "\0".join(sorted(self._known))
        self._network_digest = hashlib.sha256(names.encode()).hexdigest()
        self._layout_digest = hashlib.sha256(repr(source.layout).encode()).hexdigest()
        self._ledger = FileLedger(source.ledger, str(source.path))

    def run(self, stop: threading.Event) -> None:
        """Look, take what is ready, wait; until `stop`."""
        try:
            while not stop.is_set():
                try:
                    taken = self._turn(stop)
                    self._well()
                except (ForewattError, OSError) as error:
                    taken = 0
                    self._metrics.connected = False
                    self._trouble(str(error))
                except Exception as error:
                    taken = 0
                    self._metrics.errors += 1
                    self._trouble(f"unexpected {type(error).__name__}: {error}")
                    log.exception("%s: unexpected trouble, looking again", self.name)
                if not taken:
                    stop.wait(self._source.every_s)
        finally:
            self._ledger.close()

    def skewed(self) -> list[tuple[str, float]]:
        """Devices whose clocks are known to be wrong, seconds ahead."""
        return self._checks.skewed()

    def _well(self) -> None:
        if not self._metrics.connected:
            self._metrics.connections += 1
        self._metrics.connected = True
        self._metrics.trouble = ""

    def _trouble(self, text: str) -> None:
        if text != self._metrics.trouble:
            log.warning("%s: %s", self.name, text)
        self._metrics.trouble = text

    # -- which files -----------------------------------------------------------------------

    def _turn(self, stop: threading.Event) -> int:
        """Take one group of ready files; how many there were."""
        ready = self._ready()
        self._metrics.queue_depth = len(ready)
        group: list[_Found] = []
        size = 0
        for found in ready:
            if group and size + found.size > GROUP_BYTES:
                break
            group.append(found)
            size += found.size
        if group:
            self._take(group, stop)
        return len(group)

    def _ready(self) -> list[_Found]:
        """Settled files that are new, changed, or may be judged better now; the oldest first."""
        taken = self._ledger.all()
        settled_ns = time.time_ns() - round(self._source.settle_s * 1e9)
        ready, there = [], set()
        with os.scandir(self._source.path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or not entry.name.lower().endswith(SUFFIXES):
                    continue
                try:
                    stat = entry.stat()
                    if not entry.is_file():
                        continue
                except FileNotFoundError:
                    continue  # moved away while we looked
                there.add(entry.name)
                known = taken.get(entry.name)
                found = _Found(Path(entry.path), stat.st_size, stat.st_mtime_ns, known)
                if stat.st_mtime_ns <= settled_ns and self._wanted(found):
                    ready.append(found)
        self._forget_old(taken, there)
        return sorted(ready, key=lambda f: (f.changed_ns, f.path.name))

    def _wanted(self, found: _Found) -> bool:
        known = found.known
        if known is None or (known.size, known.changed_ns) != (found.size, found.changed_ns):
            return True
        if known.state == "refused":
            return known.judged_by != self._layout_digest
        return known.state == "strangers" and known.judged_by != self._network_digest

    def _forget_old(self, taken: dict[str, Taken], there: set[str]) -> None:
        before_us = self._clock.now_us() - KEEP_S * 1_000_000
        gone = [n for n, t in taken.items() if n not in there and t.taken_us < before_us]
        if gone:
            self._ledger.forget(gone)

    # -- taking ----------------------------------------------------------------------------

    def _take(self, group: Sequence[_Found], stop: threading.Event) -> None:
        now_us = self._clock.now_us()
        exports = Exports(now_us)
        digests = {t.digest for t in self._ledger.all().values() if t.state != "refused"}
        notes: list[Taken] = []
        refused: list[Quarantined] = []
        for found in group:
            note = self._read(found, exports, digests, refused, now_us)
            if note is not None:
                notes.append(note)
                digests.add(note.digest)
        strangers = [name for name in exports.names if name not in self._known]
        if strangers:
            refused.append(self._strangers(group, strangers, now_us))
            notes = [
                n._replace(state="strangers", judged_by=self._network_digest)
                if n.state == "stored"
                else n
                for n in notes
            ]
        refused += exports.refused
        if refused and not self._append(Record(self.name, quarantined=tuple(refused)), stop):
            return
        self._metrics.quarantined.update(kind for kind in ["file"] * len(refused))
        known = np.array([name in self._known for name in exports.names], bool)
        for rows in exports.steps():
            if strangers:
                rows = rows.select(known[rows.device])
            for part in _parts(rows):
                if not self._keep(part, stop):
                    return  # asked to stop: the files are read again at the next start
        for rows in _joined(exports.withdrawn()):
            gone = rows.select(known[rows.device])
            if len(gone) and not self._append(Record(self.name, withdrawn=batch_of(gone)), stop):
                return
        self._ledger.note(notes)
        self._metrics.messages += len(notes)
        self._metrics.bytes += sum(note.size for note in notes)
        for note in notes:
            lines = 0 if note.state == "refused" else note.lines
            log.info("%s: %s %s, %d lines", self.name, note.name, _SAID[note.state], lines)

    def _read(
        self,
        found: _Found,
        exports: Exports,
        digests: set[str],
        refused: list[Quarantined],
        now_us: int,
    ) -> Taken | None:
        """Read one file into `exports`; the note to make of it, None to come back later."""
        name, known = found.path.name, found.known
        note = Taken(name, found.size, found.changed_ns, "", "", "stored", 0, now_us)
        try:
            if found.size > FILE_BYTES_MAX:
                raise BadExport(f"it has more than {FILE_BYTES_MAX >> 20} MiB; split it")
            digest = _digest(found.path)
            note = note._replace(digest=digest)
            same = known is not None and known.digest == digest
            if same and known is not None and known.state in ("stored", "copy"):
                return note._replace(state=known.state, lines=known.lines)
            if not same and digest in digests:
                return note._replace(state="copy")
            # Other content under a name that was stored: its rows count, not the earlier ones.
            # So do those of a refused file whose name had lines before.
            mended = known is not None and (
                known.lines > 0 if known.state == "refused" else not same and known.state != "copy"
            )
            quality = Quality.REPLACES | Quality.BACKFILL if mended else Quality.GOOD
            lines = exports.add(found.path, self._source.layout, name, quality=int(quality))
        except FileNotFoundError:
            return None
        except BadExport as bad:
            start = found.path.read_bytes()[:_KEPT_BYTES] if found.size <= FILE_BYTES_MAX else b""
            source = f"file {self._source.layout.name} {name}"
            refused.append(refusal(source, str(bad), start, now_us))
            before = known.lines if known is not None and known.state != "copy" else 0
            return note._replace(state="refused", judged_by=self._layout_digest, lines=before)
        stat = found.path.stat()
        if (stat.st_size, stat.st_mtime_ns) != (found.size, found.changed_ns):
            log.info("%s: %s changed while it was read; it is read again", self.name, name)
        return note._replace(lines=lines)

    def _strangers(
        self, group: Sequence[_Found], strangers: Sequence[str], now_us: int
    ) -> Quarantined:
        more = f" and {len(strangers) - _NAMED:,} more" if len(strangers) > _NAMED else ""
        reason = (
            f"{len(strangers):,} {STRANGERS}: {', '.join(strangers[:_NAMED])}"
            f"{more}; add them to devices.csv, then the file is read again by itself"
        )
        files = ", ".join(found.path.name for found in group[:_NAMED])
        source = f"file {self._source.layout.name} {files}"
        return refusal(source, reason, "\n".join(strangers).encode()[: 1 << 20], now_us)

    def _keep(self, rows: Rows, stop: threading.Event) -> bool:
        """Check rows and append them; False when told to stop before that was possible."""
        checked = self._checks.apply(rows)
        if len(checked.batch) or checked.quarantined:
            record = Record(self.name, checked.batch, tuple(checked.quarantined))
            if not self._append(record, stop):
                return False
        self._metrics.count(checked, checked.quarantined)
        return True

    def _append(self, record: Record, stop: threading.Event) -> bool:
        metrics = self._metrics
        while True:
            try:
                self._journal.append([record])
            except JournalError as error:
                metrics.holding = True
                self._trouble(str(error))
                if stop.wait(self._settings.retry_s):
                    return False
                continue
            if metrics.holding:
                metrics.holding, metrics.trouble = False, ""
            metrics.appends += 1
            metrics.last_append = time.monotonic()
            return not stop.is_set()


def without_ratios(network: Network) -> Network:
    """The network for numbers that are primary values already."""
    devices = tuple(replace(d, ct_ratio=None, pt_ratio=None) for d in network.devices)
    return replace(network, devices=devices)


def _parts(rows: Rows) -> Iterator[Rows]:
    if len(rows) <= ROWS_MAX:
        if len(rows):
            yield rows
        return
    for first in range(0, len(rows), ROWS_MAX):
        yield rows.select(slice(first, first + ROWS_MAX))  # type: ignore[arg-type]


def _joined(parts: Iterator[Rows]) -> Iterator[Rows]:
    """The same rows, as many together as one journal record takes."""
    waiting: list[Rows] = []
    for rows in parts:
        for part in _parts(rows):
            if sum(map(len, waiting)) + len(part) > ROWS_MAX:
                yield Rows.concat(waiting)
                waiting = []
            waiting.append(part)
    if waiting:
        yield Rows.concat(waiting)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
