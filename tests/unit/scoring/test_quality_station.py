"""Faults put into a recorded area: where, when, and what the data could show at best."""

import numpy as np
import pytest

from benchmarks.quality import station
from benchmarks.quality.station import Area
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


def test_trials_without_an_alarm_do_not_count_as_found() -> None:
    assert 0.5 == station.share_within([3.0, None, 30.0, 12.0], 24.0)
    assert 0.0 == station.share_within([], 24.0)
