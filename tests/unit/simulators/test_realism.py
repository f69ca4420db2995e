"""The realism table: figures of a simulated town beside a measured area."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from simulators.realism import measured_folder, realism_table, realism_text
from simulators.scenario import simulate
from simulators.spec import Scenario, TownSpec


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of two transformers without a fault."""
    out = tmp_path_factory.mktemp("realism") / "week"
    spec = Scenario(
        start=datetime.fromisoformat("2026-03-02T00:00:00+08:00"),
        days=4,
        seed=2,
        step_s=900,
        town=TownSpec(feeders=1, transformers=2, monitor_interval_s=900),
    )
    simulate(spec, out)
    return out


def test_a_simulated_town_lies_in_the_usual_ranges(week: Path) -> None:
    """Peak a home, coincidence, voltage change and neighbours' correlation."""
    figures = realism_table({"week": week})["week"]

    assert 0.5 < figures["evening peak, kW a home (30 min, diversified)"] < 1.8
    assert 2_000 < figures["use, kWh a home and year"] < 6_000
    assert figures["coincidence of 50 homes"] < figures["coincidence of 10 homes"] < 0.6
    assert 0.4 < figures["change of voltage between readings, V (std)"] < 3.0
    assert 0.6 < figures["neighbour correlation, same phase"] < 0.98


def test_it_resembles_the_measured_area(week: Path, shared_data: Path) -> None:
    """Voltage quantiles within 4 V, change and correlation within a third of the measured."""
    table = realism_table({"week": week, "measured": shared_data / "station_area_1"})

    ours, theirs = (table[name].astype(float).to_dict() for name in ("week", "measured"))
    for row in ("voltage, 1 %", "voltage, median", "voltage, 99 %"):
        assert ours[row] == pytest.approx(theirs[row], abs=4.0)
    for row in (
        "change of voltage between readings, V (std)",
        "neighbour correlation, same phase",
    ):
        assert ours[row] == pytest.approx(theirs[row], rel=0.33)


def test_coincidence_falls_with_the_number_of_homes(week: Path) -> None:
    """The more homes, the less they peak together."""
    figures = realism_table({"week": week})["week"]

    found = [figures[f"coincidence of {n} homes"] for n in (2, 5, 10, 20, 50)]
    assert sorted(found, reverse=True) == found


def test_a_class_of_area_has_its_own_peak(week: Path) -> None:
    """All homes of this town stand in one class, so its peak is the town's."""
    figures = realism_table({"week": week})["week"]

    peak = "evening peak, kW a home (30 min, diversified)"
    assert figures[peak] == pytest.approx(figures["evening peak, urban"])
    assert np.isnan(figures["evening peak, rural"])


def test_only_minute_readings_tell_what_a_minute_changes(tmp_path: Path, week: Path) -> None:
    """Half of all minutes move a voltage by a few tenths; one in a hundred by a volt or more."""
    spec = Scenario(
        start=datetime.fromisoformat("2026-01-12T17:00:00+08:00"),
        days=0.125,
        seed=2,
        step_s=60,
        town=TownSpec(feeders=1, transformers=1, meter_interval_s=60, monitor_interval_s=60),
    )
    simulate(spec, tmp_path / "minutes")

    table = realism_table({"minutes": tmp_path / "minutes", "week": week})

    half, most = (table.loc[f"change of voltage in a minute, V ({s} %)"] for s in (50, 99))
    assert 0.05 < half["minutes"] < 0.6
    assert 0.8 < most["minutes"] < 6.0
    assert np.isnan(half["week"])


def test_a_file_of_readings_stands_for_its_dataset(week: Path) -> None:
    """`--validate station/readings.csv.gz` means the station."""
    assert week == measured_folder(week / "readings.parquet")


def test_what_a_dataset_cannot_tell_stays_empty(week: Path) -> None:
    """No number is invented, and the text says what is usual."""
    text = realism_text({"week": week})

    assert "Low Carbon London" in text
    assert "nan" not in text.lower()
    assert np.isfinite(realism_table({"week": week})["week"]["readings missing, %"])
