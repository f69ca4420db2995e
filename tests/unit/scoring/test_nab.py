"""NAB's rules by hand: early counts more, twice counts once, far past a window costs most."""

import numpy as np
import pytest

from detectors.scoring.nab import PROFILES, Series, corpus_score, probation, sigmoid

STANDARD = PROFILES["standard"]


def one(*detections: int, rows: int = 100) -> Series:
    scores = np.zeros(rows)
    scores[list(detections)] = 1.0
    return Series(scores, ((50, 59),))


def test_a_silent_detector_has_nothing_and_one_at_the_start_of_each_window_all() -> None:
    assert 0.0 == pytest.approx(corpus_score([one()], STANDARD)[0])
    # The first row of ten lies at -(10)/10.
    assert 100.0 == pytest.approx(corpus_score([one(50)], STANDARD)[0])


def test_a_late_detection_is_worth_less() -> None:
    expected = 100.0 * (sigmoid(-0.1) / sigmoid(-1.0) + 1.0) / 2.0

    assert expected == pytest.approx(corpus_score([one(59)], STANDARD)[0])


def test_more_detections_in_a_window_change_nothing() -> None:
    assert corpus_score([one(50)], STANDARD) == corpus_score([one(50, 53, 59)], STANDARD)


def test_a_false_detection_costs_by_its_distance_past_the_window() -> None:
    before, near, far = (corpus_score([one(50, k)], STANDARD)[0] for k in (30, 60, 95))

    assert 100.0 - 100 * 0.11 / 2 == pytest.approx(before)
    assert 100.0 + 100 * 0.11 * sigmoid(1 / 9) / 2 == pytest.approx(near)
    assert before == pytest.approx(far)


def test_the_start_is_not_judged() -> None:
    assert 15 == probation(100)
    assert corpus_score([one(50)], STANDARD) == corpus_score([one(50, 3, 14)], STANDARD)


def test_the_threshold_is_one_for_the_corpus() -> None:
    quiet = Series(np.where(np.arange(100) == 50, 0.6, 0.0), ((50, 59),))
    noisy = Series(np.where(np.arange(100) == 30, 0.7, 0.0), ())

    score, threshold = corpus_score([quiet, noisy], STANDARD)

    assert 0.6 == threshold
    assert 100.0 - 100 * 0.11 / 2 == pytest.approx(score)
