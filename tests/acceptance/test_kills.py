"""`kill -9` of the processes at any moment loses nothing and doubles nothing."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from forewatt.backtest import backtest
from tests.acceptance.house import House, in_background

pytestmark = [pytest.mark.services, pytest.mark.slow]

# A short run in every test; `make test ARGS="-k kills"` with FOREWATT_KILLS=20 is the long one.
KILLS = int(os.environ.get("FOREWATT_KILLS", "5"))
ROLES = ("collect", "historian", "watch")


@pytest.mark.timeout(600)
def test_random_kills_leave_the_alerts_and_readings_of_an_undisturbed_run(
    house: House, town: Path, tmp_path: Path
) -> None:
    backtest(town, tmp_path / "undisturbed.jsonl")
    undisturbed = [json.loads(x) for x in (tmp_path / "undisturbed.jsonl").read_text().splitlines()]
    choice = random.Random(20260302)

    with house:
        playing = in_background(house.play)
        for n in range(KILLS):
            house.wait_progress(choice.uniform(0.0, 1.0) / KILLS)
            house.kill(ROLES[n] if n < len(ROLES) else choice.choice(ROLES))
        sent = playing.result(300)
        house.settle(sent.rows)
        alerts, tickets = house.alerts(), house.tickets()
        restarts = house.reports()["supervisor"].detail["restarts"]

    assert KILLS == sum(restarts.values())
    assert sent.rows == house.count("reading")
    assert {a["id"] for a in undisturbed} == {a["id"] for a in alerts}
    assert sorted(a["id"] for a in undisturbed if a["ticket"]) == sorted(
        t["episode"] for t in tickets
    )
