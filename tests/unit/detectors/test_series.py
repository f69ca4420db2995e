"""The detector for series without a model: quiet on what it knows, loud on what it doesn't."""

import numpy as np
import pytest

from detectors.series import ALARM, DEPTH, NEIGHBOURS, SeriesDetector, learning_span


def season(n: int, seed: int = 1) -> list[float]:
    """A daily course of 48 values with noise."""
    rng = np.random.default_rng(seed)
    values = np.sin(np.arange(n) * 2 * np.pi / 48) + rng.normal(0, 0.05, n)
    return [float(x) for x in values]


def scores(values: list[float], span: int = 300) -> list[float]:
    detector = SeriesDetector(span)
    return [detector.update(x) for x in values]


def test_while_it_learns_it_says_nothing() -> None:
    assert [0.0] * 300 == scores(season(300))


def test_a_broken_season_stands_out_at_once() -> None:
    values = season(800)
    values[600:612] = [0.0] * 12

    given = scores(values)

    assert max(given[600:612]) >= ALARM
    assert np.mean(np.array(given[300:600]) >= ALARM) < 0.02


def test_scores_do_not_depend_on_the_unit() -> None:
    volts = scores(season(500))
    millivolts = scores([1000.0 * x for x in season(500)])

    assert volts == pytest.approx(millivolts)


def test_one_alarm_speaks_for_what_follows() -> None:
    values = season(700)
    values[500:540] = [5.0] * 40

    given = scores(values)

    first = next(i for i in range(500, 540) if given[i] >= ALARM)
    assert max(given[first + 1 : first + 40]) <= 0.5


def test_a_missing_value_and_a_constant_series_never_alarm() -> None:
    assert [0.0] * 5 == scores([float("nan")] * 5)
    assert max(scores([7.0] * 600)) < ALARM


def test_distances_are_those_of_the_slow_way() -> None:
    """The first judged value against ten obvious lines."""
    span, values = 100, season(101)
    windows = np.array([values[k - DEPTH + 1 : k + 1] for k in range(DEPTH, span)])
    inverse = np.linalg.inv(windows.T @ windows)

    def nearest(x: list[float], count: int) -> float:
        return sum(sorted(float((w - x) @ inverse @ (w - x)) for w in windows)[:count])

    known = [nearest(w, NEIGHBOURS + 1) for w in windows.tolist()]
    mine = nearest(values[span - DEPTH + 1 :], NEIGHBOURS)

    assert np.mean([k < mine for k in known]) == pytest.approx(scores(values, span)[-1])


@pytest.mark.parametrize("span", [0, 46, 751])
def test_a_span_that_cannot_be_is_refused(span: int) -> None:
    with pytest.raises(ValueError, match="span is"):
        SeriesDetector(span)


def test_the_span_is_a_share_of_what_is_expected_and_bounded() -> None:
    assert (150, 750) == (learning_span(1000), learning_span(100_000))
