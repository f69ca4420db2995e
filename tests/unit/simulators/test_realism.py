"""The realism table: figures of a simulated town beside a measured area."""

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from simulators.realism import realism_table, realism_text
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


def test_what_a_dataset_cannot_tell_stays_empty(week: Path) -> None:
    """No number is invented, and the text says what is usual."""
    text = realism_text({"week": week})

    assert "Low Carbon London" in text
    assert "nan" not in text.lower()
    assert np.isfinite(realism_table({"week": week})["week"]["readings missing, %"])
