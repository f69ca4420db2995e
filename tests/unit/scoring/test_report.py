"""The score of hand-made alerts equals the one counted by hand."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.scoring import AlertLine, Score, TruthLine, score
from detectors.scoring.report import ScoreSettings
from grid.errors import BadInput
from grid.faults import FAULTS
from tests.unit.scoring.lines_by_hand import (
    DAY,
    END,
    EXPOSURE,
    HOUR,
    PLACES,
    alert,
    perfect,
    truth,
)

MINUTE = HOUR // 60


def hand_made() -> tuple[list[AlertLine], list[TruthLine]]:
    """Four incidents, one look-alike, seven tickets and a watch-list line.

    joint-1  found a day after detectable: lead 3 of 4 days; a second ticket under another name
    joint-2  found at the branch, so not at the right asset: lead 2 of 4 days
    joint-3  missed, its only ticket comes after the failure
    outage   found 20 minutes after it began, the first customer called after 30
    """
    happened = [
        truth("joint-1"),
        truth("joint-2", asset="T1-B2-1"),
        truth("joint-3", asset="T2-B1-1"),
        truth(
            "outage",
            "outage",
            asset_kind="transformer",
            asset="T2",
            onset_us=20 * DAY,
            detectable_us=20 * DAY,
            failure_us=None,
            cleared_us=20 * DAY + 2 * HOUR,
        ),
        truth("ev", "new_ev", asset="T2-B2-1", benign=True, failure_us=None, cleared_us=None),
    ]
    alerts = [
        alert("t1"),
        alert("t2", "under_voltage", severity="P3", raised_us=13 * DAY, known_us=13 * DAY),
        alert("t3", asset_kind="branch", asset="T1-B2", raised_us=13 * DAY, known_us=13 * DAY),
        alert("t4", asset="T2-B1-1", raised_us=15 * DAY + HOUR, known_us=15 * DAY + HOUR),
        alert(
            "t5",
            "outage",
            asset_kind="transformer",
            asset="T2",
            severity="P1",
            raised_us=20 * DAY + 15 * MINUTE,
            known_us=20 * DAY + 20 * MINUTE,
        ),
        alert("t6", "transformer_overload", asset="T2-B2-1"),
        alert("t7", "meter_health", severity="P4", asset="T1-B1-2", raised_us=3 * DAY),
        alert("w1", "unknown", severity="P4", asset="T2-B2-2", ticket=False, score=9.0),
    ]
    return alerts, happened


@pytest.fixture
def scored() -> Score:
    alerts, happened = hand_made()
    contacts = {"outage": 20 * DAY + 30 * MINUTE, "joint-3": 12 * DAY}
    return score(alerts, happened, EXPOSURE, PLACES, first_contact_us=contacts)


def test_recall_lateness_and_right_asset_by_kind(scored: Score) -> None:
    joints, outage = scored.kinds

    assert ("joint_resistance", 3, 2, 1) == (
        joints.name,
        joints.incidents,
        joints.found,
        joints.late,
    )
    assert 2 / 3 == pytest.approx(joints.recall.value)
    assert 0.5 == joints.right_asset.value
    assert (1.0, 1.0) == (outage.recall.value, outage.right_asset.value)
    assert 0.75 == scored.overall.recall.value


def test_lead_is_counted_from_when_it_was_known(scored: Score) -> None:
    """3 and 2 days of 4 attainable: median 2.5 days and 0.625 of what could be had."""
    joints = scored.kinds[0]

    assert 60.0 == joints.lead_h.value
    assert 96.0 == joints.attainable_h.value
    assert 0.625 == joints.lead_share.value
    assert 0.525 == pytest.approx(joints.lead_share_p10)


def test_delay_is_counted_from_the_onset(scored: Score) -> None:
    assert 60.0 == scored.kinds[0].delay_h.value
    assert 1 / 3 == pytest.approx(scored.kinds[1].delay_h.value)


def test_tickets_a_cause_count_other_names_and_late_ones(scored: Score) -> None:
    """joint-1 made two, joint-2 one, joint-3 one that was late."""
    assert 4 / 3 == pytest.approx(scored.kinds[0].tickets_a_cause.value)


def test_false_tickets_are_counted_by_severity_and_by_cause(scored: Score) -> None:
    """240 meter-days: one P2 on a look-alike, one P3 of a wrong family, one P4 about nothing."""
    per_ticket = 1000 / 240

    assert {"P1": 0.0, "P2": 1.0, "P3": 1.0, "P4": 1.0, "all": 3.0} == {
        name: pytest.approx((rate.value or 0.0) / per_ticket)
        for name, rate in scored.false_per_1000.items()
    }
    assert {"wrong_family": 1, "wrong_place": 0, "benign": 1, "early": 0, "nothing": 1} == (
        scored.false_by_cause
    )


def test_precision_and_its_restatement(scored: Score) -> None:
    """4 of 7; at 0.05 faults and 12.5 false tickets per 1,000 meter-days hardly anything."""
    assert 4 / 7 == pytest.approx(scored.precision.value)
    assert 0.05 * 0.75 / (0.05 * 0.75 + 12.5) == pytest.approx(scored.precision_restated)


def test_look_alikes_wrong_families_and_first_contacts(scored: Score) -> None:
    assert (1, 1.0) == (scored.benign, scored.benign_ticketed.value)
    assert 1 / 7 == pytest.approx(scored.wrong_family.value)
    assert 0.5 == scored.overall.known_before_contact.value
    assert 10.0 == scored.overall.ahead_of_contact_min.value


def test_the_top_of_a_day_ranks_all_lines_by_score() -> None:
    """Two lines on one day, one true: with one row a day only the higher score counts."""
    from detectors.scoring.ranking import top_of_day

    lines = [alert("true", score=3.0), alert("false", asset="T2-B2-2", score=5.0, ticket=False)]

    shares = [top_of_day(lines, [truth()], PLACES, END, top=n).value for n in (1, 2)]

    assert [0.0, 0.5] == shares


def test_nothing_raised_and_nothing_happened_is_no_division_by_zero() -> None:
    empty = score([], [], EXPOSURE, PLACES)

    assert None is empty.overall.recall.value
    assert None is empty.precision.value
    assert 0.0 == empty.false_per_1000["all"].value


def test_no_false_ticket_still_has_an_upper_bound() -> None:
    """None in 240 meter-days leaves room for 3.689 / 0.24 per 1,000."""
    bound = score([], [truth()], EXPOSURE, PLACES).false_per_1000["all"].high

    assert 3.689 / 0.24 == pytest.approx(bound)


def test_healthy_areas_are_counted_apart() -> None:
    """The false ticket in T1, where something happened, does not weigh on healthy T2."""
    alerts = [alert("x", asset="T1-B2-1", raised_us=DAY)]

    counted = score(alerts, [truth()], EXPOSURE, PLACES)

    assert 0.0 == counted.false_in_healthy_areas.value
    assert 1000 / 240 == pytest.approx(counted.false_per_1000["all"].value)


def test_an_impossible_true_rate_is_refused() -> None:
    with pytest.raises(BadInput, match="Give a positive number"):
        ScoreSettings(true_rate=0.0)


@st.composite
def happenings(draw: st.DrawFn) -> list[TruthLine]:
    """Incidents at different assets, so that each is a cause of its own."""
    points = [f"{t}-{b}-{n}" for t, b, n in itertools.product(("T1", "T2"), ("B1", "B2"), "12")]
    chosen = draw(st.lists(st.sampled_from(points), unique=True, min_size=1))
    out = []
    for n, point in enumerate(chosen):
        onset = draw(st.integers(0, 10 * DAY))
        seen = onset + draw(st.integers(0, 5 * DAY))
        failure = draw(st.none() | st.integers(1, 5 * DAY))
        kind = draw(st.sampled_from(sorted(FAULTS)))
        out.append(
            TruthLine(
                f"i{n}",
                kind,
                "usage_point",
                point,
                onset,
                seen,
                None if failure is None else seen + failure,
                None,
            )
        )
    return out


@settings(max_examples=40, deadline=None)
@given(happenings())
def test_perfect_alerts_score_one(happened: list[TruthLine]) -> None:
    """Every incident at its asset at the first moment it can be seen, and nothing else."""
    s = score(perfect(happened), happened, EXPOSURE, PLACES)

    assert (1.0, 1.0, 1.0) == (
        s.overall.recall.value,
        s.overall.right_asset.value,
        s.overall.tickets_a_cause.value,
    )
    assert (1.0, 0.0, 1.0) == (
        s.precision.value,
        s.false_per_1000["all"].value,
        s.top_of_day.value,
    )
    assert s.overall.lead_share.value in (None, 1.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_lines_changes_nothing(seed: int) -> None:
    alerts, happened = hand_made()
    expected = score(alerts, happened, EXPOSURE, PLACES).as_dict()
    mixed = random.Random(seed)
    mixed.shuffle(alerts)
    mixed.shuffle(happened)

    assert expected == score(alerts, happened, EXPOSURE, PLACES).as_dict()
