"""Faults put into a recorded area: where, when, and what the data could show at best."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.quality import station
from benchmarks.quality.station import Area, Trial
from detectors.scoring import AlertLine
from grid.network import Device, Feeder, Network, Transformer, UsagePoint
from grid.readings import ReadingBatch

HOUR_US = 3_600_000_000
DAYS = 45


@pytest.fixture(scope="module")
def area() -> Area:
    """Four hourly meters that follow their transformer with 0.3 V of noise of their own."""
    rng = np.random.default_rng(8)
    names = ["TM", "M1", "M2", "M3", "M4"]
    network = Network(
        feeders=(Feeder("F1"),),
        transformers=(Transformer("T1", "F1"),),
        usage_points=tuple(UsagePoint(f"U{n}", "T1") for n in range(1, 5)),
        devices=(
            Device("TM", "transformer_monitor", transformer="T1", interval_s=3600.0),
            *(Device(f"M{n}", usage_point=f"U{n}", interval_s=3600.0) for n in range(1, 5)),
        ),
    )
    at = 1_772_323_200_000_000 + np.arange(DAYS * 24) * HOUR_US
    source = 228.0 + np.cumsum(rng.normal(0.0, 0.2, at.size)) * 0.5
    amps = 20.0 + 5.0 * rng.random(at.size)
    parts = []
    for k in range(5):
        noise = 0.0 if k == 0 else rng.normal(-1.0, 0.3, at.size)
        volts = source + noise
        values = {"v_a": volts, "v_b": source, "v_c": source}
        values |= dict.fromkeys(("i_a", "i_b", "i_c"), amps)
        if k:
            values = {"v_a": volts, "i_a": amps / 10.0}
        parts.append(ReadingBatch.of(names, np.full(at.size, k), at, values))
    return Area(network, ReadingBatch.concat(parts).sort(), [])


def test_trials_begin_after_four_weeks_and_end_within_the_data(area: Area) -> None:
    at = area.batch.time

    starts = station.starts(area, "M1", 5)

    assert 5 == len(starts)
    assert min(starts) >= at.min() + station.HISTORY_US
    assert max(starts) <= at.max() - station.WEEK_US
    assert starts == station.starts(area, "M1", 5)


def test_a_meter_without_current_has_no_joint_trials(area: Area) -> None:
    assert [] == station.starts(area, "M1", 5, "v_c")


def test_meter_days_count_days_with_readings(area: Area) -> None:
    assert 4.0 * DAYS == area.meter_days


def test_the_bound_sees_a_large_step_at_once_and_none_where_there_is_none(area: Area) -> None:
    """Thresholds lie just above the untouched data, so nothing alarms on it."""
    large = station.bound_trials(area, -3.0, 3)
    none = station.bound_trials(area, 0.0, 3)

    assert 1.0 == max(station.share_within(h, 24.0) for h in large.values())
    assert {0.0} == {station.share_within(h, 168.0) for h in none.values()}


def test_a_smaller_step_is_found_later_or_not_at_all(area: Area) -> None:
    shares = [
        max(station.share_within(h, 24.0) for h in station.bound_trials(area, v, 3).values())
        for v in (-3.0, -0.5, -0.05)
    ]

    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.5


def test_the_bound_of_resistance_sees_much_at_once_and_none_where_there_is_none(
    area: Area,
) -> None:
    """About 2.2 A: 2 ohm take 4 V of a meter whose noise is 0.3 V."""
    large = station.joint_bound_trials(area, 2.0, 3)
    none = station.joint_bound_trials(area, 0.0, 3)

    assert {12} == {len(hours) for hours in large.values()}
    assert 1.0 == max(station.share_within(h, 6.0) for h in large.values())
    assert {0.0} == {station.share_within(h, 168.0) for h in none.values()}


def test_less_resistance_is_found_later_or_not_at_all(area: Area) -> None:
    shares = [
        max(station.share_within(h, 24.0) for h in station.joint_bound_trials(area, r, 3).values())
        for r in (2.0, 0.2, 0.02)
    ]

    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.5


def test_what_the_service_usually_takes_is_no_news_to_the_bound(area: Area) -> None:
    """Least squares know the own current: only more resistance is left over."""
    own = 1.0 * np.nan_to_num(area.batch.value("i_a")) * (area.batch.device > 0)
    volts = area.batch.value("v_a") - own.astype(np.float32)
    usual = replace(area.batch, values={**area.batch.values, "v_a": volts})

    before = station.joint_bound_trials(area, 0.3, 3)
    after = station.joint_bound_trials(replace(area, batch=usual), 0.3, 3)

    assert before == after


@pytest.mark.parametrize(
    ("raised_h", "cleared_h", "held"),
    [(-5, None, True), (-5, 200, True), (-5, 100, False), (5, None, False)],
)
def test_where_an_alert_is_open_all_the_week_no_trial_can_raise_a_new_one(
    area: Area, raised_h: int, cleared_h: int | None, held: bool
) -> None:
    at = station.starts(area, "M1", 1)[0]
    raised = at + raised_h * HOUR_US
    cleared = None if cleared_h is None else at + cleared_h * HOUR_US
    alert = AlertLine(
        "a", "joint_resistance", "usage_point", "U1", "P3", raised, raised, cleared, 1.0
    )
    alarmed = replace(area, untouched=[alert])

    assert held == station.alerted_before(alarmed, Trial("M1", at, None, None))
    assert not station.alerted_before(alarmed, Trial("M2", at, None, None))


def test_trials_without_an_alarm_do_not_count_as_found() -> None:
    assert 0.5 == station.share_within([3.0, None, 30.0, 12.0], 24.0)
    assert 0.0 == station.share_within([], 24.0)
