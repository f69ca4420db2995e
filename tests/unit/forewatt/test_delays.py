"""Whoever judges a dataset from its beginning waits for what usually comes late, and says so."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.settings import DetectorSettings
from forewatt import delays
from forewatt.backtest import backtest
from forewatt.cli import main
from forewatt.delays import usual_delays
from forewatt.doctor_data import examine
from grid.network import Network
from grid.readings import ReadingBatch
from tests.unit.detectors.street import network
from tests.unit.detectors.test_arrivals import late


def parts(net: Network, minutes: dict[str, float]) -> list[ReadingBatch]:
    rows = late(net, minutes)
    return [rows.select(slice(k, k + 500)) for k in range(0, len(rows), 500)]


def test_every_row_comes_once_and_in_its_order_after_the_look() -> None:
    net = network(areas=2)
    batches = parts(net, {"T1-B": 15.0})

    found = usual_delays(net, iter(batches), DetectorSettings())

    assert [id(b) for b in found.batches] == [id(b) for b in batches]


def test_the_note_says_what_the_records_should_say() -> None:
    net = network(areas=2)

    found = usual_delays(net, parts(net, {"T1-B": 15.0}), DetectorSettings())

    assert found.note is not None and "900 s at T1)" in found.note
    assert {d.delivery_s for d in found.network.devices if d.id.startswith("T1-")} == {900.0}
    assert usual_delays(net, parts(net, {}), DetectorSettings()).note is None


def test_only_the_first_rows_are_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delays, "FIRST_ROWS", 1_200)
    net = network(areas=2)
    batches = iter(parts(net, {}))
    left = len(list(parts(net, {}))) - 3

    usual_delays(net, batches, DetectorSettings())

    assert len(list(batches)) == left


def test_backtest_doctor_and_trial_wait_alike(
    town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "late"
    shutil.copytree(town, folder)
    rows = pq.read_table(folder / "readings.parquet")
    received = np.asarray(rows["received"].cast(pa.int64())).copy()
    area = np.array([str(d).startswith("T1-M") for d in rows["device"].to_pylist()])
    received[area] += 960_000_000
    column = rows.schema.get_field_index("received")
    rows = rows.set_column(
        column, "received", pa.array(received).cast(rows.schema.field(column).type)
    )
    pq.write_table(rows.sort_by("received"), folder / "readings.parquet")
    note = "900 s at T1"

    assert note in str(backtest(folder, tmp_path / "a.jsonl").notes)
    assert note in str(examine(folder).notes)
    assert main(["trial", str(folder), "--out", str(tmp_path / "trial")]) == 0
    assert note in (tmp_path / "trial" / "status.json").read_text(encoding="utf-8")
