"""`forewatt doctor --data`: kinds by area, wrong records, in words and for machines."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from forewatt.cli import main
from forewatt.doctor_data import examine


@pytest.fixture
def mistaken(town: Path, tmp_path: Path) -> Path:
    """The town with a current ratio on record that its values do not need."""
    folder = tmp_path / "mistaken"
    shutil.copytree(town, folder)
    path = folder / "network" / "devices.csv"
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["device"] == "T1-TM":
            row["ct_ratio"] = "0.02"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_each_area_says_who_reports_and_what_can_be_seen(town: Path) -> None:
    report = examine(town)

    first = report.areas[0]
    assert ["T1", "T2"] == [r.facts.area for r in report.areas]
    assert first.facts.meters == first.facts.heard
    assert 900.0 == first.facts.interval_s
    assert "yes" == {k.fault: k.seen for k in first.kinds}["neutral_broken"]
    assert () == report.records


def test_a_wrong_ratio_is_named_and_gives_status_1(
    mistaken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["doctor", "--data", str(mistaken)])

    said = capsys.readouterr().out
    assert 1 == status
    assert "T1-TM: its values are 1/" in said
    assert "correct ct_ratio on record" in said


def test_json_has_the_same_for_a_machine(town: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--data", str(town), "--json"])

    told = json.loads(capsys.readouterr().out)
    assert 0 == status
    assert {"areas", "records", "notes", "rows", "days", "places_learned"} == told.keys()
    assert all(k["why"] or k["seen"] == "yes" for a in told["areas"] for k in a["kinds"])


def test_a_folder_that_is_not_there_is_an_error_with_its_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["doctor", "--data", str(tmp_path / "nowhere")])

    assert 2 == status
    assert "Give a dataset folder" in capsys.readouterr().err
