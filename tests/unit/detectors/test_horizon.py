"""Growth and horizon: against plain least squares, and silent where growth is not sure."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detectors.base import Axis, Stateful
from detectors.horizon import FORGET_H, Growth, Outlook

HOUR_US = 3_600_000_000


class Owner(Stateful):
    """Something that keeps one growth."""

    def __init__(self) -> None:
        super().__init__()
        self.growth = Growth(self, "growth", "one", 1)

    def keys(self, axis: Axis) -> list[str]:
        return ["all"]


def followed(
    ohm: NDArray[Any], noise: float = 0.02, seed: int = 3
) -> tuple[Growth, NDArray[np.float64]]:
    """Quarter-hours of a resistance through a household's current, and the rows (x, y)."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 3.0, ohm.size)
    y = ohm * x + rng.normal(0, noise, ohm.size)
    growth = Owner().growth
    for k in range(ohm.size):
        growth.follow(np.array([0]), k * HOUR_US // 4 + 1, x[k : k + 1], y[k : k + 1])
    return growth, np.stack([x, y])


@pytest.mark.parametrize("seed", range(4))
def test_size_and_growth_equal_weighted_least_squares(seed: int) -> None:
    t = np.arange(300) / 4.0
    growth, (x, y) = followed(0.1 + 0.002 * t, 0.3, seed)

    said = growth.outlook(0, 5.0)

    age = t - t[-1]
    weight = np.exp(age / FORGET_H / 2.0)
    fit, *_ = np.linalg.lstsq(np.stack([x, x * age], 1) * weight[:, None], y * weight, rcond=None)
    assert (said.size, said.per_day / 24.0) == pytest.approx(tuple(fit), rel=1e-3)


def test_what_does_not_grow_at_all_has_a_size_and_no_horizon() -> None:
    """Exactly constant, as coarse values can be: neither growth nor doubt is left to divide by."""
    growth = Owner().growth
    for k in range(200):
        growth.follow(np.array([0]), k * HOUR_US // 2 + 1, np.ones(1), np.ones(1))

    assert Outlook(1.0, 0.0) == growth.outlook(0, 5.0)


def test_a_contact_that_compounds_reaches_its_limit_within_the_interval() -> None:
    t = np.arange(200) / 4.0
    rate = np.log(50.0) / 96.0
    growth, _ = followed(0.03 * np.exp(rate * t))

    said = growth.outlook(0, 1.2)

    truly_h = np.log(1.2 / (0.03 * np.exp(rate * t[-1]))) / rate
    assert said.low_h is not None and said.high_h is not None and said.hours is not None
    assert said.low_h <= truly_h <= said.high_h
    assert said.low_h <= said.hours <= said.high_h


@pytest.mark.parametrize("frames", [10, 200])
def test_a_step_that_stands_still_and_a_young_suspicion_have_no_horizon(frames: int) -> None:
    growth, _ = followed(np.full(frames, 0.4), noise=0.3)

    assert growth.outlook(0, 1.0).hours is None


def test_what_has_gone_too_far_already_has_no_horizon() -> None:
    growth, _ = followed(0.5 + 0.02 * np.arange(100) / 4.0)

    assert growth.outlook(0, 0.4).hours is None


def test_missing_readings_and_long_pauses_disturb_nothing() -> None:
    growth, _ = followed(0.1 + 0.004 * np.arange(200) / 4.0)
    before = growth.outlook(0, 2.0)

    growth.follow(np.array([0]), 60 * HOUR_US, np.array([np.nan]), np.array([1.0]))
    assert before == growth.outlook(0, 2.0)

    growth.follow(np.array([0]), 500 * HOUR_US, np.array([1.0]), np.array([1.0]))
    assert growth.outlook(0, 2.0).hours is None


def test_what_is_not_foreseen_is_not_said() -> None:
    assert {"growth_per_day"} == set(Outlook(0.2, 0.01).numbers())
    assert 3 == len(Outlook(0.2, 0.01, 20.0, 10.0, 40.0).numbers())
