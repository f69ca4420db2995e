"""Scores below the limit are kept with their names, and never without a bound."""

import numpy as np

from detectors.near import STEP_US, Near, NearScores
from grid.records import Evidence, Finding

ONE = object()


def hear(near: NearScores, tick_us: int, scores: list[float], opened: list[int]) -> None:
    """One frame of a family whose rows are the meters M0, M1 and so on."""

    def finding(k: int, score: float) -> Finding:
        made = ("d", "neutral_loose", "device", f"M{k}", tick_us, tick_us, score)
        return Finding(*made, "P2", (), Evidence("", ""))

    near.hear(ONE, "", tick_us, np.array(scores), np.array(opened), finding)


def point(tick_us: int, meter: str, score: float) -> Near:
    return Near(tick_us, "d", "neutral_loose", "device", meter, score)


def test_the_highest_of_each_quarter_of_an_hour_is_kept_where_it_was() -> None:
    near = NearScores()

    hear(near, 10, [0.4, 0.1], [0, 0])
    hear(near, 20, [0.7, np.nan], [0, 0])
    hear(near, 30, [0.6, 0.3], [0, 0])
    hear(near, STEP_US, [0.5, 0.0], [0, 0])
    hear(near, 2 * STEP_US, [0.0, 0.0], [0, 0])

    assert near.points == [
        point(20, "M0", 0.7),
        point(30, "M1", 0.3),
        point(STEP_US, "M0", 0.5),
    ]


def test_what_is_over_the_limit_or_raised_is_a_finding_and_not_near() -> None:
    near = NearScores()

    hear(near, 10, [1.0, 0.9, 2.0], [0, 5, 0])
    hear(near, STEP_US, [0.0] * 3, [0] * 3)

    assert near.points == []


def test_of_more_places_than_there_is_room_the_nearest_are_kept() -> None:
    near = NearScores(room=10)

    for n in range(4):
        hear(near, n * STEP_US, [0.3 + 0.01 * m for m in range(30)], [0] * 30)

    assert {p.asset for p in near.points} == {f"M{m}" for m in range(20, 30)}


def test_beyond_its_room_steps_grow_longer_and_peaks_stay() -> None:
    near = NearScores(room=10)

    for n in range(64):
        hear(near, n * STEP_US, [0.9 if n == 37 else 0.3], [0])

    assert len(near.points) <= 10
    assert near.step_us >= 4 * STEP_US
    assert max(near.points, key=lambda p: p.score) == point(37 * STEP_US, "M0", 0.9)


def test_rows_that_have_changed_their_meaning_are_not_named() -> None:
    near = NearScores()
    hear(near, 10, [0.8], [0])

    near.begin_anew()
    hear(near, STEP_US, [0.0], [0])

    assert near.points == []
