"""Detectors and alert rules joined, on a simulated town with known faults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forewatt.admission import Admission
from forewatt.backtest import backtest
from forewatt.cli import main
from forewatt.config import AlertConfig, DetectorConfig
from forewatt.judging import Judge
from grid.dataset import read_dataset
from grid.network import Network
from grid.readings import ReadingBatch
from ingest.checks import CURRENT_RATIO, POWER_RATIO, VOLTAGE_RATIO


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judge_of(town: Path) -> Judge:
    return Judge(read_dataset(town).network, DetectorConfig(), AlertConfig(), "CN")


def pieces(town: Path, rows: int) -> list[ReadingBatch]:
    """The dataset in arrival order, cut into small batches."""
    whole = ReadingBatch.concat(list(read_dataset(town).batches()))
    return [whole.select(slice(at, at + rows)) for at in range(0, len(whole), rows)]


def test_one_ticket_a_fault_at_its_asset(town: Path, tmp_path: Path) -> None:
    backtest(town, tmp_path / "alerts.jsonl")

    truth = lines(town / "truth.jsonl")
    tickets = [a for a in lines(tmp_path / "alerts.jsonl") if a["ticket"]]
    assert {f["asset"] for f in truth} == {t["asset"] for t in tickets}
    assert len(truth) == len(tickets)


def test_the_same_folder_gives_the_same_bytes(town: Path, tmp_path: Path) -> None:
    backtest(town, tmp_path / "one.jsonl")
    backtest(town, tmp_path / "two.jsonl")

    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()


@pytest.mark.parametrize("rows", [997, 20_000])
def test_batching_changes_no_alert(town: Path, tmp_path: Path, rows: int) -> None:
    backtest(town, tmp_path / "alerts.jsonl")
    judge = judge_of(town)

    events = [e for piece in pieces(town, rows) for e in judge.batch("dataset", piece)]
    events += judge.flush()

    expected = {a["id"] for a in lines(tmp_path / "alerts.jsonl")}
    assert expected == {e.alert_id for e in events}


def test_secondary_values_with_their_ratios_give_the_same_alerts(town: Path) -> None:
    """Checks bring them to the primary side, and nobody does so again."""
    primary = read_dataset(town).network
    devices = tuple(replace(d, ct_ratio=8.0, pt_ratio=4.0) for d in primary.devices)
    secondary = replace(primary, devices=devices)
    divided = dict.fromkeys(CURRENT_RATIO, 8) | dict.fromkeys(VOLTAGE_RATIO, 4)
    divided |= dict.fromkeys(POWER_RATIO, 32)

    def alerts(network: Network, measured: bool) -> list[str]:
        admission = Admission(network)
        judge = Judge(network, DetectorConfig(), AlertConfig(), "CN")
        events = []
        for piece in pieces(town, 20_000):
            values = {
                q: v / (1 if measured else divided.get(q, 1)) for q, v in piece.values.items()
            }
            events += judge.batch("dataset", admission.admit(replace(piece, values=values)))
        return [e.event_id for e in events + judge.flush()]

    assert alerts(primary, measured=True) == alerts(secondary, measured=False)


def test_a_restored_judge_goes_on_as_if_nothing_had_happened(town: Path) -> None:
    whole, first = judge_of(town), judge_of(town)
    parts = pieces(town, 5_000)
    expected = [e.event_id for part in parts for e in whole.batch("dataset", part)]

    half = len(parts) * 4 // 5
    events = [e.event_id for part in parts[:half] for e in first.batch("dataset", part)]
    second = judge_of(town)
    second.engine.restore(first.engine.snapshot())
    second.book.restore(first.book.snapshot())
    events += [e.event_id for part in parts[half:] for e in second.batch("dataset", part)]

    assert expected == events
    assert expected


def test_the_command_says_what_it_found(
    town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "alerts.jsonl"

    status = main(["backtest", str(town), "--out", str(out), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert (0, 2) == (status, said["tickets"])
    assert said["alerts"] == len(lines(out))


def test_a_folder_without_readings_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["backtest", str(tmp_path), "--out", str(tmp_path / "a.jsonl")])

    said = capsys.readouterr().err
    assert 2 == status
    assert "devices.csv is missing" in said
    assert not (tmp_path / "a.jsonl").exists()
