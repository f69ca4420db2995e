"""`forewatt quarantine`: a mapping is mended, what it refused is sent again and stored once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forewatt.cli import main
from grid.journal import Quarantined, Record
from grid.network import Device, Network
from grid.readings import Quality, ReadingBatch
from ingest.journal import SqliteJournal
from storage.database import Database
from storage.fleet import quarantine_rows
from storage.historian import Historian
from storage.migrate import migrate
from storage.network_store import save_network

pytestmark = pytest.mark.services

NOW_US = 1_772_956_800_000_000
MAPPING = """
[[mapping]]
name = "box"
topic = "plant/{device}/up"
device = "{device}"
[mapping.values]
v_a = "%s"
"""


@pytest.fixture
def site(tmp_path: Path, database_url: str) -> Path:
    """A configuration with one network, one mapping, and two payloads in quarantine."""
    config = tmp_path / "forewatt.toml"
    config.write_text(
        f'[database]\nurl = "{database_url}"\n'
        '[[mqtt]]\nurl = "mqtt://127.0.0.1:1"\nmappings = ["box.toml"]\n'
    )
    (tmp_path / "box.toml").write_text(MAPPING % "volt")
    journal = SqliteJournal(tmp_path / "journal")
    with Database(database_url) as database:
        migrate(database)
        save_network(database, Network(devices=(Device("M1", interval_s=900.0),)))
        refused = tuple(
            Quarantined(
                f"mqtt plant/{device}/up", "it finds none of its values in it", body, NOW_US
            )
            for device, body in (("M1", b'{"u": 231.5}'), ("M2", b'{"u": 230.0, "x": "\x01"}'))
        )
        journal.append([Record("mqtt", quarantined=refused)])
        Historian(database, journal).run_once()
    journal.close()
    return config


def test_a_mended_mapping_sends_again_what_was_refused(
    site: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (site.parent / "box.toml").write_text(MAPPING % "u")

    status = main(["quarantine", "replay", "--config", str(site), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert 0 == status
    assert (1, 1, 1) == (said["mended"], said["readings"], said["left"])
    journal = SqliteJournal(site.parent / "journal")
    with Database(database_url) as database:
        step = Historian(database, journal).run_once()
        (left,) = quarantine_rows(database)
    journal.close()
    assert 1 == step.rows
    assert "mqtt plant/M2/up" == left.source


def test_a_replay_killed_before_it_forgets_is_harmless(
    site: Path,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (site.parent / "box.toml").write_text(MAPPING % "u")
    with monkeypatch.context() as patch:
        patch.setattr("forewatt.quarantine.forget_quarantine", lambda *_: 0)
        main(["quarantine", "replay", "--config", str(site)])

    main(["quarantine", "replay", "--config", str(site)])

    journal = SqliteJournal(site.parent / "journal")
    with Database(database_url) as database:
        step = Historian(database, journal).run_once()
    journal.close()
    assert (1, 1) == (step.rows, step.duplicates)


def test_quarantine_is_listed_and_shown_whole(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 0 == main(["quarantine", "list", "--config", str(site), "--reason", "none of its"])
    listed = capsys.readouterr().out
    id = listed.splitlines()[0].split()[0]

    status = main(["quarantine", "show", id, "--config", str(site)])

    shown = capsys.readouterr().out
    assert 0 == status
    assert "2 of 2 in quarantine" in listed
    assert '{"u": 230.0, "x": "\\x01"}' in shown
    assert "reason    it finds none of its values in it" in shown


def test_an_id_that_is_not_there_is_wrong_usage(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["quarantine", "show", "999", "--config", str(site)])

    assert 2 == status
    assert "has the id 999" in capsys.readouterr().err


def test_what_is_owed_is_listed_with_its_state(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["gaps", "--config", str(site), "--json"])

    assert 0 == status
    assert [] == json.loads(capsys.readouterr().out)


def test_conflicts_show_what_is_stored_and_what_arrived(
    site: Path, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A value that came twice unlike, and one that a mended export has taken back."""
    journal = SqliteJournal(site.parent / "journal")
    for value in (230.0, 231.5):
        batch = ReadingBatch.of(["M1"], [0], [NOW_US], {"v_a": [value]})
        journal.append([Record("mqtt", batch)])
    gone = ReadingBatch.of(["M1"], [0], [NOW_US], {"v_a": [1.0]}, quality=Quality.REPLACES)
    journal.append([Record("files", withdrawn=gone)])
    with Database(database_url) as database:
        Historian(database, journal).run_once()
    journal.close()

    status = main(["conflicts", "--config", str(site)])
    shown = capsys.readouterr().out.splitlines()
    main(["conflicts", "--config", str(site), "--device", "M1", "--json"])
    told = json.loads(capsys.readouterr().out)

    assert 0 == status
    assert {"v_a 230 -> 231.5", "v_a 230 -> none"} == {line[52:] for line in shown[1:3]}
    assert "2 of 2 conflicts" == shown[3]
    assert [231.5, None] == sorted((c["arrived"]["v_a"] for c in told), key=lambda v: v is None)
    assert 2 == main(["conflicts", "--config", str(site), "--device", "M7"])
