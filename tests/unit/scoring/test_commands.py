"""`forewatt score` and `forewatt pilot` as a person uses them."""

import json
from pathlib import Path

import numpy as np
import pytest

from detectors.scoring import Exposure, Places
from forewatt.cli import main
from forewatt.pilot import Repair, lay_beside, page, read_fault, read_repairs, summary
from grid.dataset import write_readings
from grid.errors import BadInput
from grid.readings import ReadingBatch
from tests.unit.scoring.lines_by_hand import DAY, EXPOSURE, HOUR, PLACES, alert, street

START = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four meters of one transformer, a healthy day of hourly voltage, one outage in truth."""
    network = tmp_path / "town" / "network"
    network.mkdir(parents=True)
    (network / "feeders.csv").write_text("feeder\nF1\n")
    (network / "transformers.csv").write_text("transformer,feeder\nT1,F1\n")
    points = "".join(f"U{n},T1,B1,a,A{n}\n" for n in range(4))
    (network / "usage_points.csv").write_text(
        f"usage_point,transformer,branch,phase,account\n{points}"
    )
    devices = "".join(f"M{n},meter,U{n},3600\n" for n in range(4))
    (network / "devices.csv").write_text(f"device,kind,usage_point,interval_s\n{devices}")
    customers = "".join(f"A{n},1380000000{n}\n" for n in range(4))
    (network / "customers.csv").write_text(f"account,phone\n{customers}")
    hours = np.arange(25)
    device = np.repeat(np.arange(4, dtype=np.int32), hours.size)
    times = np.tile(START + hours * HOUR, 4)
    rng = np.random.default_rng(3)
    volts = 221.0 + rng.normal(0.0, 0.5, times.size)
    names = [f"M{n}" for n in range(4)]
    batch = ReadingBatch.of(names, device, times, {"v_a": volts})  # a meter after the other
    write_readings(tmp_path / "town", [batch])
    truth = {
        "id": "out",
        "fault": "outage",
        "asset_kind": "branch",
        "asset": "B1",
        "onset": "2026-03-01T06:00:00Z",
        "cleared": "2026-03-01T08:00:00Z",
    }
    (tmp_path / "town" / "truth.jsonl").write_text(json.dumps(truth) + "\n")
    contacts = "time,channel,external_id,account,phone,kind\n"
    contacts += "2026-03-01T06:40:00Z,phone,C1,,13800000002,fault\n"
    contacts += "2026-03-01T06:10:00Z,phone,C2,A1,,enquiry\n"
    (tmp_path / "town" / "contacts.csv").write_text(contacts)
    return tmp_path / "town"


@pytest.fixture
def alerts(tmp_path: Path) -> Path:
    line = {
        "id": "a",
        "fault": "outage",
        "asset_kind": "branch",
        "asset": "B1",
        "severity": "P1",
        "raised": "2026-03-01T06:30:00Z",
        "known": "2026-03-01T06:31:00Z",
        "ticket": True,
    }
    path = tmp_path / "alerts.jsonl"
    path.write_text(json.dumps(line) + "\n")
    return path


def test_score_answers_a_machine_with_kinds_false_rates_and_baselines(
    folder: Path, alerts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["score", str(folder), "--alerts", str(alerts), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert (0, 1.0, 4.0) == (status, said["kinds"][0]["recall"]["value"], said["meter_days"])
    assert (1.0, 1.0, 0.0) == tuple(
        said["summary"][name] for name in ("recall", "precision", "false_per_1000_meter_days")
    )
    assert [{"alert": "a", "verdict": "found", "incident": "out"}] == said["verdicts"]
    assert {"random", "one threshold"} == set(said["baselines"])
    assert 9.0 == said["kinds"][0]["ahead_of_contact_min"]["value"]


def test_score_prints_tables_and_what_differs(
    folder: Path, alerts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second file in which the alert is graver."""
    other = tmp_path / "b.jsonl"
    other.write_text(alerts.read_text().replace('"P1"', '"P2"'))

    main(["score", str(folder), "--alerts", str(alerts), "--compare", str(other), "--list"])

    said = capsys.readouterr().out
    for words in (
        "not found in time: 0",
        "False tickets: 0",
        "outage",
        "one threshold",
        "random",
        "severity P1 -> P2",
        "restated at 0.05",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda d, a: (d / "truth.jsonl").unlink(), "truth.jsonl: no such file"),
        (lambda d, a: a.write_text("{}\n"), "alerts.jsonl:1, column raised"),
        (lambda d, a: a.write_bytes(b"\xff\xfe"), "is not UTF-8"),
        (lambda d, a: (d / "readings.parquet").unlink(), "no readings.parquet"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(
    spoil: object, says: str, folder: Path, alerts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(spoil)
    spoil(folder, alerts)

    status = main(["score", str(folder), "--alerts", str(alerts)])

    error = capsys.readouterr().err
    assert (2, 1) == (status, error.count("\n"))
    assert says in error


def test_pilot_writes_a_page_without_outside_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    past = tmp_path / "past.csv"
    past.write_text("time,account,text\n2026-03-01T06:30:00Z,A2,停电\n")
    out = tmp_path / "pilot.html"

    status = main(["pilot", str(folder), "--tickets", str(past), "--out", str(out)])

    html = out.read_text(encoding="utf-8")
    assert 0 == status
    assert "of 1 past repairs" in capsys.readouterr().out
    assert "<script" not in html and "http" not in html
    assert "What Forewatt would have known" in html and "本可提前知道" in html
    assert "2026-03-01 08:00 – 2026-03-02 08:00 Asia/Shanghai" in html
    assert "<td>2026-03-01 14:30</td>" in html and "<title>2026-03-02: " in html


def test_pilot_takes_another_time_zone_and_refuses_an_unknown_one(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pilot.html"

    assert 0 == main(["pilot", str(folder), "--out", str(out), "--time-zone", "Europe/Berlin"])
    assert "2026-03-01 01:00 – 2026-03-02 01:00 Europe/Berlin" in out.read_text(encoding="utf-8")
    capsys.readouterr()
    assert 0 != main(["pilot", str(folder), "--out", str(out), "--time-zone", "Mars/Olympus"])
    assert "'Mars/Olympus' is no time zone" in capsys.readouterr().err


def repair(time_us: int, fault: str | None = "joint_resistance", reach: int = 1) -> Repair:
    return Repair(2, time_us, (("usage_point", "T1-B1-1"),), reach, fault, "")


@pytest.mark.parametrize(
    ("past", "expected", "ahead_h"),
    [
        (repair(13 * DAY), "known", 24.0),
        (repair(13 * DAY, None), "known", 24.0),
        (repair(13 * DAY, "outage"), "unseen", None),
        (repair(12 * DAY - HOUR), "late", -1.0),
        (repair(10 * DAY), "unseen", None),
        (repair(40 * DAY), "outside", None),
    ],
)
def test_a_past_repair_is_known_when_a_like_ticket_stood_before_it(
    past: Repair, expected: str, ahead_h: float | None
) -> None:
    told = lay_beside([alert()], [past], EXPOSURE, PLACES).told[0]

    assert (expected, ahead_h) == (told.outcome, told.ahead_h)


def test_a_ticket_that_cleared_weeks_before_the_repair_does_not_count() -> None:
    gone = alert(cleared_us=13 * DAY)

    assert "unseen" == lay_beside([gone], [repair(25 * DAY)], EXPOSURE, PLACES).told[0].outcome


def test_a_customers_address_reaches_up_to_the_transformer() -> None:
    """Whoever called from home does not know that the fault sat at the transformer."""
    above = alert(asset_kind="transformer", asset="T1")

    outcomes = [
        lay_beside([above], [repair(13 * DAY, reach=r)], EXPOSURE, PLACES).told[0].outcome
        for r in (1, 2)
    ]

    assert ["unseen", "known"] == outcomes


def test_the_summary_names_repairs_lead_budget_and_the_unexplained() -> None:
    result = lay_beside(
        [alert(), alert("b", asset="T2-B1-1")], [repair(13 * DAY)], EXPOSURE, PLACES, 0.05
    )

    assert (
        "1 of 1 past repairs would have been known before, half of them 24 hours or more ahead. "
        "0.07 tickets a day, above the budget of 0.05; 0.03 a day that no past repair explains."
    ) == summary(result)
    assert "T2-B1-1" in page(result, "a <town>") and "a &lt;town&gt;" in page(result, "a <town>")


def test_a_pilot_without_tickets_still_counts_the_days() -> None:
    quiet = lay_beside([], [], Exposure(0, 2 * DAY, {"T1": 4}), Places())

    assert summary(quiet).startswith("0.00 tickets a day, within")
    assert "<svg" in page(quiet, "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("电压低，空调启动不了", "under_voltage"),
        ("neutral_loose", "neutral_loose"),
        ("Burnt connector at the pole", "joint_resistance"),
        ("visited, nothing found", None),
        ("", None),
    ],
)
def test_the_words_of_a_past_ticket_name_its_fault(text: str, expected: str | None) -> None:
    assert expected == read_fault(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("account\nA1\n", "column 'time' is missing"),
        ("time\n2026-03-01T00:00:00Z\n", "neither account nor asset_kind and asset"),
        ("time,account\n2026-03-01,A-T1-B1-1\n", "past.csv:2, column time"),
        ("time,account\n2026-03-01T00:00:00Z,nobody\n", "account 'nobody' is not in the network"),
        ("time,asset_kind,asset\n2026-03-01T00:00:00Z,branch,B9\n", "there is no branch 'B9'"),
        ("", "not a CSV file"),
    ],
)
def test_a_bad_past_ticket_is_named_with_line_and_fix(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "past.csv"
    path.write_text(text)

    with pytest.raises(BadInput, match=says) as caught:
        read_repairs(path, street())

    assert caught.value.fix
