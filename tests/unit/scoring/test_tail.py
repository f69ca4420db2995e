"""Tails of healthy scores: limits, p-values, false discoveries."""

import numpy as np
import pytest

from detectors.scoring.tail import Tail, benjamini_hochberg, common_rate


@pytest.mark.parametrize("shape", [-0.2, 0.0, 0.3])
def test_the_limit_of_a_rate_is_reached_that_often_by_fresh_healthy_data(shape: float) -> None:
    """A tail fitted to one half tells how often the other half exceeds."""
    rng = np.random.default_rng(4)
    u = rng.random((2, 4000))
    x = -np.log(u) if shape == 0 else (u**-shape - 1.0) / shape
    seen, fresh = 1.0 + 0.5 * x

    limit = Tail.fit(seen.tolist(), days=400.0).limit(0.2)  # 10 a day reach 1: the top 2 %

    assert 0.7 * 0.02 <= float((fresh > limit).mean()) <= 1.3 * 0.02


def test_limit_and_rate_are_each_others_inverse() -> None:
    tail = Tail.fit([1.0 + 0.1 * k for k in range(40)], days=20.0)

    rates = [tail.rate(tail.limit(r)) for r in (1.0, 0.1, 0.01)]

    assert [1.0, 0.1, 0.01] == pytest.approx(rates)


def test_what_is_rare_enough_already_needs_no_higher_limit() -> None:
    assert 1.0 == Tail.fit([1.2], days=100.0).limit(0.5)
    assert 1.0 == Tail.fit([], days=100.0).limit(0.5)


def test_conformal_p_values_of_healthy_scores_are_honest() -> None:
    """Of fresh healthy scores at most a tenth has p <= 0.1."""
    rng = np.random.default_rng(5)
    tail = Tail.fit((1.0 + rng.gamma(0.5, 1.0, 199)).tolist(), days=10.0)

    p = [tail.p_value(s) for s in 1.0 + rng.gamma(0.5, 1.0, 2000)]

    assert float(np.mean(np.array(p) <= 0.1)) <= 0.13
    assert min(p) > 0.0


def test_the_noisiest_come_down_and_the_quiet_keep_their_limits() -> None:
    here = [0.01, 0.4, 3.0]

    rate = common_rate(here, allowed=0.3)

    assert 0.3 == pytest.approx(sum(min(r, rate) for r in here))


def test_false_discoveries_keep_to_their_share() -> None:
    """200 towns of 900 true nulls and 100 real effects."""
    rng = np.random.default_rng(6)
    shares = []
    for _ in range(200):
        p = np.append(rng.random(900), rng.random(100) * 1e-4)
        found = np.array(benjamini_hochberg(p.tolist(), 0.1))
        shares.append(found[:900].sum() / max(found.sum(), 1))

    assert 0.05 <= float(np.mean(shares)) <= 0.1


def test_no_tests_no_discoveries() -> None:
    assert [] == benjamini_hochberg([], 0.1)
