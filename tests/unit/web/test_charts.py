"""Charts: the right readings for a fault, on one axis, never more than the limit of points."""

from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from grid.faults import FAULTS
from grid.quantities import INDEX
from grid.records import Alert
from storage.series import Series
from tests.unit.web.world import DAY, HOUR, NOW, FakeReadings, StandingClock, World, network
from web.charts import (
    DEVICE_PANELS,
    LINES_MAX,
    PANELS,
    POINTS_MAX,
    alert_chart,
    device_chart,
    lines_of,
    span_of,
    sparse,
)
from web.i18n import words

SHANGHAI = ZoneInfo("Asia/Shanghai")
GRID = network()
READINGS = FakeReadings(GRID, StandingClock())


def an_alert(fault: str) -> Alert:
    with World().ledger.reading() as r:
        return next(a for a in r.alerts() if a.fault == fault)


def test_every_fault_class_that_has_a_chart_names_known_quantities() -> None:
    named = {q for panels in (*PANELS.values(), DEVICE_PANELS) for group in panels for q in group}

    assert named <= set(INDEX)
    assert set(PANELS) <= {f.incident_class for f in FAULTS.values()}


def test_a_neutral_shows_meters_beside_the_transformer_and_the_permitted_band() -> None:
    alert = an_alert("neutral_loose")

    made = alert_chart(READINGS, GRID, alert, NOW - DAY, NOW, SHANGHAI, "CN", words("en"))

    first = made["panels"][0]
    assert first["unit"] == "V"
    assert {x["device"] for x in first["lines"]} >= {"M-T3-008", "T3-monitor"}
    assert [x["value"] for x in first["limits"]] == [235.4, 198.0]
    assert all(len(x["mean"]) == len(x["at"]) for x in first["lines"])


def test_an_alert_about_power_shows_power_first() -> None:
    alert = an_alert("neutral_loose")
    odd = replace(alert, evidence=replace(alert.evidence, numbers={"power_mean_w": 5502.0}))

    made = alert_chart(READINGS, GRID, odd, NOW - DAY, NOW, SHANGHAI, "CN", words("en"))

    assert [p["unit"] for p in made["panels"]][:2] == ["W", "V"]


def test_a_chart_never_has_more_lines_or_points_than_a_browser_can_draw() -> None:
    alert = an_alert("neutral_loose")

    made = alert_chart(READINGS, GRID, alert, NOW - 30 * DAY, NOW, SHANGHAI, "CN", words("en"))

    assert all(len(p["time"]) <= POINTS_MAX for p in made["panels"])
    assert all(len(p["lines"]) <= LINES_MAX for p in made["panels"])


def test_times_of_a_chart_are_wall_clock_seconds_of_the_site() -> None:
    made = device_chart(READINGS, GRID, "M-T1-001", NOW - HOUR, NOW, SHANGHAI, words("en"))

    assert made["to"] - NOW // 1_000_000 == 8 * 3600
    assert made["panels"][0]["time"][-1] <= made["to"]


def test_a_single_phase_meter_is_drawn_in_the_colour_of_its_phase() -> None:
    alert = replace(an_alert("meter_health"), fault="under_voltage")

    lines = lines_of(GRID, alert, ("v_a", "v_b", "v_c"))

    assert [(x.quantity, x.look) for x in lines if x.device == "M-T5-007"] == [("v_a", "phase-a")]


def test_readings_of_several_devices_stand_at_their_own_times() -> None:
    axis = np.array([10, 20, 30, 40], np.int64)

    line = sparse(axis, np.array([20, 40], np.int64), np.array([1.234, np.nan], np.float32))

    assert line == {"at": [1], "mean": [1.23]}


def test_a_line_breaks_where_its_own_device_missed_readings_only() -> None:
    """Times of other devices in between are no gap."""
    axis = np.arange(0, 200, 5, dtype=np.int64)
    own = np.array([0, 15, 30, 45, 105, 120], np.int64)

    line = sparse(axis, own, np.ones(6, np.float32))

    assert line["at"] == [0, 3, 6, 9, 10, 21, 24]
    assert line["mean"] == [1, 1, 1, 1, None, 1, 1]


def test_a_line_breaks_even_when_every_device_was_silent() -> None:
    class Dark(FakeReadings):
        def series(self, *given: Any) -> Series:
            time = np.array([0, 60, 120, 180, 3600, 3660], np.int64) * 1_000_000 + NOW - HOUR
            values = np.full(6, 230, np.float32)
            return Series(time, 0.0, {"v_a": (values, values, values)})

    made = device_chart(
        Dark(GRID, StandingClock()), GRID, "M-T1-001", NOW - HOUR, NOW, SHANGHAI, words("en")
    )

    assert made["panels"][0]["lines"][0]["mean"] == [230, 230, 230, 230, None, 230, 230]


def test_a_device_without_readings_has_no_panels_and_a_sentence() -> None:
    class Silent(FakeReadings):
        def _values(self, device: str, q: str, time: Any) -> Any:
            return np.full(np.size(time), np.nan, np.float32)

    made = device_chart(
        Silent(GRID, StandingClock()), GRID, "M-T1-001", NOW - HOUR, NOW, SHANGHAI, words("en")
    )

    assert (made["panels"], made["nothing"]) == ([], "No readings in this time.")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [("6h", NOW - 6 * HOUR, NOW), ("7d", NOW - 7 * DAY, NOW)],
)
def test_a_span_that_was_asked_for_ends_now(asked: str, start: int, end: int) -> None:
    alert = an_alert("neutral_loose")

    assert (start, end) == span_of(alert, NOW, asked, None, None)


def test_without_a_choice_the_judged_window_is_shown_with_what_came_before() -> None:
    alert = an_alert("neutral_loose")

    start, end = span_of(alert, NOW, None, None, None)

    assert start < alert.evidence.window[0]
    assert end == NOW
