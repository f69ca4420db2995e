"""What counts as found, late, or false."""

from typing import Any

import pytest

from detectors.scoring import AlertLine, Places, TruthLine, match
from tests.unit.scoring.lines_by_hand import DAY, END, HOUR, PLACES, alert, truth


def verdict(a: AlertLine, t: TruthLine) -> str:
    return match([a], [t], PLACES, END).judged[0].verdict


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "found"),
        ({"fault": "hot_terminal"}, "found"),
        ({"fault": "momentary"}, "found"),
        ({"fault": "under_voltage"}, "wrong_family"),
        ({"asset_kind": "branch", "asset": "T1-B1"}, "found"),
        ({"asset_kind": "device", "asset": "M-T1-B1-1"}, "found"),
        ({"asset_kind": "transformer", "asset": "T1"}, "wrong_place"),
        ({"asset": "T1-B1-2"}, "nothing"),
        ({"asset": "T2-B1-1"}, "nothing"),
        ({"raised_us": 10 * DAY}, "found"),
        ({"raised_us": 15 * DAY}, "found"),
        ({"raised_us": 15 * DAY + HOUR}, "late"),
        ({"raised_us": 16 * DAY + HOUR}, "late"),
        ({"raised_us": 16 * DAY + HOUR + 1}, "nothing"),
        ({"raised_us": 10 * DAY - 1}, "early"),
        ({"raised_us": 2 * DAY}, "nothing"),
        ({"asset": "no-such-point"}, "nothing"),
    ],
)
def test_a_ticket_is_judged_by_family_place_and_time(
    changes: dict[str, Any], expected: str
) -> None:
    """Contracts, section 4: family or confusion pair, one step, onset to failure or end."""
    assert expected == verdict(alert(**changes), truth())


def test_confusion_pairs_do_not_chain() -> None:
    """A hot terminal and a momentary contact each pair with the joint, not with each other."""
    assert "wrong_family" == verdict(alert(fault="momentary"), truth(fault="hot_terminal"))


def test_a_fault_that_gives_no_sign_before_it_fails_is_found_until_its_end() -> None:
    """A neutral that snaps cannot be known before; finding it while it lasts counts."""
    snapped = truth(detectable_us=15 * DAY, onset_us=15 * DAY, failure_us=15 * DAY)

    assert "found" == verdict(alert(raised_us=15 * DAY + HOUR), snapped)


def test_an_incident_that_is_never_cleared_lasts_until_the_end_of_the_data() -> None:
    endless = truth(failure_us=None, cleared_us=None)

    assert "found" == verdict(alert(raised_us=END), endless)


def test_a_ticket_on_a_look_alike_is_false() -> None:
    """A new EV charger is no overload, whatever the ticket calls it."""
    charger = truth(fault="new_ev", benign=True, failure_us=None, cleared_us=None)

    judged = match([alert()], [charger], PLACES, END).judged[0]

    assert ("benign", True) == (judged.verdict, judged.false)


def test_watch_list_lines_are_no_tickets() -> None:
    assert [] == match([alert(ticket=False)], [truth()], PLACES, END).judged


def test_a_ticket_belongs_to_one_incident_the_nearest_and_rightest() -> None:
    """Two joints on one branch: each usage point's ticket goes to its own."""
    here, there = truth("here"), truth("there", asset="T1-B1-2")

    matching = match([alert("a"), alert("b", asset="T1-B1-2")], [here, there], PLACES, END)

    assert {"here": ["a"], "there": ["b"]} == {
        i: [j.alert.id for j in js] for i, js in matching.by_incident.items()
    }


def test_the_first_ticket_in_time_is_the_one_known_first() -> None:
    slow = alert("slow", known_us=14 * DAY)
    quick = alert("quick", raised_us=13 * DAY, known_us=13 * DAY)

    first = match([slow, quick], [truth()], PLACES, END).first(truth())

    assert first is not None
    assert "quick" == first.alert.id


def test_without_a_network_only_the_same_asset_is_found() -> None:
    places = Places()

    same = match([alert()], [truth()], places, END).judged[0]
    parent = match([alert(asset_kind="branch", asset="T1-B1")], [truth()], places, END).judged[0]

    assert ("found", "nothing") == (same.verdict, parent.verdict)


def test_lost_supply_after_a_failure_tells_of_it_late() -> None:
    """The joint burnt through: an outage ticket there is right, and no early warning."""
    outage = alert(fault="outage", raised_us=15 * DAY + HOUR)

    assert "late" == verdict(outage, truth())
    assert "wrong_family" == verdict(alert(fault="outage"), truth())
