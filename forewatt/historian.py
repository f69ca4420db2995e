"""The process that moves the journal into the database, keeps the rollups and trims the journal."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from forewatt.config import Config, load_config
from forewatt.health import HealthFile
from forewatt.reload import Request
from forewatt.site import Place, site_network
from forewatt.snapshot import read_snapshot_head
from grid.errors import ForewattError
from grid.journal import Journal
from grid.network import Network
from ingest.journal import SqliteJournal
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.fleet import gap_count, give_up_gaps, quarantine_count
from storage.historian import Historian, HistorianStep
from storage.ledger import PostgresLedger
from storage.maintain import compress, retention
from storage.migrate import migrate
from storage.network_store import save_network
from storage.people import People
from storage.rollups import RollupWorker

CONSUMER = "historian"
ENTRIES = 500
MARKS = 64
# A commit costs the same for one row and for hundreds: with little to do, wait for more of it.
IDLE_S, FEW_ENTRIES = 0.3, 20
AWAY_FIRST_S, AWAY_MAX_S = 0.2, 5.0
ROLLUP_EVERY_S, ROLLUP_BUSY_S = 1.0, 5.0
MANY_ROWS = 20_000  # of one step: then the journal holds a backlog, however few its entries
TRIM_EVERY_S = 10.0
HOUSE_EVERY_S = 3600.0
COMPRESS_DAYS = 30
OUTBOX_DAYS = 7  # a browser that was away longer loads its page anew
DAY_US = 86_400_000_000
DRAIN_S = 5.0
COUNTED = tuple(
    f"{name}_total"
    for name in "rows duplicates conflicts events gaps_opened gaps_closed quarantined".split()
)

T = TypeVar("T")
log = logging.getLogger(__name__)


def hold(stop: threading.Event, health: HealthFile, work: Callable[[], T]) -> T | None:
    """What `work` gives, waiting as long as the database is away; None if told to stop."""
    pause_s = AWAY_FIRST_S
    while not stop.is_set():
        try:
            result = work()
        except DatabaseUnavailable as error:
            health.say(waiting_for=str(error))
            log.warning("%s", error)
            stop.wait(pause_s)
            pause_s = min(pause_s * 2, AWAY_MAX_S)
        else:
            health.say(waiting_for="")
            return result
    return None


def serve(config: Config, place: Place, health: HealthFile, stop: threading.Event) -> None:
    """Until told to stop: journal to database; then up to `DRAIN_S` for what is left."""
    with Database(config.database_url(), application="forewatt historian") as database:

        def prepare() -> Network:
            migrate(database)
            network = site_network(config, database)
            if config.network.path is not None:
                save_network(database, network)
            return network

        network = hold(stop, health, prepare)
        if network is None:
            return
        journal = SqliteJournal(place.journal)
        try:
            keeper = Keeper(config, place, health, database, journal, network)
            health.say(ready=True)
            request = Request(place)
            while not stop.is_set():
                if request.is_new():
                    health.say(reload=request.answer(take_over(config, database, keeper)))
                done = hold(stop, health, keeper.step)
                if done is not None and done < FEW_ENTRIES:
                    stop.wait(IDLE_S)
            keeper.drain()
        finally:
            journal.close()


def take_over(config: Config, database: Database, keeper: "Keeper") -> list[str]:
    """Go on with the network as it is now; what was not possible."""
    try:
        network = site_network(load_config(config.file), database)
        if config.network.path is not None:
            save_network(database, network)
    except ForewattError as error:
        return [f"network: {error} (it stays as it was)"]
    keeper.expect(network)
    return []


class Keeper:
    """One historian with its rollups and its trimming."""

    def __init__(
        self,
        config: Config,
        place: Place,
        health: HealthFile,
        database: Database,
        journal: Journal,
        network: Network,
    ) -> None:
        self._historian = Historian(
            database, journal, consumer=CONSUMER, realm=config.site.realm, expected=network
        )
        self._rollups = RollupWorker(database)
        self._ledger = PostgresLedger(database, config.site.realm)
        self._config, self._clock, self._database = config, config.clock(), database
        self._journal, self._place, self._health = journal, place, health
        self._counts = dict.fromkeys(COUNTED, 0)
        self._standing: dict[str, int] = {}
        self._marks = 0
        self._offset = -1
        self._rollup_at = 0.0
        self._trim_at = 0.0
        # Not at the start, when there is most to do.
        self._house_at = time.monotonic() + HOUSE_EVERY_S / 60

    def expect(self, network: Network) -> None:
        """Take over the reporting intervals of a changed network."""
        self._historian.expect(network)

    def step(self) -> int:
        """Journal entries committed plus rollup marks worked off; 0 means nothing to do."""
        # An idle look costs a question to the journal, none to the database.
        behind = self._offset < 0 or self._journal.head() > self._offset
        step = self._historian.run_once(ENTRIES) if behind else HistorianStep(offset=self._offset)
        self._offset = step.offset
        for name in self._counts:
            self._counts[name] += getattr(step, name.removesuffix("_total"))
        lag = max(0, self._journal.head() - step.offset)
        # History first: rollups are caught up when no new readings wait, and now and then.
        marks = 0
        busy = lag >= ENTRIES or (lag > 0 and step.rows >= MANY_ROWS)
        if time.monotonic() >= self._rollup_at + (ROLLUP_BUSY_S if busy else 0.0):
            marks = self._rollups.run_once(MARKS)
            self._marks += marks
            self._rollup_at = time.monotonic() + (0.0 if marks else ROLLUP_EVERY_S)
        now = time.time()
        if step.entries or lag == 0:
            self._health.say(commit_at=now)
        self._keep_house_if_due()
        self._health.say(
            offset=step.offset,
            lag=lag,
            detail={**self._counts, "rollup_marks_total": self._marks, **self._standing},
        )
        if time.monotonic() >= self._trim_at:
            self._trim()
            self._count()
            self._trim_at = time.monotonic() + TRIM_EVERY_S
        return step.entries + marks

    def _count(self) -> None:
        """What is owed and what was refused, for those who watch."""
        realm = self._config.site.realm
        self._standing = {
            "gaps_open": gap_count(self._database, realm=realm),
            "in_quarantine": quarantine_count(self._database, realm=realm),
        }

    def _trim(self) -> None:
        """Forget what history holds and the watch's durable snapshot stands for."""
        head = read_snapshot_head(self._place.snapshot)
        if head is not None and head.journal == self._journal.uuid:
            self._journal.trim(min(self._offset, head.offset) + 1)

    def _keep_house_if_due(self) -> None:
        """Old history goes, older history is compressed, where that is wanted and possible."""
        if time.monotonic() < self._house_at:
            return
        self._house_at = time.monotonic() + HOUSE_EVERY_S
        now_us = self._clock.now_us()
        days = self._config.database.history_days
        if days is not None:
            gone = retention(self._database, now_us - round(days * DAY_US))
            log.info("history beyond %g days: %d chunks dropped", days, gone)
        missing = give_up_gaps(
            self._database,
            now_us - round(self._config.database.gap_days * DAY_US),
            realm=self._config.site.realm,
        )
        if missing:
            log.info("%d gaps declared missing: nobody resends them any more", missing)
        self._ledger.trim_outbox(OUTBOX_DAYS * 86_400)
        People(self._database).drop_expired()
        done = compress(self._database, now_us - COMPRESS_DAYS * DAY_US)
        if done:
            log.info("history beyond %d days: %d chunks compressed", COMPRESS_DAYS, done)

    def drain(self) -> None:
        """At the end: store what the collector has left, if the database is there."""
        deadline = time.monotonic() + DRAIN_S
        try:
            while time.monotonic() < deadline and self._journal.head() > self._offset:
                self.step()
        except DatabaseUnavailable as error:
            log.warning("what is left stays in the journal: %s", error)
