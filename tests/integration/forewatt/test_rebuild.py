"""The detectors' state is lost and the journal trimmed: history brings the same alerts."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from forewatt.admission import Admission
from forewatt.backtest import backtest
from forewatt.cli import main
from forewatt.config import Config, load_config
from forewatt.health import HealthFile
from forewatt.site import Place, site_network
from forewatt.watch import Watch
from grid.dataset import read_dataset
from grid.journal import Record
from ingest.journal import SqliteJournal
from simulators.scenario import simulate
from storage.database import Database
from storage.historian import Historian
from storage.ledger import PostgresLedger
from storage.migrate import migrate

TOWN = Path(__file__).parents[2] / "acceptance" / "town.toml"
SOURCE = "mqtt 127.0.0.1:1883"


class Site:
    """Historian and watch of one installation, moved by hand."""

    def __init__(self, config: Config, database: Database) -> None:
        self.config, self.database = config, database
        self.place = Place.of(config)
        self.network = site_network(config, database)
        self.journal = SqliteJournal(self.place.journal)
        self.ledger = PostgresLedger(database, "live")
        self.historian = Historian(database, self.journal, expected=self.network)

    def watch(self) -> Watch:
        """A watch as after a start."""
        health = HealthFile(self.place.health, "watch")
        watch = Watch(self.config, self.place, self.network, self.journal, self.ledger, health)
        watch.rebuild_if_lost(self.database, threading.Event())
        return watch

    def work_off(self, records: list[Record], watch: Watch) -> None:
        self.journal.append(records)
        while self.historian.run_once(500).entries:
            pass
        while watch.step():
            pass

    def alerts(self) -> set[str]:
        with self.database.connection() as connection:
            return {str(row[0]) for row in connection.execute("SELECT id FROM alert")}


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Iterator[Site]:
    simulate(TOWN, tmp_path / "data")
    file = tmp_path / "forewatt.toml"
    file.write_text(
        f'[network]\npath = "data/network"\n[database]\nurl = "{database_url}"\n'
        '[[mqtt]]\nurl = "mqtt://127.0.0.1:1883"\n'
    )
    with Database(database_url) as database:
        migrate(database)
        site = Site(load_config(file), database)
        yield site
        site.journal.close()
        site.ledger.close()


def test_a_lost_state_comes_back_from_history(site: Site, tmp_path: Path) -> None:
    data = read_dataset(tmp_path / "data")
    admission = Admission(data.network)
    records = [Record(SOURCE, admission.admit(b)) for b in data.batches(order="received")]
    half = len(records) * 3 // 4
    first = site.watch()
    site.work_off(records[:half], first)
    before = site.alerts()
    site.journal.trim(site.journal.head() + 1)
    site.place.snapshot.unlink(missing_ok=True)

    again = site.watch()
    known = site.alerts()
    site.work_off(records[half:], again)

    backtest(tmp_path / "data", tmp_path / "alerts.jsonl")
    lines = (tmp_path / "alerts.jsonl").read_text().splitlines()
    expected = {json.loads(line)["id"] for line in lines}
    assert before and before == known
    assert again.rebuilt.endswith("0 of them new")
    assert again.judge.engine.late == 0
    assert expected >= site.alerts() > set()


def test_a_journal_that_holds_everything_is_judged_itself(site: Site, tmp_path: Path) -> None:
    data = read_dataset(tmp_path / "data")
    records = [Record(SOURCE, b) for b in data.batches(order="received")][:1]
    site.work_off(records, site.watch())
    site.place.snapshot.unlink(missing_ok=True)

    assert site.watch().rebuilt == ""


def test_rebuild_by_hand_says_what_it_did(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = read_dataset(tmp_path / "data")
    records = [Record(SOURCE, b) for b in data.batches(order="received")][:1]
    site.work_off(records, site.watch())

    status = main(["rebuild", "--config", str(tmp_path / "forewatt.toml")])

    assert status == 0
    assert "days of history judged again" in capsys.readouterr().out
    assert site.place.snapshot.exists()
