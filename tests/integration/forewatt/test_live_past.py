"""The live past as a source of replays, and the evidence of a live alert as a picture, both out of
a real database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from alerts.apply import apply_events
from forewatt.cli import main
from forewatt.config import load_config
from forewatt.site import site_network
from forewatt.trial_files import TrialFolder
from forewatt.trials import SCENARIOS, TrialRoom
from grid.dataset import read_dataset
from grid.journal import Record
from simulators.scenario import simulate
from storage.database import Database
from storage.historian import Historian
from storage.ledger import PostgresLedger
from storage.migrate import migrate
from tests.integration.storage.memory_journal import MemoryJournal
from tests.unit.web.world import NEUTRAL, raised
from tests.waiting import wait_for
from web.report_picture import chinese_can_be_drawn
from web.trial_doors import TrialAsk

pytestmark = pytest.mark.services

FROM, TO = "2026-03-02T00:00:00+08:00", "2026-03-06T00:00:00+08:00"
AT_US = 1_772_700_000_000_000  # within it


@dataclass
class Past:
    """An installation whose database holds what a dataset tells."""

    config: Path
    dataset: Path
    alert: str


@pytest.fixture(scope="module")
def past(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("past")
    simulate(SCENARIOS / "neutral_loose.toml", folder / "data")
    file = folder / "forewatt.toml"
    file.write_text(
        '[network]\npath = "data/network"\n'
        f'[database]\nurl = "{module_database_url}"\n'
        '[[mqtt]]\nurl = "mqtt://127.0.0.1:1883"\n'
    )
    with Database(module_database_url) as database:
        migrate(database)
        network = site_network(load_config(file), database)
        journal = MemoryJournal()
        for batch in read_dataset(folder / "data").batches(order="received"):
            journal.append([Record("mqtt", batch)])
        historian = Historian(database, journal, expected=network)
        while historian.run_once(500).entries:
            pass
        event = raised("neutral_loose", "branch", "T1-B2", AT_US, replace(NEUTRAL, peers=()))
        apply_events([event], PostgresLedger(database, "live"), network)
    yield Past(file, folder / "data", event.alert_id)


def test_the_live_past_is_judged_as_the_dataset_that_filled_it(past: Past, tmp_path: Path) -> None:
    assert main(["trial", str(past.dataset), "--out", str(tmp_path / "data")]) == 0
    room = TrialRoom(tmp_path / "trials", load_config(past.config))

    id_ = room.start(TrialAsk("live", start=FROM, end=TO))
    view = room.open(id_)
    assert view is not None
    wait_for(lambda: view.status.get("state") in ("done", "failed"), 180, "the replay has ended")

    assert ("done", None) == (view.status["state"], view.status.get("error"))
    alerts = found(view.alerts("a"))
    assert "neutral_loose" in {fault for fault, _, _ in alerts}
    assert alerts == found(TrialFolder(tmp_path / "data").alerts("a"))
    assert room.scored(id_)["truth"] == 0
    room.close()


def found(alerts: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(x["fault"], x["asset"], x["raised"]) for x in alerts]


@pytest.mark.parametrize(("name", "start"), [("sheet.png", b"\x89PNG"), ("sheet.pdf", b"%PDF-")])
def test_the_evidence_of_a_live_alert_becomes_a_picture(
    name: str, start: bytes, past: Past, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    language = "zh-CN" if chinese_can_be_drawn() else "en"
    words = ["report", past.alert, "--config", str(past.config), "--out", str(out)]

    status = main([*words, "--language", language])

    assert (status, out.read_bytes()[: len(start)]) == (0, start)
    assert str(out) in capsys.readouterr().out


def test_a_report_of_nothing_says_what_to_name_instead(
    past: Past, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["report", "nobody", "--config", str(past.config), "--out", str(tmp_path / "x.png")]

    status = main(words)

    assert status != 0
    assert "the ticket's number" in capsys.readouterr().err
