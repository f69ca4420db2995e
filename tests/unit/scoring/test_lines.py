"""Truth and alert files: what is read, and what a bad line is told."""

import json
from typing import Any

import pytest

from detectors.scoring import read_alerts, read_truth
from grid.errors import BadInput

TRUTH: dict[str, Any] = {
    "id": "x",
    "fault": "outage",
    "asset_kind": "transformer",
    "asset": "T1",
    "onset": "2026-03-01T08:00:00+08:00",
    "detectable": None,
    "failure": None,
    "cleared": "2026-03-01T02:00:00Z",
    "devices": ["M1"],
    "benign": False,
}
ALERT: dict[str, Any] = {
    "id": "a",
    "fault": "outage",
    "asset_kind": "transformer",
    "asset": "T1",
    "severity": "P1",
    "raised": "2026-03-01T00:15:00Z",
    "known": "2026-03-01T00:15:40Z",
    "cleared": None,
    "score": 3.5,
    "devices": ["M1"],
    "ticket": True,
    "work": "repair",
    "horizon_h": None,
    "evidence": {"rule": "all meters silent", "numbers": {}, "limit": None, "window": []},
}
HOUR = 3_600_000_000


def test_truth_times_become_microseconds_of_utc() -> None:
    line = read_truth([json.dumps(TRUTH), ""])[0]

    assert (1_772_323_200_000_000, line.onset_us + 2 * HOUR) == (line.onset_us, line.cleared_us)


def test_alerts_are_sorted_by_raised_and_known_defaults_to_raised() -> None:
    later = {**ALERT, "id": "b", "raised": "2026-03-02T00:00:00Z", "known": None}

    lines = read_alerts([json.dumps(later), json.dumps(ALERT)])

    assert ["a", "b"] == [a.id for a in lines]
    assert lines[1].raised_us == lines[1].known_us
    assert "all meters silent" == lines[0].rule


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"onset": None}, "onset is missing"),
        ({"onset": "2026-03-01T08:00:00"}, "not a time with zone"),
        ({"onset": 12}, "not a time with zone"),
        ({"fault": "gremlins"}, "'gremlins' is not in the catalogue"),
        ({"cleared": "2026-02-01T00:00:00Z"}, "cleared lies before onset"),
        ({"benign": "no"}, "benign is 'no'"),
        ({"asset": ""}, "asset is missing"),
    ],
)
def test_a_bad_truth_line_is_named_with_file_line_and_fix(
    changes: dict[str, object], says: str
) -> None:
    lines = [json.dumps({**TRUTH, "id": "good"}), json.dumps({**TRUTH, **changes})]

    with pytest.raises(BadInput, match=says) as caught:
        read_truth(lines, "truth.jsonl")

    assert ("truth.jsonl", 2) == (caught.value.file, caught.value.line)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a JSON line"),
        ("[1]", "not a JSON object"),
        (json.dumps({**ALERT, "severity": "P9"}), "severity 'P9'"),
        (json.dumps({**ALERT, "score": "high"}), "score is 'high'"),
        (json.dumps({**ALERT, "raised": None}), "raised is missing"),
        (json.dumps(ALERT), "id 'a' stands in line 1 already"),
    ],
)
def test_a_bad_alert_line_is_named_with_file_line_and_fix(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as caught:
        read_alerts([json.dumps(ALERT), text], "a.jsonl")

    assert ("a.jsonl", 2) == (caught.value.file, caught.value.line)


def test_a_look_alike_may_have_a_kind_of_its_own() -> None:
    assert read_truth([json.dumps({**TRUTH, "fault": "new_ev", "benign": True})])[0].benign
