"""The process that judges: journal in, alerts and tickets in the database out.

Effects follow from newly inserted alert events only, so judging an entry twice is harmless. That
is why the state may be a snapshot of some time ago: the rest is judged again from the journal, or,
where the journal has been trimmed, from history (`forewatt.history`).
"""

import logging
import threading
import time

from alerts.apply import apply_events
from alerts.keeper import keep
from alerts.places import Places
from desk.reports import note_versions
from detectors.catalogue import FAMILIES
from detectors.outage import OutageDetector
from forewatt.config import Config
from forewatt.health import HealthFile
from forewatt.historian import hold
from forewatt.history import journal_is_short, judge_history
from forewatt.judging import Judge
from forewatt.keeping import public_url
from forewatt.notifying import NotifierThread, Round, notifier_of
from forewatt.site import Place, site_network
from forewatt.snapshot import SnapshotDamaged, SnapshotHead, read_snapshot, write_snapshot
from grid.errors import ForewattError
from grid.journal import Journal
from grid.network import Network
from grid.records import AlertEvent
from ingest.journal import SqliteJournal
from storage.database import Database
from storage.desk_supply import Supply
from storage.ledger import PostgresLedger
from storage.migrate import migrate

CONSUMER = "watch"
ENTRIES = 200
IDLE_S = 0.05
KEEP_EVERY_S = 5.0
SILENT_EVERY_S = 60.0
NOTICES_END_S = 3.0

log = logging.getLogger(__name__)


def serve(config: Config, place: Place, health: HealthFile, stop: threading.Event) -> None:
    """Until told to stop: read, judge, commit; now and then a snapshot, and one at the end."""
    with Database(config.database_url(), application="forewatt watch") as database:
        if hold(stop, health, lambda: migrate(database)) is None:
            return
        network = site_network(config, database)
        journal = SqliteJournal(place.journal)
        try:
            ledger = PostgresLedger(database, config.site.realm)
            watch = Watch(config, place, network, journal, ledger, health)
            hold(stop, health, lambda: watch.rebuild_if_lost(database, stop))
            notices = NotifierThread(
                notifier_of(config, database, network, config.clock(), public_url(config)),
                watch.note_notices,
            )
            if not stop.is_set():
                watch.hear(Supply(database, config.site.realm))
                watch.note_versions()
                notices.start()
                health.say(ready=True)
            try:
                while not stop.is_set():
                    if hold(stop, health, watch.step) == 0:
                        stop.wait(IDLE_S)
            finally:
                if notices.ident is not None:
                    notices.stop(NOTICES_END_S)
            watch.save()
        finally:
            journal.close()


class Watch:
    """The judge with its place in the journal and its snapshot."""

    def __init__(
        self,
        config: Config,
        place: Place,
        network: Network,
        journal: Journal,
        ledger: PostgresLedger,
        health: HealthFile,
    ) -> None:
        self._config, self._network, self._journal = config, network, journal
        self._ledger, self._health, self._path = ledger, health, place.snapshot
        self.judge = self._fresh()
        self.offset = 0
        self._pending: tuple[list[AlertEvent], int, int] | None = None
        self._saved_offset = 0
        self._saved_bytes = 0
        self._saved_at = time.monotonic()
        self._events = self._reminders = 0
        self._places = Places(network)
        self._settings = config.desk.settings(config.site.time_zone)
        self._notices = {"sent": 0, "retried": 0, "dead": 0}
        self._clock = config.clock()
        self._keep_at = self._silent_at = 0.0
        self._supply: Supply | None = None
        self.rebuilt = ""  # what judging history again came to, for people
        self._lost = ""  # why there is no state to go on from
        self._restore()

    def _fresh(self) -> Judge:
        config = self._config
        return Judge(self._network, config.detectors, config.alerts, config.site.country)

    def _restore(self) -> None:
        """Begin where the snapshot stands, or at the journal's oldest entry."""
        try:
            found = read_snapshot(self._path)
            if found is None:
                self._lost = "there is no snapshot of the detectors' state"
                return
            head, engine, book = found
            if head.journal != self._journal.uuid:
                self._lost = "the snapshot belongs to another journal"
                return
            self.judge.engine.restore(engine)
            self.judge.book.restore(book)
            self.offset = self._saved_offset = head.offset
        except SnapshotDamaged as error:
            self._lost = str(error)
        except ForewattError as error:
            self._lost = f"the snapshot does not fit ({error})"
            self.judge = self._fresh()

    def rebuild_if_lost(self, database: Database, stop: threading.Event) -> bool:
        """Without a snapshot: judge history again if the journal alone is not enough."""
        if not self._lost:
            return True
        if journal_is_short(database, self._journal, self._config.site.realm):
            why = f"{self._lost}, and the journal no longer holds everything"
            return self.rebuild(database, stop, why=why)
        log.warning("%s; judging the journal from its beginning", self._lost)
        return True

    def rebuild(self, database: Database, stop: threading.Event, *, why: str) -> bool:
        """Judge history again and write a snapshot of the result; False when told to stop."""
        log.warning(
            "%s: judging the last %g days of history again",
            why,
            self._config.detectors.rebuild_days,
        )
        self.judge, self._pending = self._fresh(), None
        done = judge_history(
            self.judge,
            self._config,
            self._network,
            self._journal,
            database,
            self._ledger,
            stop=stop,
            progress=lambda part: self._health.say(
                waiting_for=f"history to be judged again ({100 * part:.0f} %)"
            ),
        )
        if done is None:
            return False
        self.offset, self._saved_offset = done.offset, -1
        self.rebuilt = done.sentence
        self._health.say(waiting_for="")
        log.warning("%s", done.sentence)
        self.save()
        self._lost = ""
        return True

    def step(self) -> int:
        """Judge at most `ENTRIES` more entries and commit what follows; how many there were.

        When the commit fails for want of a database, the events are kept and committed at the
        next call, before anything more is read.
        """
        if self._pending is None:
            entries = self._journal.read(self.offset, ENTRIES)
            if not entries:
                self._keep_if_due()
                self._say()
                self._save_if_due()
                return 0
            events = self.judge.records(entry.record for entry in entries)
            self._pending = (events, entries[-1].offset, len(entries))
        events, offset, count = self._pending
        if events:
            apply_events(
                events,
                self._ledger,
                self._network,
                settings=self._settings,
                places=self._places,
            )
            self._events += len(events)
        self._pending = None
        self.offset = offset
        self._health.say(commit_at=time.time())
        self._say()
        self._save_if_due()
        return count

    def _keep_if_due(self) -> None:
        """What time alone brings (mutes that end, promises nearly broken), while nothing waits."""
        if time.monotonic() < self._keep_at:
            return
        self._keep_at = time.monotonic() + KEEP_EVERY_S
        heard = self._supply if time.monotonic() >= self._silent_at else None
        if heard is not None:
            self._silent_at = time.monotonic() + SILENT_EVERY_S
        kept = keep(
            self._ledger,
            self._network,
            self._clock.now_us(),
            settings=self._settings,
            heard=heard,
        )
        self._reminders += len(kept.reminders)

    def hear(self, supply: Supply) -> None:
        """Where to learn when devices were last heard: what falls silent has no data."""
        self._supply = supply

    def note_versions(self) -> None:
        """Which version of each detector judges from now on, so that verdicts tell by version."""
        running = {f.name: f.version for f in FAMILIES}
        running[OutageDetector.name] = OutageDetector.version
        note_versions(self._ledger, running, self._clock.now_us())

    def note_notices(self, done: Round) -> None:
        """Count what a round of notices did; called from its thread."""
        d = done.delivered
        for name in self._notices:
            self._notices[name] += getattr(d, name)

    def _say(self) -> None:
        self._health.say(
            offset=self.offset,
            lag=max(0, self._journal.head() - self.offset),
            detail={
                "alert_events_total": self._events,
                "watermark_us": self.judge.engine.watermark_us,
                "late_total": self.judge.engine.late,
                "reminders_total": self._reminders,
                **{f"notices_{name}_total": n for name, n in self._notices.items()},
                "snapshot_bytes": self._saved_bytes,
                **({"rebuilt": self.rebuilt} if self.rebuilt else {}),
            },
        )

    def _save_if_due(self) -> None:
        settings = self._config.watch
        moved = self.offset - self._saved_offset
        waited_s = time.monotonic() - self._saved_at
        if moved >= settings.snapshot_every_entries or (
            moved > 0 and waited_s >= settings.snapshot_every_s
        ):
            self.save()

    def save(self) -> None:
        """Write the snapshot; the state in it has all its consequences in the database."""
        if self._pending is not None or self.offset == self._saved_offset:
            return
        head = SnapshotHead(self._journal.uuid, self.offset)
        self._saved_bytes = write_snapshot(
            self._path, head, self.judge.engine.snapshot(), self.judge.book.snapshot()
        )
        self._saved_offset, self._saved_at = self.offset, time.monotonic()
