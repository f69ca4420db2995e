"""The two baselines, and what differs between two settings."""

import numpy as np

from detectors.scoring import compare, match, random_alerts, threshold_alerts
from grid.readings import ReadingBatch
from tests.unit.scoring.lines_by_hand import DAY, END, HOUR, PLACES, alert, street, truth


def voltages(*volts: float, device: str = "M-T1-B1-1", start: int = 0) -> ReadingBatch:
    """Hourly readings of one meter."""
    times = start + np.arange(len(volts)) * HOUR
    return ReadingBatch.of([device], np.zeros(len(volts), np.int32), times, {"v_a": list(volts)})


def test_chance_raises_as_many_tickets_of_the_same_kinds_and_repeats_itself() -> None:
    given = [alert("a"), alert("b", "outage", asset_kind="transformer", asset="T1")]

    first, second = (random_alerts(given, street(), 0, END) for _ in range(2))

    assert first == second
    assert ["joint_resistance", "outage"] == sorted(a.fault for a in first)
    assert all(0 <= a.raised_us < END for a in first)
    assert {a.asset for a in first if a.asset_kind == "transformer"} <= {"T1", "T2"}


def test_watch_list_lines_are_not_given_to_chance() -> None:
    assert [] == random_alerts([alert(ticket=False)], street(), 0, END)


def test_two_readings_outside_the_limits_are_one_ticket() -> None:
    tickets = threshold_alerts([voltages(220, 190, 220, 236, 237, 238, 220)], street())

    assert [("T1-B1-1", 4 * HOUR)] == [(a.asset, a.raised_us) for a in tickets]


def test_the_rule_remembers_across_batches() -> None:
    batches = [voltages(220, 190), voltages(190, 220, start=2 * HOUR)]

    assert [2 * HOUR] == [a.raised_us for a in threshold_alerts(batches, street())]


def test_the_rule_tickets_again_after_a_day_inside() -> None:
    spell = voltages(190, 190)
    again = [voltages(220, 190, 190, start=12 * HOUR), voltages(220, 190, 190, start=3 * DAY)]

    raised = [a.raised_us for a in threshold_alerts([spell, *again], street())]

    assert [HOUR, 3 * DAY + 2 * HOUR] == raised


def test_limits_follow_the_nominal_voltage_and_empty_readings_are_skipped() -> None:
    batch = voltages(np.nan, 240, 240, np.nan)

    assert [] == threshold_alerts([batch], street(), nominal_v=230.0)


def test_a_ticket_without_a_name_is_found_whatever_the_fault() -> None:
    ticket = threshold_alerts([voltages(190, 190, start=12 * DAY)], street())

    assert "found" == match(ticket, [truth()], PLACES, END).judged[0].verdict


def test_alerts_equal_in_both_settings_are_not_listed() -> None:
    assert [] == compare([alert()], [alert()])


def test_an_alert_of_the_same_id_says_what_changed() -> None:
    difference = compare([alert()], [alert(severity="P1", ticket=False)])[0]

    assert ("differs", ("severity", "ticket")) == (difference.change, difference.fields)


def test_the_same_cause_raised_a_little_later_is_a_change_not_two_alerts() -> None:
    later = alert("other-id", raised_us=12 * DAY + HOUR)

    difference = compare([alert()], [later])[0]

    assert ("differs", ("raised_us",)) == (difference.change, difference.fields)


def test_alerts_of_one_setting_only_are_listed_in_order_of_time() -> None:
    early, late = alert("x", raised_us=DAY), alert("y", asset="T2-B1-1")

    assert ["only_b", "only_a"] == [d.change for d in compare([late], [early])]
