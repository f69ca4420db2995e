"""Calibration: proposed from healthy data, reviewed, and only then in effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from forewatt.calibrate import Episode, Label, episodes, labels_from_csv, propose
from forewatt.cli import main
from forewatt.limits import load_limits
from grid.errors import BadInput
from grid.records import Evidence, Finding

DAY_US = 86_400_000_000


def episode(score: float, fault: str = "unbalance", severity: str = "P3") -> Episode:
    return Episode("supply", fault, "transformer", "T1", 0, 0, score, severity)


def found(day: float, score: float) -> Finding:
    tick = round(day * DAY_US)
    why = Evidence("", "")
    return Finding("d", "unbalance", "transformer", "T1", tick, tick, score, "P3", (), why)


def test_findings_less_than_a_day_apart_are_one_episode() -> None:
    given = [found(0, 1.2), found(0.5, 3.0), found(0.6, 0.4), found(2.0, 1.1)]

    made = episodes(given)

    assert [3.0, 1.1] == [e.score for e in made]


def test_healthy_data_keeps_to_its_share_of_the_budget() -> None:
    noisy = [episode(1.0 + 0.05 * k) for k in range(60)]

    made = propose(noisy, days=30.0, budget=3.0, false_share=0.1)

    (limit,) = made.limits
    assert 0.3 == pytest.approx(limit.healthy_a_day_after)
    assert 2.0 == limit.healthy_a_day
    assert limit.least_score > 1.5
    assert len(made.to_watch_list) == sum(e.score < limit.least_score for e in noisy)


def test_hazards_are_never_limited() -> None:
    made = propose(
        [episode(1.5, "outage", "P1") for _ in range(90)], days=30.0, budget=1.0, false_share=0.1
    )

    assert () == made.limits


def test_verdicts_enter_as_labels() -> None:
    """Wrong tickets are healthy episodes; mostly wrong ones cost the right to open tickets."""
    wrong = [Label("joint", "joint_resistance", 1.4, False)] * 9
    right = [Label("joint", "joint_resistance", 5.0, True)]

    (limit,) = propose([], days=300.0, budget=3.0, false_share=0.1, labels=wrong + right).limits

    assert (9, 1, 9) == (limit.healthy_episodes, limit.judged_right, limit.judged_wrong)
    assert limit.least_score == 1000.0


def test_a_proposal_takes_effect_only_when_somebody_has_accepted_it(
    town: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "limits.toml"

    assert 0 == main(["calibrate", str(town), "--budget", "2", "--out", str(out)])
    with pytest.raises(BadInput, match="nobody has accepted"):
        load_limits(out)
    assert 0 == main(["calibrate", "--accept", str(out), "--by", "李工"])

    assert all(score >= 1.0 for score in load_limits(out).values())
    assert "look at it" in capsys.readouterr().out


def test_verdicts_of_a_file_name_the_line_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.csv"
    path.write_text(
        "detector,fault,score,verdict\njoint,joint_resistance,1.5,no_fault\n"
        "joint,joint_resistance,2,customer_side\njoint,joint_resistance,x,no_fault\n"
    )

    with pytest.raises(BadInput, match=r"verdicts\.csv:4") as error:
        labels_from_csv(path)

    assert "no number" in str(error.value)
