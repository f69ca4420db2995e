"""`kill -9` of the broker: what it held and had not saved is lost, shown as a gap, and filled."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from forewatt.services import PrivateServices
from grid.network import Device, Network
from ingest.journal import SqliteJournal
from ingest.settings import MqttSource
from storage.database import Database
from storage.fleet import Gap, gaps
from storage.historian import Historian
from storage.migrate import migrate
from tests.integration.ingest.rig import mqtt_collector, publish, publisher, running, source_of
from tests.waiting import wait_for

pytestmark = pytest.mark.services

NETWORK = Network(devices=(Device("M1", interval_s=60.0),))
BEGIN_MS = time.time_ns() // 60_000_000_000 * 60_000 - 3_600_000


class Site:
    """A broker to be killed, a journal, a database."""

    def __init__(self, broker: PrivateServices, journal: SqliteJournal, database: Database) -> None:
        self.broker, self.journal, self.database = broker, journal, database
        self.source: MqttSource = source_of(broker.mqtt_url)

    def send(self, first: int, last: int) -> None:
        """Minutes first..last of M1, numbered; returns when the broker has acknowledged all."""
        topic = "forewatt/v1/M1/readings"
        with publisher(self.broker.mqtt_url) as client:
            numbers = range(first, last + 1)
            publish(
                client,
                [(topic, {"t": BEGIN_MS + 60_000 * n, "seq": n, "v_a": 230}) for n in numbers],
            )

    def collect(self, first: int, last: int) -> int:
        """A collector of this site while M1 sends; how many readings it acknowledged."""
        source = replace(self.source, session_expiry_s=3600)
        collector, metrics = mqtt_collector(source, self.journal, NETWORK)
        with running(collector):
            wait_for(lambda: metrics.connected)
            self.send(first, last)
            wait_for(lambda: metrics.readings >= last - first + 1)
        return metrics.readings

    def store(self) -> None:
        historian = Historian(self.database, self.journal, expected=NETWORK)
        while historian.run_once().entries:
            pass

    def stored(self) -> list[int]:
        with self.database.connection() as connection:
            return [n for (n,) in connection.execute("SELECT seq FROM reading ORDER BY seq")]

    def gap(self, *, open_only: bool) -> list[Gap]:
        return gaps(self.database, device="M1", open_only=open_only)


def test_what_a_killed_broker_has_forgotten_is_a_gap_until_the_meter_sends_it_again(
    broker: PrivateServices, tmp_path: Path, database_url: str
) -> None:
    """The collector is away, the broker says success to ten readings, then dies: fewer changes
    than `autosave_interval` in docs/mosquitto.conf, so none of it was on the disk."""
    journal = SqliteJournal(tmp_path / "journal")
    with Database(database_url) as database:
        migrate(database)
        site = Site(broker, journal, database)
        acknowledged = site.collect(0, 4)
        site.send(5, 14)
        broker.kill_broker()
        broker.start_broker()
        acknowledged += site.collect(15, 19)
        site.store()
        before, owed = site.stored(), site.gap(open_only=True)

        site.collect(5, 14)
        site.store()
        after, still_owed = site.stored(), site.gap(open_only=True)
        (settled,) = site.gap(open_only=False)
    journal.close()

    assert [*range(5), *range(15, 20)] == before
    assert len(before) == acknowledged  # all that was acknowledged to the broker is stored
    (gap,) = owed
    assert ("sequence", 10, 0, None) == (gap.reason, gap.missing, gap.filled, gap.closed_us)
    assert (BEGIN_MS + 4 * 60_000, BEGIN_MS + 15 * 60_000) == (
        gap.after_us // 1000,
        gap.before_us // 1000,
    )
    assert list(range(20)) == after
    assert [] == still_owed
    assert 10 == settled.filled and settled.closed_us is not None
    # A broker that is ended cleanly keeps its queue: tests/integration/services.
