"""The main job: a fault in the grid is a ticket on the desk, live as in a backtest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forewatt.backtest import backtest
from tests.acceptance.house import House

pytestmark = [pytest.mark.services, pytest.mark.slow]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_live_stores_every_reading_once_and_raises_the_alerts_of_the_backtest(
    house: House, town: Path, tmp_path: Path
) -> None:
    """Through broker, journal, database and detectors come the ids that `backtest` writes."""
    backtest(town, tmp_path / "alerts.jsonl")
    expected = lines(tmp_path / "alerts.jsonl")
    truth = lines(town / "truth.jsonl")

    with house:
        sent = house.play()
        house.settle(sent.rows)
        alerts, tickets = house.alerts(), house.tickets()

    assert sent.rows == house.count("reading")
    assert {a["id"] for a in expected} == {a["id"] for a in alerts}
    assert {f["asset"] for f in truth} == {t["asset"] for t in tickets}
    assert len(truth) == len(tickets)
